"""`rasen serve`: arguments in, then the supervisor takes the process over.

The supervisor runs in the same process but in a fresh interpreter (`exec`), because the command line's libraries
(Typer, rich) are 20 MB that nobody needs while serving.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from rasen.settings import load_settings, platform_environment

__all__ = ["serve"]


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="address that both ports listen on", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="port of the prediction API", show_default=False)] = None,
    admin_port: Annotated[
        int | None, typer.Option(help="port of the admin routes", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="number of processes that answer", show_default=False)
    ] = None,
) -> None:
    """Serve predictions of what the ledger names, until Ctrl-C."""
    given: dict[str, Any] = {  # Any: each field has a type of its own, checked by pydantic
        "host": host,
        "serving_port": port,
        "admin_port": admin_port,
        "serving_workers": workers,
    }
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    sys.stdout.flush()
    os.execve(  # noqa: S606  # no shell: the interpreter that runs this, with a module of ours
        sys.executable, [sys.executable, "-m", "rasen_serving"], platform_environment(settings)
    )
