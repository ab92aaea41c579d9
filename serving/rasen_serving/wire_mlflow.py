"""MLflow's scoring protocol: one of four JSON forms or CSV in, `{"predictions": …}` out.

`dataframe_split` is what MLflow's own client sends of a DataFrame; `dataframe_records` and `instances` are rows,
`inputs` are columns, or rows as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from rasen.model.csv_rows import read_csv
from rasen.model.judge import parse, read_columns, read_rows, refuse_any
from rasen.model.request_errors import FieldProblem
from rasen.model.schema import ModelSchema
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns
from rasen_serving.live import Loaded
from rasen_serving.refusals import WrongContentType, headers_of, status_of, text_of
from rasen_serving.small_requests import read_if_small
from rasen_serving.wire import Answer, Given
from rasen_serving.wire_instances import (
    decode_rows,
    read_instances,
    read_lists,
    write_predictions,
)
from rasen_serving.wire_own import JSON, check_json

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_WANTED = "an object with one of " + ", ".join(map(repr, FORMS))
# MLflow's names for what went wrong, by status.
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_ENCODER = msgspec.json.Encoder()


class MlflowFormat:
    """Reads and writes MLflow's forms."""

    name = "mlflow"

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a plain request."""
        if asked.content_type != JSON and _is_csv(asked.content_type):
            return read_if_small(_read, loaded, asked)
        for key in (b"dataframe_records", b"instances"):
            columns = decode_rows(loaded, asked.body, key=key)
            if columns is not None:
                return columns
        return read_if_small(_read, loaded, asked)

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request."""
        return _read(loaded, asked, max_rows=max_rows, check_values=True)

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer."""
        return write_predictions(given)

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error."""
        return refuse_as_mlflow(error, request_id=asked.request_id)


MLFLOW = MlflowFormat()


def refuse_as_mlflow(error: Exception, *, request_id: str) -> Answer:
    """Write an error as MLflow has it: `{"error_code": "…", "message": "…"}`."""
    status = status_of(error)
    return Answer(
        status=status,
        body=_ENCODER.encode(
            {
                "error_code": _CODES.get(status, "BAD_REQUEST"),
                "message": text_of(error, request_id=request_id),
            }
        ),
        headers=headers_of(error),
    )


def _is_csv(content_type: str) -> bool:
    """Return whether the body is CSV, and not JSON.

    Raises:
        WrongContentType: It is neither.
    """
    kind, _, options = content_type.partition(";")
    if kind.strip().lower() != "text/csv":
        try:
            check_json(content_type)
        except WrongContentType:
            raise WrongContentType(
                f"the content type {content_type[:100]!r} is not read here; send JSON or CSV in UTF-8, "
                "'Content-Type: application/json' or 'Content-Type: text/csv'"
            ) from None
        return False
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if charset not in ("", "utf-8", "utf8", "header=present"):
        raise WrongContentType(f"the CSV is said to be in {charset[:100]!r}; send UTF-8 with a header")
    return True


def _read(loaded: Loaded, asked: Asked, *, max_rows: int, check_values: bool) -> Columns:
    schema = loaded.schema
    if _is_csv(asked.content_type):
        return read_csv(schema, asked.body, max_rows=max_rows, check_values=check_values)
    document = parse(asked.body, wanted=_WANTED)
    columns: Columns = {}
    refuse_any(schema, _look(schema, document, columns, max_rows=max_rows, check_values=check_values))
    return columns


def _look(
    schema: ModelSchema, document: object, columns: Columns, *, max_rows: int, check_values: bool
) -> Iterator[FieldProblem]:
    """Fill `columns`, and yield what is wrong."""
    if not isinstance(document, dict):
        yield FieldProblem(path=(), problem=f"must be {_WANTED}")
        return
    for key in document:
        if key not in (*FORMS, "params"):
            yield FieldProblem(path=(key,), problem=f"unknown key; a request is {_WANTED}")
    if document.get("params"):
        yield FieldProblem(path=("params",), problem="this model takes none; leave them out")
    given = [form for form in FORMS if form in document]
    if len(given) != 1:
        told = f"has {', '.join(given)}" if given else "has none of them"
        yield FieldProblem(path=(), problem=f"must be {_WANTED}; it {told}")
        return
    (form,) = given
    value = document[form]
    if form == "dataframe_split":
        yield from _read_split(schema, value, columns, max_rows=max_rows, check_values=check_values)
    elif form == "dataframe_records":
        yield from read_rows(schema, value, columns, max_rows=max_rows, key=form, check_values=check_values)
    elif form == "inputs" and isinstance(value, dict):
        yield from read_columns(
            schema, value, columns, max_rows=max_rows, key=form, check_values=check_values
        )
    else:
        yield from read_instances(
            schema, value, columns, max_rows=max_rows, key=form, check_values=check_values
        )


def _read_split(
    schema: ModelSchema, value: object, columns: Columns, *, max_rows: int, check_values: bool
) -> Iterator[FieldProblem]:
    """Read `{"columns": […], "data": [[…]]}`; `index` counts the rows, which nobody needs."""
    form = "dataframe_split"
    if not isinstance(value, dict):
        yield FieldProblem(path=(form,), problem='must be an object: {"columns": […], "data": [[…]]}')
        return
    for key in value:
        if key not in ("columns", "data", "index"):
            yield FieldProblem(path=(form, key), problem="unknown key; known: 'columns', 'data', 'index'")
    names, rows = value.get("columns"), value.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield FieldProblem(path=(form, "columns"), problem="must be a list of the columns' names")
        return
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield FieldProblem(path=(form, "columns"), problem=f"{twice[0][:100]!r} is there twice")
        return
    if not isinstance(rows, list):
        yield FieldProblem(path=(form, "data"), problem="must be a list of rows, each a list of values")
        return
    yield from read_lists(
        schema,
        rows,
        columns,
        names=tuple(names),
        max_rows=max_rows,
        path=(form, "data"),
        check_values=check_values,
    )
