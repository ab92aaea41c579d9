"""`rasen test`: the notebooks on their sample, and whether what comes out keeps its contract."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_duration
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from rasen.interface_test.checks import Check, InterfaceReport, TestEvent

_COLOURS = {"pass": "green", "fail": "red", "skip": "dim"}
_PROGRESS_SECONDS = 5.0
_SHOWN_DETAILS = 24


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("test")(check_interface)


def check_interface(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="pipelines by name or folder, folders of pipelines, or notebooks", metavar="PATH…"
        ),
    ],
    *,
    lint: Annotated[bool, typer.Option("--lint/--no-lint", help="ask the linter too")] = True,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="run the notebooks although a check before them failed")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="leave the temporary folder where it is, and name it")
    ] = False,
    junit: Annotated[
        Path | None,
        typer.Option(help="also write the checks to this file, as JUnit's XML", show_default=False),
    ] = None,
    print_contract: Annotated[
        bool,
        typer.Option(
            "--print-contract", help="print what deploy.contract would say of the model, and nothing else"
        ),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="most steps that run at once")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run notebooks on the sample of their pipeline and check the interface; nothing is published.

    Ends with 0 when no check failed, with 42 when one did.
    """
    from rasen.errors import InvalidInput
    from rasen.interface_test.junit import write_junit
    from rasen.interface_test.run import run_interface_test
    from rasen.interface_test.subject import find_subjects

    if as_json and print_contract:
        raise InvalidInput("--print-contract prints YAML; with --json the contract stands in each report")
    settings = load_settings()
    subjects = [subject for path in paths for subject in find_subjects(path)]
    quiet = as_json or print_contract
    reports = []
    for subject in subjects:
        report = run_interface_test(
            settings,
            subject,
            observe=_Telling(console(), quiet=quiet).observe,
            lint=lint,
            keep_going=keep_going,
            keep=keep,
            jobs=jobs,
        )
        reports.append(report)
        if report.stopped:
            break
    if junit is not None:
        write_junit(reports, junit)
    if as_json:
        print_json([report.to_json() for report in reports])
    elif print_contract:
        _print_contracts(reports)
    else:
        _show(reports)
    raise typer.Exit(next((report.exit_code for report in reports if not report.passed), 0))


class _Telling:
    """Writes a line for each check as it ends, and now and then where a long step is."""

    def __init__(self, out: Console, *, quiet: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._told_at = time.monotonic()

    def observe(self, event: TestEvent) -> None:
        """Take in what happened."""
        from rasen.interface_test.checks import CheckEnded, StepProgress, TestBegan

        if self._quiet:
            return
        match event:
            case TestBegan():
                self._line(f"[bold]{escape(event.pipeline)}[/bold]  {len(event.planned)} checks")
                for note in event.notes:
                    self._line(f"  [yellow]{escape(note)}[/yellow]")
            case StepProgress():
                if time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
                    where = f"cell {event.cell + 1}/{event.cells}, {show_duration(event.seconds)}"
                    said = f"  {event.last_line}" if event.last_line else ""
                    self._line(f"  [cyan]…[/cyan]     step {event.step}: {where}[dim]{escape(said)}[/dim]")
            case CheckEnded() if event.check.outcome != "skip":
                self._check(event.check)
            case _:
                pass

    def _check(self, check: Check) -> None:
        took = f"  [dim]{show_duration(check.seconds)}[/dim]" if check.seconds >= 0.05 else ""
        colour = _COLOURS[check.outcome]
        self._line(f"  [{colour}]{check.outcome}[/{colour}]  {escape(check.name)}{took}")
        if check.outcome != "fail":
            return
        for line in [check.message, *check.details[:_SHOWN_DETAILS]]:
            self._line(f"        {escape(line)}")
        if len(check.details) > _SHOWN_DETAILS:
            self._line(f"        … and {len(check.details) - _SHOWN_DETAILS} lines more (--json has all)")
        if check.output is not None:
            self._line(f"        the executed notebook: {escape(check.output)}")

    def _line(self, text: str) -> None:
        self._told_at = time.monotonic()
        self._out.print(text, soft_wrap=True)


def _show(reports: list[InterfaceReport]) -> None:
    out = console()
    for report in reports:
        out.print()
        rows = [_row(check) for check in report.checks]
        print_table(
            f"{escape(report.pipeline)}  {escape(report.path)}", ("check", "outcome", "took", ""), rows
        )
    out.print()
    for report in reports:
        counts = {outcome: sum(check.outcome == outcome for check in report.checks) for outcome in _COLOURS}
        word = _WORDS_OF_REPORT[_standing(report)]
        told = ", ".join(f"{count} {_WORDS[outcome]}" for outcome, count in counts.items() if count)
        out.print(
            f"[bold]{escape(report.pipeline)}[/bold] {word}: {told} in {show_duration(report.seconds)}",
            soft_wrap=True,
        )
        if report.kept is not None:
            out.print(f"  everything is kept in {escape(report.kept)}", soft_wrap=True)


_WORDS_OF_REPORT = {
    "kept": "[green]keeps its interface[/green]",
    "broken": "[red]does not keep its interface[/red]",
    "stopped": "[red]was stopped[/red]",
    "not run": "[yellow]was not run, so little is known[/yellow]",
}


def _standing(report: InterfaceReport) -> str:
    if report.stopped:
        return "stopped"
    if report.failed:
        return "broken"
    ran = any(check.stage == "run" and check.outcome == "pass" for check in report.checks)
    return "kept" if ran else "not run"


_WORDS = {"pass": "passed", "fail": "failed", "skip": "skipped"}


def _row(check: Check) -> tuple[str, str, str, str]:
    colour = _COLOURS[check.outcome]
    took = show_duration(check.seconds) if check.seconds >= 0.05 else ""
    dim = "[dim]{}[/dim]" if check.outcome == "skip" else "{}"
    return (
        escape(check.name),
        f"[{colour}]{check.outcome}[/{colour}]",
        took,
        dim.format(escape(check.message)),
    )


def _print_contracts(reports: list[InterfaceReport]) -> None:
    """Print what to paste, and say on standard error which pipelines gave nothing."""
    import sys

    import yaml

    for report in reports:
        if report.contract is None:
            first = report.failed[0] if report.failed else None
            why = f"{first.name}: {first.message}" if first is not None else "it publishes no model"
            sys.stderr.write(f"{report.pipeline}: no contract, {why}\n")
            continue
        sys.stdout.write(f"# {report.pipeline}\n")
        document = {"deploy": {"contract": report.contract}}
        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True, width=100)
