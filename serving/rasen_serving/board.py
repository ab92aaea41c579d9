"""Four counters that survive the worker which counted: memory shared with the supervisor.

A beat tells the supervisor once a second what a worker did; what a killed worker did since its last beat would be
unknown. The rows of the prediction log must add up all the same (answered = written + dropped + lost), so these
numbers live in a memory file of which the supervisor keeps a mapping. Each half has one writing thread.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

from rasen_serving.suspects import Suspects

_HALF = struct.Struct("=2q")
_SIZE = mmap.PAGESIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRows:
    """Rows of the prediction log.

    Args:
        answered: Rows that should be logged.
        written: Rows in the spool.
        dropped: Rows for which there was no room in memory, in the spool or on the disk.
    """

    answered: int = 0
    written: int = 0
    dropped: int = 0

    @property
    def pending(self) -> int:
        """Rows in the worker's memory: lost if it is dead."""
        return self.answered - self.written - self.dropped


class Board:
    """Counters of one worker; the worker writes, the supervisor reads."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)
        self.suspects = Suspects(self._memory)
        self._answered = 0
        self._dropped_in_memory = 0
        self._written = 0
        self._dropped_on_disk = 0

    def count_answered(self, rows: int, *, dropped: bool) -> None:
        """Count rows that should be logged; called on the event loop."""
        self._answered += rows
        self._dropped_in_memory += rows if dropped else 0
        _HALF.pack_into(self._memory, 0, self._answered, self._dropped_in_memory)

    def count_spooled(self, *, written: int, dropped: int) -> None:
        """Count rows that reached the spool or did not; called in the log's thread."""
        self._written += written
        self._dropped_on_disk += dropped
        _HALF.pack_into(self._memory, _HALF.size, self._written, self._dropped_on_disk)

    def read(self) -> LogRows:
        """Return the worker's numbers, also after its death."""
        answered, dropped_in_memory = _HALF.unpack_from(self._memory, 0)
        written, dropped_on_disk = _HALF.unpack_from(self._memory, _HALF.size)
        return LogRows(answered=answered, written=written, dropped=dropped_in_memory + dropped_on_disk)

    def close(self) -> None:
        """Give the mapping back."""
        self._memory.close()


def make_board() -> int:
    """Return the descriptor of a new memory file that holds zeros."""
    descriptor = os.memfd_create("rasen-board", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE)
    return descriptor
