"""`rasen bisect`: the version with which an answer changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_line
from rasen.cli.output import JsonFlag, console, print_json, short_run, show_time
from rasen.cli.predict import SecondsOption
from rasen.cli.replay import FromOption, RequestOption, ToOption, read_window
from rasen.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasen.replay.asking import Answer
    from rasen.replay.bisecting import Bisected, Change, Look
    from rasen.replay.inputs import Input
    from rasen.settings import Settings

_COLOURS = {"good": "green", "changed": "red", "skipped": "yellow"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("bisect")(bisect)


def bisect(
    endpoint: Annotated[str, typer.Argument(help="the endpoint")],
    input_: Annotated[
        str | None,
        typer.Argument(
            metavar="[INPUT]", help="rows: a .json, .csv or .parquet file, or - for standard input"
        ),
    ] = None,
    *,
    request: RequestOption = None,
    from_: FromOption = "30d",
    to: ToOption = None,
    good: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="ledger record that answers right; the first")
    ] = None,
    bad: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="ledger record that does not; the newest")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="load every version and list all changes")] = False,
    timeout: SecondsOption = 120.0,
    as_json: JsonFlag = False,
) -> None:
    """Find the first version whose answer to a request is another than before."""
    from rasen.replay import bisecting

    settings = load_settings()
    given = _read(settings, endpoint, input_, request, from_, to)
    out = console()
    searcher = bisecting.open_searcher(
        settings,
        endpoint,
        given,
        good=good,
        bad=bad,
        seconds=timeout,
        tell=(lambda _: None) if as_json else (lambda look: out.print(_line(look), soft_wrap=True)),
    )
    if every:
        changes = bisecting.find_changes(searcher)
        if as_json:
            print_json(
                {"endpoint": endpoint, "loads": searcher.loads, "changes": [_change(one) for one in changes]}
            )
            return
        for one in changes:
            out.print(_describe_change(one), soft_wrap=True)
        count = len(changes)
        out.print(
            f"{count or 'no'} {'change' if count == 1 else 'changes'} in {len(searcher.champions)} versions, "
            f"{searcher.loads} loads"
        )
        return
    found = bisecting.bisect(searcher)
    if as_json:
        print_json(_document(endpoint, found))
        return
    out.print(_conclude(found), soft_wrap=True)


def _read(
    settings: Settings, endpoint: str, path: str | None, request: str | None, from_: str, to: str | None
) -> Input:
    from rasen.errors import InvalidInput
    from rasen.replay.bisecting import read_request
    from rasen.replay.inputs import read_input

    if (path is None) == (request is None):
        raise InvalidInput("give the rows in a file, or a logged request with --request, and not both")
    if path is not None:
        return read_input(path)
    wanted = read_window(from_, to, request_id=request or "", limit=1, sample=1.0)
    return read_request(settings, endpoint, wanted)


def _line(look: Look) -> str:
    number = look.champion.record.number
    said = look.skipped or _said(look.answers)
    return (
        f"load {look.loads:>2}  record {number:>4}  {short_run(look.champion.version.run)}  "
        f"[{_COLOURS[look.verdict]}]{look.verdict:<7}[/]  {escape(clean_line(said))}"
    )


def _conclude(found: Bisected) -> str:
    loads = f"{found.loads} loads among {found.candidates + 1} versions"
    before = f"record {found.good.champion.record.number}"
    if found.changed is None:
        return (
            f"no change: the newest version answers as {before} does ({loads}). It may have changed and come back: "
            "--all asks every version."
        )
    record, version = found.changed.champion.record, found.changed.champion.version
    said = (
        f"[bold]changed with record {record.number}[/bold]: run {version.run}, {record.action} by "
        f"{escape(record.actor)} at {show_time(record.decided_at)}: {escape(record.reason or 'no reason given')}\n"
        f"  {before}: {escape(_said(found.good.answers))}\n"
        f"  record {record.number}: {escape(_said(found.changed.answers))}\n"
    )
    if found.between:
        numbers = ", ".join(str(one.champion.record.number) for one in found.between)
        said += f"  it may have been one of the records {numbers}, whose versions cannot be loaded\n"
    return (
        said
        + f"{loads}. This is a change for certain, and the only one if the answer changed once: --all lists every "
        "change."
    )


def _describe_change(change: Change) -> str:
    before, after = change.before, change.after
    return (
        f"[bold]record {after.champion.record.number}[/bold] ({short_run(after.champion.version.run)}): "
        f"{escape(_said(before.answers))} → {escape(_said(after.answers))}"
    )


def _said(answers: Sequence[Answer]) -> str:
    from rasen.replay.bisecting import describe_answers

    return clean_line(describe_answers(answers))


def _look(look: Look) -> dict[str, Any]:  # Any: JSON
    return {
        "number": look.champion.record.number,
        "run": look.champion.version.run,
        "verdict": look.verdict,
        "skipped": look.skipped or None,
        "answers": [answer.value for answer in look.answers],
        "problems": [answer.problem for answer in look.answers if answer.problem],
    }


def _change(change: Change) -> dict[str, Any]:  # Any: JSON
    return {"before": _look(change.before), "after": _look(change.after)}


def _document(endpoint: str, found: Bisected) -> dict[str, Any]:  # Any: JSON
    return {
        "endpoint": endpoint,
        "loads": found.loads,
        "candidates": found.candidates,
        "good": _look(found.good),
        "changed": None if found.changed is None else _look(found.changed),
        "between": [_look(one) for one in found.between],
        "looks": [_look(one) for one in found.looks],
    }
