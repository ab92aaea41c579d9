"""The FastAPI app of the control API: routes that parse, call one function, and answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rasen.api.access import TOKEN_SECONDS, Door, TokenAccess
from rasen.api.bodies import ErrorAnswer, Health
from rasen.api.desk import Desk
from rasen.api.docs import add_docs
from rasen.api.edge import Edge, json_response
from rasen.api.hub import REMEMBERED_SECONDS, HubAccess
from rasen.api.record_routes import add_record_routes
from rasen.api.refusals import (
    STATUSES,
    Fields,
    MalformedBody,
    MethodRefused,
    body_of,
    headers_of,
    status_of,
)
from rasen.api.run_routes import add_run_routes
from rasen.errors import NotFound, RasenError, RequestRefused
from rasen.settings import Settings
from rasen.store import Store

_DESCRIPTION = """What JupyterLab, CI and `rasen --server` ask: runs of registered pipelines and of working copies,
their progress as events, releases, deployments.

Send a token as `Authorization: Bearer …`. Runs happen in the platform, never in the process that asks for them."""


def create_app(settings: Settings, store: Store, *, hub: HubAccess | None = None) -> Edge:
    """Return the app, with the edge around all of it.

    Args:
        settings: Where everything lies; `api_access` says who may ask.
        store: The store of the settings.
        hub: JupyterHub; by default that of the environment where `api_access` is `hub`.

    Raises:
        PlatformFailed: JupyterHub's users shall be let in, and this is no service of a Hub.
    """
    if settings.api_access == "hub" and hub is None:
        hub = HubAccess()
    access = hub or TokenAccess(settings, store)
    door = Door(access, remembered_seconds=REMEMBERED_SECONDS if hub is not None else TOKEN_SECONDS)
    desk = Desk(settings=settings, store=store, door=door)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await desk.feeds.close()

    errors: dict[int | str, dict[str, Any]] = {  # Any: FastAPI's own
        status: {"model": ErrorAnswer} for status in STATUSES
    }
    app = FastAPI(
        title="Rasen control API",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=life,
        responses=errors,
    )
    routes = APIRouter(prefix="/v1")

    @routes.get("/health", tags=["health"])
    async def health() -> Health:
        """Say that the API answers; the only route that asks for no token."""
        return Health()

    add_run_routes(routes, desk)
    add_record_routes(routes, desk)
    app.include_router(routes)
    add_docs(app, hub)
    _describe_security(app)
    _answer_errors(app)
    return Edge(app, door=door, hub=hub, max_body_bytes=settings.api_max_body_bytes)


def _describe_security(app: FastAPI) -> None:
    """Let the description say that every route but health asks for a token."""
    make: Callable[[], dict[str, Any]] = app.openapi  # Any: an OpenAPI document

    def openapi() -> dict[str, Any]:  # Any: an OpenAPI document
        document = make()
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "`rasen tokens create NAME`"}
        }
        document["security"] = [{"token": []}]
        document["paths"]["/v1/health"]["get"]["security"] = []
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to change the description


def _answer_errors(app: FastAPI) -> None:
    """Give the errors of all routes the one shape."""

    def respond(error: Exception) -> Response:
        return json_response(body_of(error), status=status_of(error), headers=headers_of(error))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path[:200]
        if error.status_code == 405:
            allowed = dict(error.headers or {}).get("Allow", "another method")
            refusal = respond(MethodRefused(f"{path!r} takes {allowed}, not {request.method}"))
            refusal.headers["Allow"] = allowed
            return refusal
        if error.status_code == 404:
            return respond(NotFound(f"there is nothing at {path!r}; see /docs"))
        return respond(MalformedBody("the body cannot be read"))

    async def of_body(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return respond(MalformedBody("the body is no JSON"))
        fields: Fields = tuple(
            (tuple(one["loc"][1:]) or tuple(one["loc"]), str(one["msg"])) for one in error.errors()[:20]
        )
        return respond(
            RequestRefused("the request is not as described in /docs", 422, "invalid_request", fields)
        )

    async def of_ours(_request: Request, error: Exception) -> Response:
        return respond(error)

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_body)
    app.add_exception_handler(RasenError, of_ours)
    app.add_exception_handler(Exception, of_ours)
