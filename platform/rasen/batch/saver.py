"""Saving the file of an executing notebook: whole, atomically, and rarely enough.

In between, a save is due at most once a second, takes at most a twentieth of the time, and all of them together write
hardly more than the notebook's own size and a little for every second: a notebook of 30 MB is not written a hundred
times, and one of 100 kB is up to date all the time.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat

from rasen.errors import PlatformFailed

_SAVE_SECONDS = 1.0
_SAVE_SHARE = 20  # saving may take a twentieth of the time
_WRITTEN_SHARE = 0.1  # of the notebook's size: what may have been written before it is saved again,
_BYTES_PER_SECOND = 200_000  # and this more

_log = logging.getLogger("rasen.batch")


class Saver:
    """Saves a notebook to a file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._begun = clock()
        self._due = self._begun + _SAVE_SECONDS
        self._size_bytes = 0
        self._written_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Take note that the notebook has become larger since it was last saved."""
        self._size_bytes += size_bytes

    @property
    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        now = self._clock()
        allowed = _WRITTEN_SHARE * self._size_bytes + _BYTES_PER_SECOND * (now - self._begun)
        return now >= self._due and self._written_bytes <= allowed

    def save_if_due(self, notebook: dict[str, Any]) -> None:  # Any: the notebook format
        """Save when the last time is long enough ago; that it fails is not the end of the notebook."""
        if not self.due:
            return
        try:
            self.save(notebook)
        except PlatformFailed as error:
            _log.warning("%s; it is tried again", error)
            self._due = self._clock() + _SAVE_SHARE * _SAVE_SECONDS

    def save(self, notebook: dict[str, Any]) -> None:  # Any: the notebook format
        """Save now: a reader sees the old file or the whole new one.

        Raises:
            PlatformFailed: It cannot be written; the old file is as it was.
        """
        begun = self._clock()
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            data = write_text(notebook).encode("utf-8", "replace")
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise PlatformFailed(
                f"the executed notebook cannot be saved as {str(self._path)!r}: {_reason(error)}"
            ) from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        ended = self._clock()
        self._due = ended + max(_SAVE_SECONDS, _SAVE_SHARE * (ended - begun))
        self._size_bytes = len(data)
        self._written_bytes += len(data)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; make room on the disk"
    if error.errno == errno.EFBIG:
        return f"{error.strerror}; it is over this process's limit for files (ulimit -f)"
    return error.strerror or str(error)


def sweep_parts(path: Path) -> None:
    """Remove what processes that were killed while they saved `path` have left beside it."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+)\.part")
    with suppress(OSError):
        for entry in list(path.parent.iterdir()):
            found = pattern.fullmatch(entry.name)
            if found is not None and not Path("/proc", found[1]).exists():
                entry.unlink(missing_ok=True)


def write_text(notebook: dict[str, Any]) -> str:  # Any: the notebook format
    """Return a notebook as Jupyter writes it: texts as lists of lines, one space of indent."""
    text: str = nbformat.writes(  # type: ignore[no-untyped-call] # nbformat annotates little
        nbformat.from_dict(notebook)  # type: ignore[no-untyped-call] # as above
    )
    return text if text.endswith("\n") else text + "\n"
