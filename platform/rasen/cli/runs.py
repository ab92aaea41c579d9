"""`rasen runs`, `rasen reindex`: what ran, and how it ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
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
from rasen.tracking.index_rows import RunRow

WHEN = "2026-01-31, 2026-01-31T04:10, or a time back from now: 90s, 20m, 2h, 3d"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("runs")(list_runs)
    app.command("reindex")(reindex)


def list_runs(  # noqa: PLR0917 - typer passes them by name
    pipeline: Annotated[str | None, typer.Argument(help="only this pipeline")] = None,
    verdict: Annotated[str | None, typer.Option(help="only this verdict, such as failed, or running")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help=f"only runs started from then on: {WHEN}")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="only runs started before then; a date means the end of that day"),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="words of the run id, release, trigger, parameters, step or error; all must occur",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="such as 'rmse<3'; several must all be met"),
    ] = None,
    release: Annotated[str | None, typer.Option(help="only runs of this release")] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="[release|workspace]", help="of a release, or of a working copy (--dev)"),
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="what started them: cron, request, resume, airflow, or a whole trigger")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    *,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first; what is given is all met."""
    from rasen.batch.queries import open_index
    from rasen.errors import InvalidInput
    from rasen.tracking.index_queries import RunFilter, parse_metric
    from rasen.tracking.records import Verdict

    known = [*(one.value for one in Verdict), "running"]
    if verdict is not None and verdict not in known:
        raise InvalidInput(f"--verdict {verdict!r} is none; choose from {', '.join(known)}")
    if origin not in {None, "release", "workspace"}:
        raise InvalidInput(f"--origin {origin!r} is none; choose from release, workspace")
    now = datetime.now(tz=UTC)
    wanted = RunFilter(
        pipeline=pipeline,
        verdict=verdict,
        release=release,
        origin=origin,
        trigger=trigger,
        since=parse_when("--since", since, now=now) if since is not None else None,
        until=parse_when("--until", until, now=now, end_of_day=True) if until is not None else None,
        metrics=tuple(parse_metric(one) for one in metric or ()),
        search=search,
    )
    rows = open_index(load_settings()).runs(wanted, limit=limit)
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


def reindex(*, as_json: JsonFlag = False) -> None:
    """Build the index of runs, releases and deployments anew from the store, and say what in it cannot be read."""
    from rasen.batch.queries import rebuild_index

    found = rebuild_index(load_settings())
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"{found.runs} runs, {found.releases} releases and {found.deployments} deployments indexed")
    if found.problems:
        out.print(
            f"[yellow]{len(found.problems)} objects cannot be read or believed; lists go on without them:[/yellow]"
        )
    for problem in found.problems:
        out.print(
            f"  {escape(problem.key)}\n    {escape(clean_line(problem.problem, most=500))}", soft_wrap=True
        )


def _outcome(row: RunRow) -> str:
    resumed = f"[dim]resumes {short_run(row.resumes)}[/dim]  " if row.resumes else ""
    if row.metrics:
        return resumed + show_metrics(row.metrics, most=3)
    where = f"{row.step}: " if row.step and row.error else ""
    error = " ".join((row.error or "").split())
    return resumed + escape(where + (error if len(error) <= 100 else error[:99] + "…"))
