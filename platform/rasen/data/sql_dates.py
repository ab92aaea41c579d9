"""Dates and times: the functions whose meaning hangs on a part (DAY, WEEK(MONDAY), HOUR).

BigQuery's DATE functions keep DATE where DuckDB's answer timestamps, its weeks begin on Sunday unless it says
otherwise, DATE_DIFF counts boundaries and TIMESTAMP_DIFF whole units. A time zone is a name of the IANA database,
written out or as a parameter; without one everything is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.engine import quote_text
from rasen.data.sql_values import Value, fill, in_range

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_expressions import Expressions

_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_DAYS = {"DAY": 1, "WEEK": 7}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_DATE_PARTS = {
    "YEAR": "year({a})",
    "ISOYEAR": "isoyear({a})",
    "QUARTER": "quarter({a})",
    "MONTH": "month({a})",
    "ISOWEEK": "weekofyear({a})",
    "DAY": "day({a})",
    "DAYOFYEAR": "dayofyear({a})",
    "DAYOFWEEK": "(dayofweek({a}) + 1)",
}
_TIME_PARTS = {
    "HOUR": "hour({a})",
    "MINUTE": "minute({a})",
    "SECOND": "(second({a}))",
    "MILLISECOND": "(millisecond({a}) % 1000)",
    "MICROSECOND": "(microsecond({a}) % 1000000)",
}
_ZONE = re.compile(r"UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}")
# The same letters in both engines, in English; years before 1000 are padded differently and refused below.
_FORMAT = re.compile(r"(?:[^%]|%[YmdyjBbAaF%])*")


def _part(expressions: Expressions, node: exp.Expr, unit: exp.Expr | None, place: str) -> tuple[str, int]:
    """Return a part's name and, for a week, the weekday that it begins on (0 is Sunday)."""
    if unit is None:
        raise expressions.translation.error(node, f"{place} needs a part, such as DAY")
    if type(unit).__name__ == "WeekStart":
        day = unit.name.upper()
        if day not in _WEEKDAYS:
            raise expressions.translation.error(node, f"{place}: {day} is no weekday")
        return "WEEK", _WEEKDAYS.index(day)
    name = unit.name.upper()
    return ("WEEK", 1) if name == "ISOWEEK" and place != "EXTRACT" else (name, 0)


def _unknown(expressions: Expressions, node: exp.Expr, place: str, part: str, parts: list[str]) -> Exception:
    return expressions.translation.error(
        node, f"{place} with {part} is not supported; possible are {', '.join(parts)}"
    )


def _zone(expressions: Expressions, node: exp.Expr) -> str:
    zone = str(expressions.constant(node, str, "a time zone"))
    if not _ZONE.fullmatch(zone):
        raise expressions.translation.error(
            node, f"{zone!r} is not supported as a time zone; use a name such as 'America/New_York', or 'UTC'"
        )
    return zone


def _local(expressions: Expressions, value: Value, zone: exp.Expr) -> Value:
    """Return the local time of an instant in a zone, as a timestamp without a zone."""
    sql = f"timezone({quote_text(_zone(expressions, zone))}, {value.sql})"
    return Value(sql=sql, type=ColumnType.TIMESTAMP, aggregate=value.aggregate)


def _week_start(first_weekday: int) -> str:
    return f"({{a}} - CAST((dayofweek({{a}}) - {first_weekday} + 7) % 7 AS INTEGER))"


def _date(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "zone")
    value = expressions.value(node.this)
    if value.type is not ColumnType.TIMESTAMP:
        raise expressions.translation.error(
            node, f"DATE({value.type}) is not supported; possible are DATE(timestamp), DATE(timestamp, zone), "
            "DATE(year, month, day), DATE '2013-01-31' and CAST(text AS DATE)"
        )  # fmt: skip
    zone = node.args.get("zone")
    expressions.translation.use("DATE(timestamp)" if zone is None else "DATE(timestamp, zone)")
    local = value if zone is None else _local(expressions, value, zone)
    return Value(sql=f"CAST({local.sql} AS DATE)", type=ColumnType.DATE, aggregate=value.aggregate)


def _timestamp(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "with_tz")
    if type(node.this).__name__ == "Literal" and node.this.is_string:
        expressions.translation.use("literal timestamp")
        return expressions.typed(node.this, ColumnType.TIMESTAMP, "TIMESTAMP")
    value = expressions.value(node.this)
    if value.type is not ColumnType.DATE:
        raise expressions.translation.error(
            node, f"TIMESTAMP({value.type}) is not supported; possible are TIMESTAMP(date), "
            "TIMESTAMP '2013-01-31 10:00:00' and CAST(text AS TIMESTAMP)"
        )  # fmt: skip
    expressions.translation.use("TIMESTAMP(date)")
    return Value(
        sql=f"CAST({value.sql} AS TIMESTAMPTZ)", type=ColumnType.TIMESTAMP, aggregate=value.aggregate
    )


def _amount(expressions: Expressions, node: exp.Expr, place: str) -> Value:
    # The parser turns the number of an INTERVAL into a text.
    if type(node).__name__ == "Literal" and node.is_string and re.fullmatch("-?[0-9]{1,12}", node.name):
        return Value(sql=f"CAST({node.name} AS BIGINT)", type=ColumnType.INT64, atom=True)
    return expressions.typed(node, ColumnType.INT64, f"the INTERVAL of {place}")


def _shift_date(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "expression", "unit")
    place = "DATE_ADD" if type(node).__name__ == "DateAdd" else "DATE_SUB"
    expressions.translation.use("DATE_ADD DATE_SUB")
    value = expressions.typed(node.this, ColumnType.DATE, place)
    amount = _amount(expressions, node.expression, place)
    part, _ = _part(expressions, node, node.args.get("unit"), place)
    sign = "+" if place == "DATE_ADD" else "-"
    if part in _DAYS:
        sql = f"({value.sql} {sign} CAST({amount.sql} * {_DAYS[part]} AS INTEGER))"
    elif part in _MONTHS:
        sql = f"CAST({value.sql} {sign} to_months(CAST({amount.sql} * {_MONTHS[part]} AS INTEGER)) AS DATE)"
    else:
        raise _unknown(expressions, node, place, part, [*_DAYS, *_MONTHS])
    return in_range(Value(sql=sql, type=ColumnType.DATE, aggregate=value.aggregate or amount.aggregate))


def _shift_timestamp(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "expression", "unit")
    place = "TIMESTAMP_ADD" if type(node).__name__ == "TimestampAdd" else "TIMESTAMP_SUB"
    expressions.translation.use("TIMESTAMP_ADD TIMESTAMP_SUB")
    value = expressions.typed(node.this, ColumnType.TIMESTAMP, place)
    amount = _amount(expressions, node.expression, place)
    part, _ = _part(expressions, node, node.args.get("unit"), place)
    if part not in _MICROSECONDS:
        raise _unknown(expressions, node, place, part, list(_MICROSECONDS))
    sign = "+" if place == "TIMESTAMP_ADD" else "-"
    sql = f"({value.sql} {sign} to_microseconds({amount.sql} * CAST({_MICROSECONDS[part]} AS BIGINT)))"
    return in_range(Value(sql=sql, type=ColumnType.TIMESTAMP, aggregate=value.aggregate or amount.aggregate))


def _date_difference(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "expression", "unit", "date_part_boundary")
    expressions.translation.use("DATE_DIFF")
    values = [expressions.typed(each, ColumnType.DATE, "DATE_DIFF") for each in (node.this, node.expression)]
    part, first_weekday = _part(expressions, node, node.args.get("unit"), "DATE_DIFF")
    match part:
        case "DAY":
            template = "({a} - {b})"
        case "WEEK":
            start = _week_start(first_weekday)
            template = f"(({start} - {start.replace('{a}', '{b}')}) // 7)"
        case "MONTH":
            template = "((year({a}) - year({b})) * 12 + (month({a}) - month({b})))"
        case "QUARTER":
            template = "((year({a}) - year({b})) * 4 + (quarter({a}) - quarter({b})))"
        case "YEAR":
            template = "(year({a}) - year({b}))"
        case _:
            parts = ["DAY", "WEEK", "WEEK(MONDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR"]
            raise _unknown(expressions, node, "DATE_DIFF", part, parts)
    sql = f"CAST({fill(template, values)} AS BIGINT)"
    return Value(sql=sql, type=ColumnType.INT64, aggregate=any(value.aggregate for value in values))


def _timestamp_difference(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "expression", "unit")
    expressions.translation.use("TIMESTAMP_DIFF")
    values = [
        expressions.typed(each, ColumnType.TIMESTAMP, "TIMESTAMP_DIFF")
        for each in (node.this, node.expression)
    ]
    part, _ = _part(expressions, node, node.args.get("unit"), "TIMESTAMP_DIFF")
    if part not in _MICROSECONDS:
        raise _unknown(expressions, node, "TIMESTAMP_DIFF", part, list(_MICROSECONDS))
    sql = fill(f"((epoch_us({{a}}) - epoch_us({{b}})) // {_MICROSECONDS[part]})", values)
    return Value(sql=sql, type=ColumnType.INT64, aggregate=any(value.aggregate for value in values))


def _truncate_date(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "unit")
    expressions.translation.use("DATE_TRUNC")
    value = expressions.typed(node.this, ColumnType.DATE, "DATE_TRUNC")
    part, first_weekday = _part(expressions, node, node.args.get("unit"), "DATE_TRUNC")
    match part:
        case "DAY":
            template = "{a}"
        case "WEEK":
            template = _week_start(first_weekday)
        case "MONTH" | "QUARTER" | "YEAR":
            template = f"CAST(date_trunc('{part.lower()}', {{a}}) AS DATE)"
        case _:
            parts = ["DAY", "WEEK", "WEEK(MONDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR"]
            raise _unknown(expressions, node, "DATE_TRUNC", part, parts)
    return in_range(Value(sql=fill(template, [value]), type=ColumnType.DATE, aggregate=value.aggregate))


def _truncate_timestamp(expressions: Expressions, node: exp.Expr) -> Value:
    if node.args.get("zone") is not None:
        raise expressions.translation.error(
            node, "TIMESTAMP_TRUNC with a time zone is not supported; use DATE(timestamp, zone)"
        )
    expressions.translation.only(node, "this", "unit")
    expressions.translation.use("TIMESTAMP_TRUNC")
    value = expressions.typed(node.this, ColumnType.TIMESTAMP, "TIMESTAMP_TRUNC")
    part, first_weekday = _part(expressions, node, node.args.get("unit"), "TIMESTAMP_TRUNC")
    match part:
        case "MICROSECOND":
            template = "{a}"
        case "MILLISECOND" | "SECOND" | "MINUTE" | "HOUR" | "DAY" | "MONTH" | "QUARTER" | "YEAR":
            template = f"date_trunc('{part.lower()}', {{a}})"
        case "WEEK":
            start = _week_start(first_weekday).replace("{a}", "CAST({a} AS DATE)")
            template = f"CAST({start} AS TIMESTAMPTZ)"
        case _:
            parts = [*_MICROSECONDS, "WEEK", "WEEK(MONDAY)", "ISOWEEK", "MONTH", "QUARTER", "YEAR"]
            raise _unknown(expressions, node, "TIMESTAMP_TRUNC", part, parts)
    return in_range(Value(sql=fill(template, [value]), type=ColumnType.TIMESTAMP, aggregate=value.aggregate))


def _extract(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "expression")
    source, zone = node.expression, None
    if type(source).__name__ == "AtTimeZone":
        expressions.translation.only(source, "this", "zone")
        source, zone = source.this, source.args["zone"]
    value = expressions.value(source)
    part, first_weekday = _part(expressions, node, node.this, "EXTRACT")
    # Week 0 is what lies before the first such weekday of the year.
    week = f"((dayofyear({{a}}) + 6 - (dayofweek({{a}}) - {first_weekday} + 7) % 7) // 7)"
    parts = {**_DATE_PARTS, "WEEK": week}
    if value.type is ColumnType.TIMESTAMP:
        parts.update(_TIME_PARTS, DATE="CAST({a} AS DATE)")
    elif value.type is not ColumnType.DATE or zone is not None:
        raise expressions.translation.error(node, f"EXTRACT takes a date or a timestamp, not {value.type}")
    if part not in parts:
        raise _unknown(expressions, node, f"EXTRACT from {value.type}", part, list(parts))
    expressions.translation.use(f"EXTRACT({value.type})" if zone is None else "EXTRACT AT TIME ZONE")
    sql = fill(parts[part], [value if zone is None else _local(expressions, value, zone)])
    if part == "DATE":
        return Value(sql=sql, type=ColumnType.DATE, aggregate=value.aggregate)
    return Value(sql=f"CAST({sql} AS BIGINT)", type=ColumnType.INT64, aggregate=value.aggregate)


def _last_day(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "unit")
    unit = node.args.get("unit")
    if unit is not None and _part(expressions, node, unit, "LAST_DAY")[0] != "MONTH":
        raise _unknown(expressions, node, "LAST_DAY", unit.name, ["MONTH"])
    expressions.translation.use("LAST_DAY")
    value = expressions.typed(node.this, ColumnType.DATE, "LAST_DAY")
    return Value(sql=f"last_day({value.sql})", type=ColumnType.DATE, aggregate=value.aggregate)


def _format_date(expressions: Expressions, node: exp.Expr) -> Value:
    expressions.translation.only(node, "this", "format")
    name = str(node.meta.get("bigquery_name", "")).upper()
    if name != "FORMAT_DATE" or type(node.this).__name__ != "TsOrDsToDate":
        raise expressions.refused(node)
    expressions.translation.only(node.this, "this")
    expressions.translation.use("FORMAT_DATE")
    value = expressions.typed(node.this.this, ColumnType.DATE, "FORMAT_DATE")
    text = str(expressions.constant(node.args["format"], str, "the format of FORMAT_DATE"))
    if not _FORMAT.fullmatch(text):
        raise expressions.translation.error(
            node, f"FORMAT_DATE with {text!r} is not supported; possible are %Y %m %d %F %y %j %B %b %A %a"
        )
    template = (
        "CASE WHEN year({a}) < 1000 THEN error('FORMAT_DATE before the year 1000 is not verified') "
        "ELSE strftime({a}, {b}) END"
    )
    argument = Value(sql=quote_text(text.replace("%F", "%Y-%m-%d")), type=ColumnType.STRING, atom=True)
    return Value(sql=fill(template, [value, argument]), type=ColumnType.STRING, aggregate=value.aggregate)


RULES: dict[str, Callable[[Expressions, exp.Expr], Value]] = {
    "Date": _date,
    "Timestamp": _timestamp,
    "DateAdd": _shift_date,
    "DateSub": _shift_date,
    "TimestampAdd": _shift_timestamp,
    "TimestampSub": _shift_timestamp,
    "DateDiff": _date_difference,
    "TimestampDiff": _timestamp_difference,
    "DateTrunc": _truncate_date,
    "TimestampTrunc": _truncate_timestamp,
    "Extract": _extract,
    "LastDay": _last_day,
    "TimeToStr": _format_date,
}
"""The rule of each node."""
