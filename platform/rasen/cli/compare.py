"""`rasen compare`: what differs between two runs of a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rasen.batch.plain_text import clean_line, clean_text, without_colours
from rasen.cli.control import ServerOption, open_control
from rasen.cli.output import (
    JsonFlag,
    colour_verdict,
    console,
    print_json,
    show_bytes,
    show_duration,
    show_time,
)

if TYPE_CHECKING:
    from rasen.batch.comparison import (
        Change,
        CodeChange,
        Comparison,
        MetricChange,
        RunSide,
        StepSide,
        TableChange,
    )

_VALUE_CHARACTERS = 60
_STATISTICS_MOST = 12
_SLICES_MOST = 6


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("compare")(compare)


def compare(
    left: Annotated[str, typer.Argument(help="id of a run, or enough of its beginning or of its last part")],
    right: Annotated[str, typer.Argument(help="another run of the same pipeline")],
    *,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what differs between two runs of a pipeline: parameters, metrics, data, libraries, code, how they went."""
    found = open_control(server).compare(left, right)
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"[bold]{escape(found.pipeline)}[/bold]")
    for mark, side in (("-", found.left), ("+", found.right)):
        _print_side(out, mark, side)
    if found.same:
        out.print("\nnothing differs but the time that it took")
    _print_changes(out, "origin", found.origin)
    _print_changes(out, "parameters", found.parameters)
    _print_metrics(out, found.metrics)
    _print_tables(out, found.tables)
    _print_changes(out, "libraries", found.versions)
    if found.versions_unknown:
        out.print(f"\n[bold]libraries[/bold]\n  {found.versions_unknown}")
    _print_steps(out, found)
    _print_code(out, found.code)
    if found.code_unknown:
        out.print(f"\n[bold]code[/bold]\n  {escape(found.code_unknown)}")


def _print_side(out: Console, mark: str, side: RunSide) -> None:
    colour = "red" if mark == "-" else "green"
    error = f"  {escape(clean_line(side.error, most=100))}" if side.error else ""
    out.print(
        f"[{colour}]{mark} {side.run}[/{colour}]  {escape(side.release)}  {show_time(side.started_at)}  "
        f"{colour_verdict(side.verdict)}{error}",
        soft_wrap=True,
    )


def _print_changes(out: Console, title: str, changes: Iterable[Change]) -> None:
    rows = [(change.name, _value(change.left), "→", _value(change.right)) for change in changes]
    _print_grid(out, title, rows)


def _print_metrics(out: Console, metrics: Iterable[MetricChange]) -> None:
    every = list(metrics)
    slices = [one for one in every if one.slice]
    # Of the slices those that differ most; one that a run has not is told by the metric of all rows.
    slices.sort(key=lambda one: -abs(one.percent or 0.0))
    rows: list[tuple[str, ...]] = []
    for one in [*(one for one in every if not one.slice), *slices[:_SLICES_MOST]]:
        where = ", ".join(f"{name}={value}" for name, value in sorted(one.slice.items()))
        change = ""
        if one.difference is not None:
            percent = f" ({one.percent:+.3g} %)" if one.percent is not None else ""
            change = f"{one.difference:+.4g}{percent}"
        judged = {True: "better", False: "worse", None: ""}[one.better]
        rows.append(
            (f"{one.name} {where}".strip(), _number(one.left), "→", _number(one.right), change, judged)
        )
    if len(slices) > _SLICES_MOST:
        rows.append((f"and {len(slices) - _SLICES_MOST} slices more, in --json",))
    _print_grid(out, "metrics", rows)


def _print_tables(out: Console, tables: Iterable[TableChange]) -> None:
    rows: list[tuple[str, ...]] = []
    for table in tables:
        name = f"{table.step}: {table.name}{' (saved)' if table.saved else ''}"
        rows.append((name, _digest(table.left_sha256), "→", _digest(table.right_sha256)))
        if table.left_rows != table.right_rows:
            rows.append(("  rows", _value(table.left_rows), "→", _value(table.right_rows)))
        changes = [*table.query, *table.columns]
        rows += [
            (f"  {change.name}", _value(change.left), "→", _value(change.right))
            for change in changes[:_STATISTICS_MOST]
        ]
        if len(changes) > _STATISTICS_MOST:
            rows.append((f"  and {len(changes) - _STATISTICS_MOST} more, in --json",))
    _print_grid(out, "tables", rows)


def _print_steps(out: Console, found: Comparison) -> None:
    rows = [
        (f"{one.step} {mark}", *_went(side))
        for one in found.steps
        for mark, side in (("-", one.left), ("+", one.right))
    ]
    _print_grid(out, "steps", rows)


def _went(side: StepSide | None) -> tuple[str, ...]:
    if side is None:
        return ("not there",)
    return (
        side.verdict.value if side.verdict is not None else "no result",
        show_duration(side.seconds),
        show_bytes(side.peak_bytes) if side.peak_bytes else "",
        f"{show_duration(side.cpu_seconds)} of CPU" if side.cpu_seconds else "",
        f"reused from {side.reused_from}" if side.reused_from else "",
        f"attempt {side.attempt}" if side.attempt is not None and side.attempt > 1 else "",
        clean_line(side.error or "", most=_VALUE_CHARACTERS),
    )


def _print_code(out: Console, code: Iterable[CodeChange]) -> None:
    for change in code:
        out.print(f"\n[bold]{escape(clean_line(change.path))}[/bold]")
        for line in change.diff:
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            out.print(Text(without_colours(clean_text(line)), style=style), soft_wrap=True)


def _print_grid(out: Console, title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    out.print(f"\n[bold]{title}[/bold]")
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(max(map(len, rows))):
        grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(Text(("  " if place == 0 else "") + cell) for place, cell in enumerate(row)))
    out.print(grid)


def _value(value: object) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return clean_line(text, most=_VALUE_CHARACTERS)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _digest(sha256: str | None) -> str:
    return sha256[:12] if sha256 is not None else "–"
