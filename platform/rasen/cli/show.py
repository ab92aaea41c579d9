"""`rasen show`: one run with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.cli.control import ServerOption, open_control
from rasen.cli.output import (
    JsonFlag,
    colour_verdict,
    console,
    print_json,
    show_bytes,
    show_duration,
    show_metrics,
    show_time,
)
from rasen.release import WORKSPACE_PREFIX
from rasen.tracking.keys import step_prefix
from rasen.tracking.records import LiveStep, StepResult

if TYPE_CHECKING:
    from pathlib import Path

    from rasen.batch.queries import StepDetails
    from rasen.batch.run_states import RunState


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("show")(show_run)


def show_run(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    *,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one run: its steps, verdicts, parameters, metrics, files, and what was decided about its model."""
    control = open_control(server)
    details = control.run(run)
    if as_json:
        print_json(details)
        return
    start = details.start
    out = console()
    if start is None:
        _show_unbegun(out, details)
        return
    folder = control.store_dir
    took = f"  {show_duration(details.seconds)}" if details.seconds is not None else ""
    out.print(
        f"[bold]{escape(start.pipeline)}[/bold]  {details.run}  {colour_verdict(details.verdict)}{took}"
    )
    out.print(f"release {escape(start.release)} ({start.origin}), environment {start.environment}")
    for line in _origin(details):
        out.print(escape(line), soft_wrap=True)
    if start.parameters:
        out.print("asked for with " + escape(", ".join(f"{k}={v!r}" for k, v in start.parameters.items())))
    if start.resumes:
        out.print(f"resumes {start.resumes}")
    if start.qualifies:
        out.print(f"qualifies run {start.qualifies} again")
    for reason in details.kept_for:
        out.print(f"kept: {escape(reason)}", soft_wrap=True)
    if details.burial:
        out.print(f"[yellow]{escape(details.burial)}[/yellow]", soft_wrap=True)
    for step in details.steps:
        _show_step(out, folder, details, step)
    if details.error:
        out.print(f"\n[red]{escape(details.error)}[/red]")
    for decision in details.decisions:
        out.print(
            f"\ndecision {decision.number} of endpoint {decision.endpoint} at {show_time(decision.decided_at)}: "
            f"[bold]{decision.action}[/bold], {escape(decision.reason)}",
            soft_wrap=True,
        )


def _show_unbegun(out: Console, details: RunState) -> None:
    """Show a run that waits, or that could never begin."""
    place = f", place {details.place}" if details.place is not None else ""
    state = (
        colour_verdict(details.verdict)
        if details.verdict is not None
        else f"[cyan]{details.state}[/cyan]{place}"
    )
    out.print(f"[bold]{escape(details.pipeline)}[/bold]  {details.run}  {state}")
    out.print(f"release {escape(details.release)}")
    for line in _origin(details):
        out.print(escape(line), soft_wrap=True)
    if details.error:
        out.print(f"\n[red]{escape(details.error)}[/red]", soft_wrap=True)


def _origin(details: RunState) -> Iterator[str]:
    """Yield who asked for a run, and what it is made from."""
    if details.by:
        yield f"asked for by {details.by}"
    if details.commit and details.release.startswith(WORKSPACE_PREFIX):
        yield f"made from commit {details.commit[:12]}"
    elif details.commit:
        yield f"commit {details.commit[:12]}"
    if details.changed:
        more = f" and {len(details.changed) - 10} more" if len(details.changed) > 10 else ""
        yield f"changed since: {', '.join(details.changed[:10])}{more}"


def _show_step(out: Console, folder: Path | None, details: RunState, step: StepDetails) -> None:
    verdict = colour_verdict(step.verdict) if step.verdict or step.attempt else "[dim]waiting[/dim]"
    out.print(f"\n[bold]{escape(step.step)}[/bold]  {verdict}{_cost(step.result)}")
    if step.reused_from:
        out.print(f"  reused from run {step.reused_from}")
    if step.live is not None:
        out.print(f"  {_where(step.live)}", soft_wrap=True)
    if len(step.attempts) > 1:
        for attempt in step.attempts:
            ended = attempt.result
            how = colour_verdict(ended.verdict) if ended else "[yellow]left no result[/yellow]"
            if ended is None and attempt is step.attempts[-1] and details.verdict is None:
                how = colour_verdict(None)
            out.print(f"  attempt {attempt.number}  {how}{_cost(ended)}{_error(ended)}", soft_wrap=True)
    if step.parameters:
        given = ", ".join(
            f"{escape(f'{name}={one.value!r}')}"
            + ("" if one.layer == "cell default" else f" [dim]({one.layer})[/dim]")
            for name, one in step.parameters.items()
        )
        out.print(f"  {given}", soft_wrap=True)
    if step.result is None:
        return
    metrics = {metric.name: metric.value for metric in step.result.metrics if not metric.slice}
    if metrics:
        out.print("  " + show_metrics(metrics, most=20))
    for line in _qualification(step.result):
        out.print(f"  {escape(line)}", soft_wrap=True)
    if len(step.attempts) <= 1 and step.result.error is not None:
        out.print(_error(step.result), soft_wrap=True)
    run = step.reused_from or details.run
    prefix = step_prefix(details.pipeline, run, step.step, step.attempt or 1)
    out.print(f"  {escape(str(folder / prefix) if folder is not None else prefix)}", soft_wrap=True)
    for file in step.result.files:
        name = escape(file.key.removeprefix(prefix))
        out.print(f"    {name}  [dim]{file.size_bytes:,} bytes[/dim]", soft_wrap=True)


def _names(imported: Mapping[str, Any]) -> str:  # Any: JSON of rasen.model.pickle_globals
    """Return what a model's pickle names: information, which tells nothing of whether it may be loaded."""
    names, most = list(imported["names"]), 12
    rest = [f"{len(names) - most} more"] if len(names) > most else []
    rest += [] if imported["complete"] else ["more that was not read"]
    return ", ".join([*names[:most], *rest]) or "nothing"


def _qualification(result: StepResult) -> Iterator[str]:
    """Yield what executing the model has shown, beside the metrics."""
    found = result.qualification or {}
    champion = found.get("champion")
    if champion is not None:
        compared = "compared with" if champion.get("evaluated") else "not compared with"
        why = f": {champion['reason']}" if champion.get("reason") else ""
        yield f"{compared} {champion.get('run') or 'what is live'}{why}"
    for notebook, sides in (found.get("notebooks") or {}).items():
        for side, ran in sides.items():
            if ran is not None:
                yield f"{notebook} with the {side}: {_gate_notebook(ran)}"
    if imported := found.get("pickle_globals"):
        yield f"unpickling imports {_names(imported)}"
    for finding in found.get("findings") or ():
        yield f"finding: {clean_line(finding, most=500)}"


def _gate_notebook(ran: Mapping[str, Any]) -> str:  # Any: JSON
    if ran["verdict"] == "succeeded":
        return (
            "  ".join(f"{name} {float(value):.4g}" for name, value in ran["metrics"].items()) or "no metric"
        )
    error = ran.get("error") or {}
    where = f"cell {error['cell']}: " if error.get("cell") is not None else ""
    message = clean_line(str(error.get("message", "")), most=500)
    return f"{ran['verdict']}, {where}{error.get('name', '')}: {message}"


def _cost(result: StepResult | None) -> str:
    if result is None:
        return ""
    peak = f", peak {show_bytes(result.peak_bytes)}" if result.peak_bytes else ""
    cpu = f", {show_duration(result.cpu_seconds)} of CPU" if result.cpu_seconds else ""
    return f"  {show_duration(result.seconds)}{peak}{cpu}"


def _error(result: StepResult | None) -> str:
    if result is None or result.error is None:
        return ""
    where = f"cell {result.cell}: " if result.cell is not None else ""
    return f"  [red]{where}{escape(result.error.name)}[/red]: {escape(clean_line(result.error.message, most=2000))}"


def _where(live: LiveStep) -> str:
    if live.cell is None:
        return f"[cyan]{live.phase}[/cyan] for {show_duration(live.seconds)}"
    memory = f", {show_bytes(live.memory_bytes)}" if live.memory_bytes else ""
    last = f"  [dim]{escape(clean_line(live.last_line))}[/dim]" if live.last_line else ""
    done = f"cell {live.cell + 1} of {live.cells}" if live.phase == "running" else live.phase
    return f"[cyan]{done}[/cyan], {show_duration(live.seconds)}{memory}{last}"
