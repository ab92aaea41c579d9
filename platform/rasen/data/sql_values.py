"""Typed pieces of DuckDB SQL, and BigQuery's rules for bringing them to one type.

Every piece is computed as if by BigQuery when it is consumed: arithmetic on floats may run through infinity in
DuckDB, so a piece remembers whether it is known to be finite and is checked before a comparison, a function or a
result could hide what BigQuery would have stopped at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone

from rasen.data.columns import ColumnType
from rasen.data.engine import quote_text

DUCKDB_TYPES = {
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.INT64: "BIGINT",
    ColumnType.FLOAT64: "DOUBLE",
    ColumnType.STRING: "VARCHAR",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMPTZ",
}

_PLACE = re.compile(r"\{([abc]|over)\}")
_NOT_FINITE = (
    "a calculation has no finite result: a division by zero, an overflow, or a root or logarithm out of range"
)
_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_INSTANT = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6}))?)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])(\d{1,2})(?::(\d{2}))?))?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A piece of DuckDB SQL with its type.

    Args:
        sql: The text, safe to put anywhere a value may stand.
        type: The type; `None` is a bare NULL, which becomes whatever its place needs.
        atom: Whether repeating the text costs nothing: a column, a literal, a parameter.
        constant: The Python value of a literal or parameter.
        finite: Whether a float is known to be a number.
        aggregate: Whether it holds an aggregate or a window function.
        column: The identity of a plain column, to tell whether two names mean the same.
    """

    sql: str
    type: ColumnType | None
    atom: bool = False
    constant: object = None
    finite: bool = True
    aggregate: bool = False
    column: str | None = None


NULL = Value(sql="NULL", type=None, atom=True)


def fill(template: str, arguments: Sequence[Value], *, over: str = "") -> str:
    """Return a template with its arguments, each of which is computed once however often it occurs."""
    names = [match for match in _PLACE.findall(template) if match != "over"]
    heavy = any(
        names.count(name) > 1 and not argument.atom for name, argument in zip("abc", arguments, strict=False)
    )
    if not heavy:
        texts = {name: argument.sql for name, argument in zip("abc", arguments, strict=False)}
        return _PLACE.sub(lambda match: over if match[1] == "over" else texts[match[1]], template)
    fields = ", ".join(f"'{name}': {argument.sql}" for name, argument in zip("abc", arguments, strict=False))
    body = _PLACE.sub(lambda match: f"v.{match[1]}", template)
    # The one-element list is DuckDB's only way to name a value inside an expression. The lambda closes over nothing.
    return f"list_transform([{{{fields}}}], lambda v: {body})[1]"


def checked(value: Value) -> Value:
    """Return the value with the check that it is a finite number, if that is not known."""
    if value.finite:
        return value
    message = quote_text(_NOT_FINITE)
    test = f"CASE WHEN isfinite({{a}}) THEN {{a}} WHEN {{a}} IS NULL THEN NULL ELSE error({message}) END"
    return replace(value, sql=fill(test, [value]), finite=True)


def in_range(value: Value) -> Value:
    """Return a computed date or timestamp with the check that it lies in the years 1 to 9999, as in BigQuery."""
    if value.type is ColumnType.DATE:
        low, high = "DATE '0001-01-01'", "DATE '9999-12-31'"
    else:
        low, high = "TIMESTAMPTZ '0001-01-01 00:00:00+00'", "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
    message = quote_text(f"a {value.type} lies outside the years 1 to 9999")
    test = f"CASE WHEN {{a}} BETWEEN {low} AND {high} THEN {{a}} WHEN {{a}} IS NULL THEN NULL ELSE error({message}) END"
    return replace(value, sql=fill(test, [value]))


def coerce(value: Value, target: ColumnType) -> Value | None:
    """Return the value as `target` if BigQuery converts it without being asked, else `None`.

    Raises:
        ValueError: A text that stands for a date or a time is none.
    """
    if value.type is target:
        return value
    if value.type is None:
        return replace(value, sql=f"CAST(NULL AS {DUCKDB_TYPES[target]})", type=target)
    if value.type is ColumnType.INT64 and target is ColumnType.FLOAT64:
        return replace(value, sql=f"CAST({value.sql} AS DOUBLE)", type=target, column=None)
    if value.type is ColumnType.STRING and isinstance(value.constant, str):
        if target is ColumnType.DATE:
            return literal(parse_date(value.constant))
        if target is ColumnType.TIMESTAMP:
            return literal(parse_timestamp(value.constant))
    return None


def common_type(values: Sequence[Value]) -> ColumnType | None:
    """Return the type that all values can be brought to, or `None` if there is none.

    Literal and parameter texts give way to dates and times; a list of nothing but NULL is INT64, as in BigQuery.
    """
    types = {value.type for value in values if value.type is not None}
    if not types:
        return ColumnType.INT64
    if types == {ColumnType.INT64, ColumnType.FLOAT64}:
        return ColumnType.FLOAT64
    firm = {value.type for value in values if value.type is not None and not isinstance(value.constant, str)}
    if len(types) == 2 and len(firm) == 1 and firm <= {ColumnType.DATE, ColumnType.TIMESTAMP}:
        return next(iter(firm))
    return next(iter(types)) if len(types) == 1 else None


def literal(constant: object) -> Value:
    """Return a Python value as a literal.

    Raises:
        ValueError: The value has none of the six types.
    """
    sql, kind = _spell(constant)
    return Value(sql=sql, type=kind, atom=True, constant=constant)


def _spell(constant: object) -> tuple[str, ColumnType]:
    match constant:
        case bool():
            return ("TRUE" if constant else "FALSE"), ColumnType.BOOL
        case int():
            if not -(2**63) <= constant < 2**63:
                raise ValueError(f"{constant} is beyond the range of INT64")
            return f"CAST('{constant}' AS BIGINT)", ColumnType.INT64
        case float():
            if not abs(constant) < float("inf"):
                raise ValueError(f"{constant} is not a finite number")
            return f"CAST('{constant!r}' AS DOUBLE)", ColumnType.FLOAT64
        case str():
            return quote_text(constant), ColumnType.STRING
        case datetime():
            instant = constant.astimezone(UTC).isoformat(sep=" ", timespec="microseconds")
            return f"TIMESTAMPTZ '{instant}'", ColumnType.TIMESTAMP
        case date():
            return f"DATE '{constant.isoformat()}'", ColumnType.DATE
    raise ValueError(f"{constant!r} is no value of SQL")


def parse_date(text: str) -> date:
    """Return the date that BigQuery reads in `text`.

    Raises:
        ValueError: It is none.
    """
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date like '2013-01-31'")
    try:
        return date(*map(int, match.groups()))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: {error}") from error


def parse_timestamp(text: str) -> datetime:
    """Return the instant that BigQuery reads in `text`; without a zone it is UTC.

    Raises:
        ValueError: It is none, or its zone is a name other than UTC.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a timestamp like '2013-01-31 10:00:00+00'")
    year, month, day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = match.groups()
    offset = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        clock = (int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "").ljust(6, "0")))
        return datetime(int(year), int(month), int(day), *clock, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a timestamp: {error}") from error
