"""The types a parameter may have, and the strict conversion of values to them.

Types are read from annotations as text and never evaluated. Values stay what JSON can hold (dates are ISO texts),
because papermill writes them as literals into a cell and the store keeps them in records. Conversion is strict: `True`
is no `int`, `"7"` is no number; only what was typed after `-p`, which has no type of its own, is read by the
annotation.
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias, assert_never

from typing_extensions import TypeAliasType

from rasen.scheduled_time import FORMS, is_scheduled, resolve_scheduled

# Named, because pydantic cannot follow a recursive alias that has no name.
JsonValue = TypeAliasType("JsonValue", "bool | int | float | str | list[JsonValue] | None")

SUPPORTED = (
    "int, float, bool, str, date, datetime, Literal[...], list[...] of these, and any of them `| None`"
)
# Python refuses to write an int of more than 4,300 digits, so papermill could not; 14,000 bits are 4,215 digits.
_INT_MAX_BITS = 14_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Kind(StrEnum):
    """The scalar types."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    DATE = "date"
    DATETIME = "datetime"


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One scalar."""

    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values: `Literal[...]`."""

    values: tuple[bool | int | str, ...]


@dataclass(frozen=True, kw_only=True)
class ListOf:
    """A list whose items have one type."""

    item: ParameterType


@dataclass(frozen=True, kw_only=True)
class Nullable:
    """A type, or `None`."""

    inner: Scalar | Choice | ListOf


ParameterType: TypeAlias = Scalar | Choice | ListOf | Nullable


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What `@scheduled` stands for in a run."""

    scheduled_at: datetime
    timezone: tzinfo


@lru_cache(maxsize=1024)
def parse_annotation(text: str) -> ParameterType:
    """Return the type that an annotation names.

    Raises:
        ValueError: It is none of `SUPPORTED`; the message is for the person who wrote it.
    """
    try:
        return _parse_node(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"annotation {text[:80]!r} is not a type; supported are {SUPPORTED}") from None


def describe(kind: ParameterType) -> str:
    """Return a type in the words of a message."""
    match kind:
        case Scalar(kind=Kind.DATE):
            return "a date such as '2013-06-01'"
        case Scalar(kind=Kind.DATETIME):
            return "a datetime such as '2013-06-01T04:10:00+09:00'"
        case Scalar():
            return {"int": "an int", "float": "a float", "bool": "a bool (true or false)", "str": "a text"}[
                kind.kind.value
            ]
        case Choice():
            return f"one of {', '.join(map(repr, kind.values))}"
        case ListOf():
            return f"a list, each item {describe(kind.item)}"
        case Nullable():
            return f"{describe(kind.inner)}, or null"
        case _:
            assert_never(kind)


def convert_value(kind: ParameterType, value: object, *, clock: Clock | None = None) -> JsonValue:
    """Return `value` as a JSON value of the type `kind`.

    Args:
        kind: The type wanted.
        value: What came from Python, YAML or JSON, with a type of its own; dates may be `date` objects or texts.
        clock: What `@scheduled` stands for; `None` where there is no run, so that it is refused.

    Raises:
        ValueError: It does not fit; the message is for the person who gave it.
    """
    match kind:
        case Scalar():
            if is_scheduled(value):
                return _scheduled(kind.kind, str(value), clock)
            return _scalar(kind, value)
        case Choice():
            for choice in kind.values:
                if type(choice) is type(value) and choice == value:
                    return choice
            raise _misfit(kind, value)
        case ListOf():
            if not isinstance(value, list | tuple):
                raise _misfit(kind, value)
            return [_item(kind.item, item, index, clock) for index, item in enumerate(value)]
        case Nullable():
            return None if value is None else convert_value(kind.inner, value, clock=clock)
        case _:
            assert_never(kind)


def convert_text(kind: ParameterType, text: str, *, clock: Clock | None = None) -> JsonValue:
    """Return what somebody typed after `-p name=` as a JSON value of the type `kind`.

    Raises:
        ValueError: It does not fit; the message is for the person who typed it.
    """
    match kind:
        case Nullable():
            return None if text == "null" else convert_text(kind.inner, text, clock=clock)
        case ListOf():
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError(
                    f'{_shown(text)} is not {describe(kind)}; write it as JSON in quotes, such as \'["JFK", "LGA"]\''
                ) from None
            return convert_value(kind, value, clock=clock)
        case Choice():
            written = {_as_text(choice): choice for choice in kind.values}
            if text in written:
                return written[text]
            raise _misfit(kind, text)
        case Scalar():
            return convert_value(kind, _typed(kind.kind, text), clock=clock)
        case _:
            assert_never(kind)


def _parse_node(node: ast.expr) -> ParameterType:
    match node:
        case ast.Constant(value=str(text)):
            return parse_annotation(text)
        case ast.BinOp(op=ast.BitOr()):
            return _union(_alternatives(node))
        case ast.Subscript():
            inner = node.slice
            items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
            match _last_name(node.value):
                case "list" | "List" if len(items) == 1:
                    return ListOf(item=_parse_node(items[0]))
                case "Optional" if len(items) == 1:
                    return _union([items[0], ast.Constant(value=None)])
                case "Union":
                    return _union(items)
                case "Literal":
                    return _choice(items, node)
        case ast.Name() | ast.Attribute():
            name = _last_name(node)
            if name in set(Kind):
                return Scalar(kind=Kind(name))
    raise ValueError(f"annotation `{ast.unparse(node)[:80]}` is not supported; supported are {SUPPORTED}")


def _last_name(node: ast.expr) -> str:
    """`Literal`, `typing.Literal` and `t.Literal` are one: the last name decides, imports are not followed."""
    match node:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name
        case _:
            return ""


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    return [node]


def _union(members: list[ast.expr]) -> ParameterType:
    others = [member for member in members if not (isinstance(member, ast.Constant) and member.value is None)]
    if len(others) != 1:
        raise ValueError(
            f"annotation `{' | '.join(ast.unparse(member) for member in members)[:80]}` mixes types; supported are "
            f"{SUPPORTED}"
        )
    inner = _parse_node(others[0])
    return inner if len(members) == 1 or isinstance(inner, Nullable) else Nullable(inner=inner)


def _choice(items: list[ast.expr], node: ast.expr) -> ParameterType:
    values: list[bool | int | str] = []
    nullable = False
    for item in items:
        try:
            value = ast.literal_eval(item)
        except ValueError:
            value = ...
        if value is None:
            nullable = True
        elif isinstance(value, bool | int | str):
            values.append(value)
        else:
            raise ValueError(f"annotation `{ast.unparse(node)[:80]}`: choices are texts, ints or bools")
    if not values:
        raise ValueError(f"annotation `{ast.unparse(node)[:80]}` leaves no choice")
    choice = Choice(values=tuple(values))
    return Nullable(inner=choice) if nullable else choice


def _scalar(wanted: Scalar, value: object) -> JsonValue:
    match wanted.kind:
        case Kind.INT:
            if isinstance(value, int) and not isinstance(value, bool):
                if value.bit_length() > _INT_MAX_BITS:
                    raise ValueError("an int of more than 4,200 digits cannot be written into a cell")
                return int(value)
        case Kind.FLOAT:
            return _float(wanted, value)
        case Kind.BOOL:
            if isinstance(value, bool):
                return value
        case Kind.STR:
            if isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise ValueError(f"{_shown(value)} holds half a character (a lone surrogate)") from None
                return str.__str__(value)
        case Kind.DATE:
            return _date(wanted, value)
        case Kind.DATETIME:
            return _datetime(wanted, value)
        case _:
            assert_never(wanted.kind)
    raise _misfit(wanted, value)


def _float(wanted: Scalar, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _misfit(wanted, value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("the number is too large for a float") from None
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is not a number that JSON or a threshold can hold; give a finite one")
    if number != value:
        raise ValueError(f"{_shown(value)} is not exactly a float; the nearest is {number!r}")
    return number


def _date(wanted: Scalar, value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError(f"{value!r} is not in the calendar") from None
    raise _misfit(wanted, value)


def _datetime(wanted: Scalar, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise _misfit(wanted, value)


def _scheduled(kind: Kind, expression: str, clock: Clock | None) -> JsonValue:
    if clock is None:
        raise ValueError(
            f"{expression[:60]!r} means the instant of a run's trigger, and here is no run; give a value"
        )
    instant = resolve_scheduled(expression, scheduled_at=clock.scheduled_at, timezone=clock.timezone)
    match kind:
        case Kind.DATE:
            return instant.date().isoformat()
        case Kind.DATETIME | Kind.STR:
            return instant.isoformat()
        case Kind.INT | Kind.FLOAT | Kind.BOOL:
            raise ValueError(f"{expression!r} is a time and cannot become {describe(Scalar(kind=kind))}")
        case _:
            assert_never(kind)


def _item(kind: ParameterType, item: object, index: int, clock: Clock | None) -> JsonValue:
    try:
        return convert_value(kind, item, clock=clock)
    except ValueError as error:
        raise ValueError(f"item {index}: {error}") from None


def _typed(kind: Kind, text: str) -> object:
    """Read a text by the scalar type that is wanted; a text that does not read so is returned as it is."""
    try:
        match kind:
            case Kind.INT:
                return int(text) if _INT.fullmatch(text) else text
            case Kind.FLOAT:
                return float(text) if _FLOAT.fullmatch(text) else text
            case Kind.BOOL:
                return {"true": True, "false": False}.get(text.lower(), text)
            case Kind.STR | Kind.DATE | Kind.DATETIME:
                return text
            case _:
                assert_never(kind)
    except ValueError:  # more digits than Python converts
        return text


def _as_text(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _misfit(wanted: ParameterType, value: object) -> ValueError:
    match wanted:
        case Choice():
            return ValueError(f"{_shown(value)} is not {describe(wanted)}")
        case Scalar(kind=Kind.DATE | Kind.DATETIME) if isinstance(value, str):
            hint = f", nor {FORMS}" if value.startswith("@") else ""
            return ValueError(f"{_shown(value)} is not {describe(wanted)}{hint}")
        case _:
            return ValueError(f"{_shown(value)} is a {type(value).__name__}, it must be {describe(wanted)}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more than 4,300 digits somewhere inside
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
