"""Between the values of a request and the DataFrame a model wants: one conversion for batch and serving.

Serving calls `FrameBuilder.build` for every batch of requests, so what depends on the schema alone is prepared
once, and a schema whose columns share one NumPy dtype is built as a single block: 9 µs instead of 80 for eight
columns. Nothing is coerced: a text that looks like a number, a fraction where a whole number is asked for, NaN and
infinity are refused, exactly as serving's own request types refuse them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.conversion import NUMPY_DTYPES, Values, converter, is_array, is_category, json_values
from rasen.model.dtypes import classify
from rasen.model.schema import Column, ModelSchema

if TYPE_CHECKING:
    import pandas as pd

_CASTABLE = (ColumnType.DATE, ColumnType.TIMESTAMP)  # from one unit to another; numbers might overflow unseen


class FrameBuilder:
    """Builds the DataFrames of one model; make one for each loaded model and keep it."""

    def __init__(self, schema: ModelSchema) -> None:
        import pandas as pd

        self.schema = schema
        self._converters = [converter(column) for column in schema.inputs]
        self._names = frozenset(schema.names)
        self._index = pd.Index(list(schema.names))
        dtypes = {column.dtype for column in schema.inputs}
        self._block_dtype = dtypes.pop() if len(dtypes) == 1 and dtypes <= NUMPY_DTYPES else None

    def build(self, columns: Mapping[str, Values]) -> pd.DataFrame:
        """Build the DataFrame from one list of JSON values a column; `date` and `datetime` objects will do too.

        A nullable column that is missing is all null. Numbers may be an array each; the frame is never a view of it,
        because a model may write into its frame, and the array is what is logged.

        Raises:
            InvalidInput: A column is missing or unknown, lengths differ, or a value is not of its column's type.
        """
        import numpy as np
        import pandas as pd

        if columns.keys() != self._names:
            columns = self._completed(columns)
        rows = len(next(iter(columns.values()), ()))
        for name, values in columns.items():
            if len(values) != rows:
                raise InvalidInput(f"column {name!r} has {len(values)} values, others have {rows}")
        names = self.schema.names
        if self._block_dtype is not None:
            block = np.empty((len(names), rows), dtype=self._block_dtype)
            for position, (name, convert) in enumerate(zip(names, self._converters, strict=True)):
                block[position] = convert(columns[name])
            return pd.DataFrame(block.T, columns=self._index, copy=False)
        arrays = {}
        for name, convert in zip(names, self._converters, strict=True):
            given = columns[name]
            array = convert(given)
            arrays[name] = given.copy() if is_array(given) and array is given else array
        return pd.DataFrame(arrays, index=pd.RangeIndex(rows), copy=False)

    def _completed(self, columns: Mapping[str, Values]) -> Mapping[str, Values]:
        wanted = ", ".join(self.schema.names)
        unknown = [name for name in columns if name not in self._names]
        if unknown:
            raise InvalidInput(f"unknown column {unknown[0]!r}; the model takes {wanted}")
        rows = len(next(iter(columns.values()), ()))
        completed = dict(columns)
        for column in self.schema.inputs:
            if column.name not in columns:
                if not column.nullable:
                    raise InvalidInput(f"column {column.name!r} is missing; the model takes {wanted}")
                completed[column.name] = [None] * rows
        return completed


def to_frame(schema: ModelSchema, columns: Mapping[str, Values]) -> pd.DataFrame:
    """Build one DataFrame; who builds many keeps a `FrameBuilder`."""
    return FrameBuilder(schema).build(columns)


def to_columns(rows: Iterable[Mapping[str, object]], names: Sequence[str]) -> dict[str, list[object]]:
    """Turn rows into columns; what a row leaves out is null, what it adds becomes a column of its own.

    Types and unknown names are judged by `FrameBuilder.build`, the same way for rows and for columns.
    """
    given = list(rows)
    extra = [name for row in given for name in row if name not in names]
    present = [name for name in names if any(name in row for row in given)]
    kept = [*present, *dict.fromkeys(extra)] or list(names)  # rows of nothing are still rows
    return {name: [row.get(name) for row in given] for name in kept}


def to_values(schema: ModelSchema, frame: pd.DataFrame) -> dict[str, list[object]]:
    """Return a conforming DataFrame as one list of JSON values a column: the inverse of `build`."""
    return {column.name: json_values(frame[column.name], column.type) for column in schema.inputs}


def conform(schema: ModelSchema, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the model's columns of `frame`, in the model's order and dtypes; more columns are left behind.

    Raises:
        InvalidInput: A column is missing, is of another type than the schema says, or holds null where it must not.
    """
    import pandas as pd

    missing = [name for name in schema.names if name not in frame.columns]
    if missing:
        raise InvalidInput(f"column {missing[0]!r} is missing; the model takes {', '.join(schema.names)}")
    series = {}
    for column in schema.inputs:
        given = frame[column.name]
        found, dtype = classify(given, where=f"column {column.name!r}")
        widened = found is ColumnType.INT64 and column.type is ColumnType.FLOAT64
        empty = bool(given.isna().all())
        if found is not column.type and not widened and not empty:
            raise InvalidInput(
                f"column {column.name!r} is {found.value}; the model takes {column.type.value}"
            )
        if not column.nullable and bool(given.isna().any()):
            raise InvalidInput(
                f"column {column.name!r} holds null; the model was published without nulls in it"
            )
        if found is ColumnType.FLOAT64 and bool((given.abs() == float("inf")).any()):
            raise InvalidInput(f"column {column.name!r} holds infinity; no request can carry it")
        if dtype == column.dtype and (not is_category(column) or _same_categories(column, given)):
            series[column.name] = given.reset_index(drop=True)
        elif found is column.type and found in _CASTABLE:
            recorded: Any = column.dtype  # Any: the stubs know dtypes by literal name only
            series[column.name] = given.reset_index(drop=True).astype(recorded)
        else:
            values = json_values(given, column.type)
            series[column.name] = pd.Series(converter(column)(values))
    return pd.DataFrame(series, columns=list(schema.names))


def _same_categories(column: Column, series: pd.Series) -> bool:
    """Return whether the codes of a category column mean what they meant in training."""
    return series.cat.categories.tolist() == list(column.categories or ())
