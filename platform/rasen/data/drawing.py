"""Drawing some rows of many, the same ones each time: what the interface test does to every read.

A plain LIMIT of rows that are sorted by time gives one day only, and a draw by chance another one with every run.
So the rows are sorted by all their columns, from left to right, and cut into as many equal parts as rows are
wanted; one row of each part is taken, by a fixed sequence. Every day, or every category, of the first column keeps its
share, and the draw depends on the rows alone, not on the order in which an engine's threads deliver them. What is
drawn comes in the query's own order.

Inside a part, the place is that of a golden-ratio sequence: were it always the first, three airports an hour cut into
parts of three would all be the same airport.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rasen.data.engine import quote_name

if TYPE_CHECKING:
    import pandas as pd

_STEP = 2_654_435_769  # 2³² divided by the golden ratio
_TURN = 2**32


def draw_sql(sql: str, columns: Sequence[str], rows: int) -> str:
    """Return a query of DuckDB that gives at most `rows` of the rows of another one, in its order.

    Args:
        sql: The other query, with the columns `columns`.
        columns: Their names; those that begin with `_rasen_` must not be among them.
        rows: How many rows are wanted, at least one.
    """
    names = ", ".join(map(quote_name, columns))
    first = "(part * total) // wanted"
    size = f"(((part + 1) * total) // wanted - {first})"
    taken = f"{first} + ((part * {_STEP}) % {_TURN}) * {size} // {_TURN}"
    # HUGEINT: a part's number times the step leaves 64 bits.
    return f"""
    WITH _rasen_asked AS (SELECT *, row_number() OVER () AS _rasen_place FROM ({sql})),
    _rasen_sorted AS (
      SELECT *,
        row_number() OVER (ORDER BY {names}, _rasen_place) - 1 AS _rasen_number,
        count(*) OVER () AS _rasen_total
      FROM _rasen_asked
    ),
    _rasen_taken AS (
      SELECT {taken} AS _rasen_number
      FROM (SELECT range::HUGEINT AS part, {int(rows)}::HUGEINT AS wanted FROM range({int(rows)}))
      CROSS JOIN (SELECT max(_rasen_total)::HUGEINT AS total FROM _rasen_sorted)
    )
    SELECT {names} FROM _rasen_sorted
    WHERE _rasen_total <= {int(rows)} OR _rasen_number IN (SELECT _rasen_number FROM _rasen_taken)
    ORDER BY _rasen_place
    """  # noqa: S608  # the other query has been through the allow-list, names are quoted


def draw_places(total: int, rows: int) -> list[int]:
    """Return which of `total` sorted rows are drawn: `rows` of them, or all when there are no more."""
    if total <= rows:
        return list(range(total))
    places = []
    for part in range(rows):
        first, end = part * total // rows, (part + 1) * total // rows
        places.append(first + (part * _STEP % _TURN) * (end - first) // _TURN)
    return places


def draw_rows(frame: pd.DataFrame, rows: int | None) -> pd.DataFrame:
    """Return at most `rows` of a file's rows, in their order; the file's own order takes the place of sorting."""
    if rows is None or len(frame) <= rows:
        return frame
    return frame.iloc[draw_places(len(frame), rows)].reset_index(drop=True)
