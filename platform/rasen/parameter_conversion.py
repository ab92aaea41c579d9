"""The strict conversion of a parameter's values to its type.

`True` is no `int`, `"7"` is no number; only what was typed after `-p`, which has no type of its own, is read by the
annotation.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import assert_never

from rasen.parameter_types import (
    Choice,
    JsonValue,
    Kind,
    ListOf,
    Nullable,
    ParameterType,
    Scalar,
    describe,
    is_secret,
)
from rasen.scheduled_time import FORMS, is_scheduled, resolve_scheduled
from rasen.secret_reference import is_reference, parse_reference

# Python refuses to write an int of more than 4,300 digits, so papermill could not; 14,000 bits are 4,215 digits.
_INT_MAX_BITS = 14_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INT = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What `@scheduled` stands for in a run."""

    scheduled_at: datetime
    timezone: tzinfo


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
                    f"{_shown(text, kind)} is not {describe(kind)}; write it as JSON in quotes, such as "
                    '\'["JFK", "LGA"]\''
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
                return _text(value)
        case Kind.SECRET:
            # What is given in place of a reference may be the secret itself: no message repeats it.
            return str(parse_reference(value if isinstance(value, str) else ""))
        case Kind.DATE:
            return _date(wanted, value)
        case Kind.DATETIME:
            return _datetime(wanted, value)
        case _:
            assert_never(wanted.kind)
    raise _misfit(wanted, value)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{_shown(value)} holds half a character (a lone surrogate)") from None
    return str(parse_reference(value)) if is_reference(value) else str.__str__(value)


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
        case Kind.INT | Kind.FLOAT | Kind.BOOL | Kind.SECRET:
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
            case Kind.STR | Kind.DATE | Kind.DATETIME | Kind.SECRET:
                return text
            case _:
                assert_never(kind)
    except ValueError:  # more digits than Python converts
        return text


def _as_text(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)


def _misfit(wanted: ParameterType, value: object) -> ValueError:
    shown = _shown(value, wanted)
    match wanted:
        case Choice():
            return ValueError(f"{shown} is not {describe(wanted)}")
        case Scalar(kind=Kind.DATE | Kind.DATETIME) if isinstance(value, str):
            hint = f", nor {FORMS}" if value.startswith("@") else ""
            return ValueError(f"{shown} is not {describe(wanted)}{hint}")
        case _:
            return ValueError(f"{shown} is a {type(value).__name__}, it must be {describe(wanted)}")


def _shown(value: object, wanted: ParameterType | None = None) -> str:
    if wanted is not None and is_secret(wanted):
        return "the value, not shown here,"
    try:
        text = repr(value)
    except ValueError:  # an int of more than 4,300 digits somewhere inside
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
