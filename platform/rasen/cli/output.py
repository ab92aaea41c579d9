"""How commands answer: tables for people, JSON for programs, both of the same rows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rasen.tracking.json_form import json_form
from rasen.tracking.records import Verdict

JsonFlag = Annotated[bool, typer.Option("--json", help="print JSON for programs instead of text for people")]

_WHOLE = ("run", "verdict", "table", "rows", "loaded")  # columns that are useless in two lines
COLOURS = {
    Verdict.SUCCEEDED: "green",
    Verdict.SKIPPED: "dim",
    Verdict.CANCELLED: "yellow",
    Verdict.INTERRUPTED: "yellow",
}


class AnswerConsole(Console):
    """A console whose reader may go (`| head`) without ending what the command is doing."""

    def on_broken_pipe(self) -> None:
        """Print nothing any more; rich would exit here, in the middle of a run."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def console() -> Console:
    """Return the console that answers go to."""
    return AnswerConsole(highlight=False)


def print_json(value: Any) -> None:  # Any: whatever JSON can say
    """Print `value`, records and times included, as indented JSON; NaN and infinities as strings: JSON has none."""
    json.dump(json_form(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; cells may hold rich's markup, so texts of others must be escaped before."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def colour_verdict(verdict: Verdict | str | None) -> str:
    """Return a verdict as markup; `None` is a run without an end."""
    if verdict is None:
        return "[cyan]running[/cyan]"
    colour = COLOURS.get(Verdict(verdict), "red")
    return f"[{colour}]{verdict}[/{colour}]"


def show_metrics(metrics: dict[str, float], *, most: int = 6) -> str:
    """Return metrics in one line, as text without markup."""
    shown = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:most]]
    return escape("  ".join(shown) + (" …" if len(metrics) > most else ""))


def short_run(run: str) -> str:
    """Return the part of a run's id that tells it from others; every command that takes a run takes it."""
    return run.rpartition("-")[2]


def show_time(at: datetime | None) -> str:
    """Return an instant in the reader's own time zone, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else ""


def show_duration(seconds: float | None) -> str:
    """Return a duration as people say it: `0.4 s`, `12 s`, `3:07 min`, `2:03:07 h`."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def show_bytes(size: float) -> str:
    """Return a number of bytes in a unit that fits: `431 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}" if unit in ("B", "kB", "MB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
