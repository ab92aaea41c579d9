"""Which address leads where; the routes of one plugin stand in one file."""

from __future__ import annotations

from jupyter_server.utils import url_path_join
from tornado.web import Application

from rasen_labextension.findings import FINDINGS_ROUTES
from rasen_labextension.handler import RasenHandler
from rasen_labextension.runs import RUNS_ROUTES
from rasen_labextension.snippets import SNIPPETS_ROUTES

Routes = tuple[tuple[str, type[RasenHandler]], ...]

ROUTES: Routes = (*FINDINGS_ROUTES, *SNIPPETS_ROUTES, *RUNS_ROUTES)


def add_routes(application: Application) -> None:
    """Add all routes under `/rasen/` of the server's base address."""
    base = application.settings["base_url"]
    application.add_handlers(
        ".*$", [(url_path_join(base, "rasen", pattern), handler) for pattern, handler in ROUTES]
    )
