"""`rasen run --server`: a run in a platform elsewhere, shown here like one of this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from rasen.batch.run_events import (
    RunBegan,
    RunEvent,
    RunStopping,
    StepBegan,
    StepEnded,
    StepReused,
    StepSkipped,
)
from rasen.cli.live_view import LiveView, RunView, open_view
from rasen.cli.output import colour_verdict, console, print_json
from rasen.cli.plain_view import PlainView
from rasen.parameters import parse_assignments
from rasen.store.memory import MemoryStore
from rasen.tracking.records import ErrorRecord, LiveStep, Metric, StepResult, Verdict

if TYPE_CHECKING:
    from rasen.api.client import ControlClient
    from rasen.api.server_events import Json, ServerEvent


def run_remotely(
    client: ControlClient,
    pipeline: str,
    *,
    dev: bool,
    release_id: str | None,
    given: Mapping[str, Any],  # Any: JSON
    typed: Sequence[str],
    deploy: bool | None,
    request: str | None,
    as_json: bool,
) -> int:
    """Ask for a run, follow it to its end, and return the exit code of its verdict.

    Raises:
        InvalidInput: Something asked for does not exist or does not fit; nothing was started.
    """
    wish: dict[str, Any] = {  # Any: the common parts of an order
        "parameters": given,
        "typed": parse_assignments(typed),
        "deploy": deploy,
        "request": request,
    }
    if dev:
        ordered = client.order_folder(Path(pipeline), **wish)
    else:
        ordered = client.order_run(pipeline, release=release_id, **wish)
    out = console()
    if not as_json:
        out.print(
            f"[bold]{escape(ordered['pipeline'])}[/bold]  {ordered['run']}  {escape(_what(ordered))}",
            soft_wrap=True,
        )
    last: dict[str, str] = {"id": ""}
    while True:
        try:
            verdict = _follow(client, ordered, last, as_json=as_json)
            return _report(client, ordered, verdict, as_json=as_json)
        except KeyboardInterrupt:
            if not _ends_it(client, ordered):
                return 130


def _what(ordered: Json) -> str:
    count = len(ordered["changed"])
    changed = f", {count} file{'s' if count != 1 else ''} changed since" if count else ""
    base = f", made from commit {ordered['base_commit'][:12]}{changed}" if ordered["base_commit"] else ""
    place = f", waits at place {ordered['place']}" if ordered["place"] else ""
    return f"release {ordered['release']}{base}{place}"


def _follow(client: ControlClient, ordered: Json, last: dict[str, str], *, as_json: bool) -> Json:
    # The views read live records from a store; what comes from elsewhere is handed to their board instead.
    with open_view(MemoryStore(), as_json=as_json) as view:
        seen = _Seen(view, ordered["run"])
        for event in client.follow(ordered["run"], last_id=last["id"]):
            last["id"] = event.id or last["id"]
            if event.kind == "verdict":
                return event.data
            seen.take(event)
    return {"verdict": None, "error": None, "step": None, "published_model": False}


class _Seen:
    """Turns the events of a control API into those that the views know."""

    def __init__(self, view: RunView, run: str) -> None:
        self._view = view
        self._run = run
        self._began = self._stopping = False
        self._states: dict[str, tuple[int, str]] = {}

    def take(self, event: ServerEvent) -> None:
        """Show one event."""
        data = event.data
        match event.kind:
            case "state":
                self._take_state(data)
            case "step":
                self._take_step(data)
            case "progress" if isinstance(self._view, LiveView | PlainView):
                live = LiveStep(run=self._run, pipeline=self._view.board.pipeline, **data)
                self._view.board.refresh([live])
            case _:
                pass

    def _take_state(self, data: Json) -> None:
        if data["needs"] and not self._began:
            self._began = True
            needs = {step: tuple(needed) for step, needed in data["needs"].items()}
            self._show(RunBegan(pipeline=data["pipeline"], run=data["run"], needs=needs))
        if data["state"] == "cancelling" and self._began and not self._stopping:
            self._stopping = True
            self._show(RunStopping(reason="cancelled on request"))

    def _take_step(self, data: Json) -> None:
        step, attempt, state = data["step"], data["attempt"], data["state"]
        before = self._states.get(step)
        if before == (attempt, state):
            return
        self._states[step] = (attempt, state)
        if state == "waiting":
            return
        if state == "skipped":
            self._show(StepSkipped(step=step))
            return
        if data["reused_from"]:
            self._show(StepReused(step=step, run=data["reused_from"], result=_result(data)))
            return
        if before is None or before[0] != attempt:
            self._show(StepBegan(step=step, attempt=attempt))
        if state != "running":
            self._show(StepEnded(step=step, result=_result(data)))

    def _show(self, event: RunEvent) -> None:
        self._view.observe(event)


def _result(data: Json) -> StepResult:
    error = data["error"]
    return StepResult(
        attempt=data["attempt"],
        verdict=Verdict(data["state"]),
        cell=data["cell"],
        error=ErrorRecord(name=error["name"], message=error["message"]) if error else None,
        seconds=data["seconds"] or 0.0,
        metrics=[Metric(name=name, value=float(value)) for name, value in data["metrics"].items()],
    )


def _ends_it(client: ControlClient, ordered: Json) -> bool:
    """After Ctrl-C: end the run if the person at the terminal says so, else say how to come back to it."""
    run, where = ordered["run"], f"--server {client.url}"
    if sys.stdin.isatty() and typer.confirm("\nend the run, too?", default=False, err=True):
        client.cancel(run)
        return True
    typer.echo(
        f"\nthe run goes on in the platform; `rasen logs -f {run} {where}` follows it, `rasen cancel {run} {where}` "
        "ends it",
        err=True,
    )
    return False


def _report(client: ControlClient, ordered: Json, verdict: Json, *, as_json: bool) -> int:
    from rasen.batch.exit_codes import exit_code_of

    code = exit_code_of(Verdict(verdict["verdict"]))
    if as_json:
        said = {name: verdict[name] for name in ("verdict", "step", "error", "published_model")}
        print_json({"pipeline": ordered["pipeline"], "run": ordered["run"], **said, "exit_code": code})
        return code
    out = console()
    out.print(
        f"\n[bold]{escape(ordered['pipeline'])}[/bold]  {ordered['run']}  {colour_verdict(verdict['verdict'])}"
    )
    if verdict["error"]:
        where = f"{verdict['step']}: " if verdict["step"] else ""
        out.print(escape(f"{where}{verdict['error']}"), soft_wrap=True)
        out.print(escape(f"`rasen logs {ordered['run']} --server {client.url}` shows more"), soft_wrap=True)
    elif verdict["published_model"] and verdict["deploy"] is False:
        out.print("published a model; the run was started without deployment")
    elif verdict["published_model"]:
        out.print(
            escape(
                f"published a model; `rasen deployments --server {client.url}` shows what was decided about it"
            ),
            soft_wrap=True,
        )
    return code
