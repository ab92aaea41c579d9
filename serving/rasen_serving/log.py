"""The prediction log of one worker: what was answered, in frames to a spool segment, off the request's path.

Answering goes before logging. A request leaves a tuple of what exists already: the bytes that came, the bytes that
went, some numbers. Every some hundred requests, or four times a second, the tuples become one frame (`segments.py`),
which is one call of msgspec, and frames are written by a thread that does nothing else and so holds the interpreter for
microseconds. Nothing that waits here is a row or a value of one, and what waits is bounded in bytes. A SIGKILL loses
what was answered in the last second at most. When the spool is full or the disk fails, rows are dropped and counted,
never waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rasen_serving.board import Board
from rasen_serving.segments import About, Frame, Tick, close_segment, encode_tick, new_segment, write_frame

if TYPE_CHECKING:
    from rasen_serving.asked import Asked
    from rasen_serving.decode import Columns
    from rasen_serving.wire import Answer

logger = logging.getLogger(__name__)

OWN_FORMAT = "rasen"
"""`WireFormat.name` of the format whose bodies and answers are logged as they are."""

FLUSH_SECONDS = 0.25
SEGMENT_SECONDS = 10.0
SEGMENT_MAX_BYTES = 8 << 20
BUFFER_MAX_BYTES = 16 << 20
"""What may wait in memory for the disk; more is dropped."""

_FRAME_BYTES = 128 << 10
"""A tick of so many bytes becomes a frame at once: encoding it keeps the event loop for some 50 µs."""

_FLUSH_BYTES = 2 << 20
_ENTRY_BYTES = 400  # of the objects around an entry's bytes, roughly


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One answered request: when, who, where, what, by which version (design, section 11).

    Args:
        about: What it has in common with many others.
        request_id: As the caller got it.
        at: When the request had arrived, Unix time in seconds.
        latency_us: From the last byte of the request to the answer, in microseconds.
        rows: Number of rows.
        batch_rows: Rows in the call of the model that it was part of.
        inputs: JSON: `{"rows": [{…}]}` or `{"columns": {…}}`, without what must not be kept.
        outputs: JSON with `predictions`; empty when the model failed.
        key_id: Whose key, or `""`.
        address: The caller's, or `""` when it is not to be kept.
        traceparent: As it came, or `""`.
    """

    about: About
    request_id: str
    at: float
    latency_us: int
    rows: int
    batch_rows: int
    inputs: bytes
    outputs: bytes
    key_id: str = ""
    address: str = ""
    traceparent: str = ""


@dataclass(kw_only=True, slots=True)
class _Segment:
    path: Path
    descriptor: int
    closes_at: float
    size_bytes: int = 0
    rows: int = 0


class PredictionLog:
    """Collects the entries of one worker and writes them to `folder`."""

    def __init__(self, folder: Path, board: Board, *, segment_seconds: float = SEGMENT_SECONDS) -> None:
        self.is_open = True
        self._folder = folder
        self._board = board
        self._segment_seconds = segment_seconds
        self._tick: list[Entry] = []
        self._tick_bytes = 0
        self._frames: list[Frame] = []
        self._frames_bytes = 0
        self._writing_bytes = 0
        self._segment: _Segment | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def add(self, entry: Entry) -> None:
        """Take an entry; called on the event loop."""
        self._board.count_answered(entry.rows)
        size = len(entry.inputs) + len(entry.outputs) + _ENTRY_BYTES
        if not self.is_open or self.waiting_bytes + size > BUFFER_MAX_BYTES:
            self._board.count_dropped(entry.rows)
            return
        self._tick.append(entry)
        self._tick_bytes += size
        if self._tick_bytes >= _FRAME_BYTES:
            self._seal()
        if self._timer is None:  # an idle worker has none
            self._wake(FLUSH_SECONDS)

    def leave_out(self, rows: int) -> None:
        """Count rows that the endpoint does not want logged; called on the event loop."""
        self._board.count_answered(rows)
        self._board.count_sampled_out(rows)

    @property
    def waiting_bytes(self) -> int:
        """What is in memory, about."""
        return self._tick_bytes + self._frames_bytes + self._writing_bytes

    async def close(self) -> None:
        """Write what waits and close the segment."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._flush(final=True)
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._thread.shutdown(wait=True)

    def _wake(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _seal(self) -> None:
        """Make a frame of the tick."""
        entries, self._tick, self._tick_bytes = self._tick, [], 0
        frame = encode_tick(make_tick(entries))
        self._frames.append(frame)
        self._frames_bytes += len(frame.payload)
        if self._frames_bytes >= _FLUSH_BYTES and (self._writing is None or self._writing.done()):
            self._hand_over(final=False)

    def _flush(self, *, final: bool = False) -> None:
        self._timer = None
        if self._tick:
            self._seal()
        if self._writing is not None and not self._writing.done():
            self._wake(FLUSH_SECONDS)
            return
        self._hand_over(final=final)

    def _hand_over(self, *, final: bool) -> None:
        frames, self._frames = self._frames, []
        self._writing_bytes, self._frames_bytes = self._frames_bytes, 0
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._thread, self._write, frames, final)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing_bytes = 0
        error = writing.exception()
        if error is not None:
            logger.error("the prediction log could not be written: %r", error)
        if self._tick or self._frames:
            self._wake(FLUSH_SECONDS)
        elif self._segment is not None:
            self._wake(max(0.05, self._segment.closes_at - time.monotonic()))

    # What follows runs in the log's thread.

    def _write(self, frames: list[Frame], final: bool) -> None:  # noqa: FBT001  # positional for run_in_executor
        for frame in frames:
            try:
                self._append(frame)
            except OSError as error:
                self._board.count_spooled(written=0, dropped=frame.rows)
                logger.warning("%d rows of the prediction log were dropped: %s", frame.rows, error)
            else:
                self._board.count_spooled(written=frame.rows, dropped=0)
        segment = self._segment
        if segment is not None and (
            final or segment.size_bytes >= SEGMENT_MAX_BYTES or time.monotonic() >= segment.closes_at
        ):
            self._segment = None
            os.close(segment.descriptor)
            close_segment(segment.path, segment.rows)
            self._board.count_closed(segment.rows)

    def _append(self, frame: Frame) -> None:
        segment = self._segment
        if segment is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = new_segment(self._folder)
            segment = self._segment = _Segment(
                path=path,
                descriptor=os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600),
                closes_at=time.monotonic() + self._segment_seconds,
            )
        try:
            segment.size_bytes += write_frame(segment.descriptor, frame)
        except OSError as error:  # a disk that is almost full takes a part, which would spoil the next frame
            os.ftruncate(segment.descriptor, segment.size_bytes)
            raise OSError(f"{str(segment.path)!r}: {error}") from error
        segment.rows += frame.rows


def make_tick(entries: list[Entry]) -> Tick:
    """Return the entries by column."""
    abouts: dict[About, int] = {}
    return Tick(
        about=[abouts.setdefault(entry.about, len(abouts)) for entry in entries],
        abouts=list(abouts),
        request_id=[entry.request_id for entry in entries],
        at=[entry.at for entry in entries],
        latency_us=[entry.latency_us for entry in entries],
        rows=[entry.rows for entry in entries],
        batch_rows=[entry.batch_rows for entry in entries],
        key_id=[entry.key_id for entry in entries],
        address=[entry.address for entry in entries],
        traceparent=[entry.traceparent for entry in entries],
        inputs=[entry.inputs for entry in entries],
        outputs=[entry.outputs for entry in entries],
    )


def inputs_of(asked: Asked, columns: Columns, *, exclude: Collection[str]) -> bytes:
    """Return the rows of a request as JSON: the body itself when it is in our form and all of it may be kept."""
    if asked.wire.name == OWN_FORMAT and not exclude:
        return asked.body
    kept = {name: values for name, values in columns.items() if name not in exclude}
    return _ENCODER.encode({"rows": [{}] * _count(columns)} if not kept else {"columns": kept})


def outputs_of(asked: Asked, answer: Answer, predictions: list[Any]) -> bytes:  # Any: JSON values
    """Return the predictions as JSON: the answer's body itself when it is in our form."""
    return answer.body if asked.wire.name == OWN_FORMAT else _ENCODER.encode({"predictions": predictions})


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _to_json(value: object) -> object:
    """Turn what a wire format keeps as an array into a list."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no value of a request")


_ENCODER = msgspec.json.Encoder(enc_hook=_to_json)


def is_sampled(request_id: str, share: float) -> bool:
    """Say whether a request belongs to the share that is logged: the same request always does or never does."""
    if share >= 1.0:
        return True
    digest = hashlib.sha256(b"log\0" + request_id.encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2.0**64
