"""`rasen replay`: logged requests on any versions of an endpoint."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.batch.when import WHEN, parse_when
from rasen.cli.output import JsonFlag, console, print_json, print_table, short_run, show_time
from rasen.cli.predict import PlotOption, SecondsOption, show_answer
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.replay.replaying import Replayed
    from rasen.replay.request_log import Wanted

_INPUTS_LENGTH = 60

RequestOption = Annotated[
    str | None, typer.Option(metavar="ID", help="only the request with this X-Request-Id")
]
FromOption = Annotated[str, typer.Option("--from", metavar="WHEN", help=f"requests from then on: {WHEN}")]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="WHEN", help="requests before then; now if absent")
]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("replay")(replay)


def replay(
    endpoint: Annotated[str, typer.Argument(help="the endpoint")],
    *,
    from_: FromOption = "24h",
    to: ToOption = None,
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A",
            help="ledger number or run; twice: one against the other; if absent each request goes to the version that "
            "answered it",
        ),
    ] = None,
    request: RequestOption = None,
    limit: Annotated[int, typer.Option(min=1, help="most requests, the newest ones")] = 10_000,
    sample: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="a share of the requests, the same ones each time")
    ] = 1.0,
    exact: Annotated[
        bool, typer.Option("--exact", help="call models with as many rows as when they answered; slow")
    ] = False,
    show: Annotated[int, typer.Option(min=0, help="how many rows that differ are shown")] = 20,
    plot: PlotOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write all rows: .csv or .parquet")
    ] = None,
    timeout: SecondsOption = 120.0,
    as_json: JsonFlag = False,
) -> None:
    """Ask logged requests again, on the versions that answered them or on others, and show what differs.

    Without --version it ends with 10 when an answer does not come out again as it was logged.
    """
    from rasen.batch.rerun import DIFFERENT_EXIT_CODE
    from rasen.replay.plot import check_plot_file, plot_answers
    from rasen.replay.predicting import check_table_file, write_table
    from rasen.replay.replaying import replay_requests, table_of

    if plot is not None:
        check_plot_file(plot)
    if out is not None:
        check_table_file(out)
    replayed = replay_requests(
        load_settings(),
        endpoint,
        read_window(from_, to, request_id=request or "", limit=limit, sample=sample),
        versions=version or [],
        seconds=timeout,
        exact=exact,
    )
    if out is not None:
        write_table(out, table_of(replayed))
    if plot is not None:
        plot_answers(
            plot,
            replayed.left,
            replayed.right,
            replayed.comparison,
            labels=(replayed.left_label, replayed.right_label),
            title=f"{endpoint}: {replayed.requests:,} requests",
        )
    if as_json:
        print_json(_document(replayed, show=show))
    else:
        _print(replayed, show=show)
        for file in (out, plot):
            if file is not None:
                console().print(f"written: {escape(str(file))}", soft_wrap=True)
    if not version and replayed.comparison.differences:
        raise typer.Exit(DIFFERENT_EXIT_CODE)


def read_window(from_: str, to: str | None, *, request_id: str, limit: int, sample: float) -> Wanted:
    """Return which requests somebody means; times are as `rasen runs` takes them.

    Raises:
        InvalidInput: A time is none, or they are in the wrong order.
    """
    from rasen.errors import InvalidInput
    from rasen.replay.request_log import Wanted

    now = datetime.now(tz=UTC)
    first = parse_when("--from", from_, now=now)
    last = parse_when("--to", to, now=now, end_of_day=True) if to is not None else now
    if first >= last:
        raise InvalidInput(
            f"--from {from_!r} is not before --to {to or 'now'!r}: there is no time between them"
        )
    return Wanted(first=first, last=last, request_id=request_id, limit=limit, sample=sample)


def _print(replayed: Replayed, *, show: int) -> None:
    from rasen.cli.differences import print_answered, print_comparison

    out = console()
    first, last = replayed.rows[0].time, replayed.rows[-1].time
    out.print(
        f"[bold]{escape(replayed.endpoint)}[/bold]: {replayed.requests:,} requests with {len(replayed.rows):,} rows, "
        f"{show_time(first)} to {show_time(last)}",
        soft_wrap=True,
    )
    if replayed.more:
        out.print(
            f"[yellow]{replayed.more:,} older requests of that time were left out:[/] --limit takes more"
        )
    for reason, count in replayed.left_out.items():
        out.print(f"[yellow]{count:,} rows were not asked:[/] {escape(reason)}", soft_wrap=True)
    for note in replayed.notes:
        out.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    for one in replayed.answered:
        engines = ", ".join(f"{name} {count:,}" for name, count in one.engines.items())
        out.print(
            f"  version {escape(one.version.label)}: {len(one.answers):,} rows in {one.seconds:.1f} s"
            + (f" ({escape(engines)})" if engines else ""),
            soft_wrap=True,
        )
    print_answered(out, replayed.answered)
    print_comparison(out, replayed.comparison, left=replayed.left_label, right=replayed.right_label)
    differences = replayed.comparison.differences[:show]
    if not differences:
        return
    print_table(
        "",
        (
            "request",
            "row",
            "model",
            "inputs",
            escape(replayed.left_label),
            escape(replayed.right_label),
            "difference",
        ),
        [
            (
                escape(clean_line(replayed.rows[one.row].request_id)),
                str(replayed.rows[one.row].row),
                short_run(replayed.rows[one.row].model),
                escape(clean_line(replayed.rows[one.row].inputs, most=_INPUTS_LENGTH)),
                show_answer(replayed.left[one.row]),
                show_answer(replayed.right[one.row]),
                f"{one.size:.6g}" if math.isfinite(one.size) else "differs",
            )
            for one in differences
        ],
    )
    more = len(replayed.comparison.differences) - len(differences)
    if more:
        out.print(f"… {more:,} more rows differ; --show shows more, --out writes all")


def _document(replayed: Replayed, *, show: int) -> dict[str, Any]:  # Any: JSON
    from rasen.cli.differences import answered_json, comparison_json

    return {
        "endpoint": replayed.endpoint,
        "requests": replayed.requests,
        "rows": len(replayed.rows),
        "first": replayed.rows[0].time,
        "last": replayed.rows[-1].time,
        "left": replayed.left_label,
        "right": replayed.right_label,
        "more": replayed.more,
        "left_out": replayed.left_out,
        "notes": replayed.notes,
        "versions": answered_json(replayed.answered),
        "comparison": comparison_json(replayed.comparison),
        "differences": [
            {
                "request_id": replayed.rows[one.row].request_id,
                "row": replayed.rows[one.row].row,
                "model": replayed.rows[one.row].model,
                "inputs": replayed.rows[one.row].inputs,
                "left": replayed.left[one.row].value,
                "right": replayed.right[one.row].value,
                "size": one.size if math.isfinite(one.size) else None,
            }
            for one in replayed.comparison.differences[:show]
        ],
    }
