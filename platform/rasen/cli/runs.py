"""`rasen runs`, `rasen reindex`: what ran, and how it ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from rasen.cli.output import (
    JsonFlag,
    colour_verdict,
    console,
    print_json,
    print_table,
    short_run,
    show_duration,
    show_metrics,
    show_time,
)
from rasen.settings import load_settings
from rasen.tracking.index import RunRow

WHEN = "2026-01-31, 2026-01-31T04:10, or a time back from now: 90s, 20m, 2h, 3d"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("runs")(list_runs)
    app.command("reindex")(reindex)


def list_runs(
    pipeline: Annotated[str | None, typer.Argument(help="only this pipeline")] = None,
    verdict: Annotated[str | None, typer.Option(help="only this verdict, such as failed, or running")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help=f"only runs started from then on: {WHEN}")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="only runs started before then; a date means the end of that day"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    *,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first."""
    from rasen.errors import InvalidInput
    from rasen.tracking.records import Verdict

    known = [*(one.value for one in Verdict), "running"]
    if verdict is not None and verdict not in known:
        raise InvalidInput(f"--verdict {verdict!r} is none; choose from {', '.join(known)}")
    now = datetime.now(tz=UTC)
    first = parse_when("--since", since, now=now) if since is not None else None
    last = parse_when("--until", until, now=now, end_of_day=True) if until is not None else None
    from rasen.batch.queries import open_index

    rows = open_index(load_settings()).runs(
        pipeline=pipeline, verdict=verdict, since=first, until=last, limit=limit
    )
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("run", "pipeline", "started", "duration", "verdict", "metrics or error"),
        [
            (
                short_run(row.run),
                escape(row.pipeline) + (" [yellow](dev)[/yellow]" if row.origin == "workspace" else ""),
                show_time(row.started_at),
                show_duration(row.seconds),
                colour_verdict(row.verdict),
                _outcome(row),
            )
            for row in rows
        ],
    )


def parse_when(option: str, text: str, *, now: datetime, end_of_day: bool = False) -> datetime:
    """Return the instant that somebody typed; without an offset it is in the zone of this machine.

    Args:
        option: What it was typed after, for the message.
        text: An ISO date or time, or a duration back from now.
        now: The instant that durations count back from, aware.
        end_of_day: Whether a date stands for its end, as it does after "until".

    Raises:
        InvalidInput: It is neither.
    """
    from rasen.errors import InvalidInput
    from rasen.pipeline_values import parse_duration

    try:
        return now - parse_duration(text.strip())
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is no time; write {WHEN}") from None
    if end_of_day and _DATE.fullmatch(text.strip()):
        at += timedelta(days=1)
    return at.astimezone()


def reindex() -> None:
    """Build the index of runs and deployments anew from the store."""
    from rasen.store import open_store
    from rasen.tracking.index import Index
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    index = Index(settings.index_file)
    count = index.rebuild(open_store(settings), load_trust(settings), environment=settings.environment)
    console().print(f"{count} runs indexed")


def _outcome(row: RunRow) -> str:
    resumed = f"[dim]resumes {short_run(row.resumes)}[/dim]  " if row.resumes else ""
    if row.metrics:
        return resumed + show_metrics(row.metrics, most=3)
    where = f"{row.step}: " if row.step and row.error else ""
    error = " ".join((row.error or "").split())
    return resumed + escape(where + (error if len(error) <= 100 else error[:99] + "…"))
