"""The slow reading of a request: everything that is wrong with it, each field by its path.

It runs only when the fast way (`decode.py`) did not apply. Values are judged by the very converters that build the
model's DataFrame (`rasen.model.conversion`), column by column and then in halves, so the two ways cannot disagree
about a value; `tests/test_serving_decode.py` holds that they agree about everything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rasen.errors import InvalidInput
from rasen.model.conversion import Converter, converter
from rasen.model.request_errors import FieldProblem, InvalidRows, MalformedBody, PathElement, TooManyRows
from rasen.model.schema import Column, ModelSchema
from rasen.suggestion import suggest

Columns = dict[str, Sequence[object]]

MOST_PROBLEMS = 1000
"""How many bad fields one answer names; what comes after is left out, and the message says so."""

_PROBLEM_MAX_LENGTH = 200
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def judge(schema: ModelSchema, body: bytes, *, max_rows: int) -> Columns:
    """Return the columns of a request, in the schema's order, nullable ones filled with null.

    Raises:
        MalformedBody: The body is not one JSON document.
        TooManyRows: It has more than `max_rows` rows.
        InvalidRows: It is JSON, but not a request for this schema.
    """
    document = parse(body)
    columns: Columns = {}
    refuse_any(schema, _read(schema, document, columns, max_rows=max_rows))
    return columns


def refuse_any(schema: ModelSchema, problems: Iterable[FieldProblem]) -> None:
    """Do nothing when there is no problem.

    Raises:
        InvalidRows: There are some; all of them, up to a number, are named.
    """
    found = tuple(islice(problems, MOST_PROBLEMS))
    if found:
        count = f"{len(found)}" if len(found) < MOST_PROBLEMS else f"{MOST_PROBLEMS} or more"
        fields = "field" if len(found) == 1 else "fields"
        raise InvalidRows(
            f"the request has {count} bad {fields}; the endpoint takes {', '.join(map(repr, schema.names))}",
            found,
        )


def parse(body: bytes, *, wanted: str = '{"rows": [{…}]} or {"columns": {…}}') -> object:
    """Return the JSON document in `body`, read as strictly as RFC 8259 allows.

    Args:
        body: The bytes.
        wanted: What would be right, for whoever sends nothing.

    Raises:
        MalformedBody: It is not UTF-8, not JSON, nested too deeply, has NaN or Infinity, or a key twice.
    """
    if not body.strip():
        raise MalformedBody(f"the body is empty; send {wanted}")
    try:
        text = body.decode("utf-8")
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} does not fit") from None
    except UnicodeEncodeError:
        raise MalformedBody("the body escapes half of a surrogate pair, which is no character") from None
    except RecursionError:
        raise MalformedBody("the body is nested too deeply; rows hold plain values") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:  # what is left: Python's limit on the digits of a whole number
        raise MalformedBody("the body holds a whole number of more digits than can be read") from None
    return document


def _refuse_constant(name: str) -> object:
    raise MalformedBody(f"the body holds {name}, which is not JSON; leave the field out or send null")


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedBody(f"the body holds the key {name[:100]!r} twice in one object")
            seen.add(name)
    return found


def _read(
    schema: ModelSchema, document: object, columns: Columns, *, max_rows: int
) -> Iterator[FieldProblem]:
    """Fill `columns` and yield what is wrong."""
    if not isinstance(document, dict):
        yield FieldProblem(path=(), problem='the body must be an object: {"rows": […]} or {"columns": {…}}')
        return
    for key in document:
        if key not in ("rows", "columns"):
            yield FieldProblem(path=(key,), problem="unknown key; a request has rows or columns")
    match ("rows" in document, "columns" in document):
        case (True, False):
            yield from read_rows(schema, document["rows"], columns, max_rows=max_rows)
        case (False, True):
            yield from read_columns(schema, document["columns"], columns, max_rows=max_rows)
        case (True, True):
            yield FieldProblem(path=("columns",), problem="a request has rows or columns, not both")
        case _:
            yield FieldProblem(path=("rows",), problem="missing; a request has rows or columns")


def read_rows(
    schema: ModelSchema,
    rows: object,
    columns: Columns,
    *,
    max_rows: int,
    key: str = "rows",
    check_values: bool = True,
) -> Iterator[FieldProblem]:
    """Fill `columns` from a list of objects that stands under `key`, and yield what is wrong; values, if asked to.

    Raises:
        TooManyRows: There are more than `max_rows`.
    """
    if not isinstance(rows, list):
        yield FieldProblem(path=(key,), problem="must be a list of objects")
        return
    check_count(len(rows), max_rows)
    if not rows:
        yield FieldProblem(path=(key,), problem="must hold at least one row")
    names = frozenset(schema.names)
    required = [column.name for column in schema.inputs if not column.nullable]
    good: list[tuple[int, Mapping[str, object]]] = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            yield FieldProblem(path=(key, index), problem="must be an object with one field a column")
            continue
        good.append((index, row))
        for name in required:
            if name not in row:
                yield FieldProblem(path=(key, index, name), problem="missing")
        for name in row:
            if name not in names:
                yield FieldProblem(path=(key, index, name), problem=_unknown(name, schema))
    for column in schema.inputs:
        columns[column.name] = [row.get(column.name) for _, row in good]
        if not check_values:
            continue
        present = [(index, row[column.name]) for index, row in good if column.name in row]
        for position, problem in find_faults(column, [value for _, value in present]):
            yield FieldProblem(path=(key, present[position][0], column.name), problem=problem)


def read_columns(
    schema: ModelSchema,
    given: object,
    columns: Columns,
    *,
    max_rows: int,
    key: str = "columns",
    check_values: bool = True,
) -> Iterator[FieldProblem]:
    """Fill `columns` from an object of lists that stands under `key`, and yield what is wrong; values, if asked to.

    Raises:
        TooManyRows: There are more than `max_rows` rows.
    """
    if not isinstance(given, dict):
        yield FieldProblem(path=(key,), problem="must be an object with one list a column")
        return
    lists = {name: values for name, values in given.items() if isinstance(values, list)}
    count = max((len(values) for name, values in lists.items() if name in schema.names), default=0)
    check_count(count, max_rows)
    for name in given:
        path: tuple[PathElement, ...] = (key, name)
        if name not in schema.names:
            yield FieldProblem(path=path, problem=_unknown(name, schema))
        elif name not in lists:
            yield FieldProblem(path=path, problem="must be a list with one value a row")
        elif len(lists[name]) != count:
            yield FieldProblem(path=path, problem=f"has {len(lists[name])} values, the longest has {count}")
    if count == 0:
        yield FieldProblem(path=(key,), problem="must hold at least one row")
    for column in schema.inputs:
        if column.name not in given and not column.nullable:
            yield FieldProblem(path=(key, column.name), problem="missing")
        values = lists.get(column.name)
        columns[column.name] = [None] * count if values is None else values
        for position, problem in find_faults(column, values or []) if check_values else ():
            yield FieldProblem(path=(key, column.name, position), problem=problem)


def check_count(count: int, max_rows: int) -> None:
    """Refuse more rows than are accepted.

    Raises:
        TooManyRows: There are more than `max_rows`.
    """
    if count > max_rows:
        raise TooManyRows(f"the request has {count} rows; at most {max_rows} are accepted, so send several")


def _unknown(name: str, schema: ModelSchema) -> str:
    return f"unknown field; {suggest(name, schema.names)}"


def find_faults(column: Column, values: Sequence[object]) -> Iterator[tuple[int, str]]:
    """Yield position and problem of each value that the column's converter refuses."""
    convert = converter(column)
    pending = [(0, len(values))]
    while pending:
        start, end = pending.pop()
        problem = _fault(column, convert, values[start:end])
        if problem is None:
            continue
        if end - start == 1:
            yield start, "null is not accepted" if values[start] is None else problem
            continue
        middle = (start + end) // 2
        pending += [(middle, end), (start, middle)]


def _fault(column: Column, convert: Converter, values: Sequence[Any]) -> str | None:  # Any: JSON values
    try:
        convert(values)
    except InvalidInput as error:
        # A single value is row 0 of its list; its place in the request is told by the path.
        text = str(error).removeprefix(f"column {column.name!r}").removeprefix(", row 0").removeprefix(": ")
        return text if len(text) <= _PROBLEM_MAX_LENGTH else text[:_PROBLEM_MAX_LENGTH] + "…"
    return None
