"""`rasen logs`: what the steps of a run have printed, also while they run."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from rasen.batch.plain_text import without_colours
from rasen.batch.printed import Line
from rasen.cli.control import ServerOption, open_client
from rasen.cli.output import JsonFlag, colour_verdict, console
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.api.client import ControlClient

_LOOK_SECONDS = 0.5
_ATTENDED_LOOKS = 4  # looks between two questions whether anybody works on the run
_LEFT_MOST = 2  # times in a row that nobody did, after which it is given up
_STYLES = {"cell": "bold", "stderr": "yellow", "log": "dim", "note": "dim"}
_STEP_COLOURS = ("cyan", "green", "magenta", "blue", "yellow")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("logs")(show_logs)


def show_logs(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    step: Annotated[str | None, typer.Argument(help="only this step")] = None,
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="go on with what is printed until the run has ended")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="this attempt of the step, instead of the last one")
    ] = None,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print what the cells of a run's notebooks have printed, their errors, and their processes' logs."""
    from rasen.batch.finish import read_finished
    from rasen.batch.log_reading import LogReader
    from rasen.batch.queries import find_run
    from rasen.batch.start import read_start
    from rasen.errors import InvalidInput
    from rasen.store import open_store

    if follow and attempt is not None:
        raise InvalidInput(
            f"--attempt {attempt} and --follow exclude one another: what runs is the last attempt"
        )
    client = open_client(server)
    if client is not None:
        _show_remote(client, run, step, follow=follow, attempt=attempt, as_json=as_json)
        return
    settings = load_settings()
    store = open_store(settings)
    row = find_run(settings, run)
    start = read_start(store, row.pipeline, row.run).start
    reader = LogReader(settings=settings, store=store, start=start, step=step, attempt=attempt)
    several = step is None and len(reader.steps()) > 1
    printer = _JsonPrinter() if as_json else _Printer(console(), several=several)
    finished = read_finished(settings, store, row.pipeline, row.run)
    for printed in reader.read_new():
        printer.line(printed.step, printed.attempt, printed.line)
    looks = left = 0
    while follow and finished is None and left < _LEFT_MOST:
        time.sleep(_LOOK_SECONDS)
        looks += 1
        # The end is looked for first: what was printed before it is then there to be read.
        finished = read_finished(settings, store, row.pipeline, row.run)
        for printed in reader.read_new():
            printer.line(printed.step, printed.attempt, printed.line)
        if finished is None and looks % _ATTENDED_LOOKS == 0:
            left = 0 if reader.is_attended() else left + 1
    verdict = finished.verdict.value if finished is not None else None
    printer.end(start.pipeline, start.run, verdict, unattended=finished is None and left == _LEFT_MOST)


def _show_remote(
    client: ControlClient, run: str, step: str | None, *, follow: bool, attempt: int | None, as_json: bool
) -> None:
    """Print what a control API knows of a run's prints; to follow is to ask for the next lines again."""
    state = client.run(run)
    run = state["run"]
    several = step is None and len(state["steps"]) != 1
    printer = _JsonPrinter() if as_json else _Printer(console(), several=several)
    offset, verdict, left = 0, None, 0
    while True:
        found = client.logs(run, step=step, attempt=attempt, offset=offset)
        offset, verdict = found["offset"], found["verdict"]
        for one in found["lines"]:
            line = Line(kind=one["kind"], text=one["text"], cell=one["cell"])
            printer.line(one["step"], one["attempt"], line)
        if verdict is not None or (not found["lines"] and (not follow or left >= _LEFT_MOST)):
            break
        if not found["lines"]:
            time.sleep(_LOOK_SECONDS * _ATTENDED_LOOKS if left else _LOOK_SECONDS)
            left = left + 1 if client.run(run)["attended"] is False else 0
    printer.end(state["pipeline"], run, verdict, unattended=follow and verdict is None)


class _Printer:
    """Lines for people; each says its step when there are several."""

    def __init__(self, out: Console, *, several: bool) -> None:
        self._out = out
        self._several = several
        self._colours: dict[str, str] = {}
        self._log_of: str | None = None

    def line(self, step: str, attempt: int, line: Line) -> None:
        """Print one line."""
        text = Text()
        if self._several:
            colour = self._colours.setdefault(step, _STEP_COLOURS[len(self._colours) % len(_STEP_COLOURS)])
            text.append(f"{step} | ", style=colour)
        match line.kind:
            case "cell":
                number = "parameters" if line.cell is None else f"cell {line.cell}"
                text.append(f"── {number}: {line.text}", style="bold")
            case "note":
                text.append(f"── {line.text}", style="dim")
            case "log":
                if self._log_of != step:
                    self._log_of = step
                    self.line(step, attempt, Line(kind="note", text="log of the process"))
                text.append(without_colours(line.text), style="dim")
            case _:
                text.append_text(Text.from_ansi(line.text, style=_STYLES.get(line.kind, "")))
        self._out.print(text, soft_wrap=True)

    def end(self, pipeline: str, run: str, verdict: str | None, *, unattended: bool) -> None:
        """Print how the run ended."""
        self._out.print(f"[bold]{pipeline}[/bold]  {run}  {colour_verdict(verdict)}")
        if unattended:
            self._out.print(
                f"[yellow]nobody works on this run any more[/yellow]; `rasen cancel {run}` brings it to its end"
            )


class _JsonPrinter:
    """Each line as an object in a line of its own, for programs."""

    def line(self, step: str, attempt: int, line: Line) -> None:
        """Print one line."""
        text = without_colours(line.text)
        self._write({"step": step, "attempt": attempt, "cell": line.cell, "kind": line.kind, "text": text})

    def end(self, pipeline: str, run: str, verdict: str | None, *, unattended: bool) -> None:
        """Print how the run ended."""
        self._write({"pipeline": pipeline, "run": run, "verdict": verdict, "unattended": unattended})

    def _write(self, value: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()
