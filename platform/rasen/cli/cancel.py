"""`rasen cancel`: end a run, wherever it is worked on."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from rasen.cli.control import ServerOption, open_client
from rasen.cli.output import JsonFlag, colour_verdict, console, print_json
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.api.client import ControlClient

_LOOK_SECONDS = 0.1
_LEFT_SECONDS = (
    1.0  # a worker that is not there this long is gone: between two looks it may just begin or end
)


class Told(Protocol):
    """Says that the wish was filed."""

    def __call__(self, *, first: bool) -> None:
        """Say it; `first` is false when somebody had filed it before."""


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("cancel")(cancel_run)


def cancel_run(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="wait until the run has ended")] = True,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """End a running run: its steps are stopped, what they have done so far is saved, and it is recorded as cancelled.

    The wish is filed in the store, so it reaches the run on whatever machine it is worked on. A run that nobody works
    on any more is brought to its end here.
    """
    client = open_client(server)
    out = console()

    def told(*, first: bool) -> None:
        if not as_json:
            out.print("asked to end" if first else "asked to end, as somebody has before")

    if client is not None:
        asked = client.cancel(run)
        told(first=asked["first"])
        pipeline, run = asked["pipeline"], asked["run"]
        verdict = _await_remote(client, run) if wait else None
    else:
        pipeline, run, verdict = _cancel_here(run, wait=wait, told=told)
    if as_json:
        print_json({"pipeline": pipeline, "run": run, "verdict": verdict})
    elif wait:
        out.print(f"[bold]{pipeline}[/bold]  {run}  {colour_verdict(verdict)}")


def _await_remote(client: ControlClient, run: str) -> str | None:
    for event in client.follow(run):
        if event.kind == "verdict":
            return str(event.data["verdict"])
    return None


def _cancel_here(run: str, *, wait: bool, told: Told) -> tuple[str, str, str | None]:
    from rasen.batch.cancellation import finish_unattended, is_attended
    from rasen.batch.finish import read_finished
    from rasen.batch.platform_runs import ask_to_cancel, cancel_waiting
    from rasen.batch.run_states import locate_run
    from rasen.errors import InvalidInput
    from rasen.store import open_store

    settings = load_settings()
    store = open_store(settings)
    place = locate_run(settings, store, run)
    pipeline, run = place.pipeline, place.run
    finished = read_finished(settings, store, pipeline, run)
    if finished is not None:
        raise InvalidInput(f"run {run!r} has ended already: {finished.verdict.value}; nothing was cancelled")
    told(first=ask_to_cancel(store, pipeline, run, by=getpass.getuser(), now=datetime.now(tz=UTC)))
    if place.waiting is not None:
        finished = cancel_waiting(settings, store, place.waiting)
    seen = time.monotonic()
    while wait and finished is None:
        finished = read_finished(settings, store, pipeline, run)
        if finished is None:
            if is_attended(settings, store, pipeline, run):
                seen = time.monotonic()
            elif time.monotonic() - seen >= _LEFT_SECONDS:
                finish_unattended(settings, store, pipeline, run)
            time.sleep(_LOOK_SECONDS)
    return pipeline, run, finished.verdict.value if finished is not None else None
