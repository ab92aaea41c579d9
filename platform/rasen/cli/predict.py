"""`rasen predict`: rows from a file on any versions of an endpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.cli.output import JsonFlag, console, print_json, print_table
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from rasen.replay.asking import Answer
    from rasen.replay.predicting import Predicted

_MOST_COLUMNS = 8
_VALUE_LENGTH = 40

SecondsOption = Annotated[
    float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="how long each version may take")
]
PlotOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="draw the differences: .png, .svg or .pdf")
]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("predict")(predict)


def predict(
    endpoint: Annotated[str, typer.Argument(help="the endpoint")],
    input_: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="rows: a .json, .csv or .parquet file, or - for standard input"),
    ],
    *,
    versions: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="ledger numbers (that record's champion) or runs; the live one if absent"
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write inputs and answers: .csv or .parquet")
    ] = None,
    plot: PlotOption = None,
    limit: Annotated[int, typer.Option(min=1, help="how many rows to show")] = 20,
    timeout: SecondsOption = 120.0,
    as_json: JsonFlag = False,
) -> None:
    """Predict rows with any versions of an endpoint, and show where they differ."""
    from rasen.errors import InvalidInput
    from rasen.replay.inputs import read_input
    from rasen.replay.plot import check_plot_file
    from rasen.replay.predicting import check_table_file, predict_input, write_answers

    if out is not None:
        check_table_file(out)
    if plot is not None:
        check_plot_file(plot)
        if versions.count(",") == 0:
            raise InvalidInput("--plot draws two versions; name them, such as --versions 3,7")
    predicted = predict_input(
        load_settings(), endpoint, read_input(input_), versions=versions, seconds=timeout
    )
    if out is not None:
        write_answers(out, predicted)
    if plot is not None:
        _plot(plot, predicted)
    if as_json:
        print_json(_document(predicted))
        return
    shown = console()
    _print(shown, predicted, limit=limit)
    for file in (out, plot):
        if file is not None:
            shown.print(f"written: {escape(str(file))}", soft_wrap=True)


def show_answer(answer: Answer) -> str:
    """Return an answer as a cell of a table."""
    from rasen.replay.bisecting import show_value

    if answer.problem:
        return "[red]–[/]"
    return escape(clean_line(show_value(answer.value)))


def _print(out: Console, predicted: Predicted, *, limit: int) -> None:
    from rasen.cli.differences import print_answered, print_comparison

    order = list(range(len(predicted.rows)))
    base = predicted.first
    largest: dict[int, float] = {}
    for comparison in predicted.comparisons.values():
        for difference in comparison.differences:
            largest[difference.row] = max(largest.get(difference.row, 0.0), difference.size)
    if predicted.comparisons:
        order.sort(key=lambda row: (-largest.get(row, -1.0), row))
    names = list(predicted.rows[0])
    shown = names[:_MOST_COLUMNS]
    labels = [one.version.label for one in predicted.answered]
    columns = [f"version {one.version.name}" for one in predicted.answered]
    # One table: the inputs, then an answer a version; with several, the rows that differ first.
    with_size = bool(predicted.comparisons)
    print_table(
        f"[bold]{escape(predicted.endpoint)}[/bold]",
        (
            "row",
            *map(escape, shown),
            *(["…"] if len(names) > len(shown) else []),
            *(map(escape, columns) if len(columns) > 1 else [f"prediction by {escape(labels[0])}"]),
            *(["difference"] if with_size else []),
        ),
        [
            (
                str(row),
                *(escape(_short(predicted.rows[row][name])) for name in shown),
                *([""] if len(names) > len(shown) else []),
                *(show_answer(one.answers[row]) for one in predicted.answered),
                *([_show_size(largest.get(row))] if with_size else []),
            )
            for row in order[:limit]
        ],
    )
    if len(order) > limit:
        which = "the rows that differ most are shown; " if largest else ""
        out.print(f"… {len(order) - limit:,} more rows; {which}--limit shows more, --out writes all")
    print_answered(out, predicted.answered)
    if not predicted.comparisons:
        for problem in dict.fromkeys(a.problem for a in predicted.answered[base].answers if a.problem):
            out.print(f"[red]–[/] {escape(problem)}", soft_wrap=True)
    for place, comparison in predicted.comparisons.items():
        print_comparison(out, comparison, left=labels[base], right=labels[place])


def _plot(path: Path, predicted: Predicted) -> None:
    from rasen.errors import InvalidInput
    from rasen.replay.plot import plot_answers

    if not predicted.comparisons:
        raise InvalidInput("there is nothing to draw: fewer than two versions answer")
    base = predicted.answered[predicted.first]
    place, comparison = next(iter(predicted.comparisons.items()))
    other = predicted.answered[place]
    plot_answers(
        path,
        base.answers,
        other.answers,
        comparison,
        labels=(f"version {base.version.label}", f"version {other.version.label}"),
        title=f"{predicted.endpoint}: {len(predicted.rows):,} rows",
    )


def _document(predicted: Predicted) -> dict[str, Any]:  # Any: JSON
    from rasen.cli.differences import answered_json, comparison_json

    versions = answered_json(predicted.answered)
    for version, one in zip(versions, predicted.answered, strict=True):
        version["predictions"] = [answer.value for answer in one.answers]
        version["problems"] = {str(row): a.problem for row, a in enumerate(one.answers) if a.problem}
    return {
        "endpoint": predicted.endpoint,
        "rows": predicted.rows,
        "versions": versions,
        "comparisons": [
            {
                "left": versions[predicted.first]["run"],
                "right": versions[place]["run"],
                **comparison_json(comparison),
                "differences": [
                    {"row": one.row, "size": one.size if math.isfinite(one.size) else None}
                    for one in comparison.differences
                ],
            }
            for place, comparison in predicted.comparisons.items()
        ],
    }


def _short(value: object) -> str:
    return "" if value is None else clean_line(str(value), most=_VALUE_LENGTH)


def _show_size(size: float | None) -> str:
    if size is None:
        return ""
    return f"{size:.6g}" if math.isfinite(size) else "differs"
