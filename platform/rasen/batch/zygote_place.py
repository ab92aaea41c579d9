"""Where a warm process is found: one socket, one lock and one log in a folder that nobody else can enter."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import PlatformFailed
from rasen.settings import runtime_dir

_KEPT_SECONDS = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """The files of one warm process."""

    folder: Path
    key: str

    @property
    def socket(self) -> Path:
        """Where it listens; short, because a socket's path may have 107 bytes."""
        return self.folder / f"{self.key}.sock"

    @property
    def log(self) -> Path:
        """What it prints; the last one's only."""
        return self.folder / f"{self.key}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to make or remove the socket."""
        descriptor = os.open(self.folder / f"{self.key}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def tidy(self) -> None:
        """Remove what others have left behind a week ago."""
        for file in self.folder.iterdir():
            with suppress(OSError):
                if file.suffix in (".lock", ".log") and time.time() - file.stat().st_mtime > _KEPT_SECONDS:
                    file.unlink()

    def holds(self, inode: int) -> bool:
        """Return whether the socket is still the one with that inode."""
        with suppress(OSError):
            return self.socket.stat().st_ino == inode
        return False


def private_folder() -> Path:
    """Return this user's folder for sockets, made if need be.

    Raises:
        PlatformFailed: There is one that somebody else owns or may enter.
    """
    folder = runtime_dir()
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PlatformFailed(
            f"{str(folder)!r} must be a folder of user {os.getuid()} with mode 0700, it belongs to {found.st_uid} with "
            f"mode {stat.S_IMODE(found.st_mode):04o}; remove it, or set XDG_RUNTIME_DIR to a folder of your own"
        )
    return folder
