"""Which columns merely tell the time, and therefore leave their range whenever the window of a query moves on.

A serial number rises along with the instants beside it; a month is a part of them. Neither is known by its name, which
an analyst chooses, but by comparing it with the date and timestamp columns of the same table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rasen.data.columns import ColumnType, schema_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_COMPARED = 20_000

# A column of two values that changes once reaches 0.87, one of three 0.94: a new code that came into use is no clock.
_CORRELATION = 0.95

# Not all, because a month of local time begins some hours from that of UTC, and a day differs for a fifth of the rows.
_EQUAL_SHARE = 0.7


def is_date_part(rows: pa.Table, name: str) -> bool:
    """Return whether a column is the year, month, week or day of a date or timestamp beside it.

    Args:
        rows: Some rows of a normalised table: those that are in question, so that others do not vouch for them.
        name: A column of numbers, or of text with ISO dates (`2013`, `2013-06`, `2013-06-30`).
    """
    import pandas as pd

    frame, times = _sample(rows, name)
    values = frame[name]
    for time in times:
        moment = frame[time]
        if moment.isna().all():
            continue
        if pd.api.types.is_numeric_dtype(values):
            week = moment.dt.isocalendar().week.astype("float64")
            parts = [moment.dt.year, moment.dt.month, week, moment.dt.day, moment.dt.day_of_year]
        else:
            day = moment.dt.strftime("%Y-%m-%d")
            parts = [day.str.slice(0, length) for length in (4, 7, 10)]
        if any(bool((values == part).mean() > _EQUAL_SHARE) for part in parts):
            return True
    return False


def direction_in_time(table: pa.Table, name: str) -> Literal[-1, 0, 1]:
    """Return 1 or -1 if a column rises or falls along with a date or timestamp beside it, as serial numbers do.

    Args:
        table: A normalised table.
        name: A column of numbers or text.
    """
    frame, times = _sample(table, name)
    ranks = frame.rank()
    for time in times:
        correlation = ranks[name].corr(ranks[time])
        if abs(correlation) > _CORRELATION:
            return 1 if correlation > 0 else -1
    return 0


def _sample(table: pa.Table, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return some rows where a column is not NULL, with those that say when."""
    import numpy as np

    times = [
        each
        for each, kind in schema_of(table).items()
        if kind in (ColumnType.DATE, ColumnType.TIMESTAMP) and each != name
    ]
    step = table.num_rows // _ROWS_COMPARED + 1
    some = table.select([name, *times]).take(np.arange(0, table.num_rows, step))
    return some.to_pandas(date_as_object=False).dropna(subset=[name]), times
