"""`rasen live`: what is live, or was at an instant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.batch.when import parse_when
from rasen.cli.control import ServerOption, open_control
from rasen.cli.output import JsonFlag, console, print_json, show_time

if TYPE_CHECKING:
    from rasen.batch.ledger_queries import LiveEndpoint, LiveVersion
    from rasen.tracking.ledger_records import Freeze, Held


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("live")(show_live)


def show_live(
    endpoint: Annotated[str | None, typer.Argument(help="only this endpoint")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="WHEN",
            help="not now but then: 2026-01-31T04:10, 2026-01-31T04:10:00Z, a date (its first moment), or a time back "
            "from now: 90s, 20m, 2h, 3d",
        ),
    ] = None,
    *,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what answers at each endpoint, since when and by whose decision; or what did at an instant."""
    instant = parse_when("--at", at, now=datetime.now(tz=UTC)) if at is not None else None
    found = open_control(server).live(endpoint, at=instant)
    if as_json:
        print_json(found)
        return
    out = console()
    for one in found:
        for line in _lines(one):
            out.print(line, soft_wrap=True)
    if not found:
        out.print("nothing was decided yet, so nothing is live")


def waiting_lines(endpoint: str, held: Held | None, frozen: Freeze | None) -> list[str]:
    """Return, as markup, what waits at an endpoint and what a person can do about it."""
    lines = []
    if held is not None and held.requested:
        lines.append(
            f"  [yellow]waiting[/yellow]    {held.run}  held by record {held.number}: is compared anew with the "
            f"version that is live now ({escape(held.requested)})"
        )
    elif held is not None and not held.gates:
        lines.append(
            f"  [yellow]waiting[/yellow]    {held.run}  held by record {held.number}, until the endpoint is unheld"
        )
    elif held is not None:
        gates = f" for {escape(', '.join(held.gates))}"
        lines.append(
            f"  [yellow]waiting[/yellow]    {held.run}  held by record {held.number}{gates}; "
            f"`rasen approve {endpoint}` lets it in"
        )
    if frozen is not None:
        why = escape(clean_line(frozen.reason, most=500))
        lines.append(
            f"  [yellow]frozen[/yellow]     by {escape(frozen.by)} (record {frozen.number}): {why}; "
            f"`rasen unhold {endpoint}` lets versions go live again"
        )
    return lines


def _lines(found: LiveEndpoint) -> list[str]:
    name = f"[bold]{escape(found.endpoint)}[/bold]"
    when = f" at {show_time(found.at)}" if found.at is not None else ""
    if found.number == 0:
        first = f"; the first decision was at {show_time(found.first_at)}" if found.first_at else ""
        return [f"{name}  nothing was decided yet{when}{first}"]
    lines = [f"{name}  ledger {found.number}{when}"]
    if not found.versions:
        lines.append("  nothing answers: no version was ever let in")
    lines += [_describe(version) for version in found.versions]
    if found.versions:
        lines.append(
            f"  since record {found.since}, {show_time(found.since_at)}: {found.action} by {escape(found.actor)}, "
            f"{escape(clean_line(found.reason, most=500))}"
        )
    return lines + waiting_lines(found.endpoint, found.held, found.frozen)


def _describe(version: LiveVersion) -> str:
    from rasen.deploy.rollout import percent

    head = f"  {version.role:<10} {percent(version.weight):>7}  {version.run}"
    if version.problem:
        return f"{head}  [red]{escape(clean_line(version.problem, most=500))}[/red]"
    commit = f", commit {version.commit[:12]}" if version.commit else ""
    trained = f", trained until {escape(version.trained_until)}" if version.trained_until else ""
    return f"{head}  release {escape(version.release or '')}{commit}{trained}"
