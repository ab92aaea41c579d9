"""Which versions a worker is executing at this moment, so that its death tells whose fault it was.

A model can end its process or never return. Who did it cannot be asked then, so each thread writes down, in memory
that it shares with the supervisor (`board.py`), which version it enters, and takes it back when it has come out.
"""

from __future__ import annotations

import mmap
import struct
import threading

_TOKEN = struct.Struct("=Q")
_SLOTS = 8
_OFFSET = mmap.PAGESIZE - _SLOTS * _TOKEN.size


def token_of(manifest_sha256: str) -> int:
    """Return the number by which a version is noted: the first 60 bits of its manifest's digest."""
    return int(manifest_sha256[:15], 16)


class Suspects:
    """One slot for each thread that executes models."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self._memory = memory
        self._places: dict[int, int] = {}

    def enter(self, token: int) -> None:
        """Note that this thread begins to execute a version."""
        ident = threading.get_ident()
        place = self._places.get(ident)
        if place is None:
            place = self._places[ident] = _OFFSET + _TOKEN.size * (len(self._places) % _SLOTS)
        _TOKEN.pack_into(self._memory, place, token)

    def leave(self) -> None:
        """Note that it has come back."""
        _TOKEN.pack_into(self._memory, self._places[threading.get_ident()], 0)

    def read(self) -> set[int]:
        """Return what was being executed, also after the process has ended."""
        found = {_TOKEN.unpack_from(self._memory, _OFFSET + _TOKEN.size * slot)[0] for slot in range(_SLOTS)}
        return found - {0}


def unwatched() -> Suspects:
    """Return notes that nobody reads."""
    return Suspects(bytearray(mmap.PAGESIZE))
