"""The files of a folder at a git commit, read from git's objects and not from the work tree.

What is registered is what was reviewed: line-ending filters, ignored files and edits made meanwhile cannot reach it.
Only git's plumbing is used, whose output does not depend on a user's configuration.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rasen.bundle import BundleFile
from rasen.errors import PipelineError, PlatformFailed
from rasen.settings import child_environment

# A git hook sets these for its own repository; with them `-C folder` would read another one.
REPOSITORY_VARIABLES = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}
_LISTED = 20
_MESSAGE_MAX_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit and where it stands.

    `sequence` counts the commits on the way back along first parents; `message` is the first line of what was said.
    """

    sha: str
    sequence: int
    author: str
    committed_at: datetime
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A folder inside a git work tree; `path` is the folder's path from the top, with `/`, empty for the top."""

    top: Path
    path: str


def find_checkout(folder: Path) -> Checkout | None:
    """Return where `folder` lies in its git work tree, or `None` when it lies in none, or git is not installed.

    Raises:
        PipelineError: Git refuses the repository, for example because it belongs to somebody else.
    """
    try:
        result = run_git(folder, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return None
    if result.returncode != 0:
        if b"not a git repository" in result.stderr or b"must be run in a work tree" in result.stderr:
            return None
        raise _git_failed("rev-parse", result)
    top = Path(os.fsdecode(result.stdout).rstrip("\n"))
    path = folder.resolve().relative_to(top.resolve()).as_posix()
    return Checkout(top=top, path="" if path == "." else path)


def read_head(checkout: Checkout) -> Commit:
    """Return the commit that is checked out.

    Raises:
        PipelineError: There is no commit yet, or the clone is shallow, so that its commits cannot be counted.
    """
    sha = head_commit(checkout)
    if sha is None:
        raise PipelineError(
            f"the repository {str(checkout.top)!r} has no commit yet; commit the pipeline first"
        )
    if _git(checkout.top, "rev-parse", "--is-shallow-repository").strip() == b"true":
        raise PipelineError(
            f"the repository {str(checkout.top)!r} is a shallow clone, so its commits cannot be counted; run "
            "`git fetch --unshallow` (in a GitHub workflow: `fetch-depth: 0`)"
        )
    count = int(_git(checkout.top, "rev-list", "--first-parent", "--count", sha))
    shown = _git(
        checkout.top, "-c", "log.showSignature=false", "show", "-s", "--format=%an <%ae>%n%ct%n%s", sha
    )
    author, seconds, message = shown.decode(errors="replace").split("\n", 2)
    return Commit(
        sha=sha,
        sequence=count,
        author=author,
        committed_at=datetime.fromtimestamp(int(seconds), tz=UTC),
        message=message.strip()[:_MESSAGE_MAX_CHARACTERS],
    )


def head_commit(checkout: Checkout) -> str | None:
    """Return the commit that is checked out, `None` when there is none yet."""
    head = run_git(checkout.top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return head.stdout.decode().strip() if head.returncode == 0 else None


def list_dirty(checkout: Checkout) -> list[str]:
    """Return the folder's files that are changed, new or deleted since the commit; ignored ones are not."""
    status = _git(
        checkout.top,
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        "--",
        _pathspec(checkout),
    )
    paths = [entry[3:].decode(errors="replace") for entry in status.split(b"\0") if entry]
    return sorted(path for path in paths if not is_litter(path))


def refuse_dirty(checkout: Checkout) -> None:
    """Refuse a folder with uncommitted changes.

    Raises:
        PipelineError: There are some; the message lists the files.
    """
    dirty = list_dirty(checkout)
    if dirty:
        more = f"\n  and {len(dirty) - _LISTED} more" if len(dirty) > _LISTED else ""
        listed = "".join(f"\n  {path}" for path in dirty[:_LISTED])
        raise PipelineError(
            f"{checkout.path or str(checkout.top)!r} has uncommitted changes; commit them, or try them with "
            f"`rasen run --dev`:{listed}{more}"
        )


def read_commit_files(checkout: Checkout, commit: Commit) -> list[BundleFile]:
    """Return the folder's files at `commit`, with exactly the committed bytes.

    Raises:
        PipelineError: The folder is not in the commit, or holds a symbolic link or a submodule.
    """
    tree = run_git(checkout.top, "ls-tree", "-r", "-z", "--full-tree", f"{commit.sha}:{checkout.path}")
    if tree.returncode != 0:
        raise PipelineError(f"{checkout.path!r} is not in commit {commit.sha[:12]}; commit the folder first")
    entries: list[tuple[str, str, str]] = []
    for line in tree.stdout.split(b"\0"):
        if line:
            mode, _, rest = line.partition(b" ")
            meta, _, raw_path = rest.partition(b"\t")
            try:
                path = raw_path.decode()
            except UnicodeDecodeError:
                raise PipelineError(
                    f"file name {raw_path!r} in {checkout.path!r} is not UTF-8; rename it"
                ) from None
            entries.append((mode.decode(), meta.split()[-1].decode(), path))
    for file_mode, _, path in entries:
        if file_mode not in {"100644", "100755"}:
            kind = {"120000": "a symbolic link", "160000": "a submodule"}.get(
                file_mode, f"of mode {file_mode}"
            )
            raise PipelineError(
                f"{path!r} in {checkout.path!r} is {kind}; a release holds files only, commit a copy"
            )
    contents = read_blobs(checkout.top, [identifier for _, identifier, _ in entries])
    return [
        BundleFile(path=path, data=data, executable=file_mode == "100755")
        for (file_mode, _, path), data in zip(entries, contents, strict=True)
    ]


def list_work_tree(checkout: Checkout) -> list[str]:
    """Return the paths, from the folder, of its files that are tracked, or new and not ignored."""
    listed = _git(
        checkout.top,
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        _pathspec(checkout),
    )
    prefix = f"{checkout.path}/" if checkout.path else ""
    paths = {
        entry.decode(errors="surrogateescape").removeprefix(prefix) for entry in listed.split(b"\0") if entry
    }
    return sorted(paths)


def read_commit_file(checkout: Checkout, commit: Commit, path: str) -> bytes | None:
    """Return a file of the commit by its path from the top of the repository, or `None`."""
    result = run_git(checkout.top, "cat-file", "blob", f"{commit.sha}:{path}")
    return result.stdout if result.returncode == 0 else None


def is_litter(path: str) -> bool:
    """Tell whether a path lies in a folder that Jupyter, Python, git or Rasen leaves behind."""
    return any(
        element in {".ipynb_checkpoints", "__pycache__", ".git", ".rasen"} for element in path.split("/")
    )


def _pathspec(checkout: Checkout) -> str:
    # "literal": a folder's name may hold a star or a bracket.
    return f":(top,literal){checkout.path}" if checkout.path else ":(top)"


def read_blobs(top: Path, identifiers: Sequence[str]) -> Iterable[bytes]:
    """Yield the contents of git's objects, by their ids.

    Raises:
        PlatformFailed: One is not there.
    """
    output = _git(top, "cat-file", "--batch", stdin="".join(f"{each}\n" for each in identifiers).encode())
    position = 0
    for identifier in identifiers:
        end = output.index(b"\n", position)
        header = output[position:end].split()
        if len(header) != 3 or header[1] != b"blob":
            raise PlatformFailed(
                f"git cannot read object {identifier!r}; the repository may be damaged (`git fsck`)"
            )
        size = int(header[2])
        yield output[end + 1 : end + 1 + size]
        position = end + 1 + size + 1


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    result = run_git(folder, *arguments, stdin=stdin)
    if result.returncode != 0:
        raise _git_failed(arguments[0], result)
    return result.stdout


def run_git(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder, whatever repository a hook has left in the environment; the caller looks at the exit code.

    A repository may configure a program that watches its files, which git would start: that is switched off.
    """
    inherited = {
        name: value for name, value in child_environment().items() if name not in REPOSITORY_VARIABLES
    }
    return subprocess.run(
        [
            "git",
            "--no-optional-locks",
            "--no-replace-objects",
            "-c",
            "core.fsmonitor=false",
            "-C",
            str(folder),
            *arguments,
        ],
        input=stdin,
        capture_output=True,
        check=False,
        env=inherited | {"LC_ALL": "C"},
    )


def _git_failed(command: str, result: subprocess.CompletedProcess[bytes]) -> PipelineError:
    said = result.stderr.decode(errors="replace").strip()
    return PipelineError(f"`git {command}` failed: {said or f'exit code {result.returncode}'}")
