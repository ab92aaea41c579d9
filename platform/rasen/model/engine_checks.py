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

_REAL_ROWS = 5000
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
    """Compare an engine with the model.

    Args:
        engine: What was made from the model.
        model: The model itself.
        schema: Its contract.
        rows: Real rows: one list of JSON values a column, as many as there are.

    Returns:
        Where they differ, `None` when nowhere; and on how many rows they were compared.
    """
    comparison = _Comparison(NativeEngine(model, schema), engine)
    for part in _parts({name: list(values[:_REAL_ROWS]) for name, values in rows.items()}, model, schema):
        found = comparison.compare(part)
        if found is not None:
            return found, comparison.compared
    if not comparison.compared:
        return "the model answers none of the rows to compare on", 0
    return None, comparison.compared


def _parts(real: Values, model: object, schema: ModelSchema) -> Iterator[Values]:
    chooser = random.Random(0)  # noqa: S311  # the same rows each time
    yield real
    yield _moved(real, schema, chooser)
    yield _odd(real, schema, chooser)
    yield threshold_rows(real, model, schema, chooser, count=_THRESHOLD_ROWS)
    yield {name: values[:_FEW_ROWS] for name, values in real.items()}
    yield from _single_rows(real, schema)


class _Comparison:
    """Compares rows, and counts those that the model answered."""

    def __init__(self, native: Engine, engine: Engine) -> None:
        self._native = native
        self._engine = engine
        self._refusals = 0
        self.compared = 0

    def compare(self, rows: Values) -> str | None:
        """Return where the engines differ on these rows."""
        count = len(next(iter(rows.values())))
        if not count:
            return None
        expected, given = _ask(self._native, rows), _ask(self._engine, rows)
        if isinstance(expected, Exception):
            self._refusals += 1
            if count > 1 and self._refusals < _MOST_REFUSALS:
                half = count // 2
                first, second = (
                    {name: values[part] for name, values in rows.items()}
                    for part in (slice(half), slice(half, None))
                )
                return self.compare(first) or self.compare(second)
            if count > 1 or any(
                isinstance(expected, kind) and isinstance(given, kind) for kind in (InvalidInput, ModelFailed)
            ):
                return None
        else:
            self.compared += count
        if isinstance(expected, Exception) or isinstance(given, Exception):
            told = [
                type(one).__name__ if isinstance(one, Exception) else "an answer" for one in (expected, given)
            ]
            return f"{told[1]} where the model has {told[0]}, for {_first(rows)}"
        found = difference(expected, given)
        if found is None:
            return None
        return f"{found} ({_first(rows)} is the first of the rows)"


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
    count = len(next(iter(real.values())))
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
    count = len(next(iter(real.values())))
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
    count = len(next(iter(real.values())))
    for row in range(min(count, _SINGLE_ROWS)):
        yield {name: [values[row]] for name, values in real.items()}
    first: Values = {name: values[:1] for name, values in real.items()}
    for column in schema.inputs:
        if column.nullable:
            yield first | {column.name: [None]}
        if column.type is ColumnType.STRING:
            yield first | {column.name: [UNSEEN]}
            yield first | {column.name: [""]}
