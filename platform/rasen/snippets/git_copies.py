"""Copies of repositories of snippets: fetched shallowly, usable without a network afterwards.

A repository is somebody else's. Nothing of it is checked out: the files of one folder are read out of git's objects by
name, so hooks, submodules, links, filters and attributes of the repository never act. Time and bytes are limited. A
copy is complete before `current.json` names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rasen.commit_files import REPOSITORY_VARIABLES
from rasen.errors import InvalidInput, PlatformFailed
from rasen.settings import child_environment
from rasen.snippets.git_address import SCHEMES, GitAddress
from rasen.snippets.reading import MOST_BYTES, MOST_FILES

MOST_REPOSITORY_BYTES = 50_000_000
_TIMEOUT_SECONDS = 60.0
_PAUSE_SECONDS = 60.0
"""After a failure, only who asks for it on purpose makes anybody wait for that repository again."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class GitCopy:
    """What was fetched last: the folder of the files, the commit, and when."""

    files: Path
    commit: str
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What fetching a repository may cost."""

    timeout_seconds: float = _TIMEOUT_SECONDS
    size_bytes: int = MOST_REPOSITORY_BYTES


_LIMITS = Limits()


def read_copy(root: Path, address: GitAddress) -> GitCopy | None:
    """Return the copy that was fetched last, or `None`."""
    place = root / address.digest
    try:
        stated = json.loads((place / "current.json").read_bytes())
        copy = GitCopy(
            files=place / stated["files"],
            commit=stated["commit"],
            fetched_at=datetime.fromisoformat(stated["fetched_at"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return copy if copy.files.is_dir() else None


def fetch_copy(root: Path, address: GitAddress, *, patient: bool = True, limits: Limits = _LIMITS) -> GitCopy:
    """Fetch a repository and make what it holds the copy in use.

    Args:
        root: The folder of all copies.
        address: The repository.
        patient: Whether to try although it failed a moment ago.
        limits: Time and bytes.

    Raises:
        PlatformFailed: It cannot be reached, takes too long or too much room, or failed a moment ago.
        InvalidInput: It has no such tag, branch, commit or folder.
    """
    place = root / address.digest
    failed = place / "failed.txt"
    if not patient:
        with contextlib.suppress(OSError):
            if 0 <= time.time() - failed.stat().st_mtime < _PAUSE_SECONDS:
                raise PlatformFailed(
                    f"{failed.read_text(encoding='utf-8')} (a moment ago; `rasen snippets update` tries again)"
                )
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=".fetch-") as scratch:
            copy = _fetch(Path(scratch), place, address, limits)
    except OSError as error:
        raise PlatformFailed(f"a copy of {address.url!r} could not be kept: {error}") from None
    except (PlatformFailed, InvalidInput) as error:
        with contextlib.suppress(OSError):
            failed.write_text(str(error), encoding="utf-8")
        raise
    failed.unlink(missing_ok=True)
    return copy


def _fetch(scratch: Path, place: Path, address: GitAddress, limits: Limits) -> GitCopy:
    repository = scratch / "repository.git"
    _git(scratch, limits, "init", "--quiet", "--bare", "--template=", str(repository))
    _git(
        repository,
        limits,
        *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance"),
        *("--", address.url, address.ref or "HEAD"),
        address=address,
    )
    commit = _git(repository, limits, "rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
    files = scratch / "files"
    files.mkdir()
    for name, identifier in _list_files(repository, commit, address, limits).items():
        (files / name).write_bytes(_git(repository, limits, "cat-file", "blob", identifier))
    kept = place / f"{commit[:12]}-{uuid.uuid4().hex[:8]}"
    files.rename(kept)
    fetched_at = datetime.now(UTC)
    stated = {"url": address.url, "ref": address.ref, "folder": address.folder, "commit": commit}
    text = json.dumps(stated | {"files": kept.name, "fetched_at": fetched_at.isoformat()}, indent=1)
    before = read_copy(place.parent, address)
    (scratch / "current.json").write_text(text, encoding="utf-8")
    (scratch / "current.json").replace(place / "current.json")
    # The copy before this one stays once more: somebody may be reading it.
    for each in place.iterdir():
        if (
            each.is_dir()
            and not each.name.startswith(".")
            and each != kept
            and (not before or each != before.files)
        ):
            shutil.rmtree(each, ignore_errors=True)
    return GitCopy(files=kept, commit=commit, fetched_at=fetched_at)


def _list_files(repository: Path, commit: str, address: GitAddress, limits: Limits) -> Mapping[str, str]:
    """Return the object of each Python file of the folder, by name; links and submodules are none."""
    kind = _git(repository, limits, "cat-file", "-t", f"{commit}:{address.folder}", address=address)
    if kind.strip() != b"tree":
        raise InvalidInput(f"{address.folder!r} in {address.url!r} is no folder")
    listed = _git(repository, limits, "ls-tree", "-z", "-l", f"{commit}:{address.folder}")
    found: dict[str, str] = {}
    for line in listed.split(b"\0"):
        meta, _, raw_name = line.partition(b"\t")
        name = raw_name.decode(errors="replace")
        if not name.endswith(".py") or not name.removesuffix(".py").replace("_", "").isalnum():
            continue
        mode, _, identifier, size = meta.decode().split()
        if mode in {"100644", "100755"} and int(size) <= MOST_BYTES:
            found[name] = identifier
    if len(found) > MOST_FILES:
        raise InvalidInput(f"{address.url!r} holds {len(found)} snippets; at most {MOST_FILES} are taken")
    return found


def _git(folder: Path, limits: Limits, *arguments: str, address: GitAddress | None = None) -> bytes:
    """Run git without asking anybody anything, and return what it printed.

    Raises:
        PlatformFailed: It is not installed, took too long or too much room, or could not reach the repository.
        InvalidInput: The repository does not have what was asked for.
    """
    environment = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=10"}
    environment |= {
        name: value for name, value in child_environment().items() if name not in REPOSITORY_VARIABLES
    }
    environment |= {
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
    }
    options = ("-c", "core.hooksPath=/dev/null", "-c", "fetch.fsckObjects=true", "-c", "gc.auto=0")
    command = ["git", *options, "-C", str(folder), *arguments]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise PlatformFailed(
                "git is not installed, so no repository of snippets can be fetched"
            ) from None
        _wait(process, folder, limits, what=address.url if address else arguments[0])
        said.seek(0)
        complained.seek(0)
        if process.returncode == 0:
            return said.read()
        problem = complained.read(4000).decode(errors="replace").strip()
    raise _failed(problem, address, arguments[0])


def _failed(problem: str, address: GitAddress | None, command: str) -> PlatformFailed | InvalidInput:
    if address is None:
        return PlatformFailed(f"`git {command}` failed: {problem}")
    if "couldn't find remote ref" in problem or "not our ref" in problem:
        return InvalidInput(f"{address.url!r} has no tag, branch or commit {address.ref or 'HEAD'!r}")
    if command == "cat-file":
        return InvalidInput(f"{address.url!r} has no folder {address.folder!r} at {address.ref or 'HEAD'!r}")
    first = next((line for line in problem.splitlines() if line.startswith(("fatal:", "error:"))), problem)
    shown = "".join(
        each if each.isprintable() else "?" for each in first[:300]
    )  # a server may have written it
    return PlatformFailed(f"{address.url!r} could not be fetched: {shown}")


def _wait(process: subprocess.Popen[bytes], folder: Path, limits: Limits, *, what: str) -> None:
    """Wait for git, and end it with all that it started when it takes too long or too much room."""
    deadline = time.monotonic() + limits.timeout_seconds
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            size = _size_of(folder)
            if size > limits.size_bytes:
                raise PlatformFailed(
                    f"{what!r} is larger than {limits.size_bytes:,} bytes; name a smaller repository"
                )
            if process.returncode is not None:
                return
            if time.monotonic() > deadline:
                raise PlatformFailed(f"{what!r} did not answer within {limits.timeout_seconds:g} s")
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _size_of(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # git renames its temporary files
                total += (Path(parent) / name).lstat().st_size
    return total
