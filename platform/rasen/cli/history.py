"""`rasen history`: from commit to deployment, without a gap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.batch.when import parse_when
from rasen.cli.deployments import ACTION_COLOURS
from rasen.cli.output import JsonFlag, colour_verdict, console, print_json, short_run, show_metrics, show_time
from rasen.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasen.batch.history import HistoryEntry
    from rasen.tracking.index_rows import DeploymentRow, RunRow


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("history")(show_history)


def show_history(
    pipeline: Annotated[str, typer.Argument(help="the pipeline")],
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="only what happened from then on")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many runs and releases, newest first")] = 20,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show a pipeline's commits, releases, runs, versions and decisions, each under what it came from."""
    from rasen.batch.history import describe_history

    first = parse_when("--since", since, now=datetime.now(tz=UTC)) if since is not None else None
    found = describe_history(load_settings(), pipeline, since=first, limit=limit)
    if as_json:
        print_json(found)
        return
    out = console()
    shown: str | None = None
    for entry in found.entries:
        if entry.release_id is not None and entry.release_id != shown:
            out.print(_release_line(entry), soft_wrap=True)
            shown = entry.release_id
        for line in _lines(entry):
            out.print(line, soft_wrap=True)
    if not found.entries:
        out.print("nothing since then")
    for problem in found.problems:
        text = f"{escape(problem.key)}: {escape(clean_line(problem.problem, most=500))}"
        out.print(f"[red]{text}[/red]", soft_wrap=True)


def _release_line(entry: HistoryEntry) -> str:
    head = f"[bold]release {escape(entry.release_id or '')}[/bold]"
    release = entry.release
    if release is None:
        return f"{head}  [red]its record is gone or cannot be believed[/red]"
    if release.origin == "workspace":
        return f"{head}  of a working copy, registered {show_time(release.registered_at)}"
    said = [
        f"commit {(release.commit or '')[:12]}",
        *([escape(release.author)] if release.author else []),
        show_time(release.committed_at),
        *([escape(clean_line(release.message, most=200))] if release.message else []),
    ]
    return f"{head}  {'  '.join(said)}"


def _lines(entry: HistoryEntry) -> Iterator[str]:
    if entry.run is not None:
        yield f"  {_run_line(entry.run)}"
        for decision in entry.decisions:
            yield f"    {_decision_line(decision)}"
        if entry.undecided:
            yield f"    [dim]not decided: {escape(entry.undecided)}[/dim]"
        return
    if entry.release is not None:
        yield "  [dim]never run[/dim]"
    for decision in entry.decisions:
        about = f"about run {decision.run}, whose start cannot be read" if decision.run else ""
        yield f"  {_decision_line(decision)}{f'  [red]{about}[/red]' if about else ''}"


def _run_line(run: RunRow) -> str:
    what = "  with a model" if run.has_model else ""
    if run.error:
        what = f"  {escape(f'{run.step}: ' if run.step else '')}{escape(clean_line(run.error, most=200))}"
    resumed = f"  resumes {short_run(run.resumes)}" if run.resumes else ""
    metrics = f"  {show_metrics(run.metrics, most=3)}" if run.metrics else ""
    return f"run {run.run}  {colour_verdict(run.verdict)}{resumed}{what}{metrics}  [dim]by {escape(run.trigger)}[/dim]"


def _decision_line(decision: DeploymentRow) -> str:
    colour = ACTION_COLOURS.get(decision.action, "red")
    return (
        f"{escape(decision.endpoint)} {decision.number}  [{colour}]{decision.action}[/]  "
        f"[dim]{show_time(decision.decided_at)} by {escape(clean_line(decision.actor, most=200))}[/dim]  "
        f"{escape(clean_line(decision.reason, most=300))}"
    )
