"""`rasen cancel`: end a run, wherever it is worked on."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from rasen.cli.output import JsonFlag, colour_verdict, console, print_json
from rasen.settings import load_settings

_LOOK_SECONDS = 0.1
_LEFT_SECONDS = (
    1.0  # a worker that is not there this long is gone: between two looks it may just begin or end
)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("cancel")(cancel_run)


def cancel_run(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="wait until the run has ended")] = True,
    as_json: JsonFlag = False,
) -> None:
    """End a running run: its steps are stopped, what they have done so far is saved, and it is recorded as cancelled.

    The wish is filed in the store, so it reaches the run on whatever machine it is worked on. A run that nobody works
    on any more is brought to its end here.
    """
    from rasen.batch.cancellation import finish_unattended, is_attended, request_cancel
    from rasen.batch.finish import read_finished
    from rasen.batch.queries import find_run
    from rasen.errors import InvalidInput
    from rasen.store import open_store

    settings = load_settings()
    store = open_store(settings)
    row = find_run(settings, run)
    finished = read_finished(settings, store, row.pipeline, row.run)
    if finished is not None:
        raise InvalidInput(
            f"run {row.run!r} has ended already: {finished.verdict.value}; nothing was cancelled"
        )
    by = getpass.getuser()
    first = request_cancel(store, row.pipeline, row.run, by=by, now=datetime.now(tz=UTC))
    out = console()
    if not as_json:
        out.print("asked to end" if first else "asked to end, as somebody has before")
    seen = time.monotonic()
    while wait:
        finished = read_finished(settings, store, row.pipeline, row.run)
        if finished is not None:
            break
        if is_attended(settings, store, row.pipeline, row.run):
            seen = time.monotonic()
        elif time.monotonic() - seen >= _LEFT_SECONDS:
            finish_unattended(settings, store, row.pipeline, row.run)
        time.sleep(_LOOK_SECONDS)
    verdict = finished.verdict if finished is not None else None
    if as_json:
        print_json({"pipeline": row.pipeline, "run": row.run, "verdict": verdict})
    elif wait:
        out.print(f"[bold]{row.pipeline}[/bold]  {row.run}  {colour_verdict(verdict)}")
