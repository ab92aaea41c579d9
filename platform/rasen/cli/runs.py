"""`rasen runs`, `rasen reindex`: what ran, and how it ended."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.batch.when import WHEN
from rasen.cli.control import ServerOption, open_control
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
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List runs, newest first; what is given is all met."""
    found = open_control(server).runs(
        limit=limit,
        metrics=metric or (),
        pipeline=pipeline,
        verdict=verdict,
        since=since,
        until=until,
        search=search,
        release=release,
        origin=origin,
        trigger=trigger,
    )
    rows = found.runs
    if as_json:
        print_json(rows)
        return
    for one in found.waiting:
        what = "is cancelled before it begins" if one.cancelling else f"waits, place {one.place}"
        console().print(
            f"{short_run(one.run)}  {escape(one.pipeline)}  [cyan]{what}[/cyan], asked for by {escape(one.by)}",
            soft_wrap=True,
        )
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
