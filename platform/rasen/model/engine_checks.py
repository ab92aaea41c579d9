"""Whether an engine answers as the model does: on what the run held out, on what clients may send, and at the edges.

A converted model may differ silently: a scaler in float32 sent 50 of 5,000 rows to the other side of a threshold of a
tree, and moved their answers by up to 0.35. So the rows that are compared are real ones, rows with one value moved to
the edge of what the column has seen, and, for trees, rows that stand on a threshold or next to it. Any difference
beyond the last bits, any answer where the model fails, and the engine is not used.
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

Values = dict[str, list[Any]]  # Any: JSON values

_REAL_ROWS = 5000
_EDGE_ROWS = 2000
_THRESHOLD_ROWS = 2000
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
    native = NativeEngine(model, schema)
    chooser = random.Random(0)  # noqa: S311  # the same rows each time
    real: Values = {name: list(values[:_REAL_ROWS]) for name, values in rows.items()}
    compared = 0
    for part in (
        real,
        _moved(real, schema, chooser),
        _on_thresholds(real, model, schema, chooser),
    ):
        count = len(next(iter(part.values())))
        if not count:
            continue
        found = _difference(native, engine, part)
        compared += count
        if found is not None:
            return found, compared
    for row in _single_rows(real, schema):
        compared += 1
        found = _difference(native, engine, row)
        if found is not None:
            return found, compared
    return None, compared


def _difference(native: Engine, engine: Engine, rows: Values) -> str | None:
    expected, given = _ask(native, rows), _ask(engine, rows)
    if isinstance(expected, Exception) or isinstance(given, Exception):
        if type(expected) is type(given):
            return None
        told = [
            f"{type(one).__name__}" if isinstance(one, Exception) else "an answer"
            for one in (expected, given)
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


def _on_thresholds(real: Values, model: object, schema: ModelSchema, chooser: random.Random) -> Values:
    """Return real rows with one value each on a threshold of the model's trees, or the next number on either side."""
    thresholds = _thresholds(model, schema)
    nothing: Values = {name: [] for name in real}
    if not thresholds:
        return nothing
    import numpy as np

    count = len(next(iter(real.values())))
    chosen = [chooser.randrange(count) for _ in range(_THRESHOLD_ROWS)]
    rows: Values = {name: [values[row] for row in chosen] for name, values in real.items()}
    for row in range(len(chosen)):
        name, value = chooser.choice(thresholds)
        way = chooser.choice((-np.inf, 0.0, np.inf))
        at = np.float32(value)
        rows[name][row] = float(at if way == 0.0 else np.nextafter(at, np.float32(way)))
    return rows


def _thresholds(model: object, schema: ModelSchema) -> list[tuple[str, float]]:
    """Return column and value of the splits of XGBoost's trees on columns of fractions."""
    get_booster: Any = getattr(model, "get_booster", None)  # Any: of an optional library
    if get_booster is None:
        return []
    fractions = {column.name for column in schema.inputs if column.type is ColumnType.FLOAT64}
    splits: Any = get_booster().trees_to_dataframe()  # Any: as above
    splits = splits[splits["Feature"].isin(fractions)].drop_duplicates(["Feature", "Split"])
    return list(zip(splits["Feature"].tolist(), splits["Split"].tolist(), strict=True))


def _single_rows(real: Values, schema: ModelSchema) -> Iterator[Values]:
    """Yield single rows: real ones, and such as only one column makes unusual."""
    count = len(next(iter(real.values())))
    for row in range(min(count, 20)):
        yield {name: [values[row]] for name, values in real.items()}
    first: Values = {name: values[:1] for name, values in real.items()}
    for column in schema.inputs:
        if column.nullable:
            yield first | {column.name: [None]}
        if column.type is ColumnType.STRING:
            yield first | {column.name: [UNSEEN]}
            yield first | {column.name: [""]}
