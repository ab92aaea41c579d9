"""How `rasen predict` and `rasen replay` show two lots of answers to the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.cli.output import print_table

if TYPE_CHECKING:
    from rasen.replay.asking import Answered
    from rasen.replay.differences import Comparison

_MOST_PROBLEMS = 5
_MOST_PAIRS = 12
_SENTENCE = 600


def print_comparison(out: Console, comparison: Comparison, *, left: str, right: str) -> None:
    """Print how far two lots of answers are apart."""
    rows = sum(comparison.problems.values()) + comparison.compared
    share = f"{comparison.share_equal:.2%}" if comparison.compared else "none"
    colour = "green" if comparison.compared and comparison.equal == comparison.compared else "yellow"
    out.print(
        f"[bold]{escape(left)}[/bold] against [bold]{escape(right)}[/bold]: {comparison.compared:,} of {rows:,} rows "
        f"compared, [{colour}]{share} equal[/] within 1e-6, {comparison.identical:,} to the last bit, "
        f"{len(comparison.differences):,} differ",
        soft_wrap=True,
    )
    for name, spread in comparison.spreads.items():
        what = f"{escape(name)}: " if name else ""
        out.print(
            f"  {what}absolute difference: mean {spread.mean:.6g}, median {spread.median:.6g}, "
            f"largest {spread.largest:.6g}",
            soft_wrap=True,
        )
    for name, counts in comparison.confusion.items():
        print_table(
            escape(name),
            (escape(left), escape(right), "rows"),
            [
                (escape(clean_line(one)), escape(clean_line(other)), f"{count:,}")
                for (one, other), count in list(counts.items())[:_MOST_PAIRS]
            ],
        )
        if len(counts) > _MOST_PAIRS:
            out.print(f"  … and {len(counts) - _MOST_PAIRS} more pairs; --json has all")
    problems = list(comparison.problems.items())
    for problem, count in problems[:_MOST_PROBLEMS]:
        out.print(
            f"  [yellow]{count:,} rows without an answer:[/] {escape(clean_line(problem, most=_SENTENCE))}",
            soft_wrap=True,
        )
    if len(problems) > _MOST_PROBLEMS:
        rest = sum(count for _, count in problems[_MOST_PROBLEMS:])
        out.print(
            f"  [yellow]{rest:,} rows for {len(problems) - _MOST_PROBLEMS} more reasons;[/] --json has all"
        )


def print_answered(out: Console, answered: list[Answered]) -> None:
    """Print what became of each version, as far as a reader should know."""
    for one in answered:
        if one.failure is not None:
            out.print(
                f"[red]version {escape(one.version.label)}:[/] {escape(clean_line(str(one.failure), most=_SENTENCE))}",
                soft_wrap=True,
            )
        for note in one.notes:
            out.print(
                f"[yellow]version {escape(one.version.label)}:[/] {escape(clean_line(note, most=_SENTENCE))}",
                soft_wrap=True,
            )


def comparison_json(comparison: Comparison) -> dict[str, Any]:  # Any: JSON
    """Return a comparison for programs."""
    return {
        "compared": comparison.compared,
        "identical": comparison.identical,
        "equal": comparison.equal,
        "differing": len(comparison.differences),
        "share_equal": comparison.share_equal,
        "spreads": comparison.spreads,
        "confusion": {
            name: [{"left": one, "right": other, "rows": count} for (one, other), count in counts.items()]
            for name, counts in comparison.confusion.items()
        },
        "problems": comparison.problems,
    }


def answered_json(answered: list[Answered]) -> list[dict[str, Any]]:  # Any: JSON
    """Return what became of each version, without its answers, for programs."""
    return [
        {
            "run": one.version.run,
            "pipeline": one.version.pipeline,
            "number": one.version.number,
            "failure": None if one.failure is None else str(one.failure),
            "notes": one.notes,
            "engines": one.engines,
            "seconds": round(one.seconds, 3),
        }
        for one in answered
    ]
