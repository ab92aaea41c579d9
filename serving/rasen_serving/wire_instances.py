"""`{"instances": […]}` in, `{"predictions": […]}` out: KServe's first protocol, and Vertex AI's containers.

An instance is an object with one field a column, or a list of values in the schema's order; where the model has one
input, a bare value will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rasen.model.judge import check_count, parse, read_columns, read_rows, refuse_any
from rasen.model.request_errors import FieldProblem, PathElement
from rasen.model.schema import ModelSchema
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Loaded
from rasen_serving.small_requests import read_if_small
from rasen_serving.wire import Answer, Given
from rasen_serving.wire_oip import refuse_in_one_text
from rasen_serving.wire_own import JSON, check_json

_WANTED = '{"instances": [{…}]}'
_ENCODER = msgspec.json.Encoder()


class InstancesFormat:
    """Reads and writes `instances` and `predictions`."""

    name = "instances"

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a plain request."""
        if asked.content_type != JSON:
            check_json(asked.content_type)
        columns = decode_rows(loaded, asked.body, key=b"instances")
        return read_if_small(_read, loaded, asked) if columns is None else columns

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request."""
        return _read(loaded, asked, max_rows=max_rows, check_values=True)

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer."""
        return write_predictions(given)

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error."""
        return refuse_in_one_text(error, request_id=asked.request_id)


INSTANCES = InstancesFormat()


def write_predictions(given: Given) -> Answer:
    """Write an answer of nothing but predictions; what else there is to say stands in the headers."""
    return Answer(status=200, body=_ENCODER.encode({"predictions": given.predictions}))


def decode_rows(loaded: Loaded, body: bytes, *, key: bytes) -> Columns | None:
    """Return the columns of a list of objects that stands under the only key, `None` for any other form.

    It is our own `rows` under another name, so our own decoder reads it, with all that it refuses.
    """
    start = b'{"%b":' % key
    if not body.startswith(start):
        return None
    try:
        return loaded.decode(b'{"rows":' + body[len(start) :])
    except NotFast:
        return None


def _read(loaded: Loaded, asked: Asked, *, max_rows: int, check_values: bool) -> Columns:
    schema, document = loaded.schema, parse(asked.body, wanted=_WANTED)
    columns: Columns = {}
    refuse_any(schema, _look(schema, document, columns, max_rows=max_rows, check_values=check_values))
    return columns


def _look(
    schema: ModelSchema, document: object, columns: Columns, *, max_rows: int, check_values: bool
) -> Iterator[FieldProblem]:
    """Fill `columns`, and yield what is wrong."""
    if not isinstance(document, dict):
        yield FieldProblem(path=(), problem=f"must be an object: {_WANTED}")
        return
    for key in document:
        if key not in ("instances", "parameters"):
            yield FieldProblem(path=(key,), problem="unknown key; a request has instances")
    if document.get("parameters"):
        yield FieldProblem(path=("parameters",), problem="this model takes none; leave them out")
    if "instances" not in document:
        yield FieldProblem(path=("instances",), problem="missing; a list of objects or of lists")
        return
    yield from read_instances(
        schema,
        document["instances"],
        columns,
        max_rows=max_rows,
        key="instances",
        check_values=check_values,
    )


def read_instances(
    schema: ModelSchema,
    instances: object,
    columns: Columns,
    *,
    max_rows: int,
    key: str,
    check_values: bool,
) -> Iterator[FieldProblem]:
    """Fill `columns` from rows that are objects, lists, or bare values, and yield what is wrong; values, if asked to.

    Raises:
        TooManyRows: There are more than `max_rows`.
    """
    first = instances[0] if isinstance(instances, list) and instances else None
    if isinstance(instances, list) and isinstance(first, list):
        yield from read_lists(
            schema,
            instances,
            columns,
            names=schema.names,
            max_rows=max_rows,
            path=(key,),
            check_values=check_values,
        )
    elif isinstance(instances, list) and first is not None and not isinstance(first, dict):
        rows = [[value] for value in instances] if len(schema.inputs) == 1 else instances
        yield from read_lists(
            schema,
            rows,
            columns,
            names=schema.names,
            max_rows=max_rows,
            path=(key,),
            check_values=check_values,
        )
    else:
        yield from read_rows(
            schema, instances, columns, max_rows=max_rows, key=key, check_values=check_values
        )


def read_lists(
    schema: ModelSchema,
    rows: list[Any],  # Any: JSON values
    columns: Columns,
    *,
    names: tuple[str, ...],
    max_rows: int,
    path: tuple[PathElement, ...],
    check_values: bool,
) -> Iterator[FieldProblem]:
    """Fill `columns` from rows that are lists, and yield what is wrong.

    Args:
        schema: What the model takes.
        rows: The rows.
        columns: What is filled.
        names: The columns' names, in the order of the lists.
        max_rows: The most rows.
        path: Where the rows stand.
        check_values: Whether values that their columns do not take are among what is wrong.

    Raises:
        TooManyRows: There are more than `max_rows`.
    """
    check_count(len(rows), max_rows)
    bad = False
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            bad = True
            found = f"has {len(row)} values" if isinstance(row, list) else f"is {row!r:.100}"
            right = f"a row is a list of {len(names)} values: {', '.join(map(repr, names)):.500}"
            yield FieldProblem(path=(*path, index), problem=f"{found}; {right}")
    if bad:
        return
    given = {name: [row[position] for row in rows] for position, name in enumerate(names)}
    positions = {name: position for position, name in enumerate(names)}
    for problem in read_columns(schema, given, columns, max_rows=max_rows, check_values=check_values):
        # By column and row there, by row and column here.
        match problem.path:
            case (_, str(name), int(row)):
                where = (*path, row, positions[name])
            case (_, name):
                where = (*path, name)
            case _:
                where = path
        yield FieldProblem(path=where, problem=problem.problem)
