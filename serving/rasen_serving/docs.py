"""The `/docs` page: Swagger UI from an installed package, because a CDN is not there in a closed network.

Only the assets of `fastapi-swagger` are used; the page itself is FastAPI's.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
"""What the page loads, with its media type."""


@cache
def asset_path(name: str) -> Path:
    """Return where an asset lies."""
    return Path(str(files("fastapi_swagger").joinpath("resources", name)))


def docs_page(title: str) -> HTMLResponse:
    """Return the page; it asks nobody but this service for anything."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "validatorUrl": None},
    )
