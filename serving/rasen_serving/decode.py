r"""From the bytes of a request to one list of values a column, as fast as msgspec can.

The structs here know names only: which fields a row has, which may be absent. What a value may be is decided by
`rasen.model.frames`, for batch and serving alike. Whatever does not fit is handed to `judge.py`, which decodes again,
slowly, and names every fault; so nothing here has to explain itself.

msgspec keeps the last of two equal keys. A request with a duplicate is refused, and found by counting: without
duplicates a body holds exactly one colon for each key that was kept, plus those inside names and texts. Only an
escaped colon (`\u003a`) could hide one, so bodies with such an escape take the slow way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rasen.data.columns import ColumnType
from rasen.model.schema import ModelSchema

Columns = dict[str, Sequence[object]]

_TEXT_TYPES = (ColumnType.STRING, ColumnType.DATE, ColumnType.TIMESTAMP)


class NotFast(Exception):  # a turn of the road, not an error anybody sees
    """The fast way does not apply; the slow one decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    name: str
    of_rows: Callable[[Any], Any]  # Any: a generated struct, and whatever JSON held
    nullable: bool
    text: bool
    key_colons: int


class RequestDecoder:
    """Decodes requests of one model version; made once when the version is loaded."""

    def __init__(self, schema: ModelSchema) -> None:
        self._fields = [
            _Field(
                name=column.name,
                of_rows=attrgetter(f"f{position}"),
                nullable=column.nullable,
                text=column.type in _TEXT_TYPES,
                key_colons=1 + column.name.count(":"),
            )
            for position, column in enumerate(schema.inputs)
        ]
        self._decoder = msgspec.json.Decoder(_request_type(schema))

    def decode(self, body: bytes) -> Columns:
        """Return the columns, in the schema's order, nullable ones filled with null.

        Raises:
            NotFast: The body is anything but a plain, well-formed request of at least one row.
        """
        try:
            request = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotFast from None
        rows, given = request.rows, request.columns
        if (rows is UNSET) == (given is UNSET) or b"\\u003" in body:
            raise NotFast
        columns: Columns = {}
        colons = 1
        count = len(rows) if given is UNSET else _longest(given, len(self._fields))
        for field in self._fields:
            values: list[Any]  # Any: JSON values, checked by rasen.model.frames
            if given is UNSET:
                values = list(map(field.of_rows, rows))
                absent = values.count(UNSET) if field.nullable else 0
                if absent:
                    values = [None if value is UNSET else value for value in values]
                colons += field.key_colons * (count - absent)
            else:
                listed: list[Any] | UnsetType = field.of_rows(given)  # Any: likewise
                values = [None] * count if listed is UNSET else listed
                colons += 0 if listed is UNSET else field.key_colons
                if len(values) != count:
                    raise NotFast
            if field.text:
                colons += sum(value.count(":") for value in values if type(value) is str)
            columns[field.name] = values
        if count == 0 or body.count(b":") != colons:
            raise NotFast
        return columns


def _longest(columns: object, fields: int) -> int:
    lengths = [
        len(values) for position in range(fields) if (values := getattr(columns, f"f{position}")) is not UNSET
    ]
    return max(lengths, default=0)


def _request_type(schema: ModelSchema) -> type[Any]:  # Any: a generated struct
    """Return the struct of a body; its fields have neutral names, because a column may be called anything."""
    names = {f"f{position}": column.name for position, column in enumerate(schema.inputs)}
    row = msgspec.defstruct(
        "Row",
        [
            (field, Any, UNSET) if column.nullable else (field, Any)
            for field, column in zip(names, schema.inputs, strict=True)
        ],
        rename=names,
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    columns = msgspec.defstruct(
        "Columns",
        [
            (field, list[Any] | UnsetType, UNSET) if column.nullable else (field, list[Any])
            for field, column in zip(names, schema.inputs, strict=True)
        ],
        rename=names,
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
    return msgspec.defstruct(
        "Request",
        [
            ("rows", list[row] | UnsetType, UNSET),  # type: ignore[valid-type]  # generated a few lines above
            ("columns", columns | UnsetType, UNSET),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
