"""The FastAPI app of a worker: routes that parse, call one function of the service, and answer.

The predict route reads the body itself (`requests.py`), and returns bytes that are JSON already. Its description in
`/docs` is not derived from its signature but from the model that is live (`openapi.py`), because it changes while the
app runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from rasen.errors import NotFound, RasenError
from rasen_serving.access import ANYBODY, OPEN_PATHS
from rasen_serving.asked import authorization_of, note_headers, request_id_of
from rasen_serving.console import add_console
from rasen_serving.docs import add_docs
from rasen_serving.openapi import build_openapi
from rasen_serving.protocol_routes import add_protocol_routes, error_body
from rasen_serving.refusals import Asleep, MethodRefused, headers_of, status_of
from rasen_serving.requests import answer_request, caller_of
from rasen_serving.rewards import mount_rewards
from rasen_serving.service import Service
from rasen_serving.views import EndpointDetail, EndpointList, Health, describe, summarise
from rasen_serving.wire_own import JSON, OWN

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Edge:
    """What every request meets first, and what every answer gets.

    Nothing but health is answered to somebody unknown, and nothing of his body is read. A route needs to do nothing
    for that, so none can forget it. Answers get the request's id, and a hint to reconnect while draining.
    """

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._service = service
        self._open_paths = OPEN_PATHS | {service.settings.vertex_health_route}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id in the scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        noted = note_headers(scope["headers"])
        request_id = request_id_of(noted)
        scope["rasen_request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id))
                if self._service.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            scope["rasen_caller"] = (
                ANYBODY
                if scope["path"] in self._open_paths
                else self._service.access.identify(authorization_of(noted))
            )
        except RasenError as error:
            self._service.count_refusal(error)
            refusal = Response(
                error_body(scope["path"], error, request_id=request_id.decode()),
                status_of(error),
                headers_of(error),
                media_type=JSON,
            )
            await refusal(scope, receive, send_with_id)
            return
        await self._app(scope, receive, send_with_id)


def create_app(service: Service) -> FastAPI:
    """Return the app of one worker."""
    app = FastAPI(
        title="Rasen predictions",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Edge, service=service)
    add_protocol_routes(app, service)

    async def predict(request: Request) -> Response:
        return await answer_request(service, request, OWN, endpoint=request.path_params["endpoint"])

    # A plain route: FastAPI would resolve dependencies that this one has not, for 60 µs a request.
    app.add_route("/endpoints/{endpoint}/predict", predict, methods=["POST"], include_in_schema=False)

    @app.get("/endpoints", summary="All endpoints")
    async def list_endpoints(request: Request) -> EndpointList:
        return summarise(service.versions, may_ask=caller_of(request).may_ask)

    @app.get("/endpoints/{endpoint}", summary="One endpoint: schema, example, version, metrics")
    async def show_endpoint(endpoint: str, request: Request) -> EndpointDetail:
        caller_of(request).check_may_ask(endpoint)
        try:
            return describe(service.versions.take(endpoint))
        except Asleep:
            service.want(endpoint)  # so that "try again in a moment" is right
            raise

    @app.get("/livez", summary="The process answers")
    async def live() -> Health:
        return Health(ready=True)

    @app.get(
        "/readyz",
        summary="The service has everything that the ledger names",
        responses={503: {"model": Health, "description": "It has not; the reason says why"}},
    )
    async def ready(response: Response) -> Health:
        reason = "draining" if service.draining else service.situation.reason
        is_ready = service.situation.ready and not service.draining
        response.status_code = 200 if is_ready else 503
        return Health(ready=is_ready, reason="" if is_ready else reason)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(
            build_openapi(
                app,
                service.versions,
                may_ask=caller_of(request).may_ask,
                is_open=service.access.is_open,
                vertex_route=service.settings.vertex_predict_route,
            )
        )

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/console")

    add_docs(app)
    add_console(app)
    mount_rewards(app, service)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Give the errors of all other routes the one shape."""

    def respond(request: Request, error: Exception) -> Response:
        request_id = request.scope.get("rasen_request_id", "")
        body = error_body(request.url.path, error, request_id=request_id)
        return Response(body, status_of(error), headers_of(error), media_type=JSON)

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path[:200]
        if error.status_code == 405:
            allowed = dict(error.headers or {}).get("Allow", "another method")
            refusal = respond(request, MethodRefused(f"{path!r} takes {allowed}, not {request.method}"))
            refusal.headers["Allow"] = allowed
            return refusal
        return respond(request, NotFound(f"there is nothing at {path!r}; see /docs"))

    async def of_ours(request: Request, error: Exception) -> Response:
        return respond(request, error)

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RasenError, of_ours)
    app.add_exception_handler(Exception, of_ours)
