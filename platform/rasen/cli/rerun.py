"""`rasen rerun`: a run executed again on the tables that it read, and compared."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, colour_verdict, console, print_json
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.batch.rerun import Repeated

_COLOURS = {"identical": "green", "equal": "green", "different": "red"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("rerun")(rerun)


def rerun(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    *,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="compare every artifact with the run's; exit with 10 when one differs"),
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            help="keep the outputs in this new or empty folder; without --verify, RUN-rerun if left out",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="most steps that run at once")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Execute a run again on the tables that it read, publish nothing; with --verify, compare all that came out."""
    from rasen.batch.exit_codes import exit_code_of
    from rasen.batch.queries import find_run
    from rasen.batch.rerun import DIFFERENT_EXIT_CODE, prepare_rerun
    from rasen.cli.live_view import open_view
    from rasen.tracking.records import Verdict

    settings = load_settings()
    if into is None and not verify:
        into = Path(f"{find_run(settings, run).run}-rerun")
    target = into.absolute() if into is not None else None
    with prepare_rerun(settings, run, into=target) as repetition:
        with open_view(repetition.store, as_json=as_json) as view:
            stopped = repetition.execute(view.observe, jobs=jobs)
        if stopped:
            raise typer.Exit(exit_code_of(Verdict.CANCELLED))
        repeated = repetition.conclude(target, verify=verify)
    if as_json:
        print_json(asdict(repeated) | ({"outcome": repeated.outcome} if verify else {}))
    else:
        _show(repeated, verify=verify)
    if verify:
        raise typer.Exit(DIFFERENT_EXIT_CODE if repeated.outcome == "different" else 0)
    raise typer.Exit(exit_code_of(repeated.verdict))


def _show(repeated: Repeated, *, verify: bool) -> None:
    out = console()
    out.print(
        f"\n[bold]{escape(repeated.pipeline)}[/bold]  {repeated.run}  executed again: "
        f"{colour_verdict(repeated.verdict)}"
    )
    for note in repeated.notes:
        out.print(f"[yellow]{escape(note)}[/yellow]", soft_wrap=True)
    if verify:
        counts = dict.fromkeys(_COLOURS, 0)
        for one in repeated.compared:
            counts[one.outcome] += 1
        for one in repeated.compared:
            if one.outcome != "identical":
                colour = _COLOURS[one.outcome]
                out.print(
                    f"  [{colour}]{one.outcome}[/{colour}]  {escape(one.step)}, {escape(one.artifact)}: "
                    f"{escape(one.detail)}",
                    soft_wrap=True,
                )
        colour = _COLOURS[repeated.outcome]
        out.print(
            f"[{colour}]{repeated.outcome}[/{colour}]: of {len(repeated.compared)} artifacts {counts['identical']} "
            f"identical, {counts['equal']} equal within 1e-6, {counts['different']} different"
        )
    if repeated.folder is not None:
        out.print(f"outputs: {escape(str(repeated.folder))}", soft_wrap=True)
