"""What is remembered of a table that a run read, so that the next run can tell whether its data are still the same.

The statistics are small, because they stay in the run's record for ever, and hold counts rather than a sample, because
`rasen.data.anomalies` must tell a rare value that was bound to turn up from one that never belonged there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, assert_never

from pydantic import ValidationError

from rasen.data.columns import ColumnType, schema_of, table_from_frame
from rasen.errors import InvalidInput
from rasen.tracking.records import Part

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

MOST_CATEGORIES = 50
"""A column of text with more distinct values is free text or an identifier, and none of them is remembered."""

_LONGEST_CATEGORY = 200
_QUANTILES = {"p01": 0.01, "p50": 0.5, "p99": 0.99}

# Of the newest values: how many that follow one another evenly make a calendar, and how many rows may go otherwise.
# That none of as many other rows of the same origin is as new as the newest twenty has a probability of 2 ** -20.
_CALENDAR_VALUES = 20
_DISPENSABLE_ROWS = 20


class ColumnStatistics(Part):
    """What is remembered of one column.

    Attributes:
        type: The column's type.
        nulls: How many rows are NULL; NaN is NULL.
        min: Smallest number; of columns of numbers only, as are `max` and `quantiles`.
        max: Largest number.
        mean: Mean of the numbers; of a bool the share of true.
        quantiles: `p01`, `p50` and `p99`, between two values interpolated.
        categories: Distinct texts with their number of rows, if there are at most `MOST_CATEGORIES`.
        oldest: First date or instant, as ISO text; of dates and timestamps only, as are the next three.
        newest: Last date or instant.
        stale_before: If the newest value of a later run lies before this, the newest rows have vanished. It is `newest`
            where the latest values follow one another evenly, each in as many rows (days, hours of a calendar).
            Elsewhere, as with dates of birth, twenty rows lie at or after it: the single latest row comes and goes.
        moved_after: If the oldest value of a later run lies after this, its window began later; found likewise.
    """

    type: ColumnType
    nulls: int
    min: int | float | None = None
    max: int | float | None = None
    mean: float | None = None
    quantiles: dict[Literal["p01", "p50", "p99"], float] | None = None
    categories: dict[str, int] | None = None
    oldest: str | None = None
    newest: str | None = None
    stale_before: str | None = None
    moved_after: str | None = None


class TableStatistics(Part):
    """What is remembered of one table."""

    format: Literal[1] = 1
    rows: int
    columns: dict[str, ColumnStatistics]

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the JSON that a run's record keeps; what a column of its type does not have is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # Any: JSON, checked here
        """Read what `to_dict` wrote.

        Raises:
            InvalidInput: It is of another format, or no statistics of a table.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(element) for element in first["loc"])
            raise InvalidInput(
                f"these are no statistics of a table that this version of Rasen reads: {place}: {first['msg']}, "
                f"not {first['input']!r:.80}"
            ) from None


def describe(frame: pd.DataFrame) -> TableStatistics:
    """Return the statistics of a table.

    Args:
        frame: Columns of the six types, in any pandas dtype.

    Raises:
        InvalidInput: A column has none of the six types, or its name is no text or occurs twice.
    """
    table = table_from_frame(frame, origin="table")
    return TableStatistics(
        rows=table.num_rows,
        columns={
            name: _describe_column(table.column(name), column_type)
            for name, column_type in schema_of(table).items()
        },
    )


def _describe_column(column: pa.ChunkedArray, column_type: ColumnType) -> ColumnStatistics:
    import pyarrow as pa
    import pyarrow.compute as pc

    nulls: int = column.null_count
    known = column.drop_null()
    if not len(known):
        return ColumnStatistics(
            type=column_type, nulls=nulls, categories={} if column_type is ColumnType.STRING else None
        )
    match column_type:
        case ColumnType.BOOL:
            return ColumnStatistics(type=column_type, nulls=nulls, mean=pc.mean(known).as_py())
        case ColumnType.INT64 | ColumnType.FLOAT64:
            ends = pc.min_max(known)
            quantiles = pc.quantile(known, q=list(_QUANTILES.values())).to_pylist()
            finite = all(math.isfinite(value) for value in quantiles)
            mean = pc.mean(known.cast(pa.float64(), safe=False)).as_py()
            return ColumnStatistics(
                type=column_type,
                nulls=nulls,
                min=ends["min"].as_py(),
                max=ends["max"].as_py(),
                # Numbers near the end of the float range add up to infinity, which JSON does not have.
                mean=mean if math.isfinite(mean) else None,
                quantiles=dict(zip(_QUANTILES, quantiles, strict=True)) if finite else None,
            )
        case ColumnType.STRING:
            return ColumnStatistics(type=column_type, nulls=nulls, categories=_count_categories(known))
        case ColumnType.DATE | ColumnType.TIMESTAMP:
            ends = pc.min_max(known)
            whole = pa.int32() if column_type is ColumnType.DATE else pa.int64()
            instants = known.cast(whole).to_numpy()
            settled = pa.array([_settled(instants), -_settled(-instants)], whole).cast(known.type).to_pylist()
            return ColumnStatistics(
                type=column_type,
                nulls=nulls,
                oldest=ends["min"].as_py().isoformat(),
                newest=ends["max"].as_py().isoformat(),
                stale_before=settled[0].isoformat(),
                moved_after=settled[1].isoformat(),
            )
        case _:
            assert_never(column_type)


def _count_categories(known: pa.ChunkedArray) -> dict[str, int] | None:
    import pyarrow.compute as pc

    if pc.count_distinct(known).as_py() > MOST_CATEGORIES:
        return None
    counts = {count["values"]: count["counts"] for count in known.value_counts().to_pylist()}
    if max(map(len, counts)) > _LONGEST_CATEGORY:
        return None
    return dict(sorted(counts.items()))


def _settled(instants: np.ndarray[Any, np.dtype[np.signedinteger]]) -> int:  # Any: of any shape
    """Return the value that the newest of a later run reaches; see `stale_before` of `ColumnStatistics`."""
    import numpy as np

    values, counts = np.unique(instants, return_counts=True)
    latest, often = values[-_CALENDAR_VALUES:], counts[-_CALENDAR_VALUES:]
    if len(latest) == _CALENDAR_VALUES and len(np.unique(np.diff(latest))) == 1 == len(np.unique(often)):
        return int(latest[-1])
    place = max(len(instants) - _DISPENSABLE_ROWS, 0)
    return int(np.partition(instants, place)[place])
