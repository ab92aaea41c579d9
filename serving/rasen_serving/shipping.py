"""Turns closed segments of the prediction log into Parquet and hands them to the sink; a short-lived process.

A process of its own, because DuckDB brings 65 MB that serving would carry all day, and because nothing that is wrong
with a segment may hurt serving. What it did with a segment is said on a line of its output before the segment is
deleted, so that the supervisor, which tells the lines by their segments, counts it exactly once. A segment that cannot
be turned into rows, that the sink refuses, or that has ended this process several times is moved aside.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rasen.errors import RasenError, StoreError, StoreUnavailable
from rasen.settings import load_settings
from rasen_serving.flattening import flatten
from rasen_serving.segments import (
    CLOSED_SUFFIX,
    Damage,
    read_ticks,
    reject_segment,
    rows_of,
    segment_id,
)
from rasen_serving.sinks import COLUMNS, SegmentRejected, Sink, open_sink

logger = logging.getLogger(__name__)

ATTEMPTS_FILE = ".attempts.json"
MOST_ATTEMPTS = 3
"""So many processes may come to an end over one segment."""

_NICENESS = 10
_MEMORY = "96MB"
_ROW_GROUP = 10_240
_LINE_BYTES = 1 << 20


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a segment.

    Args:
        segment: Its id.
        outcome: `shipped`, `rejected`, or `empty` when nothing in it was whole.
        rows: Rows that the sink has now, or that were moved aside.
        damaged_rows: Rows that were lost on the disk, as far as is known.
        damaged_frames: Frames that were not whole.
    """

    segment: str
    outcome: str
    rows: int
    damaged_rows: int = 0
    damaged_frames: int = 0


@dataclass(frozen=True, kw_only=True)
class _Written:
    files: list[Path]
    rows: int
    damaged_rows: int
    damaged_frames: int


def ship(
    folder: Path, sink: Sink, *, replica: str, say: Callable[[Report], None] = lambda _: None
) -> StoreError | None:
    """Hand over and delete all closed segments, oldest first; return why it stopped before the last, if it did."""
    for path in sorted(folder.glob(f"*{CLOSED_SUFFIX}")):
        segment = segment_id(path)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".shipping-") as scratch:
            try:
                written = _attempt(path, Path(scratch), partitioned=sink.partitioned, replica=replica)
                if written.files:
                    sink.take(segment, written.files)
            except StoreError as failure:
                return failure
            except SegmentRejected as error:
                logger.warning("segment %s is moved aside: %s", segment, error)
                say(Report(segment=segment, outcome="rejected", rows=rows_of(path)))
                reject_segment(path, str(error))
                continue
        say(
            Report(
                segment=segment,
                outcome="shipped" if written.files else "empty",
                rows=written.rows,
                damaged_rows=written.damaged_rows,
                damaged_frames=written.damaged_frames,
            )
        )
        path.unlink()
    return None


def _attempt(path: Path, scratch: Path, *, partitioned: bool, replica: str) -> _Written:
    """Write the Parquet of a segment, and leave a note meanwhile, for the case that this process does not survive it.

    Raises:
        SegmentRejected: It cannot be done.
        StoreUnavailable: The disk does not take it.
    """
    notes = path.with_name(ATTEMPTS_FILE)
    attempts = _read_attempts(notes)
    segment = segment_id(path)
    before = attempts.get(segment, 0)
    if before >= MOST_ATTEMPTS:
        notes.unlink()
        raise SegmentRejected(f"{before} processes have come to an end while they read it")
    try:
        notes.write_text(json.dumps({segment: before + 1}))
        written = write_parquet(path, scratch, partitioned=partitioned, replica=replica)
    except MemoryError as error:  # this segment's, so this counts: the note stays
        raise StoreUnavailable(f"segment {segment} takes too much memory: {error}") from error
    except OSError as error:
        notes.unlink(missing_ok=True)
        raise StoreUnavailable(f"segment {segment} could not be turned into Parquet: {error}") from error
    notes.unlink()
    return written


def _read_attempts(notes: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(notes.read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def write_parquet(path: Path, scratch: Path, *, partitioned: bool, replica: str) -> _Written:
    """Write the rows of a segment into `scratch`.

    Raises:
        SegmentRejected: They are no rows of the log.
        OSError: The disk is full, or fails.
        MemoryError: They are too much for the memory that is set for it.
    """
    lines = scratch / "rows.jsonl"
    rows, longest, damaged = 0, 0, []
    encoder = msgspec.json.Encoder()
    with lines.open("wb", buffering=1 << 20) as file:
        for tick in read_ticks(path):
            if isinstance(tick, Damage):
                damaged.append(tick.rows)
                continue
            try:
                for record in flatten(tick):
                    line = encoder.encode(record)
                    file.write(line)
                    file.write(b"\n")
                    rows += 1
                    longest = max(longest, len(line))
            except (ValueError, OverflowError, IndexError) as error:  # msgspec's errors are ValueErrors
                raise SegmentRejected(f"it holds something that is no row of the log: {error}") from error
    files = []
    if rows:
        files = _convert(lines, scratch, longest=longest, partitioned=partitioned, replica=replica)
    return _Written(files=files, rows=rows, damaged_rows=sum(damaged), damaged_frames=len(damaged))


def _convert(lines: Path, scratch: Path, *, longest: int, partitioned: bool, replica: str) -> list[Path]:
    import duckdb

    columns = {name: kind for name, kind in COLUMNS.items() if name != "replica"} | {"day": "VARCHAR"}
    columns["at"] = "BIGINT"
    target = scratch / "parquet"
    selected = ", ".join(
        {"at": 'make_timestamptz("at") AS "at"', "replica": "$replica AS replica"}.get(name, f'"{name}"')
        for name in COLUMNS
    )
    partition = ', endpoint AS "_endpoint", day AS "_day"' if partitioned else ""
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}"
    if partitioned:
        options += ', PARTITION_BY ("_endpoint", "_day")'
    else:
        target = target.with_suffix(".parquet")
    # DuckDB's buffers are a multiple of the longest line that it is told to expect; unasked it takes 32 MB each.
    size = max(_LINE_BYTES, longest + 1024)
    source = (
        f"read_json($lines, columns = $columns, format = 'newline_delimited', maximum_object_size = {size})"
    )
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": _MEMORY,
        "temp_directory": str(scratch),
    }
    try:
        with duckdb.connect(config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(
                # No part of it comes from a request: names of our own columns, and a path of our own.
                f"COPY (SELECT {selected}{partition} FROM {source}) TO '{_quoted(target)}' ({options})",  # noqa: S608  # as said above
                {"replica": replica, "lines": str(lines), "columns": columns},
            )
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(str(error)) from error
    except duckdb.IOException as error:
        raise OSError(str(error)) from error
    except duckdb.Error as error:
        raise SegmentRejected(f"DuckDB refuses its rows: {error}") from error
    return sorted(target.rglob("*.parquet")) if partitioned else [target]


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def main() -> int:
    """Ship the folder named on the command line; print a line of JSON for each segment."""
    logging.basicConfig(format="rasen serve: shipping: %(message)s")
    folder, replica = Path(sys.argv[1]), sys.argv[2]
    os.nice(_NICENESS)  # answering goes before logging

    def say(report: Report) -> None:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()

    try:
        failure: RasenError | None = ship(folder, open_sink(load_settings()), replica=replica, say=say)
    except RasenError as error:
        failure = error
    if failure is not None:
        logger.warning("the prediction log stays in the spool: %s", failure)
        return failure.exit_code
    return 0


def clear_scratch(folder: Path) -> None:
    """Delete what a killed shipping has left."""
    for scratch in folder.glob(".shipping-*"):
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
