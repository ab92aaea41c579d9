"""The code of two releases, file by file: notebooks as scripts, other texts as they are, the rest by its digest."""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import NotebookError, RasenError
from rasen.notebook import parse_notebook
from rasen.notebook_script import to_script
from rasen.release import Release, unpack_bundle
from rasen.store import Store


@dataclass(frozen=True, kw_only=True)
class CodeChange:
    """One file that differs; `diff` is a unified diff, of a notebook that of its script."""

    path: str
    diff: tuple[str, ...]


def compare_code(
    store: Store, left: Release | None, right: Release | None
) -> tuple[tuple[CodeChange, ...], str | None]:
    """Return the files that differ between two releases, and why they could not be compared, if so."""
    if left is None or right is None:
        return (), "the release of a run is gone, or not trusted any more"
    if left.bundle.content_sha256 == right.bundle.content_sha256:
        return (), None
    try:
        files = [_texts(store, release) for release in (left, right)]
    except RasenError as error:
        return (), f"a release's files cannot be read: {error}"
    changes = []
    for path in sorted({*files[0], *files[1]}):
        before, after = (side.get(path, "") for side in files)
        if before == after and path in files[0] and path in files[1]:
            continue
        name = f"{path} as a script" if path.endswith(".ipynb") else path
        diff = difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{left.release}/{name}" if path in files[0] else "/dev/null",
            f"{right.release}/{name}" if path in files[1] else "/dev/null",
            lineterm="",
        )
        # A notebook may differ in what its script does not hold, such as metadata: then there is nothing to tell.
        if lines := tuple(diff):
            changes.append(CodeChange(path=path, diff=lines))
    return tuple(changes), None


def _texts(store: Store, release: Release) -> dict[str, str]:
    """Return a release's files as texts, after its digest was checked."""
    with tempfile.TemporaryDirectory(prefix="rasen-") as scratch:
        folder = Path(scratch)
        unpack_bundle(store, release, folder)
        return {
            path.relative_to(folder).as_posix(): _text(path) for path in folder.rglob("*") if path.is_file()
        }


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".ipynb":
        try:
            return to_script(parse_notebook(data, name=path.name))
        except NotebookError:
            pass  # a file that no step uses may be anything
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"{len(data)} bytes with the SHA-256 {hashlib.sha256(data).hexdigest()}\n"
