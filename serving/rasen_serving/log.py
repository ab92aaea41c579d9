"""The prediction log of one worker: one line a request into a spool file, off the request's path.

Answering goes before logging. A request appends a tuple to a list; twice a second a thread turns the list into lines
and writes them with one call, so a SIGKILL loses at most what was answered in the last second. A segment belongs to
one endpoint and one day, and is closed after some seconds or megabytes; closing is renaming, and only closed segments
are shipped (`shipping.py`). When the spool is full or the disk fails, rows are dropped and counted, never waited for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from rasen_serving.board import Board
from rasen_serving.decode import Columns

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
SEGMENT_SECONDS = 5.0
SEGMENT_MAX_BYTES = 8 << 20
BUFFER_MAX_ROWS = 50_000
"""Rows in memory that wait for the disk; more are dropped."""

OPEN_SUFFIX = ".open"
CLOSED_SUFFIX = ".closed"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One answered request: when, who, where, what, by which version (design, section 11).

    Args:
        request_id: As the caller got it.
        at: When the request had arrived, Unix time in seconds.
        endpoint: Which endpoint.
        revision: The ledger's number.
        model: The run.
        engine: What executed the model.
        variant: The variant's role.
        reason: Why this variant was chosen.
        source: Who answered: `model`, or `""` when nobody did.
        status: The HTTP status.
        latency_us: From the last byte of the request to the answer, in microseconds.
        rows: Number of rows.
        inputs: One list a column.
        outputs: One prediction a row; empty when the model failed.
    """

    request_id: str
    at: float
    endpoint: str
    revision: int
    model: str
    engine: str
    variant: str
    reason: str
    source: str
    status: int
    latency_us: int
    rows: int
    inputs: Columns
    outputs: list[Any]  # Any: JSON values


@dataclass(kw_only=True, slots=True)
class _Segment:
    path: Path
    file: IO[bytes]
    size_bytes: int
    closes_at: float


class PredictionLog:
    """Collects the entries of one worker and writes them to `folder`."""

    def __init__(self, folder: Path, board: Board) -> None:
        self.is_open = True
        self._folder = folder
        self._board = board
        self._waiting: list[Entry] = []
        self._waiting_rows = 0
        self._segments: dict[tuple[str, str], _Segment] = {}
        self._encoder = msgspec.json.Encoder()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def add(self, entry: Entry) -> None:
        """Take an entry; called on the event loop."""
        full = not self.is_open or self._waiting_rows + entry.rows > BUFFER_MAX_ROWS
        self._board.count_answered(entry.rows, dropped=full)
        if not full:
            self._waiting.append(entry)
            self._waiting_rows += entry.rows
            self._wake(FLUSH_SECONDS)

    async def close(self) -> None:
        """Write what waits and close all segments."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._flush(final=True)
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown(wait=True)

    def _wake(self, seconds: float) -> None:
        """See to it that there is a flush within `seconds`; an idle worker has no timer."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _flush(self, *, final: bool = False) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self._wake(FLUSH_SECONDS)
            return
        entries, self._waiting, self._waiting_rows = self._waiting, [], 0
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._write, entries, final)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        error = writing.exception()
        if error is not None:
            logger.error("the prediction log could not be written: %r", error)
        if self._waiting:
            self._wake(FLUSH_SECONDS)
        elif self._segments:
            now = time.monotonic()
            self._wake(max(0.05, min(segment.closes_at for segment in self._segments.values()) - now))

    # What follows runs in the log's thread.

    def _write(self, entries: list[Entry], final: bool) -> None:  # noqa: FBT001  # positional for run_in_executor
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            day = datetime.fromtimestamp(entry.at, tz=UTC).date().isoformat()
            groups.setdefault((entry.endpoint, day), []).append(entry)
        for place, group in groups.items():
            rows = sum(entry.rows for entry in group)
            try:
                self._append(place, b"".join(self._encoder.encode(entry) + b"\n" for entry in group))
            except OSError as error:
                self._board.count_spooled(written=0, dropped=rows)
                logger.warning("%d rows of the prediction log were dropped: %s", rows, error)
            else:
                self._board.count_spooled(written=rows, dropped=0)
        now = time.monotonic()
        for place, segment in list(self._segments.items()):
            if final or now >= segment.closes_at or segment.size_bytes >= SEGMENT_MAX_BYTES:
                del self._segments[place]
                segment.file.close()
                close_segment(segment.path)

    def _append(self, place: tuple[str, str], data: bytes) -> None:
        segment = self._segments.get(place)
        if segment is None:
            endpoint, day = place
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / segment_name(endpoint, day)
            segment = self._segments[place] = _Segment(
                path=path,
                file=path.open("ab", buffering=0),
                size_bytes=0,
                closes_at=time.monotonic() + SEGMENT_SECONDS,
            )
        written = segment.file.write(data)
        if written != len(
            data
        ):  # a disk that is almost full takes a part; half a line would spoil the next one
            segment.file.truncate(segment.size_bytes)
            raise OSError(f"only {written} of {len(data)} bytes could be written to {str(segment.path)!r}")
        segment.size_bytes += written


def segment_name(endpoint: str, day: str) -> str:
    """Return a name for a new segment: endpoint, day, an id that nobody else takes, and who writes it."""
    segment = f"{time.time_ns() // 1_000_000:x}{secrets.token_hex(4)}"
    return f"{endpoint}.{day}.{segment}.{os.getpid()}{OPEN_SUFFIX}"


def close_segment(path: Path) -> None:
    """Hand a segment that nobody writes any more to the shipping."""
    path.rename(path.with_name(path.name.removesuffix(OPEN_SUFFIX)).with_suffix(CLOSED_SUFFIX))


def close_segments(folder: Path, *, pid: int | None = None) -> None:
    """Close the segments that a dead worker has left; without `pid`, those of all workers there ever were."""
    for path in folder.glob(f"*{'' if pid is None else f'.{pid}'}{OPEN_SUFFIX}"):
        close_segment(path)
