"""Several processes that read runs for one that writes the index: checking signatures and parsing is most of a rebuild.

Each is a new process, not a fork, so it inherits no lock and no open database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

from rasen.tracking.index_filling import ReadRuns, reader
from rasen.tracking.index_reading import FoundRun, Source, read_runs
from rasen.tracking.index_rows import Problem

_WORTH_RUNS = 5000  # fewer are read before the processes have started
_PIECE_RUNS = 500
_AHEAD_PIECES = 8  # a process; more would only wait in memory for the writer

_source: list[Source] = []  # of a reading process, set when it starts


@contextmanager
def reading_together(source: Source, processes: int) -> Iterator[ReadRuns]:
    """Give a function that reads with so many processes where it is worth it; they end with the block."""
    with ExitStack() as stack:
        alone = reader(source)
        pools: list[ProcessPoolExecutor] = []

        def read(pipeline: str, names: list[str]) -> Iterable[list[FoundRun | Problem]]:
            if processes < 2 or len(names) < _WORTH_RUNS:
                return alone(pipeline, names)
            if not pools:
                pools.append(
                    stack.enter_context(
                        ProcessPoolExecutor(
                            processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(source,)
                        )
                    )
                )
            return _read_ahead(pools[0], pipeline, names, pieces=processes * _AHEAD_PIECES)

        yield read


def _read_ahead(
    pool: ProcessPoolExecutor, pipeline: str, names: list[str], *, pieces: int
) -> Iterator[list[FoundRun | Problem]]:
    """Yield what the processes read, in order, while they are a bounded number of pieces ahead."""
    waiting = []
    for first in range(0, len(names), _PIECE_RUNS):
        waiting.append(pool.submit(_read_piece, pipeline, names[first : first + _PIECE_RUNS]))
        if len(waiting) >= pieces:
            yield waiting.pop(0).result()
    for one in waiting:
        yield one.result()


def _begin(source: Source) -> None:
    _source[:] = [source]


def _read_piece(pipeline: str, names: list[str]) -> list[FoundRun | Problem]:
    return read_runs(_source[0], pipeline, names)
