"""The OpenAPI document: FastAPI's own routes, and for each live endpoint a typed route of its own.

Built when somebody asks, from the versions that are live at that moment; a client generated from it knows each
column's name, type and whether null is accepted, and the analyst's example is the one that Swagger UI sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rasen.data.columns import ColumnType
from rasen.model.schema import Column, ModelSchema, Output
from rasen_serving.access import OPEN_PATHS
from rasen_serving.live import Live, Versions
from rasen_serving.openapi_prose import (
    MEANINGS,
    ONLY_CLOSED,
    describe_endpoint,
    error_example,
    introduce,
    without_tags,
)
from rasen_serving.openapi_protocols import PROTOCOL_ERRORS, PROTOCOL_TAGS, protocol_paths
from rasen_serving.refusals import CODES

Json = dict[str, Any]  # Any: JSON

SERVICE_TAG = "service"
"""Under which the routes of no endpoint stand."""

_FOREIGN = ("HTTPValidationError", "ValidationError")
"""FastAPI's own error, which no route here answers."""

_REQUEST_HEADERS = {
    "X-Request-Id": "comes back, and stands in every log; made up if you send none",
    "X-Rasen-Routing-Key": "the same key meets the same variant while the shares stay as they are",
    "X-Rasen-Variant": "the variant to be asked, by role or run; for testers, where the service allows it",
    "traceparent": "W3C trace context",
}
_ANSWER_HEADERS = {
    "X-Rasen-Model": "the run whose model answered",
    "X-Rasen-Revision": "the number of the ledger's record",
    "X-Rasen-Source": "`profile` when the model could not answer; absent otherwise",
    "X-Rasen-Variant": "the role of the version that answered; where there are several",
    "X-Rasen-Reason": "why that one answered; where there are several",
    "X-Request-Id": "yours, or the one made up for you",
}
_RETRIED = frozenset({429, 503})


def build_openapi(
    app: FastAPI,
    versions: Versions,
    *,
    may_ask: Callable[[str], bool],
    is_open: bool,
    vertex_route: str = "",
) -> Json:
    """Return the document for what is live now.

    Args:
        app: The app whose other routes are described, too.
        versions: What is live.
        may_ask: Whether the reader may ask an endpoint; of others nothing is said.
        is_open: Whether everybody may ask without a key.
        vertex_route: Where Vertex AI asks, `""` when it does not.
    """
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=introduce(versions, may_ask=may_ask, is_open=is_open),
        routes=app.routes,
    )
    schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _error()
    for name in _FOREIGN:
        schemas.pop(name, None)
    _tell_errors(document["paths"], is_open=is_open)
    tags: list[Json] = []
    paths: Json = {}
    for name in sorted(filter(may_ask, versions.live)):
        live = versions.live[name]
        loaded = live.champion.loaded
        schemas[f"{name}.row"] = _row(loaded.schema)
        schemas[f"{name}.request"] = _request(name, loaded.schema)
        schemas[f"{name}.response"] = _response(loaded.schema.output)
        paths[f"/endpoints/{name}/predict"] = {"post": _operation(name, live, is_open=is_open)}
        tags.append({"name": name, "description": without_tags(loaded.version.description)})
    shown = [versions.live[name] for name in sorted(filter(may_ask, versions.live))]
    others = protocol_paths(shown[0] if shown else None, vertex_route=vertex_route)
    document["paths"] = paths | document["paths"] | others
    used = {tag for item in document["paths"].values() for one in item.values() for tag in one["tags"]}
    tags += [{"name": tag, "description": told} for tag, told in PROTOCOL_TAGS.items() if tag in used]
    document["tags"] = [*tags, {"name": SERVICE_TAG, "description": "what there is, and whether it is well"}]
    if not is_open:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    return document


def _operation(name: str, live: Live, *, is_open: bool) -> Json:
    loaded = live.champion.loaded
    answer = {
        "predictions": loaded.example_predictions,
        "source": "model",
        "model": loaded.version.run,
        "request_id": "3f0c2b8e5d5a4c1b9a7e6f4d2c1b0a99",
    }
    responses: Json = {
        "200": {
            "description": "One prediction a row, in the rows' order",
            "headers": {
                header: {"description": meaning, "schema": {"type": "string"}}
                for header, meaning in _ANSWER_HEADERS.items()
            },
            "content": {"application/json": {"schema": _ref(f"{name}.response"), "example": answer}},
        }
    }
    for status, meaning in MEANINGS.items():
        if is_open and status in ONLY_CLOSED:
            continue
        content = {"schema": _ref("Error"), "example": error_example(status, loaded)}
        responses[str(status)] = {"description": meaning, "content": {"application/json": content}}
        if status in _RETRIED:
            waiting = {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}
            responses[str(status)]["headers"] = {"Retry-After": waiting}
    rows = loaded.example_rows
    columns = {column: [row[column] for row in rows] for column in loaded.schema.names}
    return {
        "operationId": f"predict_{name}",
        "summary": f"Predict with {name}",
        "description": describe_endpoint(name, live, is_open=is_open),
        "tags": [name],
        "parameters": [
            {"name": header, "in": "header", "description": meaning, "schema": {"type": "string"}}
            for header, meaning in _REQUEST_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref(f"{name}.request"),
                    "examples": {
                        "rows": {"summary": "rows, as the analyst published them", "value": {"rows": rows}},
                        "columns": {"summary": "the same as columns", "value": {"columns": columns}},
                    },
                }
            },
        },
        "responses": responses,
    }


def _tell_errors(paths: Json, *, is_open: bool) -> None:
    """Say of FastAPI's routes which errors they really answer."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            operation.setdefault("tags", [SERVICE_TAG])
            responses = operation["responses"]
            responses.pop("422", None)
            if path in OPEN_PATHS:
                continue
            wanted = [] if is_open else [401, 429]
            if method == "post":
                wanted += [400, 413, 415, 422]
            if "{endpoint}" in path:
                wanted += [404, 503] if is_open else [403, 404, 503]
            error = PROTOCOL_ERRORS.get(operation["tags"][0], _ref("Error"))
            for status in wanted:
                responses[str(status)] = {
                    "description": MEANINGS[status],
                    "content": {"application/json": {"schema": error}},
                }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _row(schema: ModelSchema) -> Json:
    return {
        "type": "object",
        "properties": {column.name: _column(column) for column in schema.inputs},
        "required": [column.name for column in schema.inputs if not column.nullable],
        "additionalProperties": False,
    }


def _request(name: str, schema: ModelSchema) -> Json:
    columns = {
        "type": "object",
        "properties": {
            column.name: {"type": "array", "minItems": 1, "items": _column(column)}
            for column in schema.inputs
        },
        "required": [column.name for column in schema.inputs if not column.nullable],
        "additionalProperties": False,
    }
    rows = {"type": "array", "minItems": 1, "items": _ref(f"{name}.row")}
    return {
        "oneOf": [
            {
                "title": title,
                "type": "object",
                "properties": {title: part},
                "required": [title],
                "additionalProperties": False,
            }
            for title, part in (("rows", rows), ("columns", columns))
        ]
    }


def _response(output: Output) -> Json:
    if output.type is not None:
        prediction = _value(output.type)
    else:
        prediction = {
            "type": "object",
            "properties": {column.name: _column(column) for column in output.columns},
            "required": [column.name for column in output.columns],
        }
    return {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": prediction},
            "source": {
                "type": "string",
                "enum": ["model", "profile"],
                "description": "`profile` when the model could not answer and its statistical profile did",
            },
            "model": {"type": "string", "description": "the run whose model answered"},
            "request_id": {"type": "string"},
        },
        "required": ["predictions", "source", "model", "request_id"],
    }


def _column(column: Column) -> Json:
    value = _value(column.type)
    if column.nullable:
        value["type"] = [value["type"], "null"]
    if column.categories is not None:
        value["description"] = without_tags("seen in training: " + ", ".join(map(str, column.categories)))
    return value


def _value(kind: ColumnType) -> Json:
    match kind:
        case ColumnType.BOOL:
            return {"type": "boolean"}
        case ColumnType.INT64:
            return {"type": "integer", "format": "int64"}
        case ColumnType.FLOAT64:
            return {"type": "number", "format": "double"}
        case ColumnType.STRING:
            return {"type": "string"}
        case ColumnType.DATE:
            return {"type": "string", "format": "date"}
        case ColumnType.TIMESTAMP:
            return {"type": "string", "format": "date-time"}
        case _:
            assert_never(kind)


def _error() -> Json:
    field = {
        "type": "object",
        "properties": {
            "path": {"type": "array", "items": {"type": ["string", "integer"]}},
            "problem": {"type": "string"},
        },
        "required": ["path", "problem"],
    }
    return {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "enum": CODES},
                    "message": {"type": "string"},
                    "fields": {"type": "array", "items": field},
                },
                "required": ["code", "message", "fields"],
            }
        },
        "required": ["error"],
    }
