"""The `/docs` page: Swagger UI from an installed package, because a CDN is not there in a closed network.

Only the assets of `fastapi-swagger` are used. The page is our own, because FastAPI's has its script inline, which a
policy that keeps other people's scripts out cannot allow.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Response
from fastapi.responses import FileResponse

from rasen.errors import NotFound
from rasen_serving.pages import POLICY, page, static_file

if TYPE_CHECKING:
    from fastapi import FastAPI

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""What the page loads of Swagger UI, with its media type."""

OWN = {
    "docs.css": "text/css",
    "docs.js": "text/javascript",
}
"""What it loads of ours."""

_POLICY = POLICY | {
    "style-src": "'self' 'unsafe-inline'",  # Swagger UI writes styles into its elements
    "img-src": "'self' data:",  # and pictures into its style sheet
}


def add_docs(app: FastAPI) -> None:
    """Add the page and what it loads to an app."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page("docs.html", _POLICY)

    @app.get("/docs/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name in OWN:
            return static_file(name, OWN[name])
        if name not in ASSETS:
            raise NotFound(f"there is no {name[:100]!r} under /docs")
        return FileResponse(asset_path(name), media_type=ASSETS[name])


@cache
def asset_path(name: str) -> Path:
    """Return where an asset lies."""
    return Path(str(files("fastapi_swagger").joinpath("resources", name)))
