"""`rasen review`: what a branch changes in notebooks, as a page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rasen.batch.plain_text import clean_line, clean_text
from rasen.cli.output import JsonFlag, console, print_json
from rasen.errors import PlatformFailed
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.linter import Linter
    from rasen.review.report import Review

_MOST_FINDINGS = 20


class FailOn(StrEnum):
    """Which new findings make the command fail."""

    NEVER = "never"
    ERROR = "error"
    WARNING = "warning"


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("review")(review)


def review(
    base: Annotated[str, typer.Argument(help="what the change is meant for: a branch, a tag or a commit")],
    head: Annotated[str, typer.Argument(help="the change; `.` is the work tree")] = ".",
    paths: Annotated[list[Path] | None, typer.Argument(help="only these files and folders")] = None,
    *,
    out: Annotated[Path, typer.Option(help="the page to write")] = Path("review.html"),
    summary: Annotated[
        Path | None, typer.Option(help="append a summary in Markdown to this file", show_default=False)
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="exit with 1 when there are new findings as bad as this")
    ] = FailOn.NEVER,
    as_json: JsonFlag = False,
) -> None:
    """Write a page of what a change does to notebooks and pipelines: cells side by side, findings, metrics.

    Compared is HEAD with the last commit that it has in common with BASE, as on a pull request.
    """
    from rasen.batch.light_validation import import_validation
    from rasen.review.page import render_page
    from rasen.review.report import review_json
    from rasen.review.reviewing import review_change
    from rasen.review.summary import render_summary

    import_validation()
    found = review_change(
        Path.cwd(), base, head, paths=paths or (), linter=_linter(), settings=load_settings()
    )
    if summary is not None:
        _write(summary, render_summary(found), append=True)
    if as_json:
        print_json(review_json(found))
    else:
        _write(out, render_page(found))
        _print(found, out)
    if fail_on is not FailOn.NEVER and found.blocks("error" if fail_on is FailOn.ERROR else "warning"):
        raise typer.Exit(1)


def _linter() -> Linter | None:
    from rasen.linter import installed_linter

    try:
        return installed_linter()
    except PlatformFailed:
        return None  # the page says so


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if append else "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise PlatformFailed(f"{str(path)!r} cannot be written: {error.strerror}") from None


def _print(found: Review, out: Path) -> None:
    from rasen.review.report import count_cells

    answer = console()
    for file in found.files:
        cells = ""
        if file.notebook is not None:
            cells = count_cells(file.notebook)
            if problem := file.notebook.new_problem or file.notebook.old_problem:
                cells = f"[red]{escape(clean_text(problem))}[/red]"
        answer.print(
            f"{file.change:8} {escape(clean_line(file.path))}  {cells or escape(clean_line(file.note))}",
            soft_wrap=True,
        )
    for finding in found.new_findings[:_MOST_FINDINGS]:
        colour = "red" if finding.severity == "error" else "yellow"
        answer.print(f"  [{colour}]{finding.code}[/] {escape(clean_line(finding.message))}", soft_wrap=True)
    if len(found.new_findings) > _MOST_FINDINGS:
        answer.print(f"  and {len(found.new_findings) - _MOST_FINDINGS} more new findings")
    for note in found.notes:
        Console(stderr=True, highlight=False).print(f"[dim]{escape(clean_text(note))}[/dim]", soft_wrap=True)
    answer.print(f"written: {escape(clean_line(str(out)))}", soft_wrap=True)
