"""The form of the prediction log on this disk: segments, which are files of frames, one frame a tick of one worker.

A frame holds what a worker answered between two ticks, column by column, and the requests' and answers' own bytes: they
exist already, so the worker makes no Python object of a value. `shipping.py` takes them apart. A frame says its length,
its rows and its checksum, so what a SIGKILL or a full disk left of one is found and counted, and the next one is read.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

OPEN_SUFFIX = ".open"
"""`<segment>.<pid>.open`: a worker writes to it."""

CLOSED_SUFFIX = ".closed"
"""`<segment>.<rows>.closed`: complete, to be shipped."""

REJECTED_SUFFIX = ".rejected"
"""`<segment>.<rows>.rejected`: no sink can take it; beside it, `….reason` says why."""

_MAGIC = b"RSN1"
_HEADER = struct.Struct("<4sIII")  # magic, length of the payload, rows, CRC-32 of the payload
_SCAN_BYTES = 1 << 20


class About(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What many entries of a tick have in common.

    Args:
        endpoint: Which endpoint.
        revision: The ledger's number.
        model: The run.
        engine: What executed the model.
        variant: The variant's role.
        reason: Why this variant was chosen.
        source: Who answered: `model`, `profile`, or `""` when nobody did.
        status: The HTTP status.
        data_version: Newest training row, as the run said it, or `""`.
    """

    endpoint: str
    revision: int
    model: str
    engine: str
    variant: str
    reason: str
    source: str
    status: int
    data_version: str = ""


class Tick(msgspec.Struct, kw_only=True):
    """A frame: one value a request in each list.

    Args:
        abouts: What requests have in common.
        about: Which of them.
        request_id: As the caller got it.
        at: When the request had arrived, Unix time in seconds.
        latency_us: From the last byte of the request to the answer, in microseconds.
        rows: Number of rows.
        batch_rows: Rows in the call of the model that it was part of.
        key_id: Whose key, or `""`.
        address: The caller's, or `""` when it is not to be kept.
        traceparent: As it came, or `""`.
        inputs: JSON: `{"rows": [{…}]}` or `{"columns": {…}}`.
        outputs: JSON with `predictions`, or nothing when the model failed.
    """

    abouts: list[About]
    about: list[int]
    request_id: list[str]
    at: list[float]
    latency_us: list[int]
    rows: list[int]
    batch_rows: list[int]
    key_id: list[str]
    address: list[str]
    traceparent: list[str]
    inputs: list[bytes]
    outputs: list[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One tick, encoded; the checksum is added when it is written, in another thread."""

    payload: bytes
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A frame that is not whole; `rows` is what its header says, 0 when there is none."""

    rows: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Tick)


def encode_tick(tick: Tick) -> Frame:
    """Return the frame of a tick."""
    return Frame(payload=_ENCODER.encode(tick), rows=sum(tick.rows))


def write_frame(descriptor: int, frame: Frame) -> int:
    """Append a frame with one call and return its size in bytes.

    Raises:
        OSError: The disk did not take all of it; a part may be there.
    """
    header = _HEADER.pack(_MAGIC, len(frame.payload), frame.rows, zlib.crc32(frame.payload))
    size = len(header) + len(frame.payload)
    written = os.writev(descriptor, [header, frame.payload])
    if written != size:
        raise OSError(f"only {written} of {size} bytes could be written")
    return size


def read_ticks(path: Path) -> Iterator[Tick | Damage]:
    """Yield the ticks of a segment, one in memory at a time, and what is damaged between them."""
    with path.open("rb") as file:
        for rows, payload in _read_frames(file):
            try:
                yield Damage(rows=rows) if payload is None else _DECODER.decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                yield Damage(rows=rows)


def count_rows(path: Path) -> int:
    """Return the rows in the whole frames of a segment."""
    with path.open("rb") as file:
        return sum(rows for rows, payload in _read_frames(file) if payload is not None)


def _read_frames(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield rows and payload of each frame, the payload `None` when it is not what was written."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(_HEADER.size)
        if not head:
            return
        if len(head) == _HEADER.size and head[:4] == _MAGIC:
            _, length, rows, checksum = _HEADER.unpack(head)
            payload = file.read(length)
            if len(payload) == length and zlib.crc32(payload) == checksum:
                yield rows, payload
                position += _HEADER.size + length
                continue
            yield rows, None
        else:
            yield 0, None
        following = _find_frame(file, position + 1)
        if following is None:
            return
        position = following


def _find_frame(file: BinaryIO, position: int) -> int | None:
    """Return where, at `position` or later, a frame may begin."""
    while True:
        file.seek(position)
        chunk = file.read(_SCAN_BYTES)
        found = chunk.find(_MAGIC)
        if found >= 0:
            return position + found
        if len(chunk) < _SCAN_BYTES:
            return None
        position += len(chunk) - len(_MAGIC) + 1


def new_segment(folder: Path) -> Path:
    """Return a path for a new segment of this process; ids sort by time, and nobody else takes the same one."""
    segment = f"{time.time_ns() // 1_000:x}{secrets.token_hex(4)}"
    return folder / f"{segment}.{os.getpid()}{OPEN_SUFFIX}"


def segment_id(path: Path) -> str:
    """Return the id of a segment, whatever its state."""
    return path.name.partition(".")[0]


def rows_of(path: Path) -> int:
    """Return the rows of a closed or rejected segment, as its name says."""
    count = path.name.split(".")[1]
    return int(count) if count.isdecimal() else 0


def close_segment(path: Path, rows: int) -> Path:
    """Hand a segment that nobody writes any more to the shipping."""
    closed = path.with_name(f"{segment_id(path)}.{rows}{CLOSED_SUFFIX}")
    path.rename(closed)
    return closed


def close_segments(folder: Path, *, pid: int | None = None) -> int:
    """Close the segments that a dead worker has left and return their rows; without `pid`, of all there ever were."""
    rows = 0
    for path in folder.glob(f"*{'' if pid is None else f'.{pid}'}{OPEN_SUFFIX}"):
        found = count_rows(path)
        close_segment(path, found)
        rows += found
    return rows


def reject_segment(path: Path, reason: str) -> Path:
    """Move a segment aside that no sink can take, with the reason beside it."""
    rejected = path.with_suffix(REJECTED_SUFFIX)
    Path(f"{rejected}.reason").write_text(f"{reason}\n", encoding="utf-8")
    path.rename(rejected)
    return rejected
