"""The `/docs` page of the control API, and the login of a browser where JupyterHub lets people in.

Swagger UI comes from an installed package, because a CDN is not there in a closed network; the page is our own, because
FastAPI's has its script inline, which a policy that keeps other people's scripts out cannot allow.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from rasen.api.edge import CALLBACK, read_cookie, set_cookie
from rasen.api.hub import STATE_COOKIE, TOKEN_COOKIE, HubAccess
from rasen.errors import NotFound

if TYPE_CHECKING:
    from fastapi import FastAPI

ASSETS = {
    "swagger-ui-bundle.js": ("fastapi_swagger", "resources", "text/javascript"),
    "swagger-ui.css": ("fastapi_swagger", "resources", "text/css"),
    "docs.js": ("rasen.api", "static", "text/javascript"),
}
"""What the page loads: the package and folder that it lies in, and its media type."""

_POLICY = "; ".join(
    f"{directive} {sources}"
    for directive, sources in {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",  # Swagger UI writes styles into its elements
        "img-src": "'self' data:",  # and pictures into its style sheet
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }.items()
)
_SESSION_SECONDS = 12 * 3600


def add_docs(app: FastAPI, hub: HubAccess | None) -> None:
    """Add the page, what it loads, and the way back from the Hub's login."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        headers = {"Content-Security-Policy": _POLICY}
        return Response(_read("rasen.api", "static", "docs.html"), headers=headers, media_type="text/html")

    @app.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise NotFound(f"there is no {name[:100]!r} under /docs")
        package, folder, media_type = ASSETS[name]
        return Response(_read(package, folder, name), media_type=media_type)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, object]:
        return app.openapi()

    if hub is None:
        return

    @app.get(CALLBACK, include_in_schema=False)
    async def callback(request: Request, code: str = "", state: str = "") -> Response:
        kept = read_cookie(request.headers.get("cookie", ""), STATE_COOKIE)
        token, path = await asyncio.to_thread(hub.finish_login, code=code, state=state, cookie=kept)
        answer = RedirectResponse(path, status_code=302)
        set_cookie(answer, TOKEN_COOKIE, token, request.scope, prefix=hub.prefix, seconds=_SESSION_SECONDS)
        answer.delete_cookie(STATE_COOKIE, path=hub.prefix)
        return answer


@cache
def _read(package: str, folder: str, name: str) -> bytes:
    return files(package).joinpath(folder, name).read_bytes()
