"""Several processes that read runs for one that writes the index: checking signatures and parsing is most of a rebuild.

They are forks, so only a process without threads may ask for them. Each reads every n-th piece of the list and writes
what it found as a line of JSON into a pipe of its own; whoever writes takes the lines in turn, so the order is that of
the list, and a full pipe is what keeps the readers from running ahead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import IO, Any

from rasen.errors import PlatformFailed, StoreUnavailable
from rasen.tracking.index_filling import ReadRuns, reader
from rasen.tracking.index_reading import FoundRun, Source, read_runs
from rasen.tracking.index_rows import Problem

_WORTH_RUNS = 2000  # fewer are read sooner than told
_PIECE_RUNS = 200


def reading_together(source: Source, processes: int) -> ReadRuns:
    """Return a function that reads with so many processes where it is worth it."""
    alone = reader(source)

    def read(pipeline: str, names: list[str]) -> Iterable[list[FoundRun | Problem]]:
        if processes < 2 or len(names) < _WORTH_RUNS:
            return alone(pipeline, names)
        pieces = [names[first : first + _PIECE_RUNS] for first in range(0, len(names), _PIECE_RUNS)]
        return _read_pieces(source, pipeline, pieces, processes)

    return read


def _read_pieces(
    source: Source, pipeline: str, pieces: Sequence[list[str]], processes: int
) -> Iterator[list[FoundRun | Problem]]:
    readers = [_fork(source, pipeline, pieces[first::processes]) for first in range(processes)]
    try:
        for number in range(len(pieces)):
            line = readers[number % processes][1].readline()
            yield _parse(line)
    finally:
        for process, pipe in readers:
            pipe.close()  # one that still writes ends by that
            os.waitpid(process, 0)


def _fork(source: Source, pipeline: str, pieces: Sequence[list[str]]) -> tuple[int, IO[bytes]]:
    """Start a process that reads some pieces; return its id and the end of the pipe that gives them."""
    readable, writable = os.pipe()
    process = os.fork()
    if process:
        os.close(writable)
        return process, os.fdopen(readable, "rb")
    try:
        os.close(readable)
        with os.fdopen(writable, "wb") as pipe:
            _write_pieces(source, pipeline, pieces, pipe)
    finally:
        os._exit(0)  # nothing of the parent, such as its open database, may be ended by a child


def _write_pieces(source: Source, pipeline: str, pieces: Sequence[list[str]], pipe: IO[bytes]) -> None:
    for piece in pieces:
        try:
            found: object = [asdict(one) for one in read_runs(source, pipeline, piece)]
        except StoreUnavailable as error:
            found = {"unavailable": str(error)}
        pipe.write(json.dumps(found).encode() + b"\n")
        pipe.flush()


def _parse(line: bytes) -> list[FoundRun | Problem]:
    if not line.endswith(b"\n"):
        raise PlatformFailed("a process that read the store for the index has died; `rasen reindex` again")
    found = json.loads(line)
    if isinstance(found, dict):
        raise StoreUnavailable(found["unavailable"])
    return [_parse_one(one) for one in found]


def _parse_one(found: dict[str, Any]) -> FoundRun | Problem:  # Any: JSON of our own
    if "key" in found:
        return Problem(**found)
    problems = tuple(Problem(**problem) for problem in found.pop("problems"))
    return FoundRun(**found, problems=problems)
