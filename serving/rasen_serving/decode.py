r"""From the bytes of a request to one list of values a column, as fast as msgspec can.

The structs here know names only: which fields a row has, which may be absent. What a value may be is decided by
`rasen.model.frames`, for batch and serving alike. Whatever does not fit is handed to `rasen.model.judge`, which decodes
again, slowly, and names every fault; so nothing here has to explain itself.

msgspec keeps the last of two equal keys. A request with a duplicate is refused, and found by counting: without
duplicates a body holds exactly one colon for each key that was kept, plus those inside names and texts. Only an
escaped colon (`\u003a`) could hide one, so bodies with such an escape take the slow way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from rasen.data.columns import ColumnType
from rasen.model.schema import ModelSchema

Columns = dict[str, Sequence[object]]

_UNSPOKEN = re.compile(r'["\\\x00-\x1f]')
"""What msgspec takes in no name of a field; a model with such a column is always asked the slow way."""

_TEXT_TYPES = (ColumnType.STRING, ColumnType.DATE, ColumnType.TIMESTAMP)


class NotFast(Exception):  # a turn of the road, not an error anybody sees
    """The fast way does not apply; the slow one decides."""


class RowColumns(Columns):
    """Columns that came as rows, and those rows: several requests are put together row by row (`batching.py`).

    Args:
        records: One tuple a row, its values in the schema's order.
    """

    __slots__ = ("records",)

    records: list[tuple[object, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    name: str
    position: int
    key_colons: int


class RequestDecoder:
    """Decodes requests of one model version; made once when the version is loaded."""

    def __init__(self, schema: ModelSchema) -> None:
        fields = [
            _Field(name=column.name, position=position, key_colons=1 + column.name.count(":"))
            for position, column in enumerate(schema.inputs)
        ]
        self._names = schema.names
        self._fields = fields
        self._nullable = [
            field for field, column in zip(fields, schema.inputs, strict=True) if column.nullable
        ]
        self._texts = [
            column.name for column in schema.inputs if column.type in _TEXT_TYPES
        ]  # the only values that can hold a colon
        self._row_colons = sum(field.key_colons for field in fields)
        self._lists = [attrgetter(f"f{field.position}") for field in fields]
        is_spoken = not any(_UNSPOKEN.search(name) for name in schema.names)
        self._decoder = msgspec.json.Decoder(_request_type(schema)) if is_spoken else None

    def decode(self, body: bytes) -> Columns:
        """Return the columns, in the schema's order, nullable ones filled with null.

        Raises:
            NotFast: The body is anything but a plain, well-formed request of at least one row.
        """
        if self._decoder is None:
            raise NotFast
        try:
            request = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotFast from None
        rows, given = request.rows, request.columns
        if (rows is UNSET) == (given is UNSET) or b"\\u003" in body:
            raise NotFast
        columns, colons = self._of_rows(rows) if given is UNSET else self._of_columns(given)
        found = body.count(b":")
        if found != colons:  # seldom: texts with colons, or a key that came twice
            colons += sum(
                value.count(":") for name in self._texts for value in columns[name] if type(value) is str
            )
            if found != colons:
                raise NotFast
        return columns

    def _of_rows(self, rows: list[Any]) -> tuple[Columns, int]:  # Any: generated structs
        """Return the columns, and how many colons their keys took."""
        if not rows:
            raise NotFast
        records = list(map(astuple, rows))
        columns = RowColumns(zip(self._names, zip(*records, strict=True), strict=True))
        columns.records = records
        colons = 1 + len(rows) * self._row_colons
        absences = 0
        for field in self._nullable:
            values = columns[field.name]
            absent = values.count(UNSET)
            if absent:
                absences += absent
                colons -= absent * field.key_colons
                columns[field.name] = [None if value is UNSET else value for value in values]
        if absences:
            columns.records = list(zip(*columns.values(), strict=True))
        return columns, colons

    def _of_columns(self, given: Any) -> tuple[Columns, int]:  # Any: a generated struct
        """Return the columns, and how many colons their keys took."""
        lists: list[list[Any] | UnsetType] = [of_columns(given) for of_columns in self._lists]
        count = max((len(values) for values in lists if values is not UNSET), default=0)
        if count == 0:
            raise NotFast
        columns: Columns = {}
        colons = 1
        for field, values in zip(self._fields, lists, strict=True):
            if values is UNSET:
                columns[field.name] = [None] * count
                continue
            if len(values) != count:
                raise NotFast
            columns[field.name] = values
            colons += field.key_colons
        return columns, colons


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
