"""The six column types that tables, queries, models and requests share, and how pandas and Arrow spell them.

Everything that crosses a border (a file read, a query's result, a table put into the warehouse) is brought to
exactly these types or refused by name, because a type that is merely close (a decimal, a time without a zone)
means different things in BigQuery, DuckDB and pandas. In pandas they are:

    bool       bool, or boolean when there are NULLs
    int64      int64, or Int64 when there are NULLs
    float64    float64; NaN is NULL
    string     str; NULL is NaN
    date       datetime64[s], always midnight; NULL is NaT
    timestamp  datetime64[us, UTC]; NULL is NaT
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, assert_never

from rasen.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class ColumnType(StrEnum):
    """The type of a column; the values are the words used in every file and message."""

    BOOL = "bool"
    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"


Schema: TypeAlias = Mapping[str, ColumnType]
"""Column name to type, in the table's order."""


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """Return the Arrow type that a column of this type has in every Parquet file we write."""
    import pyarrow as pa

    match column_type:
        case ColumnType.BOOL:
            return pa.bool_()
        case ColumnType.INT64:
            return pa.int64()
        case ColumnType.FLOAT64:
            return pa.float64()
        case ColumnType.STRING:
            return pa.string()
        case ColumnType.DATE:
            return pa.date32()
        case ColumnType.TIMESTAMP:
            return pa.timestamp("us", tz="UTC")
        case _:
            assert_never(column_type)


def schema_of(table: pa.Table) -> dict[str, ColumnType]:
    """Return the column types of a table that `normalise_table` has made."""
    canonical = {str(arrow_type(column_type)): column_type for column_type in ColumnType}
    return {field.name: canonical[str(field.type)] for field in table.schema}


def normalise_table(table: pa.Table, *, origin: str) -> pa.Table:
    """Cast every column to the Arrow type of one of the six column types.

    Narrow integers and floats widen, dictionaries become strings, NaN becomes NULL, a time without a zone whose
    values are all midnight becomes a date, a column with nothing but NULLs becomes a string.

    Args:
        table: Any Arrow table.
        origin: What the table is, for messages: `"table 'flights'"`, `"file 'rates.csv'"`.

    Raises:
        InvalidInput: A column has another type, an infinite number, or a duplicate or empty name.
    """
    import pyarrow as pa

    names = table.column_names
    seen: set[str] = set()
    for name in names:
        if not name:
            raise InvalidInput(
                f"{origin}: column {names.index(name) + 1} has no name; every column needs one"
            )
        if name.lower() in seen:
            raise InvalidInput(
                f"{origin}: the column name {name!r} occurs twice (SQL takes upper and lower case for the same); "
                "rename one"
            )
        seen.add(name.lower())
    columns = [
        _normalise_column(table.column(index), f"{origin}, column {name!r}")
        for index, name in enumerate(names)
    ]
    return pa.table(columns, names=names)


def _normalise_column(column: pa.ChunkedArray, origin: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_boolean(kind):
        return column
    if types.is_null(kind):
        return column.cast(pa.string())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return column.cast(pa.string())
    if types.is_integer(kind):
        return _cast(column, ColumnType.INT64, origin, "it holds numbers beyond the range of int64")
    if types.is_floating(kind):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), None, column)
        infinite = pc.sum(pc.is_inf(column)).as_py()
        if infinite:
            raise InvalidInput(
                f"{origin}: {infinite} of {len(column)} values are infinite; replace them by NULL"
            )
        return column
    if types.is_date(kind):
        return column.cast(pa.date32())
    if types.is_timestamp(kind) and kind.tz is None:
        days = column.cast(pa.date32(), safe=False)
        if pc.all(pc.equal(days.cast(kind), column)).as_py() is False:
            raise InvalidInput(
                f"{origin}: holds times without a time zone; say which zone they are in "
                "(pandas: .dt.tz_localize('UTC')), or keep only the day (.dt.normalize())"
            )
        return days
    if types.is_timestamp(kind):
        return _cast(
            column, ColumnType.TIMESTAMP, origin, "it holds fractions of a microsecond: .dt.floor('us')"
        )
    raise InvalidInput(
        f"{origin}: the type {str(kind)!r} is not supported; supported are {', '.join(ColumnType)}. "
        "Convert the column first (a decimal to float64, an object to text)"
    )


def _cast(column: pa.ChunkedArray, column_type: ColumnType, origin: str, reason: str) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return column.cast(arrow_type(column_type))
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{origin}: cannot become {column_type}: {reason}") from error


def frame_from_table(table: pa.Table) -> pd.DataFrame:
    """Return a normalised table as a DataFrame with the dtypes of the module's docstring."""
    import pandas as pd
    import pyarrow as pa

    columns: dict[str, object] = {}
    for name, column_type in schema_of(table).items():
        column = table.column(name)
        match column_type:
            case ColumnType.INT64 if column.null_count:
                columns[name] = pd.Int64Dtype().__from_arrow__(column)  # type: ignore[attr-defined]  # missing in pandas-stubs
            case ColumnType.BOOL if column.null_count:
                columns[name] = pd.BooleanDtype().__from_arrow__(column)  # type: ignore[attr-defined]  # missing in pandas-stubs
            case ColumnType.STRING:
                columns[name] = column.to_pandas().astype("str")
            case ColumnType.DATE:
                columns[name] = column.cast(pa.timestamp("s")).to_pandas()
            case ColumnType.BOOL | ColumnType.INT64 | ColumnType.FLOAT64 | ColumnType.TIMESTAMP:
                columns[name] = column.to_pandas()
            case _:
                assert_never(column_type)
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def table_from_frame(frame: pd.DataFrame, *, origin: str) -> pa.Table:
    """Return a DataFrame as a normalised table; the inverse of `frame_from_table`. The index is left away.

    Args:
        frame: Columns of the six types, in any pandas dtype that says which.
        origin: What the frame is, for messages.

    Raises:
        InvalidInput: A column has no text as its name, another type, or values of several types.
    """
    import pyarrow as pa

    for name in frame.columns:
        if not isinstance(name, str):
            raise InvalidInput(f"{origin}: the column name {name!r} is no text; rename it to {str(name)!r}")
    columns = []
    for index, name in enumerate(frame.columns):
        series = frame.iloc[:, index]
        try:
            columns.append(pa.chunked_array(pa.Array.from_pandas(series)))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
            raise InvalidInput(
                f"{origin}, column {name!r} has dtype {str(series.dtype)!r} and is none of {', '.join(ColumnType)}: "
                f"{error}"
            ) from error
    return normalise_table(pa.table(columns, names=list(frame.columns)), origin=origin)
