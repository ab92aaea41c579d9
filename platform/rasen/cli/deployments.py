"""`rasen deployments`: the ledger, newest decision first, or one of its records in full."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.batch.when import parse_when
from rasen.cli.control import Control, ServerOption, open_control
from rasen.cli.output import JsonFlag, console, print_json, show_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasen.batch.ledger_queries import DecisionDetails
    from rasen.tracking.index_rows import DeploymentRow
    from rasen.tracking.ledger_records import Variant

ACTION_COLOURS = {
    "deploy": "green",
    "promote": "green",
    "approve": "green",
    "override": "magenta",
    "hold": "yellow",
    "unhold": "green",
    "rollback": "magenta",
}
"""All others, which say no, are red."""
_ANSWER_COLOURS = {"pass": "green", "hold": "yellow"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("deployments")(list_deployments)


def list_deployments(
    endpoint: Annotated[str | None, typer.Argument(help="only this endpoint")] = None,
    number: Annotated[int | None, typer.Argument(min=1, help="this record in full")] = None,
    action: Annotated[
        str | None, typer.Option(help="only this action, such as deploy, refuse, hold or rollback")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="only what was decided from then on")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="only what was decided before then; a date means the end of that day"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    *,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List what was decided about each endpoint, and why; with a number, everything that a record says."""
    from rasen.errors import InvalidInput

    control = open_control(server)
    if number is not None:
        assert endpoint is not None  # arguments come in order
        if action or since or until:
            raise InvalidInput(
                "one record is asked for by its number alone, without --action, --since and --until"
            )
        _show_one(control, endpoint, number, as_json=as_json)
        return
    now = datetime.now(tz=UTC)
    rows, problems = control.deployments(
        endpoint,
        action=action,
        since=parse_when("--since", since, now=now) if since is not None else None,
        until=parse_when("--until", until, now=now, end_of_day=True) if until is not None else None,
        limit=limit,
    )
    if as_json:
        print_json(rows)
        return
    # One text, and no markup engine: ten thousand records are a second of work for one.
    typer.echo("\n".join(line for row in rows for line in _lines(row)), nl=bool(rows))
    out = console()
    for problem in problems:
        out.print(
            f"[red]{escape(problem.key)}: {escape(clean_line(problem.problem, most=500))}[/red]",
            soft_wrap=True,
        )
    if not rows:
        fits = " that fits" if action or since or until else ""
        out.print(f"nothing{fits} was decided yet" + (f" about endpoint {endpoint!r}" if endpoint else ""))


def _lines(row: DeploymentRow) -> tuple[str, str]:
    colour = ACTION_COLOURS.get(row.action, "red")
    head = typer.style(f"{row.endpoint} {row.number}", bold=True) + "  " + typer.style(row.action, fg=colour)
    who = typer.style(f"{show_time(row.decided_at)} by {clean_line(row.actor, most=200)}", dim=True)
    return f"{head}  {row.run or ''}  {who}", f"  {clean_line(row.reason, most=2000)}"


def _show_one(control: Control, endpoint: str, number: int, *, as_json: bool) -> None:
    found = control.decision(endpoint, number)
    if as_json:
        print_json(found)
        return
    record = found.record
    out = console()

    def line(text: str) -> None:
        out.print(text, soft_wrap=True)

    colour = ACTION_COLOURS.get(record.action, "red")
    line(f"[bold]{escape(endpoint)} {number}[/bold]  [{colour}]{record.action}[/]  {record.run or ''}")
    line(f"  {escape(clean_line(record.reason, most=2000))}")
    line(f"  decided {show_time(record.decided_at)} by {escape(clean_line(record.actor, most=200))}")
    for verdict in record.verdicts:
        colour = _ANSWER_COLOURS.get(verdict.answer, "red")
        outcome = f" ({escape(verdict.outcome)})" if verdict.outcome else ""
        line(
            f"  gate {escape(verdict.gate)}: [{colour}]{verdict.answer}[/]{outcome}  {escape(verdict.reason)}"
        )
        if verdict.numbers:
            line("    " + escape("  ".join(f"{name} {value:.6g}" for name, value in verdict.numbers.items())))
    if record.metrics:
        line(
            "  metrics  " + escape("  ".join(f"{name} {value:.6g}" for name, value in record.metrics.items()))
        )
    before = "cannot be read" if found.before is None else _show_variants(found.before)
    line(f"  before   {before}")
    line(f"  after    {_show_variants(record.state.variants)}")
    if record.state.held is not None:
        line(f"  waiting  {record.state.held.run}, held by record {record.state.held.number}")
    if record.state.frozen is not None:
        line(f"  frozen   by {escape(record.state.frozen.by)}: {escape(record.state.frozen.reason)}")
    _show_proof(found, line)


def _show_proof(found: DecisionDetails, line: object) -> None:
    assert callable(line)
    record = found.record
    if record.previous:
        line(f"  previous {record.previous}, whose versions answered before")
    if record.event:
        line(f"  event    {escape(record.event)}")
    line(f"  signed   by key {escape(found.key_id)} as {found.role}, SHA-256 {found.sha256}")
    line(f"  object   {escape(found.key)}")


def _show_variants(variants: Sequence[Variant]) -> str:
    from rasen.deploy.rollout import percent

    if not variants:
        return "nothing"
    return ", ".join(f"{one.run} ({one.role}, {percent(one.weight)})" for one in variants)
