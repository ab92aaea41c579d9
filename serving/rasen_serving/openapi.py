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
from rasen_serving.live import Live, Versions
from rasen_serving.openapi_protocols import protocol_paths
from rasen_serving.refusals import CODES

Json = dict[str, Any]  # Any: JSON

_DESCRIPTION = """Each endpoint answers `POST /endpoints/<endpoint>/predict`, typed by the model that is live.

Every answer names its model (`X-Rasen-Model`), the ledger's revision (`X-Rasen-Revision`) and the request
(`X-Request-Id`, which you may send)."""

_MEANINGS = {
    400: "The body is not JSON",
    401: "An API key or a token is needed, and none, an unknown or an expired one came",
    403: "The API key is for other endpoints",
    404: "There is no such endpoint; the message lists those there are",
    413: "Too many bytes or rows",
    415: "The content type is not application/json",
    422: "Fields are missing, unknown or of another type; each is named by its path",
    429: "The API key asks more often than it may; `Retry-After` says when to ask again",
    500: "The service failed; the operator's log has the reason",
    503: "Nothing can answer now: nothing is live yet, too many requests wait, or the model failed and has no profile",
}


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
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _error()
    paths: Json = {}
    for name in sorted(filter(may_ask, versions.live)):
        live = versions.live[name]
        loaded = live.champion.loaded
        schemas[f"{name}.row"] = _row(loaded.schema)
        schemas[f"{name}.request"] = _request(name, loaded.schema)
        schemas[f"{name}.response"] = _response(loaded.schema.output)
        paths[f"/endpoints/{name}/predict"] = {"post": _operation(name, live)}
    shown = [versions.live[name] for name in sorted(filter(may_ask, versions.live))]
    others = protocol_paths(shown[0] if shown else None, vertex_route=vertex_route)
    document["paths"] = paths | document["paths"] | others
    if not is_open:
        document["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"key": []}, {"bearer": []}]
    return document


def _operation(name: str, live: Live) -> Json:
    loaded = live.champion.loaded
    version = loaded.version
    about = [version.description] if version.description else []
    about.append(
        f"Live: revision {live.revision.number}, model `{version.run}` of pipeline `{version.pipeline}`."
    )
    answer = {
        "predictions": loaded.example_predictions,
        "source": "model",
        "model": version.run,
        "request_id": "3f0c2b8e5d5a4c1b9a7e6f4d2c1b0a99",
    }
    responses: Json = {
        "200": {
            "description": "One prediction a row, in the rows' order",
            "headers": {
                header: {"schema": {"type": "string"}}
                for header in ("X-Rasen-Model", "X-Rasen-Revision", "X-Request-Id")
            },
            "content": {"application/json": {"schema": _ref(f"{name}.response"), "example": answer}},
        }
    }
    responses |= {
        str(status): {
            "description": meaning,
            "content": {"application/json": {"schema": _ref("Error")}},
        }
        for status, meaning in _MEANINGS.items()
    }
    return {
        "operationId": f"predict_{name}",
        "summary": f"Predict with {name}",
        "description": "\n\n".join(about),
        "tags": [name],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref(f"{name}.request"),
                    "example": {"rows": loaded.example_rows},
                }
            },
        },
        "responses": responses,
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
        value["description"] = "seen in training: " + ", ".join(map(str, column.categories))
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
