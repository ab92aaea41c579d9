"""What can be wrong with the rows that somebody asks a model about, whichever way they came.

Serving gives each of them an HTTP status; `rasen predict` and the replay say the same in a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rasen.errors import InvalidInput

PathElement = str | int

_FIELDS_IN_A_TEXT = 10
_STEP_MAX_LENGTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldProblem:
    """One field of a request that cannot be used.

    Args:
        path: Where it stands, for example `("rows", 0, "hour")`.
        problem: What is wrong with it and what would be right.
    """

    path: tuple[PathElement, ...]
    problem: str


class MalformedBody(InvalidInput):
    """The body is not one JSON document as RFC 8259 has it."""


class TooManyRows(InvalidInput):
    """The request has more rows than are accepted."""


class InvalidRows(InvalidInput):
    """Fields are missing, unknown or not of their type; all of them are named.

    Args:
        message: The sentence.
        fields: Each bad field.
    """

    def __init__(self, message: str, fields: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(message, fields)
        self.fields = fields

    def __str__(self) -> str:
        return str(self.args[0])


def describe_fields(fields: Sequence[FieldProblem], *, most: int = _FIELDS_IN_A_TEXT) -> str:
    """Return the first bad fields in a line, each with its place as a person writes it: `rows[0].hour: missing`."""
    told = [f"{_place_of(field.path)}: {field.problem}" for field in fields[:most]]
    more = len(fields) - len(told)
    return f"{'; '.join(told)}{f'; and {more} more' if more else ''}"


def _place_of(path: tuple[PathElement, ...]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step[:_STEP_MAX_LENGTH]}" for step in path]
    return "".join(steps).removeprefix(".") or "body"
