"""Six counters that survive the worker which counted: memory shared with the supervisor.

A beat tells the supervisor once a second what a worker did; what a killed worker did since its last beat would be
unknown. The rows of the prediction log must add up all the same (answered = written + dropped + sampled out + lost), so
these numbers live in a memory file of which the supervisor keeps a mapping. Each number has one writing thread.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

from rasen_serving.suspects import Suspects

_ANSWERED, _SAMPLED_OUT, _DROPPED_IN_MEMORY, _WRITTEN, _DROPPED_ON_DISK, _CLOSED = range(6)
_SIZE_BYTES = mmap.PAGESIZE  # of which the end is for the suspects


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRows:
    """Rows of the prediction log.

    Args:
        answered: Rows of answers.
        written: Rows in the spool.
        dropped: Rows for which there was no room in memory, in the spool or on the disk.
        sampled_out: Rows that the endpoint does not want logged.
        closed: Rows of `written` in segments that are closed.
    """

    answered: int = 0
    written: int = 0
    dropped: int = 0
    sampled_out: int = 0
    closed: int = 0

    @property
    def pending(self) -> int:
        """Rows in the worker's memory: lost if it is dead."""
        return self.answered - self.written - self.dropped - self.sampled_out

    def __add__(self, other: LogRows) -> LogRows:
        """Return both together."""
        return LogRows(
            answered=self.answered + other.answered,
            written=self.written + other.written,
            dropped=self.dropped + other.dropped,
            sampled_out=self.sampled_out + other.sampled_out,
            closed=self.closed + other.closed,
        )


class Board:
    """Counters of one worker; the worker writes, the supervisor reads."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE_BYTES)
        # Written as plain cells, because one of them is written for every request.
        self._cells = memoryview(self._memory).cast("q")
        self.suspects = Suspects(self._memory)

    def count_answered(self, rows: int) -> None:
        """Count rows of an answer; called on the event loop."""
        self._cells[_ANSWERED] += rows

    def count_sampled_out(self, rows: int) -> None:
        """Count rows that are not to be logged; called on the event loop."""
        self._cells[_SAMPLED_OUT] += rows

    def count_dropped(self, rows: int) -> None:
        """Count rows for which there is no room; called on the event loop."""
        self._cells[_DROPPED_IN_MEMORY] += rows

    def count_spooled(self, *, written: int, dropped: int) -> None:
        """Count rows that reached the spool or did not; called in the log's thread."""
        self._cells[_WRITTEN] += written
        self._cells[_DROPPED_ON_DISK] += dropped

    def count_closed(self, rows: int) -> None:
        """Count the rows of a segment that has just been closed; called in the log's thread."""
        self._cells[_CLOSED] += rows

    def read(self) -> LogRows:
        """Return the worker's numbers, also after its death."""
        cells = self._cells
        return LogRows(
            answered=cells[_ANSWERED],
            written=cells[_WRITTEN],
            dropped=cells[_DROPPED_IN_MEMORY] + cells[_DROPPED_ON_DISK],
            sampled_out=cells[_SAMPLED_OUT],
            closed=cells[_CLOSED],
        )

    def close(self) -> None:
        """Give the mapping back."""
        self._cells.release()
        self._memory.close()


def settle(rows: LogRows, *, found_open: int) -> LogRows:
    """Return a dead worker's numbers when `found_open` rows were in whole frames of its unclosed segments.

    It may have been killed between writing and counting, or between closing and counting, never between both: one
    thread does one after the other. So the larger of the two counts of what was written is the true one.
    """
    written = max(rows.written, rows.closed + found_open)
    return LogRows(
        answered=rows.answered,
        written=written,
        dropped=rows.dropped,
        sampled_out=rows.sampled_out,
        closed=written,
    )


def make_board() -> int:
    """Return the descriptor of a new memory file that holds zeros."""
    descriptor = os.memfd_create("rasen-board", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE_BYTES)
    return descriptor
