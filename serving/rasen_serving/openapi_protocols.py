"""What `/openapi.json` says of the prediction routes of other protocols: their forms, with an example that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rasen_serving.live import Live
from rasen_serving.oip_datatypes import datatype_of, outputs_of
from rasen_serving.oip_routes import TAG as OIP_TAG
from rasen_serving.protocol_routes import INVOCATIONS, KSERVE_TAG, MLFLOW_TAG, VERTEX_TAG
from rasen_serving.wire_mlflow import FORMS
from rasen_serving.wire_oip import BINARY, HEAD_LENGTH

Json = dict[str, Any]  # Any: JSON

_JSON = "application/json"
_TEXT = {"type": "string"}
_ENDPOINT = {"name": "endpoint", "in": "path", "required": True, "schema": _TEXT}
_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": _TEXT,
    "description": "a run that is live, or the number of the revision that is",
}


def _object(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


PROTOCOL_TAGS = {
    OIP_TAG: "as Triton and KServe speak it, with JSON or binary tensors",
    KSERVE_TAG: "`instances` in, `predictions` out",
    MLFLOW_TAG: "as `mlflow models serve` answers",
    VERTEX_TAG: "a container's contract with Vertex AI",
}
"""What each protocol is, for the headings of `/docs`."""

PROTOCOL_ERRORS = {
    OIP_TAG: _object({"error": _TEXT}, "error"),
    KSERVE_TAG: _object({"error": _TEXT}, "error"),
    MLFLOW_TAG: _object({"error_code": _TEXT, "message": _TEXT}, "error_code", "message"),
    VERTEX_TAG: _object({"error": _TEXT}, "error"),
}
"""The shape of each protocol's errors."""

_ERRORS = {
    "400": "The body is not what its content type says",
    "401": "No valid key or token was sent",
    "403": "The key is not for this endpoint",
    "404": "There is no such endpoint, or the version is not live",
    "413": "Too many bytes or rows",
    "415": "The content type is not read here",
    "422": "Names, shapes, datatypes or values are not what the model takes; the message names each",
    "429": "More requests than the key's rate allows",
    "503": "Nothing can answer now",
}


def protocol_paths(live: Live | None, *, vertex_route: str) -> Json:
    """Return the paths of the prediction routes besides our own.

    Args:
        live: The endpoint that gives the examples, if there is one.
        vertex_route: Where Vertex AI asks, `""` when it does not.
    """
    infer = _infer(live)
    paths = {
        "/v2/models/{endpoint}/infer": {"post": infer | {"parameters": [_ENDPOINT]}},
        "/v2/models/{endpoint}/versions/{version}/infer": {
            "post": infer
            | {"parameters": [_ENDPOINT, _VERSION], "operationId": "oip_infer_version"}
            | {"summary": "Infer with a version"}
        },
        "/v1/models/{endpoint}:predict": {
            "post": _instances(live, "kserve_predict", KSERVE_TAG) | {"parameters": [_ENDPOINT]}
        },
        f"/endpoints/{{endpoint}}{INVOCATIONS}": {
            "post": _invocations(live, "mlflow_invoke_endpoint") | {"parameters": [_ENDPOINT]}
        },
        INVOCATIONS: {"post": _invocations(live, "mlflow_invoke")},
    }
    if vertex_route:
        paths[vertex_route] = {"post": _instances(live, "vertex_predict", VERTEX_TAG)}
    return paths


def _operation(
    *, name: str, tag: str, summary: str, description: str, body: Json, answer: Json, error: Json
) -> Json:
    responses: Json = {"200": {"description": "One prediction a row, in the rows' order", "content": answer}}
    responses |= {
        status: {"description": meaning, "content": {_JSON: {"schema": error}}}
        for status, meaning in _ERRORS.items()
    }
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "requestBody": {"required": True, "content": body},
        "responses": responses,
    }


def _infer(live: Live | None) -> Json:
    tensor = {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": _TEXT,
            "parameters": {"type": "object"},
            "data": {"type": "array", "items": {}},
        },
        "required": ["name", "shape", "datatype"],
    }
    return _operation(
        name="oip_infer",
        tag=OIP_TAG,
        summary="Infer",
        description="One tensor a column, `[n]` or `[n, 1]`, or one matrix `[n, k]` in the schema's order. Values "
        f"stand in `data`, or as bytes behind the JSON, whose length `{HEAD_LENGTH}` says.",
        body={
            _JSON: {
                "schema": _object(
                    {
                        "id": _TEXT,
                        "parameters": {"type": "object"},
                        "inputs": {"type": "array", "minItems": 1, "items": tensor},
                        "outputs": {"type": "array", "items": {"type": "object"}},
                    },
                    "inputs",
                ),
                **_example(live, _tensors),
            },
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
        answer={
            _JSON: {
                "schema": _object(
                    {
                        "model_name": _TEXT,
                        "model_version": _TEXT,
                        "id": _TEXT,
                        "parameters": {"type": "object"},
                        "outputs": {"type": "array", "items": tensor},
                    },
                    "model_name",
                    "model_version",
                    "outputs",
                ),
                **_example(live, _answered_tensors),
            },
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
        error=PROTOCOL_ERRORS[OIP_TAG],
    )


def _instances(live: Live | None, name: str, tag: str) -> Json:
    return _operation(
        name=name,
        tag=tag,
        summary="Predict",
        description="An instance is an object with one field a column, or a list of values in the schema's order.",
        body={
            _JSON: {
                "schema": _object({"instances": {"type": "array", "minItems": 1, "items": {}}}, "instances"),
                **_example(live, lambda live: {"instances": live.champion.loaded.example_rows}),
            }
        },
        answer=_predictions(live),
        error=PROTOCOL_ERRORS[tag],
    )


def _invocations(live: Live | None, name: str) -> Json:
    return _operation(
        name=name,
        tag=MLFLOW_TAG,
        summary="Invoke",
        description=f"Exactly one of {', '.join(f'`{form}`' for form in FORMS)}, or CSV with a header.",
        body={
            _JSON: {
                "schema": {"oneOf": [_object({form: {}}, form) for form in FORMS]},
                **_example(live, _split),
            },
            "text/csv": {"schema": _TEXT},
        },
        answer=_predictions(live),
        error=PROTOCOL_ERRORS[MLFLOW_TAG],
    )


def _predictions(live: Live | None) -> Json:
    schema = _object({"predictions": {"type": "array", "items": {}}}, "predictions")
    given = _example(live, lambda live: {"predictions": live.champion.loaded.example_predictions})
    return {_JSON: {"schema": schema, **given}}


def _example(live: Live | None, build: Callable[[Live], Json]) -> Json:
    return {} if live is None else {"example": build(live)}


def _split(live: Live) -> Json:
    loaded = live.champion.loaded
    names = list(loaded.schema.names)
    rows = [[row[name] for name in names] for row in loaded.example_rows]
    return {"dataframe_split": {"columns": names, "data": rows}}


def _tensors(live: Live) -> Json:
    loaded = live.champion.loaded
    rows = loaded.example_rows
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [len(rows)],
                "datatype": datatype_of(column.type),
                "data": [row[column.name] for row in rows],
            }
            for column in loaded.schema.inputs
        ]
    }


def _answered_tensors(live: Live) -> Json:
    loaded = live.champion.loaded
    scalar = loaded.schema.output.kind == "scalar"
    predictions = loaded.example_predictions
    return {
        "model_name": live.revision.endpoint,
        "model_version": loaded.version.run,
        "outputs": [
            {
                "name": name,
                "shape": [len(predictions)],
                "datatype": datatype_of(kind),
                "data": predictions if scalar else [row[name] for row in predictions],
            }
            for name, kind in outputs_of(loaded.schema.output).items()
        ],
    }
