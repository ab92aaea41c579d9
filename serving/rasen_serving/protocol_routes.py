"""The routes of every protocol besides our own, and which endpoint answers where a protocol knows only one model.

They are thin: each makes a request of `service.py` with another wire format, so access, variants, batches, fallback,
counts and log are the same for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from rasen.errors import NotFound
from rasen_serving.asked import Asked
from rasen_serving.oip_metadata import check_ready, is_ready, server_version
from rasen_serving.oip_routes import add_oip_routes
from rasen_serving.refusals import body_of
from rasen_serving.requests import answer_request, caller_of
from rasen_serving.wire_instances import INSTANCES
from rasen_serving.wire_mlflow import MLFLOW, refuse_as_mlflow
from rasen_serving.wire_oip import refuse_in_one_text

if TYPE_CHECKING:
    from rasen_serving.access import Known
    from rasen_serving.service import Service
    from rasen_serving.wire import WireFormat

KSERVE_TAG, MLFLOW_TAG, VERTEX_TAG = "KServe v1", "MLflow", "Vertex AI"
INVOCATIONS = "/invocations"

_NAMED = 12


def add_protocol_routes(app: FastAPI, service: Service) -> None:
    """Mount the routes; before all others, so that what an operator chose for Vertex AI wins."""
    add_vertex_routes(app, service)
    add_oip_routes(app, service)
    add_kserve_routes(app, service)
    add_mlflow_routes(app, service)


def add_kserve_routes(app: FastAPI, service: Service) -> None:
    """Mount KServe's first protocol (`/v1/models/…`)."""
    get = partial(app.get, tags=[KSERVE_TAG])

    @get("/v1/models", summary="The endpoints' names")
    async def models(request: Request) -> Response:
        return JSONResponse({"models": list(filter(caller_of(request).may_ask, service.versions.names))})

    @get("/v1/models/{endpoint}", summary="Whether an endpoint answers")
    async def model(request: Request, endpoint: str) -> Response:
        caller_of(request).check_may_ask(endpoint)
        check_ready(service, endpoint)
        return JSONResponse({"name": endpoint, "ready": True})

    async def predict(request: Request) -> Response:
        return await answer_request(service, request, INSTANCES, endpoint=request.path_params["endpoint"])

    app.add_route("/v1/models/{endpoint}:predict", predict, methods=["POST"], include_in_schema=False)


def add_mlflow_routes(app: FastAPI, service: Service) -> None:
    """Mount MLflow's scoring protocol (`/invocations`), and the route of its deployments client."""
    get = partial(app.get, tags=[MLFLOW_TAG])

    @get("/ping", summary="The server has everything that the ledger names")
    @get("/health", summary="The same as /ping")
    async def ping() -> Response:
        return PlainTextResponse("\n", 200 if is_ready(service) else 503)

    @get("/version", summary="The version of Rasen")
    async def version() -> Response:
        return PlainTextResponse(server_version())

    async def invoke(request: Request) -> Response:
        return await answer_request(service, request, MLFLOW, endpoint=request.path_params["endpoint"])

    app.add_route(f"/endpoints/{{endpoint}}{INVOCATIONS}", invoke, methods=["POST"], include_in_schema=False)
    _add_default_route(app, service, INVOCATIONS, MLFLOW)


def add_vertex_routes(app: FastAPI, service: Service) -> None:
    """Mount the two routes that Vertex AI chooses for a container, if it does."""
    health, predict = service.settings.vertex_health_route, service.settings.vertex_predict_route
    if health:

        @app.get(health, tags=[VERTEX_TAG], summary="The server has everything that the ledger names")
        async def is_healthy() -> Response:
            ready = is_ready(service)
            return JSONResponse({"ready": ready}, 200 if ready else 503)

    if predict:
        _add_default_route(app, service, predict, INSTANCES)


def _add_default_route(app: FastAPI, service: Service, path: str, wire: WireFormat) -> None:
    async def predict(request: Request) -> Response:
        caller: Known = request.scope["rasen_caller"]  # counted by the service

        def direct(asked: Asked) -> Asked:
            return replace(asked, endpoint=default_endpoint(service, caller))

        return await answer_request(service, request, wire, endpoint="", direct=direct)

    app.add_route(path, predict, methods=["POST"], include_in_schema=False)


def default_endpoint(service: Service, caller: Known) -> str:
    """Return the endpoint that answers where none is named: the declared one, or the only one.

    Args:
        service: Whose endpoints.
        caller: Who is told of several that he may ask.

    Raises:
        NotFound: None is declared, and there are several, or none.
    """
    declared = service.settings.default_endpoint
    if declared:
        return declared
    names = service.versions.names
    if len(names) == 1:
        return names[0]
    if not names:
        raise NotFound("there is no endpoint yet")
    told = list(filter(caller.may_ask, names))
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    raise NotFound(
        "this path stands for one endpoint and there are several: set RASEN_DEFAULT_ENDPOINT to one of "
        f"{', '.join(map(repr, told[:_NAMED]))}{more}, or name it in the path, /endpoints/<endpoint>{INVOCATIONS}"
    )


def error_body(path: str, error: Exception, *, request_id: str) -> bytes:
    """Return the body of an error of a route that is no prediction, in the shape of the path's protocol."""
    if path in ("/v1", "/v2") or path.startswith(("/v1/", "/v2/")):
        return refuse_in_one_text(error, request_id=request_id).body
    if path.endswith(INVOCATIONS):
        return refuse_as_mlflow(error, request_id=request_id).body
    return body_of(error, request_id=request_id)
