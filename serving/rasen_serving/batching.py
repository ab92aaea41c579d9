"""Tick batching: all requests that are read in one turn of the event loop become one call of the model.

Most of what a call of a pipeline costs does not depend on its rows (2.6 ms for 1 or 1,000), so whoever calls it once a
request serves 200 requests a second, and whoever calls it once a turn serves fifty times as many. There is no timer: a
request that is alone is predicted at once, and while a call runs, the next batch gathers by itself.

A batch has no more rows than pay: where the part of a call's cost that grows with its rows is ten times its fixed part,
a larger batch would only make everybody wait. A batch that fails is halved until the requests at fault are alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rasen.errors import InvalidInput, ModelFailed
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns, RowColumns
from rasen_serving.live import Loaded, Predicted
from rasen_serving.prediction_thread import PredictionThread
from rasen_serving.refusals import Overloaded

Outcome = Predicted | Exception


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that was read, and who waits for it.

    Args:
        loaded: The version that answers it.
        asked: As it came, for the slow reading when the fast one was not enough.
        columns: Its rows, by column; `None` when the fast reading did not apply.
        rows: Their number, 0 when `columns` is `None`.
        done: Called on the event loop with what became of it.
    """

    loaded: Loaded
    asked: Asked
    columns: dict[str, Sequence[object]] | None
    rows: int
    done: Callable[[Outcome], None]


class Batcher:
    """Gathers the requests to one model and has them predicted, one batch at a time."""

    def __init__(self, thread: PredictionThread, *, max_rows: int, max_waiting: int) -> None:
        # The version itself is not kept here: it must be free as soon as its last request is answered.
        self._thread = thread
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._waiting: deque[Request] = deque()
        self.waiting_rows = 0
        self._turn_is_due = False

    def add(self, request: Request) -> None:
        """Take a request; it is predicted at the end of this turn of the loop, or after the call that runs.

        Raises:
            Overloaded: Too many rows wait.
        """
        if self._waiting and self.waiting_rows + request.rows > self._max_waiting:
            raise Overloaded(f"{self.waiting_rows} rows wait for this model; try again in a moment")
        self._waiting.append(request)
        self.waiting_rows += request.rows or 1
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        batch = self._take()
        loaded = batch[0].loaded
        if batch[0].columns is not None and sum(request.rows for request in batch) <= loaded.quick_rows:
            self._deliver(batch, answer(loaded, batch, max_rows=self._max_rows))
            self._go_on()
            return
        call = self._thread.submit(lambda: answer(loaded, batch, max_rows=self._max_rows))
        call.add_done_callback(lambda call: self._ended(batch, call))

    def _ended(self, batch: list[Request], call: asyncio.Future[list[Outcome]]) -> None:
        # A batch that is full already is predicted while these answers are written. One that is not would only be
        # split: those who are answered now may ask again in the next turn.
        is_full = self.waiting_rows >= batch[0].loaded.batch_rows > 0
        if is_full:
            self._begin()
        error = call.exception()
        if error is None:
            self._deliver(batch, call.result())
        else:
            failure = error if isinstance(error, Exception) else ModelFailed(f"the model raised {error!r}")
            self._deliver(batch, [failure] * len(batch))
        if not is_full:
            self._go_on()

    def _go_on(self) -> None:
        self._turn_is_due = bool(self._waiting)
        if self._turn_is_due:
            asyncio.get_running_loop().call_soon(self._begin)

    def _take(self) -> list[Request]:
        """Return what is predicted together: at least one request, at most as many rows as pay."""
        first = self._waiting.popleft()
        batch = [first]
        rows = first.rows
        if first.columns is not None and first.loaded.row_wise:
            most = first.loaded.batch_rows
            while self._waiting:
                following = self._waiting[0]
                if following.columns is None or rows + following.rows > most:
                    break
                batch.append(self._waiting.popleft())
                rows += following.rows
        self.waiting_rows -= sum(request.rows or 1 for request in batch)
        return batch

    def _deliver(self, batch: list[Request], outcomes: list[Outcome]) -> None:
        for request, outcome in zip(batch, outcomes, strict=True):
            request.done(outcome)


def answer(loaded: Loaded, batch: Sequence[Request], *, max_rows: int) -> list[Outcome]:
    """Predict a batch; each request gets an outcome of its own, whatever becomes of the others."""
    if len(batch) == 1:
        return [_answer_one(loaded, batch[0], max_rows=max_rows)]
    try:
        return _answer_together(loaded, batch)
    except InvalidInput:
        # A value that only the model's own conversion refuses, such as a 31st of June: each is read for itself.
        return [_answer_one(loaded, request, max_rows=max_rows) for request in batch]
    except ModelFailed:
        middle = len(batch) // 2
        return [
            *answer(loaded, batch[:middle], max_rows=max_rows),
            *answer(loaded, batch[middle:], max_rows=max_rows),
        ]


def _answer_together(loaded: Loaded, batch: Sequence[Request]) -> list[Outcome]:
    predictions = loaded.predict(_merge(loaded, batch))
    outcomes: list[Outcome] = []
    start = 0
    for request in batch:
        assert request.columns is not None  # as above
        end = start + request.rows
        outcomes.append(
            Predicted(
                columns=request.columns,
                rows=request.rows,
                predictions=predictions[start:end],
                batch_rows=len(predictions),
            )
        )
        start = end
    return outcomes


def _merge(loaded: Loaded, batch: Sequence[Request]) -> Columns:
    """Return the rows of all requests, by column."""
    names = loaded.schema.names
    records: list[tuple[object, ...]] = []
    for request in batch:
        if type(request.columns) is not RowColumns:
            break
        records += request.columns.records
    else:
        return dict(zip(names, zip(*records, strict=True), strict=True))
    given = [request.columns for request in batch if request.columns is not None]  # only such are together
    return {name: _join([columns[name] for columns in given]) for name in names}


def _join(parts: list[Any]) -> Any:  # Any: lists, tuples, or arrays that a wire format brought
    if all(hasattr(part, "dtype") for part in parts) and len({part.dtype for part in parts}) == 1:
        import numpy as np

        return np.concatenate(parts)
    values: list[object] = []
    for part in parts:
        values += part.tolist() if hasattr(part, "dtype") else part
    return values


def _answer_one(loaded: Loaded, request: Request, *, max_rows: int) -> Outcome:
    try:
        if request.columns is not None:
            try:
                return Predicted(
                    columns=request.columns, rows=request.rows, predictions=loaded.predict(request.columns)
                )
            except InvalidInput:
                pass  # the slow reading names the field
            except ModelFailed as failure:
                return Predicted(columns=request.columns, rows=request.rows, predictions=[], failure=failure)
        return loaded.answer(request.asked, max_rows=max_rows)
    except Exception as error:  # noqa: BLE001  # the boundary: an outcome like any other
        return error
