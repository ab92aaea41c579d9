"""Rows as CSV with a header, typed by the model's schema: the text `7` is a number where one is asked for.

An empty field is null in a nullable column, and an empty text where texts may be; elsewhere it is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from rasen.data.columns import ColumnType
from rasen.model.judge import Columns, check_count, read_columns, refuse_any
from rasen.model.request_errors import FieldProblem, MalformedBody
from rasen.model.schema import Column, ModelSchema

_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


def read_csv(schema: ModelSchema, body: bytes, *, max_rows: int, check_values: bool) -> Columns:
    """Return the columns of a table in CSV, in the schema's order.

    Args:
        schema: What the model takes.
        body: The table.
        max_rows: The most rows.
        check_values: Whether each value is held against its column, too, so that what is wrong is named by its place.

    Raises:
        MalformedBody: It is not UTF-8, or not CSV.
        InvalidRows: It is, but no table for this schema.
        TooManyRows: It has more than `max_rows` rows.
    """
    header, rows = _parse(body)
    refuse_any(schema, _check_form(header, rows))
    check_count(len(rows), max_rows)
    by_name = {column.name: column for column in schema.inputs}
    given = {
        name: [_value(by_name[name], row[position]) for row in rows]
        if name in by_name
        else [row[position] for row in rows]
        for position, name in enumerate(header)
    }
    columns: Columns = {}
    problems = read_columns(schema, given, columns, max_rows=max_rows, key="csv", check_values=check_values)
    refuse_any(schema, problems)
    return columns


def _parse(body: bytes) -> tuple[list[str], list[list[str]]]:
    try:
        text = body.decode("utf-8-sig")
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} does not fit") from None
    except csv.Error as error:
        raise MalformedBody(f"the body is not CSV: {error}") from None
    if not lines:
        raise MalformedBody("the body is empty; send a header with the columns' names, and one line a row")
    return lines[0], lines[1:]


def _check_form(header: list[str], rows: list[list[str]]) -> Iterator[FieldProblem]:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        yield FieldProblem(path=("csv", "header"), problem=f"the column {twice[0][:100]!r} is there twice")
    for index, row in enumerate(rows):
        if len(row) != len(header):
            problem = f"has {len(row)} fields; the header has {len(header)}"
            yield FieldProblem(path=("csv", index), problem=problem)


def _value(column: Column, text: str) -> object:
    """Return what a field means in its column; what it cannot mean stays text, and is refused as such."""
    if text == "" and (column.nullable or column.type is not ColumnType.STRING):
        return None
    match column.type:
        case ColumnType.BOOL if text in _TRUE or text in _FALSE:
            return text in _TRUE
        case ColumnType.INT64 if _WHOLE.fullmatch(text):
            return int(text)
        case ColumnType.FLOAT64 if _NUMBER.fullmatch(text):
            return float(text)
        case _:
            return text
