"""The routes of the Open Inference Protocol v2 (`/v2/…`): health, metadata, inference."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from rasen_serving.oip_metadata import (
    EXTENSIONS,
    SERVER_NAME,
    check_ready,
    describe_model,
    find_live,
    find_version,
    is_ready,
    server_version,
)
from rasen_serving.requests import answer_request, caller_of
from rasen_serving.wire_oip import HEAD_LENGTH, OIP, OipNotes, choose_variant

if TYPE_CHECKING:
    from rasen_serving.service import Service

TAG = "Open Inference Protocol v2"


def add_oip_routes(app: FastAPI, service: Service) -> None:
    """Mount the protocol's routes."""
    get = partial(app.get, tags=[TAG])

    @get("/v2", summary="Name, version and extensions of the server")
    async def server() -> Response:
        return JSONResponse(
            {"name": SERVER_NAME, "version": server_version(), "extensions": list(EXTENSIONS)}
        )

    @get("/v2/health/live", summary="The server answers")
    async def live() -> Response:
        return JSONResponse({"live": True})

    @get("/v2/health/ready", summary="The server has everything that the ledger names")
    async def ready() -> Response:
        ready = is_ready(service)
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @get("/v2/models", summary="The endpoints' names")
    async def models(request: Request) -> Response:
        return JSONResponse({"models": list(filter(caller_of(request).may_ask, service.versions.names))})

    async def model(request: Request, endpoint: str, version: str = "") -> Response:
        caller_of(request).check_may_ask(endpoint)
        live = find_live(service, endpoint)
        find_version(live, version)
        return JSONResponse(asdict(describe_model(live)))

    async def model_ready(request: Request, endpoint: str, version: str = "") -> Response:
        caller_of(request).check_may_ask(endpoint)
        check_ready(service, endpoint, version)
        return JSONResponse({"name": endpoint, "ready": True})

    for path, of_version in (
        ("/v2/models/{endpoint}", ""),
        ("/v2/models/{endpoint}/versions/{version}", " of a version"),
    ):
        get(path, summary=f"Names, datatypes and shapes of the tensors{of_version}")(model)
        with_version = " with a version" if of_version else ""
        get(f"{path}/ready", summary=f"Whether an endpoint answers{with_version}")(model_ready)

    async def infer(request: Request) -> Response:
        version = request.path_params.get("version", "")
        notes = OipNotes(
            versions=service.versions,
            version=version,
            head_length=request.headers.get(HEAD_LENGTH, ""),
        )

        return await answer_request(
            service,
            request,
            OIP,
            endpoint=request.path_params["endpoint"],
            about=notes,
            direct=choose_variant if version else None,
        )

    # Plain routes, as the one of our own format.
    for path in ("/v2/models/{endpoint}/infer", "/v2/models/{endpoint}/versions/{version}/infer"):
        app.add_route(path, infer, methods=["POST"], include_in_schema=False)
