"""The console: a page to try an endpoint, made of files that the browser takes as they are.

No build step, no CDN, nothing from another origin. Its files say nothing of any endpoint; what it shows it asks the
API for, with the key of whoever looks, so it can show nobody more than the API does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Response

from rasen.errors import NotFound
from rasen_serving.pages import POLICY, page, static_file

if TYPE_CHECKING:
    from fastapi import FastAPI

FILES = {
    "answer.js": "text/javascript",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "endpoint.js": "text/javascript",
    "form.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "page.js": "text/javascript",
    "request.js": "text/javascript",
    "service.js": "text/javascript",
}
"""What the page loads, with its media type."""

# Not even our own scripts may turn text into HTML.
_POLICY = POLICY | {"require-trusted-types-for": "'script'"}


def add_console(app: FastAPI) -> None:
    """Add the routes of the console to an app."""

    @app.get("/console", include_in_schema=False)
    async def console() -> Response:
        return page("console.html", _POLICY)

    @app.get("/console/{name}", include_in_schema=False)
    async def console_file(name: str) -> Response:
        if name not in FILES:
            raise NotFound(f"there is no {name[:100]!r} under /console")
        return static_file(name, FILES[name])
