"""The log: one JSON line a message, in a file that a log shipper can follow, and one line for people in our own log."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rasen.notify.answers import Answer, Postponed, Taken
from rasen.notify.message import Message
from rasen.notify.rendering import headline

_MOST_BYTES = 16 * 2**20

_log = logging.getLogger(__name__)


class LogFile:
    """A file of JSON lines. One that has grown large becomes `<name>.1`, in place of the one before."""

    def __init__(self, path: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._path = path
        self._most_bytes = most_bytes

    def deliver(self, message: Message, recipients: tuple[str, ...]) -> Answer:
        """Append a message and return whether it is on the disk."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > self._most_bytes:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, message.to_bytes())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return Postponed(problem=f"{str(self._path)!r} cannot be written: {error.strerror}")
        _log.info("%s (incident %s)", headline(message), message.incident)
        return Taken(said=f"written to {str(self._path)!r}")
