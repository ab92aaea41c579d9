"""UNNEST in FROM: lists of values, and the series of numbers, days and instants that fill gaps in a table.

Only lists known beforehand, so that a series is laid out here: from its start each time, because stepping on from
a shortened month would lose the day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.sql_operators import array_items
from rasen.data.sql_scope import Names, Source, column_value
from rasen.data.sql_values import DUCKDB_TYPES, Value, in_range, literal

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_queries import Queries

_MOST_ITEMS = 10_000_000
_MICROSECOND = timedelta(microseconds=1)
_STEPS = {
    "MICROSECOND": _MICROSECOND,
    "MILLISECOND": timedelta(milliseconds=1),
    "SECOND": timedelta(seconds=1),
    "MINUTE": timedelta(minutes=1),
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
}
_DAYS = {"DAY": 1, "WEEK": 7}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def unnest(queries: Queries, node: exp.Expr) -> tuple[str, Source]:
    """Translate `UNNEST(…) AS name` in FROM; return its text and its one column.

    Raises:
        QueryError: The list depends on a column, or is not on the allow-list.
    """
    translation = queries.translation
    if node.args.get("offset"):
        raise translation.error(node, "WITH OFFSET is not supported; use ROW_NUMBER() OVER (ORDER BY …)")
    translation.only(node, "expressions", "alias")
    alias = node.args.get("alias")
    names = [] if alias is None else [each.name for each in alias.args.get("columns") or []]
    if alias is None or len(names) != 1 or len(node.expressions) != 1:
        raise translation.error(node, "UNNEST in FROM takes one list and needs a name: UNNEST(…) AS day")
    translation.only(alias, "columns")
    (items,) = node.expressions
    match type(items).__name__:
        case "GenerateSeries":
            sql, kind = _numbers(queries, items)
        case "GenerateDateArray":
            sql, kind = _dates(queries, items)
        case "GenerateTimestampArray":
            sql, kind = _timestamps(queries, items)
        case _:
            translation.use("FROM UNNEST list")
            values = array_items(queries.expressions(Names()), node)
            if not values or values[0].type is None:
                raise translation.error(node, "UNNEST of an empty list has no type")
            kind = values[0].type
            sql = f"unnest(CAST([{', '.join(value.sql for value in values)}] AS {DUCKDB_TYPES[kind]}[]))"
            sql = f"SELECT {sql} AS item"
    sql_alias = translation.fresh("t")
    return f"({sql}) AS {sql_alias}", Source(
        alias=None, columns=[(names[0], column_value(sql_alias, "item", kind))]
    )


def _ends(queries: Queries, node: exp.Expr, kind: ColumnType, place: str) -> tuple[object, object]:
    rules = queries.expressions(Names())
    values = [rules.typed(node.args[end], kind, place) for end in ("start", "end")]
    if any(value.constant is None for value in values):
        raise queries.translation.error(node, f"{place} takes values written out, or parameters")
    return values[0].constant, values[1].constant


def _step(queries: Queries, node: exp.Expr, place: str) -> tuple[int, str]:
    step = node.args["step"]
    queries.translation.only(step, "this", "unit")
    text = step.this
    if type(text).__name__ == "Literal" and re.fullmatch("[0-9]{1,9}", str(text.this)):
        number = int(text.this)
    else:
        number = int(queries.expressions(Names()).constant(text, int, f"the step of {place}"))
    if number < 1:
        raise queries.translation.error(node, f"the step of {place} must be 1 or more, not {number}")
    return number, step.args["unit"].name.upper()


def _count(queries: Queries, node: exp.Expr, count: int, place: str) -> int:
    if count > _MOST_ITEMS:
        raise queries.translation.error(node, f"{place} would have {count} items; {_MOST_ITEMS} are possible")
    return max(count, 0)


def _numbers(queries: Queries, node: exp.Expr) -> tuple[str, ColumnType]:
    place = "GENERATE_ARRAY"
    queries.translation.only(node, "start", "end", "step")
    queries.translation.use(place)
    start, end = _ends(queries, node, ColumnType.INT64, place)
    assert isinstance(start, int)
    assert isinstance(end, int)
    step = node.args.get("step")
    number = (
        1 if step is None else int(queries.expressions(Names()).constant(step, int, f"the step of {place}"))
    )
    if number < 1:
        raise queries.translation.error(node, f"the step of {place} must be 1 or more, not {number}")
    count = _count(queries, node, (end - start) // number + 1, place)
    sql = f"SELECT {literal(start).sql} + range * {number} AS item FROM range({count})"  # noqa: S608 - numbers
    return sql, ColumnType.INT64


def _dates(queries: Queries, node: exp.Expr) -> tuple[str, ColumnType]:
    place = "GENERATE_DATE_ARRAY"
    queries.translation.only(node, "start", "end", "step")
    queries.translation.use(place)
    start, end = _ends(queries, node, ColumnType.DATE, place)
    assert isinstance(start, date)
    assert isinstance(end, date)
    number, part = _step(queries, node, place)
    if part in _DAYS:
        number *= _DAYS[part]
        count = (end - start).days // number + 1
        item = f"({literal(start).sql} + CAST(range * {number} AS INTEGER))"
    elif part in _MONTHS:
        number *= _MONTHS[part]
        count = ((end.year - start.year) * 12 + end.month - start.month) // number + 1
        item = f"CAST({literal(start).sql} + to_months(CAST(range * {number} AS INTEGER)) AS DATE)"
    else:
        raise queries.translation.error(node, f"{place} by {part} is not supported; possible are DAY to YEAR")
    count = _count(queries, node, count, place)
    sql = f"SELECT {item} AS item FROM range({count}) WHERE {item} <= {literal(end).sql}"  # noqa: S608 - dates, numbers
    return sql, ColumnType.DATE


def _timestamps(queries: Queries, node: exp.Expr) -> tuple[str, ColumnType]:
    place = "GENERATE_TIMESTAMP_ARRAY"
    queries.translation.only(node, "start", "end", "step")
    queries.translation.use(place)
    start, end = _ends(queries, node, ColumnType.TIMESTAMP, place)
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    number, part = _step(queries, node, place)
    if part not in _STEPS:
        raise queries.translation.error(
            node, f"{place} by {part} is not supported; possible are {', '.join(_STEPS)}"
        )
    step = _STEPS[part] * number
    count = _count(queries, node, (end - start) // step + 1, place)
    first = f"epoch_us({literal(start).sql})"
    item = Value(sql=f"make_timestamptz({first} + range * {step // _MICROSECOND})", type=ColumnType.TIMESTAMP)
    sql = f"SELECT {in_range(item).sql} AS item FROM range({count})"  # noqa: S608 - an instant and numbers
    return sql, ColumnType.TIMESTAMP
