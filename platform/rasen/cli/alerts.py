"""`rasen alerts`: what people are told of, what waits to be told, and whether the receivers can be reached."""

from __future__ import annotations

import getpass
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_time
from rasen.settings import load_settings

if TYPE_CHECKING:
    import sqlite3

    from rasen.notify.incidents import Incident
    from rasen.notify.outbox import Waiting
    from rasen.settings import Settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    alerts = typer.Typer(help="List what people are told of, and what waits to be told; test the receivers.")
    alerts.callback(invoke_without_command=True)(list_alerts)
    alerts.command("outbox")(show_outbox)
    alerts.command("test")(try_receivers)
    alerts.command("ack")(acknowledge)
    alerts.command("mute")(mute)
    alerts.command("unmute")(unmute)
    app.add_typer(alerts, name="alerts")


def list_alerts(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, help="how many")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List incidents, open ones first; `test`, `outbox`, `ack` and `mute` do more."""
    if context.invoked_subcommand is not None:
        return
    from rasen.notify.database import look_into_database
    from rasen.notify.incidents import Incidents

    settings = load_settings()
    with closing(look_into_database(settings.alerts_database)) as database:
        incidents = Incidents(database)
        found, mutes = incidents.list_incidents(limit=limit), incidents.mutes()
    if as_json:
        print_json({"incidents": [_as_json(one) for one in found], "muted": _muted(mutes)})
        return
    if not found:
        console().print("there was nothing to tell; `rasen alerts test` shows whom it would be told")
    else:
        print_table(
            "",
            ("incident", "state", "since", "times", "what", "told"),
            [_row(one) for one in found],
        )
    for name, one in _muted(mutes).items():
        console().print(f"[yellow]muted:[/yellow] {name} until {one['until']}, by {escape(one['by'])}")


def show_outbox(*, as_json: JsonFlag = False) -> None:
    """Show the messages that their receivers have not taken yet, and why."""
    from rasen.notify.database import look_into_database
    from rasen.notify.outbox import Outbox

    with closing(look_into_database(load_settings().alerts_database)) as database:
        outbox = Outbox(database)
        waiting, dropped = outbox.all(), outbox.dropped()
    if as_json:
        print_json({"waiting": [_waiting_as_json(one) for one in waiting], "dropped": dropped})
        return
    if not waiting:
        console().print("nothing waits: every message was taken by its receiver")
    else:
        rows = [
            (
                escape(one.target.receiver),
                one.message.id,
                str(one.attempts),
                "set aside" if one.set_aside else show_time(_next_try(one)) or "now",
                escape(one.problem),
            )
            for one in waiting
        ]
        print_table("", ("receiver", "message", "attempts", "next try", "problem"), rows)
    for name, count in dropped.items():
        console().print(
            f"[yellow]dropped:[/yellow] {count} older messages for {escape(name)}, whose queue was full"
        )


def try_receivers(
    *,
    owner: Annotated[str, typer.Option(help="as an alert of this owner's pipelines")] = "",
    pipeline: Annotated[str, typer.Option(help="as an alert of this pipeline's newest release")] = "",
    endpoint: Annotated[str, typer.Option(help="as an alert of this endpoint")] = "",
    channel: Annotated[
        str, typer.Option(help="to this receiver of alerts.yaml, whatever the routes say")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Send a test message the way that an alert would go, and say what each receiver answered."""
    from rasen.errors import PlatformFailed
    from rasen.notify.trial import send_test

    trial = send_test(load_settings(), owner=owner, pipeline=pipeline, endpoint=endpoint, channel=channel)
    if as_json:
        print_json(trial)
    else:
        rows = [
            (
                escape(one.receiver),
                one.kind,
                "[green]taken[/green]" if one.taken else "[red]not taken[/red]",
                escape(one.said),
                escape(", ".join(one.recipients)),
            )
            for one in trial.tried
        ]
        print_table("", ("receiver", "kind", "result", "answer", "mailboxes"), rows)
        for problem in trial.unfulfilled:
            console().print(f"[yellow]not told:[/yellow] {escape(problem)}", soft_wrap=True)
    if not all(one.taken for one in trial.tried):
        raise typer.Exit(PlatformFailed.exit_code)


def acknowledge(
    incident: Annotated[str, typer.Argument(help="the incident, or enough of its beginning")],
    *,
    by: Annotated[str, typer.Option(help="who sees to it; you if left out", show_default=False)] = "",
) -> None:
    """Say that somebody sees to an incident: no reminders any more, only word when it is over."""
    from rasen.errors import NotFound
    from rasen.notify.incidents import Incidents

    with closing(_open(load_settings())) as database:
        found = Incidents(database).acknowledge(incident, by=by or getpass.getuser())
    if found is None:
        raise NotFound(
            f"no open incident, or more than one, begins with {incident!r}; `rasen alerts` lists them"
        )
    console().print(
        f"{found.id}: {escape(found.acknowledged_by)} sees to it; {escape(found.content.title)}",
        soft_wrap=True,
    )


def mute(
    pipeline: Annotated[str, typer.Argument(help="the pipeline")],
    *,
    duration: Annotated[str, typer.Option("--for", help="how long: 30m, 2h, 3d")] = "2h",
) -> None:
    """Send nothing about a pipeline for a while; what is still open then is told then."""
    from rasen.errors import InvalidInput
    from rasen.notify.incidents import Incidents
    from rasen.pipeline_values import parse_duration
    from rasen.tracking.ids import check_name

    check_name("pipeline", pipeline)
    try:
        seconds = parse_duration(duration).total_seconds()
    except ValueError as error:
        raise InvalidInput(f"--for {error}") from None
    until = time.time() + seconds
    with closing(_open(load_settings())) as database:
        Incidents(database).mute(pipeline, until=until, by=getpass.getuser())
    console().print(f"nothing is sent about {pipeline} until {show_time(_instant(until))}")


def unmute(pipeline: Annotated[str, typer.Argument(help="the pipeline")]) -> None:
    """Send messages about a pipeline again; what is open and was not told is told now."""
    from rasen.errors import NotFound
    from rasen.notify.incidents import Incidents

    with closing(_open(load_settings())) as database:
        incidents = Incidents(database)
        if pipeline not in incidents.mutes():
            raise NotFound(f"{pipeline!r} is not muted; `rasen alerts` says which pipelines are")
        incidents.unmute(pipeline)
    console().print(f"messages about {pipeline} are sent again")


def _open(settings: Settings) -> sqlite3.Connection:
    from rasen.notify.database import open_database

    return open_database(settings.alerts_database)


def _row(incident: Incident) -> tuple[str, ...]:
    if incident.recovered_at is not None:
        state = "[green]over[/green]"
    elif incident.acknowledged_by:
        state = f"[yellow]open, {escape(incident.acknowledged_by)} sees to it[/yellow]"
    else:
        state = "[red]open[/red]"
    told = ", ".join(target.receiver for target in incident.targets)
    return (
        incident.id,
        state,
        show_time(incident.opened_at),
        str(incident.count),
        escape(incident.content.title),
        escape(told if incident.told else "nobody yet"),
    )


def _as_json(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.id,
        "key": incident.key,
        "open": incident.recovered_at is None,
        "opened_at": incident.opened_at,
        "last_at": incident.last_at,
        "recovered_at": incident.recovered_at,
        "ended": incident.ended,
        "count": incident.count,
        "messages": incident.told,
        "acknowledged_by": incident.acknowledged_by,
        "receivers": [target.receiver for target in incident.targets],
        "content": incident.content,
    }


def _waiting_as_json(one: Waiting) -> dict[str, object]:
    return {
        "receiver": one.target.receiver,
        "recipients": one.target.recipients,
        "attempts": one.attempts,
        "next_try_at": _next_try(one),
        "problem": one.problem,
        "set_aside": one.set_aside,
        "message": one.message,
    }


def _muted(mutes: dict[str, tuple[float, str]]) -> dict[str, dict[str, str]]:
    now = time.time()
    return {
        name: {"until": show_time(_instant(until)), "by": by}
        for name, (until, by) in mutes.items()
        if until > now
    }


def _next_try(one: Waiting) -> datetime | None:
    return _instant(one.next_try) if one.next_try else None


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
