"""What executes a model: its own `predict`, or something that was made from it and answers the same, only faster.

An engine takes columns of JSON values, because that is what a request is; which of them become a DataFrame, a matrix or
nothing of the kind is its affair.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from rasen.errors import ModelFailed
from rasen.model.frames import FrameBuilder
from rasen.model.predictions import Predictions, predict
from rasen.model.schema import ModelSchema

Columns = Mapping[str, Sequence[object]]

_FEW_ROWS = 1
_MANY_ROWS = 1000
_REPEATS = 3
_SLOW_SECONDS = 0.05
_SHARE = 10.0  # how many times its fixed cost a batch may cost
_BATCH_ROWS = (64, 5000)  # at least, at most


class Engine(Protocol):
    """Executes one model."""

    name: str
    on_loop: bool

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`: one list of JSON values for each input, in any order.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or its answer does not fit its schema.
        """


class NativeEngine:
    """The model as it was published, on the very DataFrame that it was trained on."""

    name = "native"
    on_loop = False  # nobody knows what a model does; the event loop does not wait for it

    def __init__(self, model: object, schema: ModelSchema) -> None:
        self._model = model
        self._output = schema.output
        self._builder = FrameBuilder(schema)

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`."""
        return predict(self._model, self._builder.build(columns), self._output)


def fit_batch_rows(engine: Engine, example: Columns) -> int:
    """Return how many rows a batch should have at most, from the measured cost a + b·n of a call of n rows.

    Up to there the rows of others cost a request less than they save; beyond, everybody only waits longer.
    """
    least, most = _BATCH_ROWS
    try:
        few = _seconds(engine, example, _FEW_ROWS)
        if few > _SLOW_SECONDS:
            return least
        many = _seconds(engine, example, _MANY_ROWS)
    except ModelFailed:  # it answered its example, so this is a matter of its mood, not of its rows
        return least
    growing = (many - few) / (_MANY_ROWS - _FEW_ROWS)
    if growing <= 0:
        return most
    return int(min(most, max(least, _SHARE * few / growing)))


def _seconds(engine: Engine, example: Columns, rows: int) -> float:
    """Return how long a call of so many rows takes, at best."""
    columns = {name: (list(values) * (rows // len(values) + 1))[:rows] for name, values in example.items()}
    found = []
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        engine.predict(columns)
        found.append(time.perf_counter() - begun)
        if found[-1] > _SLOW_SECONDS:
            break
    return min(found)
