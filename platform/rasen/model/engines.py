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
_QUICK_SECONDS = 0.002
_QUICK_REPEATS = 20
_SHARE = 10.0  # how many times its fixed cost a batch may cost
_BATCH_ROWS = (64, 5000)  # at least, at most


class Engine(Protocol):
    """Executes one model. `quick` says that it is compiled: it never waits, and takes what its rows ask for."""

    name: str
    quick: bool

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`: one list of JSON values for each input, in any order.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or its answer does not fit its schema.
        """


class NativeEngine:
    """The model as it was published, on the very DataFrame that it was trained on."""

    name = "native"
    quick = False  # nobody knows what a model does

    def __init__(self, model: object, schema: ModelSchema) -> None:
        self._model = model
        self._output = schema.output
        self._builder = FrameBuilder(schema)

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`."""
        return predict(self._model, self._builder.build(columns), self._output)


def make_engines(model: object, schema: ModelSchema) -> list[Engine]:
    """Return what could execute a model besides the model itself; whether it answers the same is to be found out."""
    from rasen.model.folded_engine import make_folded_engine
    from rasen.model.xgboost_engine import make_xgboost_engine

    made = [make_folded_engine(model, schema), make_xgboost_engine(model, schema)]
    return [engine for engine in made if engine is not None]


def choose_engine(name: str, model: object, schema: ModelSchema) -> Engine:
    """Return the engine that the qualification found equal, or the model itself when it cannot be made here."""
    found = [engine for engine in make_engines(model, schema) if engine.name == name]
    return found[0] if found else NativeEngine(model, schema)


def fit_quick_rows(engine: Engine, example: Columns, *, most: int) -> int:
    """Return for how many rows, at most `most`, an event loop may wait; 0 when it may not wait for this engine at all.

    It may for a compiled one, and for so many rows as were measured to take less than 2 ms at worst.
    """
    rows = most
    while engine.quick and rows >= 1:
        if _is_quick(engine, example, rows):
            return rows
        rows //= 2
    return 0


def _is_quick(engine: Engine, example: Columns, rows: int) -> bool:
    columns = _repeat(example, rows)
    engine.predict(columns)  # the first call may build something
    return max(_timed(engine, columns) for _ in range(_QUICK_REPEATS)) < _QUICK_SECONDS


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
    columns = _repeat(example, rows)
    found = []
    for _ in range(_REPEATS):
        found.append(_timed(engine, columns))
        if found[-1] > _SLOW_SECONDS:
            break
    return min(found)


def _timed(engine: Engine, columns: Columns) -> float:
    begun = time.perf_counter()
    engine.predict(columns)
    return time.perf_counter() - begun


def _repeat(example: Columns, rows: int) -> Columns:
    return {name: (list(values) * (rows // len(values) + 1))[:rows] for name, values in example.items()}
