"""The server side of Rasen in JupyterLab: what the browser asks, answered by the packages installed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["__version__"]

__version__ = "0.1.0"


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@rasen/labextension"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "rasen_labextension"}]


def _load_jupyter_server_extension(server_app: ServerApp) -> None:
    """Add the routes to a running Jupyter server."""
    import threading

    from rasen_labextension.findings import warm_up
    from rasen_labextension.routes import add_routes

    add_routes(server_app.web_app)
    threading.Thread(target=warm_up, name="rasen-warm-up", daemon=True).start()
