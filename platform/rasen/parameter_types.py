"""The types a parameter may have, read from annotations as text and never evaluated.

Values stay what JSON can hold (dates are ISO texts), because papermill writes them as literals into a cell and the
store keeps them in records.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeAlias, assert_never

from typing_extensions import TypeAliasType

from rasen.secret_reference import FORMS as SECRET_FORMS

# Named, because pydantic cannot follow a recursive alias that has no name.
JsonValue = TypeAliasType("JsonValue", "bool | int | float | str | list[JsonValue] | None")

SUPPORTED = "int, float, bool, str, date, datetime, Secret, Literal[...], list[...] of these, and any of them `| None`"


class Kind(StrEnum):
    """The scalar types."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    DATE = "date"
    DATETIME = "datetime"
    SECRET = "Secret"  # noqa: S105  # a type's name


_SCHEMAS: dict[Kind, dict[str, str]] = {
    Kind.INT: {"type": "integer"},
    Kind.FLOAT: {"type": "number"},
    Kind.BOOL: {"type": "boolean"},
    Kind.STR: {"type": "string"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.DATETIME: {"type": "string", "format": "date-time"},
    Kind.SECRET: {"type": "string", "format": "secret-reference"},
}


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


def describe_annotation(text: str) -> dict[str, Any]:  # Any: JSON Schema
    """Return the type that an annotation names as JSON Schema, for forms; nothing where it is no type."""
    try:
        return _schema(parse_annotation(text))
    except ValueError:
        return {}


def _schema(kind: ParameterType) -> dict[str, Any]:  # Any: JSON Schema
    match kind:
        case Scalar():
            return dict(_SCHEMAS[kind.kind])
        case Choice():
            return {"enum": list(kind.values)}
        case ListOf():
            return {"type": "array", "items": _schema(kind.item)}
        case Nullable():
            return {"anyOf": [_schema(kind.inner), {"type": "null"}]}
        case _:
            assert_never(kind)


def describe(kind: ParameterType) -> str:
    """Return a type in the words of a message."""
    match kind:
        case Scalar(kind=Kind.DATE):
            return "a date such as '2013-06-01'"
        case Scalar(kind=Kind.DATETIME):
            return "a datetime such as '2013-06-01T04:10:00+09:00'"
        case Scalar(kind=Kind.SECRET):
            return f"a reference to a secret ({SECRET_FORMS})"
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


def is_secret(kind: ParameterType) -> bool:
    """Return whether a value of the type is a reference to a secret, or holds some."""
    match kind:
        case Scalar():
            return kind.kind is Kind.SECRET
        case ListOf():
            return is_secret(kind.item)
        case Nullable():
            return is_secret(kind.inner)
        case _:
            return False


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
