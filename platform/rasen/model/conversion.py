"""From the JSON values of one column to the array a model wants, and back.

A converter is made once for each column of a loaded model and then called for every batch of requests: it checks
the values' types by their set, which costs a tenth of looking at each, and names the first offender only when
there is one. Numbers may also come as a NumPy array, from a decoder that never made Python objects of them: then one
look at the dtype judges all of them, and NaN is the null of a nullable column of fractions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from typing_extensions import TypeIs

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.dtypes import CATEGORY, ORDERED_CATEGORY
from rasen.model.schema import Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Any: values as JSON gave them, or an array of them, checked by each converter; and pandas has no common type for a
# column's array.
Values: TypeAlias = "Sequence[Any] | np.ndarray"
Converter = Callable[[Values], Any]

NUMPY_DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
NUMPY_DTYPES |= {"float16", "float32", "float64"}
KINDS = {ColumnType.BOOL: "b", ColumnType.INT64: "iu", ColumnType.FLOAT64: "iuf"}
"""NumPy's letters for the arrays that a column may come as."""


def is_category(column: Column) -> bool:
    """Return whether the model gets this column as a pandas category, whose codes mean something."""
    return column.dtype in (CATEGORY, ORDERED_CATEGORY)


def converter(column: Column) -> Converter:
    """Return the function that turns a list of JSON values, or an array of numbers, into the array of this column."""
    if is_category(column):
        return _category_converter(column)
    match column.type:
        case ColumnType.BOOL:
            return _number_converter(column, {bool}, "true or false")
        case ColumnType.INT64:
            return _number_converter(column, {int}, "a whole number")
        case ColumnType.FLOAT64:
            return _number_converter(column, {int, float}, "a finite number")
        case ColumnType.STRING:
            return _text_converter(column)
        case ColumnType.DATE:
            return _date_converter(column)
        case ColumnType.TIMESTAMP:
            return _timestamp_converter(column)
        case _:
            assert_never(column.type)


def check_values(column: Column, values: Values) -> None:
    """Refuse values that are not of a column's type, for whoever needs no array of them; not for dates and instants.

    Raises:
        InvalidInput: One is not; the message names the first.
    """
    if is_array(values) and column.type in KINDS:
        converter(column)(values)
        return
    match column.type:
        case ColumnType.BOOL:
            _check(column, values, {bool}, "true or false")
        case ColumnType.INT64:
            _check(column, values, {int}, "a whole number")
        case ColumnType.STRING:
            _check(column, as_list(values), {str}, "text")
        case _:
            converter(column)(values)


def is_array(values: Values) -> TypeIs[np.ndarray]:
    """Return whether values came as a NumPy array; asked of every column, so it imports nothing."""
    return hasattr(values, "dtype")


def as_list(values: Values) -> Sequence[Any]:  # Any: JSON values
    """Return values as Python objects: what has no use for an array does not have to know of any."""
    if is_array(values):
        listed: list[Any] = values.tolist()  # Any: JSON values
        return listed
    return values


def _check(column: Column, values: Values, allowed: set[type], expected: str) -> None:
    """Refuse the first value whose type is not allowed; null is allowed in a nullable column."""
    found = set(map(type, values))
    if found <= allowed or (column.nullable and found <= allowed | {type(None)}):
        return
    if column.nullable:
        allowed = allowed | {type(None)}
    for row, value in enumerate(values):
        if type(value) not in allowed:
            problem = "null is not accepted" if value is None else f"{value!r} is not {expected}"
            raise InvalidInput(f"column {column.name!r}, row {row}: {problem}")


def _number_converter(column: Column, allowed: set[type], expected: str) -> Converter:
    import numpy as np
    import pandas as pd

    dtype: Any = column.dtype or column.type.value  # Any: the stubs know dtypes by literal name only
    masked = dtype not in NUMPY_DTYPES
    narrow = dtype in ("float16", "float32")
    is_float = column.type is ColumnType.FLOAT64

    def convert(values: Values) -> Any:  # Any: a NumPy array or a masked pandas array
        if is_array(values):
            if values.dtype.kind in KINDS[column.type] and values.ndim == 1:
                return _convert_array(column, values, dtype, masked=masked)
            values = values.tolist()  # objects, or not what the column is: judged one by one
        _check(column, values, allowed, expected)
        try:
            if masked:
                array = pd.array(values, dtype=dtype)
            elif narrow:
                with np.errstate(over="ignore"):  # a double too large becomes infinite, refused below
                    array = np.array(values, dtype=dtype)
            else:
                array = np.array(values, dtype=dtype)
        except OverflowError:
            raise InvalidInput(f"column {column.name!r}: a value does not fit into {dtype}") from None
        if is_float:
            _check_finite(column, values, np.array(values, dtype="float64") if masked else array)
        return array

    return convert


def _convert_array(column: Column, values: np.ndarray, dtype: Any, *, masked: bool) -> Any:
    """Do for numbers that are an array already what their list would get. Any: as in `_number_converter`."""
    import numpy as np
    import pandas as pd

    match column.type:
        case ColumnType.FLOAT64:
            _check_doubles(column, values)
        case ColumnType.INT64:
            limits = np.iinfo(dtype.lower())
            if values.dtype != dtype and values.size:
                low, high = int(values.min()), int(values.max())
                if low < limits.min or high > limits.max:
                    raise InvalidInput(f"column {column.name!r}: a value does not fit into {dtype}")
        case _:
            pass
    if masked:
        return pd.array(values, dtype=dtype)
    with np.errstate(over="ignore"):  # as for lists: refused by what follows
        array = values.astype(dtype, copy=False)
    if array.dtype.kind == "f" and array.dtype.itemsize < values.dtype.itemsize:
        _check_doubles(column, array, given=values)
    return array


def _check_doubles(column: Column, array: np.ndarray, *, given: np.ndarray | None = None) -> None:
    """Refuse infinity, and NaN where there may be no null; `given` is what the array was made from."""
    import numpy as np

    if np.isfinite(array).all():
        return
    wrong = np.isinf(array) if column.nullable else ~np.isfinite(array)
    if wrong.any():
        row = int(wrong.argmax())
        problem = f"{(array if given is None else given)[row].item()!r} is not a finite number"
        raise InvalidInput(f"column {column.name!r}, row {row}: {problem}")


def _check_finite(column: Column, values: Values, array: np.ndarray) -> None:
    import numpy as np

    finite = np.isfinite(array)
    if finite.all():
        return
    for row in np.flatnonzero(~finite).tolist():
        if values[row] is not None:
            raise InvalidInput(f"column {column.name!r}, row {row}: {values[row]!r} is not a finite number")


def _text_converter(column: Column) -> Converter:
    import numpy as np
    import pandas as pd

    dtype = column.dtype or "str"
    # A dtype object, because resolving its name costs pandas as much as the conversion.
    target: Any = (
        None if dtype == "object" else pd.StringDtype(na_value=pd.NA if dtype == "string" else np.nan)
    )

    def convert(values: Values) -> Any:  # Any: a Series or a pandas string array
        values = as_list(values)
        _check(column, values, {str}, "text")
        if target is None:
            return pd.Series(values, dtype=object)  # from a bare array pandas would infer `str`
        return pd.array(values, dtype=target)

    return convert


def _category_converter(column: Column) -> Converter:
    import pandas as pd

    allowed: type
    match column.type:
        case ColumnType.BOOL:
            allowed, expected = bool, "true or false"
        case ColumnType.INT64:
            allowed, expected = int, "a whole number"
        case _:
            allowed, expected = str, "text"
    categories: list[Any] = list(column.categories or ())  # Any: pandas' stubs know no category of two types
    dtype: Any = pd.CategoricalDtype(categories, ordered=column.dtype == ORDERED_CATEGORY)
    codes = {value: code for code, value in enumerate(categories)}

    def convert(values: Values) -> Any:  # Any: see Values
        values = as_list(values)
        _check(column, values, {allowed}, expected)
        # An unseen category is missing to pandas: the same as the model met in training, and no error.
        return pd.Categorical.from_codes([codes.get(value, -1) for value in values], dtype=dtype)

    return convert


def _date_converter(column: Column) -> Converter:
    import numpy as np

    dtype = column.dtype or "datetime64[s]"

    def parse(row: int, value: object) -> date | None:
        if value is None and column.nullable:
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        # `fromisoformat` also reads 20130131 and 2013-W05-4: not what a schema's `date` means elsewhere.
        if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-" and value.isascii():
            with contextlib.suppress(ValueError):
                return date.fromisoformat(value)
        raise InvalidInput(f"column {column.name!r}, row {row}: {value!r} is not a date like '2013-01-31'")

    def convert(values: Values) -> np.ndarray:
        return np.array([parse(row, value) for row, value in enumerate(as_list(values))], dtype=dtype)

    return convert


def _timestamp_converter(column: Column) -> Converter:
    import numpy as np
    import pandas as pd

    dtype = column.dtype or "datetime64[us, UTC]"
    unit, _, zone = dtype.removeprefix("datetime64[").removesuffix("]").partition(", ")

    def parse(row: int, value: object) -> datetime | None:
        if value is None and column.nullable:
            return None
        instant = value
        if isinstance(value, str) and len(value) >= 19 and value[10] in "Tt ":
            with contextlib.suppress(ValueError):
                instant = datetime.fromisoformat(value)
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            return instant.astimezone(UTC).replace(tzinfo=None)
        raise InvalidInput(
            f"column {column.name!r}, row {row}: {value!r} is not an instant like '2013-01-31T06:00:00Z', "
            "with an offset from UTC"
        )

    def convert(values: Values) -> Any:  # Any: pandas' array of instants has no public constructor
        parsed = [parse(row, value) for row, value in enumerate(as_list(values))]
        instants = np.array(parsed, dtype="datetime64[us]")
        index = pd.DatetimeIndex(instants).tz_localize("UTC").as_unit(unit)  # type: ignore[arg-type]  # a unit by its dtype's name
        return index.array if zone == "UTC" else index.tz_convert(zone).array

    return convert


def json_values(series: pd.Series, kind: ColumnType) -> list[object]:
    """Return the values as Python objects that JSON knows, missing ones as `None`."""
    values: list[object]
    match kind:
        case ColumnType.DATE:
            values = [None if value is None else str(value)[:10] for value in _instants(series, "s")]
        case ColumnType.TIMESTAMP:
            values = [
                None if value is None else value.isoformat() + "Z"
                for value in _instants(series.dt.tz_convert("UTC"), "us")
            ]
        case ColumnType.FLOAT64:
            doubles = series.astype("Float64") if series.dtype.kind != "f" else series
            numbers = doubles.to_numpy(dtype="float64", na_value=float("nan")).tolist()
            values = [None if number != number else number for number in numbers]  # noqa: PLR0124  # NaN differs from itself
        case ColumnType.BOOL | ColumnType.INT64 | ColumnType.STRING:
            plain = series.astype(object)
            values = [
                None if gone else value
                for value, gone in zip(plain.tolist(), plain.isna().tolist(), strict=True)
            ]
        case _:
            assert_never(kind)
    return values


def _instants(series: pd.Series, unit: str) -> list[datetime | None]:
    naive = series.dt.tz_localize(None) if series.dt.tz is not None else series
    instants: list[datetime | None] = naive.to_numpy().astype(f"datetime64[{unit}]").tolist()
    return instants
