"""Tables that one step saves and another loads: Parquet that gives back the very dtypes it was given.

Parquet forgets that a day was a day, that whole numbers were a category, and that missing text was `None`. The dtypes
are noted in the file's metadata and restored; the columns themselves stay plain, so that the warehouse can show
the same file as a table (`tables:` in pipeline.yaml).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, PlatformFailed
from rasen.model.dtypes import CATEGORY, ORDERED_CATEGORY, classify

if TYPE_CHECKING:
    import pandas as pd

_METADATA = b"rasen.dtypes"


def write_saved_table(path: Path, frame: pd.DataFrame, *, name: str) -> None:
    """Write a DataFrame; its index is left away when it is a mere numbering.

    Args:
        path: The new file.
        frame: Columns of the six types, in any pandas dtype.
        name: The table's name, for messages.

    Raises:
        InvalidInput: A column has no name or none of the six types, or the index carries a name.
        PlatformFailed: The disk is full or cannot be written.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: list[Any] = list(frame.columns)  # Any: pandas takes whatever hashes as a name
    if (
        not names
        or not all(isinstance(each, str) and each for each in names)
        or len(set(names)) != len(names)
    ):
        raise InvalidInput(f"table {name!r}: the columns {names!r} must be distinct names")
    if any(level is not None for level in frame.index.names):
        raise InvalidInput(
            f"table {name!r}: the index {list(frame.index.names)!r} would be lost; make it columns with .reset_index()"
        )
    plain = frame.reset_index(drop=True)
    dtypes: dict[str, object] = {}
    columns: dict[str, Any] = {}  # Any: an Arrow array
    for each in names:
        series = plain[each]
        kind, dtype = classify(series, where=f"table {name!r}, column {each!r}")
        dtypes[each] = str(series.dtype)
        if dtype in (CATEGORY, ORDERED_CATEGORY):
            dtypes[each] = {"dtype": dtype, "categories": series.cat.categories.tolist()}
            series = pd.Series(series.astype(object), dtype=_PLAIN[kind])
        array = pa.Array.from_pandas(series)
        columns[each] = array.cast(pa.date32()) if kind is ColumnType.DATE else array
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(dtypes).encode()})
    try:
        with path.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
    except OSError as error:
        raise PlatformFailed(f"table {name!r} could not be written to {str(path)!r}: {error}") from error


def read_saved_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_saved_table` wrote.

    Raises:
        InvalidInput: The file is no Parquet file.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except pa.ArrowException as error:
        raise InvalidInput(f"table file {path.name!r} cannot be read as Parquet: {error}") from error
    dtypes = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}"))
    columns = {name: _restore(table.column(name), dtypes.get(name)) for name in table.column_names}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


# The extension dtypes hold null beside any value; NumPy's would turn whole numbers into floats.
_PLAIN = {ColumnType.BOOL: "boolean", ColumnType.INT64: "Int64", ColumnType.STRING: "str"}


def _restore(column: Any, dtype: Any) -> pd.Series:  # Any: an Arrow column; JSON of our own
    import pandas as pd
    import pyarrow as pa

    if isinstance(dtype, dict):
        categories: Any = dtype["categories"]  # Any: the stubs know no category of two types
        codes = {value: code for code, value in enumerate(categories)}
        values = pd.Categorical.from_codes(
            [codes.get(value, -1) for value in column.to_pylist()],
            categories=categories,
            ordered=dtype["dtype"] == ORDERED_CATEGORY,
        )
        return pd.Series(values)
    if dtype is None:
        return pd.Series(column.to_pandas())
    if dtype == "object":
        return pd.Series(column.to_pylist(), dtype=object)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    target: Any = pd.api.types.pandas_dtype(dtype)
    if hasattr(target, "__from_arrow__"):
        extended: pd.Series = pd.Series(target.__from_arrow__(column), dtype=target)
        return extended
    restored: pd.Series = column.to_pandas().astype(target)
    return restored
