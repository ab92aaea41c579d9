"""Two states of a repository and the files that differ: commits by git's objects, the work tree by its files.

Only git's plumbing is asked, so no filter, no external difference and no program of a repository's configuration runs.
As on a pull request the old side is the last commit that both revisions have in common: what the base has got since is
not this change.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rasen.commit_files import Checkout, find_checkout, is_litter, list_work_tree, read_blobs, run_git
from rasen.errors import InvalidInput, PlatformFailed
from rasen.review.report import Revision

WORK_TREE = "."
_FILES = ("100644", "100755")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of a state: git's mode, the id of its content, and its size where a file has one."""

    mode: str
    id: str
    size_bytes: int

    @property
    def is_file(self) -> bool:
        """Whether it is no link and no submodule."""
        return self.mode in _FILES

    @property
    def kind(self) -> str:
        """What it is, for a sentence."""
        return {"120000": "a symbolic link", "160000": "a submodule"}.get(self.mode, "a file")


@dataclass(frozen=True, kw_only=True)
class State:
    """One side: its files by their paths from the top of the repository, and the revision that it is."""

    top: Path
    revision: Revision
    files: Mapping[str, Entry]

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of files.

        Raises:
            PlatformFailed: One cannot be read.
        """
        wanted = list(paths)
        if self.revision.commit is None:
            return {path: _read_file(self.top / path) for path in wanted}
        contents = read_blobs(self.top, [self.files[path].id for path in wanted])
        return dict(zip(wanted, contents, strict=True))


def open_states(folder: Path, base: str, head: str) -> tuple[State, State]:
    """Return the two sides of a review: the last commit that both have in common, and the head.

    Args:
        folder: Somewhere in the repository.
        base: A revision, as git takes it: what the change is meant for.
        head: Likewise; `.` is the work tree, new files included.

    Raises:
        InvalidInput: There is no repository, no such revision, or no common commit.
    """
    checkout = find_checkout(folder)
    if checkout is None:
        raise InvalidInput(f"{str(folder)!r} is not in a git repository (or git is not installed)")
    top = checkout.top
    old, new = _resolve(top, base), _resolve(top, "HEAD" if head == WORK_TREE else head)
    merge_base = run_git(top, "merge-base", old, new)
    if merge_base.returncode != 0:
        shallow = run_git(top, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        hint = (
            "; the clone is shallow: fetch more (in a GitHub workflow: `fetch-depth: 0`)" if shallow else ""
        )
        raise InvalidInput(f"{base!r} and {head!r} have no commit in common{hint}")
    common = merge_base.stdout.decode().split()[0]
    first = _commit_state(top, common, name=base)
    if head == WORK_TREE:
        files = _work_tree(Checkout(top=top, path=""), hash_name="sha1" if len(common) == 40 else "sha256")
        return first, State(top=top, revision=Revision(name="the work tree", commit=None), files=files)
    return first, _commit_state(top, new, name=head)


def repository_paths(state: State, folder: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return paths as they are counted from the top of the repository; they need not exist any more.

    Raises:
        InvalidInput: One lies outside.
    """
    top = state.top.resolve()
    found = []
    for path in paths:
        # Not `resolve`: the last part may be a link, which is a file of the repository like any other.
        whole = Path(os.path.normpath(folder.resolve() / path))
        inside = next(
            (one for one in (whole, whole.parent.resolve() / whole.name) if one.is_relative_to(top)), None
        )
        if inside is None:
            raise InvalidInput(f"{str(path)!r} lies outside the repository {str(top)!r}")
        found.append("" if inside == top else inside.relative_to(top).as_posix())
    return tuple(found)


def _resolve(top: Path, revision: str) -> str:
    if not revision or revision.startswith("-"):
        raise InvalidInput(f"{revision!r} is no revision; name a branch, a tag or a commit")
    found = run_git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found.returncode != 0:
        raise InvalidInput(
            f"there is no revision {revision!r} in {str(top)!r}; name a branch, a tag or a commit, and as HEAD also "
            "`.` for the work tree. A branch that only the server has must be fetched before"
        )
    return found.stdout.decode().strip()


def _commit_state(top: Path, commit: str, *, name: str) -> State:
    listed = run_git(top, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    said = run_git(top, "-c", "log.showSignature=false", "show", "-s", "--no-notes", "--format=%s", commit)
    if listed.returncode != 0 or said.returncode != 0:
        problem = (listed.stderr or said.stderr).decode(errors="replace").strip()
        raise PlatformFailed(f"git cannot read commit {commit[:12]!r}: {problem}")
    files = {}
    for line in listed.stdout.split(b"\0"):
        if line:
            about, _, path = line.partition(b"\t")
            mode, _, identifier, size = about.decode().split()
            files[os.fsdecode(path)] = Entry(
                mode=mode, id=identifier, size_bytes=int(size) if size.isdecimal() else 0
            )
    subject = said.stdout.decode(errors="replace").strip()
    return State(top=top, revision=Revision(name=name, commit=commit, subject=subject[:200]), files=files)


def _work_tree(checkout: Checkout, *, hash_name: str) -> dict[str, Entry]:
    files = {}
    submodules = _submodules(checkout.top)
    for path in list_work_tree(checkout):
        if is_litter(path):
            continue
        file = checkout.top / path
        if path in submodules:
            files[path] = Entry(mode="160000", id=submodules[path], size_bytes=0)
            continue
        try:
            about = file.lstat()
            if stat.S_ISDIR(about.st_mode):
                continue  # a repository inside that git does not know
            digest = hashlib.new(hash_name, f"blob {_size(file, about)}\0".encode())
            if stat.S_ISLNK(about.st_mode):
                digest.update(os.fsencode(file.readlink()))
            elif stat.S_ISREG(about.st_mode):
                with file.open("rb") as opened:
                    while piece := opened.read(1 << 20):
                        digest.update(piece)
            else:
                continue
        except FileNotFoundError:
            continue  # tracked, and deleted
        except OSError as error:
            raise PlatformFailed(f"{str(file)!r} cannot be read: {error.strerror}") from None
        mode = (
            "120000"
            if stat.S_ISLNK(about.st_mode)
            else ("100755" if about.st_mode & stat.S_IXUSR else "100644")
        )
        files[path] = Entry(mode=mode, id=digest.hexdigest(), size_bytes=about.st_size)
    return files


def _submodules(top: Path) -> dict[str, str]:
    """Return the commits of the submodules that the index names."""
    found = {}
    for line in run_git(top, "ls-files", "--stage", "-z").stdout.split(b"\0"):
        about, _, path = line.partition(b"\t")
        if about.startswith(b"160000 "):
            found[os.fsdecode(path)] = about.split()[1].decode()
    return found


def _size(file: Path, about: os.stat_result) -> int:
    return len(os.fsencode(file.readlink())) if stat.S_ISLNK(about.st_mode) else about.st_size


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlatformFailed(f"{str(path)!r} cannot be read: {error.strerror}") from None
