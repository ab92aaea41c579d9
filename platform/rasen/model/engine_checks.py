"""Whether an engine answers as the model does: on what the run held out, on what clients may send, and at the edges.

A converted model may differ silently: a scaler in float32 sent 50 of 5,000 rows to the other side of a threshold of a
tree, and moved their answers by up to 0.35. So the rows that are compared are real ones, rows with one value moved to
the edge of what the column has seen, and, for trees, rows that stand on a threshold or next to it. Any difference
beyond the last bits, any answer where the model fails, and the engine is not used. Rows that the model itself refuses
are taken out of their batch, so that one of them does not hide the others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, ModelFailed
from rasen.model.engines import Engine, NativeEngine
from rasen.model.predictions import Predictions, difference
from rasen.model.schema import Column, ModelSchema
from rasen.model.threshold_rows import threshold_rows

Values = dict[str, list[Any]]  # Any: JSON values

REAL_ROWS = 5000
_MIXED_ROWS = 1000
_EDGE_ROWS = 2000
_ODD_ROWS = 200
_THRESHOLD_ROWS = 2000
_SINGLE_ROWS = 20
_FEW_ROWS = 30  # ONNX Runtime has a way of its own for one row, for few, and for many
_MOST_REFUSALS = 100
UNSEEN = "(unseen)"


def compare_engine(
    engine: Engine, model: object, schema: ModelSchema, rows: Mapping[str, Sequence[object]]
) -> tuple[str | None, int]:
    """Compare one engine with the model; as `Comparison.compare`."""
    return Comparison(model, schema, rows).compare(engine)


class Comparison:
    """Compares engines with one model, which is asked only once for what all of them have to answer.

    Args:
        model: The model itself.
        schema: Its contract.
        rows: Real rows: one list of JSON values a column, as many as there are.
    """

    def __init__(self, model: object, schema: ModelSchema, rows: Mapping[str, Sequence[object]]) -> None:
        self._native = NativeEngine(model, schema)
        real: Values = {name: list(values[:REAL_ROWS]) for name, values in rows.items()}
        self._parts = _parts(real, model, schema)
        self._asked: list[tuple[Values, Predictions]] = []
        self._refused: list[tuple[Values, Exception]] = []

    def compare(self, engine: Engine) -> tuple[str | None, int]:
        """Compare an engine with the model.

        Returns:
            Where they differ, `None` when nowhere; and on how many rows they were compared.
        """
        self._ask_model()
        compared = 0
        for rows, expected in self._asked:
            compared += _count(rows)
            given = _ask(engine, rows)
            if isinstance(given, Exception):
                return f"{type(given).__name__} where the model has an answer, for {_first(rows)}", compared
            found = difference(expected, given)
            if found is not None:
                return f"{found} ({_first(rows)} is the first of the rows)", compared
        for rows, refusal in self._refused:
            given = _ask(engine, rows)
            if not isinstance(given, InvalidInput if isinstance(refusal, InvalidInput) else ModelFailed):
                told = type(given).__name__ if isinstance(given, Exception) else "an answer"
                return f"{told} where the model has {type(refusal).__name__}, for {_first(rows)}", compared
        return (None if compared else "the model answers none of the rows to compare on"), compared

    def _ask_model(self) -> None:
        """Ask the model for all parts; rows that it refuses are taken out of their part by halving it."""
        for part in self._parts:
            waiting = [part] if _count(part) else []
            while waiting:
                rows = waiting.pop()
                expected = _ask(self._native, rows)
                if not isinstance(expected, Exception):
                    self._asked.append((rows, expected))
                elif _count(rows) == 1:
                    self._refused.append((rows, expected))
                elif len(self._refused) < _MOST_REFUSALS:
                    half = _count(rows) // 2
                    waiting += [{name: values[half:] for name, values in rows.items()}]
                    waiting += [{name: values[:half] for name, values in rows.items()}]


def _parts(real: Values, model: object, schema: ModelSchema) -> Iterator[Values]:
    chooser = random.Random(0)  # noqa: S311  # the same rows each time
    yield real
    yield _mixed(real, schema, chooser)
    yield _moved(real, schema, chooser)
    yield _odd(real, schema, chooser)
    yield threshold_rows(real, model, schema, chooser, count=_THRESHOLD_ROWS)
    yield {name: values[:_FEW_ROWS] for name, values in real.items()}
    yield from _single_rows(real, schema)


def _count(rows: Values) -> int:
    return len(next(iter(rows.values())))


def _mixed(real: Values, schema: ModelSchema, chooser: random.Random) -> Values:
    """Return rows whose columns come from different real rows, fractions somewhere between those of two."""
    count = _count(real)
    mixed: Values = {}
    for column in schema.inputs:
        values = real[column.name]
        drawn = [values[chooser.randrange(count)] for _ in range(_MIXED_ROWS)]
        if column.type is ColumnType.FLOAT64:
            others = [values[chooser.randrange(count)] for _ in range(_MIXED_ROWS)]
            drawn = [
                one if one is None or other is None else one + (other - one) * chooser.random()
                for one, other in zip(drawn, others, strict=True)
            ]
        mixed[column.name] = drawn
    return mixed


def _ask(engine: Engine, rows: Values) -> Predictions | Exception:
    try:
        return engine.predict(rows)
    except (InvalidInput, ModelFailed) as error:
        return error


def _first(rows: Values) -> str:
    return json.dumps({name: values[0] for name, values in rows.items()}, default=str)[:200]


def _moved(real: Values, schema: ModelSchema, chooser: random.Random) -> Values:
    """Return real rows with one number each moved to an edge of what its column has seen, or just beyond."""
    numeric = [column for column in schema.inputs if column.type in (ColumnType.FLOAT64, ColumnType.INT64)]
    count = _count(real)
    chosen = [chooser.randrange(count) for _ in range(_EDGE_ROWS)] if numeric else []
    moved: Values = {name: [values[row] for row in chosen] for name, values in real.items()}
    edges = {column.name: list(_edges(column, real[column.name])) for column in numeric}
    for row in range(len(chosen)):
        column = chooser.choice(numeric)
        moved[column.name][row] = chooser.choice(edges[column.name])
    return moved


def _edges(column: Column, values: Sequence[Any]) -> Iterator[Any]:  # Any: JSON numbers
    numbers = [value for value in values if value is not None] or [0]
    low, high = min(numbers), max(numbers)
    yield from (low, high, 0, 1, -1 if column.dtype[:1] != "u" else 0)
    if column.type is ColumnType.FLOAT64:
        yield from (low - 1.5 * (high - low) - 1e-9, high + 1.5 * (high - low) + 1e-9, 0.1 + 0.2, 1e-12)
    elif column.dtype in ("int64", "Int64"):
        yield from (high + 1, 2 * high + 1)


def _odd(real: Values, schema: ModelSchema, chooser: random.Random) -> Values:
    """Return real rows with one value each that is missing, or a text that nobody has seen: what models may refuse."""
    choices = [
        (column.name, value)
        for column in schema.inputs
        for value in ([None] if column.nullable else [])
        + (_texts(column) if column.type is ColumnType.STRING else [])
    ]
    count = _count(real)
    chosen = [chooser.randrange(count) for _ in range(_ODD_ROWS if choices else 0)]
    odd: Values = {name: [values[row] for row in chosen] for name, values in real.items()}
    for row in range(len(chosen)):
        name, value = chooser.choice(choices)
        odd[name][row] = value
    return odd


def _texts(column: Column) -> list[Any]:  # Any: JSON values
    return [UNSEEN, "", *(value for value in column.categories or ())]


def _single_rows(real: Values, schema: ModelSchema) -> Iterator[Values]:
    """Yield single rows: real ones, and such as only one column makes unusual."""
    count = _count(real)
    for row in range(min(count, _SINGLE_ROWS)):
        yield {name: [values[row]] for name, values in real.items()}
    first: Values = {name: values[:1] for name, values in real.items()}
    for column in schema.inputs:
        if column.nullable:
            yield first | {column.name: [None]}
        if column.type is ColumnType.STRING:
            yield first | {column.name: [UNSEEN]}
            yield first | {column.name: [""]}
