"""`rasen runs`, `rasen show`, `rasen reindex`: what ran, and how it ended."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from rasen.cli.output import (
    JsonFlag,
    colour_verdict,
    console,
    print_json,
    print_table,
    show_metrics,
)
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("runs")(list_runs)
    app.command("show")(show_run)
    app.command("reindex")(reindex)


def list_runs(
    pipeline: Annotated[str | None, typer.Argument(help="only this pipeline")] = None,
    verdict: Annotated[str | None, typer.Option(help="only this verdict, such as failed, or running")] = None,
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
    from rasen.batch.queries import open_index

    rows = open_index(load_settings()).runs(pipeline=pipeline, verdict=verdict, limit=limit)
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("run", "pipeline", "verdict", "metrics or error"),
        [
            (
                row.run,
                escape(row.pipeline) + (" [yellow](dev)[/yellow]" if row.origin == "workspace" else ""),
                colour_verdict(row.verdict),
                show_metrics(row.metrics) if row.metrics else escape((row.error or "")[:100]),
            )
            for row in rows
        ],
    )


def show_run(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or end")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show one run: its steps, verdicts, metrics, files, and what was decided about its model."""
    from rasen.batch.queries import describe_run
    from rasen.tracking.keys import step_prefix

    settings = load_settings()
    details = describe_run(settings, run)
    if as_json:
        print_json(details)
        return
    start = details.start
    out = console()
    out.print(f"[bold]{escape(start.pipeline)}[/bold]  {details.run}  {colour_verdict(details.verdict)}")
    out.print(f"release {escape(start.release)} ({start.origin}), environment {start.environment}")
    if start.parameters:
        out.print("asked for with " + escape(", ".join(f"{k}={v!r}" for k, v in start.parameters.items())))
    for step in details.steps:
        seconds = f"{step.result.seconds:.1f} s" if step.result else ""
        out.print(f"\n[bold]{step.step}[/bold]  {colour_verdict(step.verdict)}  {seconds}")
        if step.result is None:
            continue
        metrics = {metric.name: metric.value for metric in step.result.metrics if not metric.slice}
        if metrics:
            out.print("  " + show_metrics(metrics, most=20))
        if step.result.error is not None:
            where = f"cell {step.result.cell}: " if step.result.cell is not None else ""
            out.print(
                f"  [red]{where}{escape(step.result.error.name)}[/red]: {escape(step.result.error.message)}"
            )
        prefix = step_prefix(start.pipeline, details.run, step.step, step.attempt or 1)
        out.print(f"  {escape(str(settings.store_dir / prefix))}", soft_wrap=True)
        for file in step.result.files:
            name = escape(file.key.removeprefix(prefix))
            out.print(f"    {name}  [dim]{file.size_bytes:,} bytes[/dim]", soft_wrap=True)
    if details.error:
        out.print(f"\n[red]{escape(details.error)}[/red]")
    for decision in details.decisions:
        out.print(
            f"\ndecision {decision.number} of endpoint {decision.endpoint}: [bold]{decision.action}[/bold], "
            f"{escape(decision.reason)}"
        )


def reindex() -> None:
    """Build the index of runs and deployments anew from the store."""
    from rasen.store import open_store
    from rasen.tracking.index import Index
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    index = Index(settings.index_file)
    count = index.rebuild(open_store(settings), load_trust(settings), environment=settings.environment)
    console().print(f"{count} runs indexed")
