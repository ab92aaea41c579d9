"""`--fix` and `--diff` over files: which notebooks change, what is written, what is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rasen_lint.checking import Checked
from rasen_lint.fixing import Mended, mend, write_mended
from rasen_lint.linting import Linted, Linting


@dataclass(frozen=True, kw_only=True)
class Change:
    """What came of one notebook: what is still found, the fixes made, where the old version lies, or the difference."""

    checked: Checked
    made: tuple[str, ...] = ()
    kept: Path | None = None
    diff: str = ""


def mend_bytes(data: bytes, path: Path, linting: Linting) -> Mended:
    """Make the fixes in the bytes of a notebook, as if they lay at `path`."""

    def check(current: bytes) -> Checked:
        return linting.check_bytes(current, path=path).results[0]

    return mend(data, check)


def mend_files(linted: Linted, linting: Linting, *, write: bool) -> Iterator[Change]:
    """Make the fixes of what was found, notebook by notebook, in files or, without `write`, only as differences."""
    for checked in linted.results:
        if not any(finding.fix is not None for finding in checked.findings):
            yield Change(checked=checked)
            continue
        path = Path(checked.path)
        try:
            before = path.read_bytes()
        except OSError as error:
            yield Change(
                checked=replace(checked, problem=f"{path}: cannot be read: {error.strerror or error}")
            )
            continue
        mended = mend_bytes(before, path, linting)
        if not write or mended.data == before:
            yield Change(checked=mended.checked, diff=diff_of(before, mended.data, checked.path))
            continue
        kept, problem = write_mended(path, before, mended.data)
        if problem is not None:
            yield Change(checked=replace(checked, problem=problem))
            continue
        yield Change(checked=mended.checked, made=mended.made, kept=kept)


def diff_of(before: bytes, after: bytes, name: str) -> str:
    """Return a difference that `git apply` and `patch` understand; nothing where there is none."""
    lines = difflib.unified_diff(
        before.decode().splitlines(keepends=True),
        after.decode().splitlines(keepends=True),
        fromfile=f"a/{name}",
        tofile=f"b/{name}",
    )
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(ended)
