"""`rasen api`: the control API alone, where `rasen up` does not start it."""

from __future__ import annotations

import typer

from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("api")(serve_api)


def serve_api() -> None:
    """Answer JupyterLab, CI and `rasen --server` until Ctrl-C; runs are started by the platform (`rasen up`)."""
    from rasen.api.server import serve
    from rasen.tracking.api_tokens import make_api_token

    settings = load_settings()
    if settings.api_access == "token":
        make_api_token(settings)
    serve(settings)
