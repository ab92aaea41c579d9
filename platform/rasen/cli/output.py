"""How commands answer: tables for people, JSON for programs, both of the same rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rasen.tracking.records import Verdict

JsonFlag = Annotated[bool, typer.Option("--json", help="print JSON for programs instead of text for people")]

_WHOLE = ("run", "verdict", "table", "rows", "loaded")  # columns that are useless in two lines
_COLOURS = {
    Verdict.SUCCEEDED: "green",
    Verdict.SKIPPED: "dim",
    Verdict.CANCELLED: "yellow",
    Verdict.INTERRUPTED: "yellow",
}


def console() -> Console:
    """Return the console that answers go to."""
    return Console(highlight=False)


def print_json(value: Any) -> None:  # Any: whatever JSON can say
    """Print `value`, records and times included, as indented JSON."""
    json.dump(value, sys.stdout, default=_plain, indent=2, ensure_ascii=False)
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
    colour = _COLOURS.get(Verdict(verdict), "red")
    return f"[{colour}]{verdict}[/{colour}]"


def show_metrics(metrics: dict[str, float], *, most: int = 6) -> str:
    """Return metrics in one line, as text without markup."""
    shown = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:most]]
    return escape("  ".join(shown) + (" …" if len(metrics) > most else ""))


def show_time(at: datetime | None) -> str:
    """Return an instant in the reader's own time zone, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at is not None else ""


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    return str(value)
