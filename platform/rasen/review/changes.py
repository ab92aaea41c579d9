"""Which files of two states differ, and which were renamed: by their content, then by how many lines they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from rasen.pipeline import PIPELINE_FILE
from rasen.review.revisions import State

_ALIKE = 0.5
_MOST_COMPARED = 2_000  # pairs of files; of more only those with the same content count as renamed
_MOST_BYTES = 5_000_000  # of a file whose lines are counted


@dataclass(frozen=True, kw_only=True)
class ChangedFile:
    """A file that differs; a side is `None` where it is not there."""

    old: str | None
    new: str | None

    @property
    def path(self) -> str:
        """The path by which it is shown."""
        path = self.new if self.new is not None else self.old
        assert path is not None
        return path

    @property
    def change(self) -> Literal["added", "changed", "removed", "renamed"]:
        """What became of it."""
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        return "changed" if self.old == self.new else "renamed"


def find_changes(base: State, head: State, *, below: Sequence[str] = ()) -> tuple[list[ChangedFile], int]:
    """Return the notebooks and the files of pipelines that differ, sorted, and how many other files do.

    Args:
        base: The state before.
        head: The state now.
        below: Paths of files and folders, from the top; everything if empty.
    """
    folders = pipeline_folders(base) | pipeline_folders(head)
    differing = {path for path in {*base.files, *head.files} if base.files.get(path) != head.files.get(path)}
    wanted = {
        path
        for path in differing
        if not below or any(one in ("", path) or path.startswith(f"{one}/") for one in below)
    }
    shown = {path for path in wanted if path.endswith(".ipynb") or not folders.isdisjoint(_parents(path))}
    added = sorted(path for path in shown if path not in base.files)
    removed = sorted(path for path in shown if path not in head.files)
    renamed = _renamed(base, head, removed, added)
    changes = [ChangedFile(old=old, new=new) for new, old in renamed.items()]
    changes += [ChangedFile(old=None, new=path) for path in added if path not in renamed]
    gone = set(removed) - set(renamed.values())
    changes += [ChangedFile(old=path, new=None) for path in gone]
    changes += [ChangedFile(old=path, new=path) for path in shown - set(added) - set(removed)]
    # The notebooks of a folder before its other files; pipeline.yaml, which names them, first.
    changes.sort(key=lambda one: (str(PurePosixPath(one.path).parent), _rank(one.path), one.path))
    return changes, len(wanted) - len(shown)


def pipeline_folders(state: State) -> set[str]:
    """Return the folders that hold a `pipeline.yaml`, from the top."""
    return {
        str(PurePosixPath(path).parent) for path in state.files if PurePosixPath(path).name == PIPELINE_FILE
    }


def _rank(path: str) -> int:
    return 0 if path.endswith(PIPELINE_FILE) else 1 if path.endswith(".ipynb") else 2


def _parents(path: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(path).parents}


def _renamed(base: State, head: State, removed: Sequence[str], added: Sequence[str]) -> dict[str, str]:
    """Return the old path by the new one, each used once."""
    found: dict[str, str] = {}
    left = dict.fromkeys(path for path in removed if base.files[path].is_file)
    by_content: dict[str, list[str]] = {}
    for path in left:
        by_content.setdefault(base.files[path].id, []).append(path)
    for path in added:
        same = [one for one in by_content.get(head.files[path].id, ()) if one in left]
        if same and head.files[path].is_file:
            found[path] = _nearest(path, same)
            del left[found[path]]
    waiting = [path for path in added if path not in found and head.files[path].is_file]
    if not left or not waiting or len(left) * len(waiting) > _MOST_COMPARED:
        return found
    old, new = _lines(base, left), _lines(head, waiting)
    scores = [
        (score, PurePosixPath(one).name == PurePosixPath(other).name, one, other)
        for one in new
        for other in old
        if PurePosixPath(one).suffix == PurePosixPath(other).suffix
        and (score := _share(old[other], new[one])) >= _ALIKE
    ]
    for _, _, one, other in sorted(scores, reverse=True):
        if one not in found and other in left:
            found[one] = other
            del left[other]
    return found


def _nearest(path: str, candidates: Sequence[str]) -> str:
    """Return the candidate whose name, or else whose folder, is the same."""
    name, folder = PurePosixPath(path).name, PurePosixPath(path).parent
    judge: Callable[[str], tuple[bool, bool]] = lambda one: (  # noqa: E731 - a key, named for its type
        PurePosixPath(one).name == name,
        PurePosixPath(one).parent == folder,
    )
    return max(candidates, key=judge)


def _lines(state: State, paths: Iterable[str]) -> dict[str, Counter[bytes]]:
    small = [path for path in paths if 0 < state.files[path].size_bytes <= _MOST_BYTES]
    return {
        path: Counter(line.strip() for line in data.split(b"\n") if len(line.strip()) > 3)
        for path, data in state.read(small).items()
    }


def _share(left: Counter[bytes], right: Counter[bytes]) -> float:
    return (left & right).total() / max(left.total(), right.total(), 1)
