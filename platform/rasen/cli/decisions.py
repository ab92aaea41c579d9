"""What a person decides about an endpoint: `rasen hold`, `unhold`, `approve`, `override` and `rollback`."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.cli.output import JsonFlag, console, print_json
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.deploy.commands import CommandKind
    from rasen.settings import Settings
    from rasen.tracking.ledger_records import LedgerRecord

Endpoint = Annotated[str, typer.Argument(help="the endpoint")]
Reason = Annotated[str, typer.Option(help="why; it stands in the ledger")]
NeededReason = Annotated[str, typer.Option(help="why; it stands in the ledger", show_default=False)]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("hold")(hold)
    app.command("unhold")(unhold)
    app.command("approve")(approve)
    app.command("override")(override)
    app.command("rollback")(rollback)


def hold(endpoint: Endpoint, reason: NeededReason, *, as_json: JsonFlag = False) -> None:
    """Freeze an endpoint: versions are still judged, but none goes live by itself until `rasen unhold`."""
    _print(_decide(load_settings(), endpoint, "hold", reason=_checked(reason)), as_json=as_json)


def unhold(endpoint: Endpoint, reason: Reason = "", *, as_json: JsonFlag = False) -> None:
    """Let versions go live by themselves again; one that came meanwhile and passed its gates is judged anew at once."""
    from rasen.batch.decisions import records_after

    settings = load_settings()
    record = _decide(settings, endpoint, "unhold", reason=reason)
    followed = records_after(settings, endpoint, record.number)
    if as_json:
        print_json({"record": record, "followed": followed})
        return
    for one in (record, *followed):
        _print(one, as_json=False)


def approve(
    endpoint: Endpoint,
    run: Annotated[
        str | None, typer.Argument(help="the version that you mean; refused when another one waits")
    ] = None,
    reason: Reason = "",
    *,
    as_json: JsonFlag = False,
) -> None:
    """Let in the version that waits; `rasen live` shows it."""
    from rasen.batch.decisions import held_run

    settings = load_settings()
    waiting = held_run(settings, endpoint, run)
    _print(_decide(settings, endpoint, "approve", run=waiting, reason=reason), as_json=as_json)


def override(
    endpoint: Endpoint,
    run: Annotated[str, typer.Argument(help="the version, or enough of its id")],
    reason: NeededReason,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Let in a version that the gates refused or held; the ledger keeps who did it, and why."""
    from rasen.batch.decisions import decided_run

    settings = load_settings()
    why = _checked(reason)
    chosen = decided_run(settings, endpoint, run)
    _print(_decide(settings, endpoint, "override", run=chosen, reason=why), as_json=as_json)


def rollback(
    endpoint: Endpoint,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", min=1, help="the record whose champion shall answer again; by default the one before"
        ),
    ] = None,
    reason: Reason = "",
    *,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="wait until serving answers with it, and say how long it took"),
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Bring an earlier version back at once; `--to` undoes a rollback, too."""
    from rasen.batch.decisions import Answered, wait_until_answered

    settings = load_settings()
    began = time.monotonic()
    record = _decide(settings, endpoint, "rollback", to=to, reason=reason)
    answered = (
        wait_until_answered(settings, record, since=began)
        if wait
        else Answered(seconds=None, problem="nobody waited for serving")
    )
    if as_json:
        print_json({"record": record, "answered": answered})
        return
    _print(record, as_json=False)
    if answered.seconds is not None:
        console().print(f"  serving answers with it, {answered.seconds:.2f} s after the command")
    elif wait:
        console().print(f"  [yellow]{escape(answered.problem)}[/yellow]", soft_wrap=True)


def _decide(
    settings: Settings,
    endpoint: str,
    command: CommandKind,
    *,
    run: str | None = None,
    to: int | None = None,
    reason: str = "",
) -> LedgerRecord:
    from rasen.batch.decisions import decide

    return decide(
        settings,
        endpoint,
        command,
        by=getpass.getuser(),
        run=run,
        to=to,
        reason=reason,
        tell=lambda text: typer.echo(text, err=True),
    )


def _checked(reason: str) -> str:
    from rasen.errors import InvalidInput

    if not reason.strip():
        raise InvalidInput(f"--reason {reason!r} says nothing; whoever reads the ledger wants to know why")
    return reason


def _print(record: LedgerRecord, *, as_json: bool) -> None:
    from rasen.cli.deployments import ACTION_COLOURS
    from rasen.cli.live import waiting_lines
    from rasen.deploy.rollout import percent

    if as_json:
        print_json(record)
        return
    out = console()
    colour = ACTION_COLOURS.get(record.action, "red")
    out.print(
        f"[bold]{escape(record.endpoint)} {record.number}[/bold]  [{colour}]{record.action}[/]  {record.run or ''}",
        soft_wrap=True,
    )
    out.print(f"  {escape(clean_line(record.reason, most=2000))}", soft_wrap=True)
    for one in record.state.variants:
        out.print(f"  {one.role:<10} {percent(one.weight):>7}  {one.run}", soft_wrap=True)
    for line in waiting_lines(record.endpoint, record.state.held, record.state.frozen):
        out.print(line, soft_wrap=True)
