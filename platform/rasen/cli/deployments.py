"""`rasen deployments`: the ledger, newest decision first."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, show_time
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("deployments")(list_deployments)


def list_deployments(
    endpoint: Annotated[str | None, typer.Argument(help="only this endpoint")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    *,
    as_json: JsonFlag = False,
) -> None:
    """List what was decided about each endpoint, and why."""
    from rasen.batch.queries import open_index

    rows = open_index(load_settings()).deployments(endpoint, limit=limit)
    if as_json:
        print_json(rows)
        return
    out = console()
    for row in rows:
        colour = {"deploy": "green", "promote": "green", "hold": "yellow"}.get(row.action, "red")
        out.print(
            f"[bold]{escape(row.endpoint)} {row.number}[/bold]  [{colour}]{row.action}[/]  {row.run or ''}  "
            f"[dim]{show_time(row.decided_at)} by {escape(row.actor)}[/dim]",
            soft_wrap=True,
        )
        out.print(f"  {escape(row.reason)}", soft_wrap=True)
    if not rows:
        out.print("nothing was decided yet" + (f" about endpoint {endpoint!r}" if endpoint else ""))
