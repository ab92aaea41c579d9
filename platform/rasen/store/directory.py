"""An object store in a directory, safe among processes, under `kill -9` and power loss.

An object is one file. It is written beside the tree, synced, and then appears under its name by one system call:
`link` for create-only (the kernel picks the winner), `rename` for overwriting. The generation is the file's
modification time in nanoseconds, forced to grow with each write, so a reader gets bytes and generation from one open
file and no second file can disagree. Compare-and-swap takes a lock on the key for the moment of the comparison.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from rasen.errors import (
    DigestMismatch,
    InvalidInput,
    ObjectNotFound,
    PlatformFailed,
    PreconditionFailed,
    StoreUnavailable,
)
from rasen.store.folder_stamps import stamp_of_directory
from rasen.store.protocol import Stat, check_key

_CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
_TRIES = 100
_STAGED_KEPT_SECONDS = 86_400.0  # nobody writes one object for a day without a byte


class DirectoryStore:
    """A `Store` whose objects are the files of one directory on a local file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root = ""  # found out with the first read

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        """Return the object's bytes and generation, both of one open file."""
        with _unavailable(key), self._open(key) as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Write the object and return its generation."""
        with self._staged(key) as staged:
            staged.write(data)
            return self._appear(staged, key, if_generation)

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names that follow `prefix` up to the next `/`."""
        folder, _, start = prefix.rpartition("/")
        try:
            entries = list(os.scandir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = [
            entry.name for entry in entries if entry.name.startswith(start) and not entry.name.startswith(".")
        ]
        return sorted(name[len(start) :] for name in names)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the objects under `prefix` after `after`, in key order."""
        folder, _, _ = prefix.rpartition("/")
        keys = [key for key in self._walk(folder) if key.startswith(prefix) and key > after]
        keys.sort()
        for key in keys:
            found = self.stat(key)
            if found is not None:
                yield found

    def stat(self, key: str) -> Stat | None:
        """Return what is known of the object, or `None`."""
        try:
            found = (self.root / check_key(key)).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return Stat(
            key=key,
            size_bytes=found.st_size,
            generation=found.st_mtime_ns,
            updated_at=datetime.fromtimestamp(found.st_mtime, tz=UTC),
        )

    def delete(self, key: str) -> None:
        """Delete the object if it is there."""
        path = self.root / check_key(key)
        with self._locked(key), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            _sync_folder(path.parent)
            self._remove_empty(path.parent)

    def sweep_staged(self) -> int:
        """Remove what writers that were killed have left in `.staged/` a day ago or earlier; return how many files.

        Their age is by the clock of the file system, which may be another machine's: that of a file made just now.
        """
        folder = self.root / ".staged"
        try:
            left = [entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if not left:
            return 0
        removed = 0
        with suppress(OSError), tempfile.NamedTemporaryFile(dir=folder) as now:
            oldest = os.fstat(now.fileno()).st_mtime - _STAGED_KEPT_SECONDS
            for entry in left:
                with suppress(FileNotFoundError):  # its writer, or another sweep
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        Path(entry.path).unlink()
                        removed += 1
        return removed

    def folder_stamp(self, prefix: str) -> str | None:
        """Return a text that is another one after an object has come into a folder; see `store/folder_stamps.py`."""
        return stamp_of_directory(self.root / prefix)

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        """Copy a local file to a new object, checking its digest on the way."""
        with path.open("rb") as source, self._staged(key) as staged:
            if _copy(source, staged) != sha256:
                raise DigestMismatch(
                    f"{str(path)!r} does not have the SHA-256 {sha256} that was announced for {key!r}"
                )
            return self._appear(staged, key, 0)

    def download(self, key: str, path: Path, *, sha256: str) -> None:
        """Copy an object to a local file, which appears only when the digest is right."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._open(key) as source,
            tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as target,
        ):
            try:
                if _copy(source, target) != sha256:
                    raise DigestMismatch(f"object {key!r} does not have the expected SHA-256 {sha256}")
                target.flush()
                Path(target.name).replace(path)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(target.name).unlink()
                raise

    def _open(self, key: str) -> IO[bytes]:
        """Open an object; a link in the tree is none, because it may lead to what nobody put into this store."""
        try:
            file = (self.root / check_key(key)).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(f"no object {key!r} in the store {str(self.root)!r}") from None
        # Asked of what is open, not of the path: the answer stays true, and costs one call whatever the key's length.
        real = os.readlink(f"/proc/self/fd/{file.fileno()}").removesuffix(" (deleted)")  # noqa: PTH115  # as above
        if real != f"{self._real_root}/{key}":
            self._real_root = os.path.realpath(self.root)  # the store may have been moved
            if real != f"{self._real_root}/{key}":
                file.close()
                raise ObjectNotFound(
                    f"no object {key!r} in the store {str(self.root)!r}: a link is there, and links are not followed"
                )
        return file

    def _walk(self, folder: str) -> Iterator[str]:
        pending = [folder]
        while pending:
            current = pending.pop()
            try:
                entries = list(os.scandir(self.root / current))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                key = f"{current}/{entry.name}" if current else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(key)
                else:
                    yield key

    @contextmanager
    def _staged(self, key: str) -> Iterator[IO[bytes]]:
        """Give a file outside the visible tree; it is gone afterwards unless it was made to appear."""
        check_key(key)
        folder = self.root / ".staged"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as staged:
                try:
                    yield staged
                finally:
                    with suppress(FileNotFoundError):
                        Path(staged.name).unlink()
        except OSError as error:
            if error.errno in _FULL:
                raise StoreUnavailable(
                    f"no room to write {key!r} ({error.strerror}); free some space under {str(self.root)!r}, "
                    "nothing was changed"
                ) from error
            if error.errno in _NOT_OURS:
                raise PlatformFailed(
                    f"{key!r} could not be written: {error}; waiting does not help"
                ) from error
            raise StoreUnavailable(f"{key!r} could not be written: {error}") from error

    def _appear(self, staged: IO[bytes], key: str, if_generation: int | None) -> int:
        staged.flush()
        os.fsync(staged.fileno())
        os.fchmod(staged.fileno(), 0o644)
        for _ in range(_TRIES):
            try:
                return self._place(staged, key, if_generation)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a deletion emptied the folder and took it away: it is made again, or told to be an object
        raise StoreUnavailable(f"{key!r} could not be written: its folder went away {_TRIES} times")

    def _place(self, staged: IO[bytes], key: str, if_generation: int | None) -> int:
        path = self.root / key
        self._make_folder(path.parent, key)
        generation = os.fstat(staged.fileno()).st_mtime_ns
        if if_generation == 0:
            try:
                os.link(staged.name, path)
            except FileExistsError:
                raise PreconditionFailed(f"object {key!r} exists; it was to be created") from None
        else:
            with self._locked(key):
                present = self.stat(key)
                found = present.generation if present else 0
                if if_generation is not None and found != if_generation:
                    raise PreconditionFailed(
                        f"object {key!r} has generation {found}, expected {if_generation}"
                    )
                generation = max(generation, found + 1)  # the clock may have gone back
                os.utime(staged.name, ns=(generation, generation))
                Path(staged.name).rename(path)
        with suppress(FileNotFoundError):  # deleted again already
            _sync_folder(path.parent)
        return generation

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders that hold nothing any more: in an object store there are none without an object."""
        with suppress(OSError):  # not empty, or somebody was quicker
            while self.root not in {folder, folder.parent}:
                folder.rmdir()
                folder = folder.parent

    def _make_folder(self, folder: Path, key: str) -> None:
        missing = []
        while not folder.is_dir():
            if folder.exists() and not folder.is_dir():  # asked again: another writer may just have made it
                raise InvalidInput(f"{key!r} cannot be written: {str(folder)!r} is an object, not a folder")
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            # Not `exist_ok`: it looks again whether a folder is there, and a deletion may just have taken it away.
            with suppress(FileExistsError):
                new.mkdir()
            _sync_folder(new.parent)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # One of 256 lock files, by the key's hash: they never have to be removed.
        name = hashlib.sha256(key.encode()).hexdigest()[:2]
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _unavailable(key: str) -> Iterator[None]:
    """Take what a file system says when it cannot read, say a server that is away, for the outage that it is."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise PlatformFailed(f"{key!r} could not be read: {error}; waiting does not help") from error
        raise StoreUnavailable(f"{key!r} could not be read: {error}") from error


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy all bytes and return their SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a name that was just added survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
