"""`rasen lint`: arguments in, an answer in one of four forms, an exit code for CI."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rasen.errors import InvalidInput
from rasen_lint.checking import Checked, exit_code, find_notebooks

if TYPE_CHECKING:
    from rasen_lint.linting import Linted, Linting
    from rasen_lint.query_costs import Price

__all__ = ["Form", "lint"]

Form = Literal["text", "json", "github", "sarif"]


def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="notebooks, or folders to search for them; - reads one from standard input",
            show_default=False,
        ),
    ] = None,
    *,
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="run only these rules, ours or ruff's; a code or its beginning (NB1), may be given again"
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="leave these rules out; a code or its beginning (NB1), may be given again"),
    ] = None,
    stage: Annotated[
        Literal["editor", "review"],
        typer.Option(help="review: before a merge, where some warnings are errors"),
    ] = "editor",
    ruff: Annotated[bool, typer.Option(help="ask ruff as well")] = True,
    fix: Annotated[bool, typer.Option("--fix", help="mend what can be mended safely, then check")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="show what --fix would change, and change nothing")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="text for people, json, annotations for GitHub, or SARIF")
    ] = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="print JSON for programs instead of text for people")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="count the findings of each rule instead of listing them")
    ] = False,
    max_findings: Annotated[
        int | None, typer.Option(min=0, help="show at most so many findings; all count", show_default=False)
    ] = None,
    stdin_filename: Annotated[
        Path, typer.Option(help="where the notebook from standard input would lie")
    ] = Path("stdin.ipynb"),
    watch: Annotated[bool, typer.Option("--watch", help="lint again what is saved, until Ctrl-C")] = False,
    nbqa: Annotated[
        str | None,
        typer.Option(
            metavar="TOOL", help="run another tool on the notebooks through nbqa; its options after --"
        ),
    ] = None,
    dry_run_queries: Annotated[
        bool, typer.Option("--dry-run-queries", help="ask BigQuery what the queries would read and cost")
    ] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="say what a rule does, why, and what to write instead")
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="list our rules")] = False,
) -> None:
    """Check notebooks against the rules of the platform, and with ruff.

    Exit code 0 without errors (warnings do not count), 1 with errors, 2 if a file is no notebook or ruff did not work,
    70 if a rule failed.
    """
    if explain is not None:
        from rasen_lint.plugin import RasenLinter

        typer.echo(RasenLinter().explain(explain), nl=False)
        return
    if list_rules:
        from rasen_lint.report import to_rule_list

        typer.echo(to_rule_list(as_json=as_json or form == "json"), nl=False)
        return
    if not paths:
        raise InvalidInput("nothing to lint; name notebooks or folders, for example: rasen lint notebooks")
    if nbqa is not None:
        from rasen_lint.tools import run_tool

        named, arguments = _split(paths)
        raise typer.Exit(run_tool(nbqa, find_notebooks(named), arguments))
    from rasen_lint.linting import Linting, Wishes

    form = "json" if as_json else form
    linting = Linting(Wishes(select=_codes(select), ignore=_codes(ignore), stage=stage, ruff=ruff))
    if watch:
        _watch(paths, linting)
        return
    if paths == [Path("-")]:
        _from_standard_input(linting, stdin_filename, form=form, fix=fix, diff=diff)
    if fix or diff:
        linted = _mend(find_notebooks(paths), linting, diff=diff)
    else:
        linted = linting.check_files(find_notebooks(paths), progress=_progress())
    results, notices = linted.results, list(linted.notices)
    prices: list[Price] = []
    if dry_run_queries:
        results, prices, notice = _price(results, linting)
        notices += [notice] if notice else []
    _tell(notices)
    _print(results, form, notices, prices, statistics=statistics, most=max_findings)
    raise typer.Exit(max(exit_code(results), InvalidInput.exit_code if linted.incomplete else 0))


def _codes(values: list[str] | None) -> tuple[str, ...]:
    """Split `--select NB1,NB205` as well as `--select NB1 --select NB205`."""
    return tuple(code.strip() for value in values or [] for code in value.split(","))


def _split(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Take the options of a tool from what was given: after `--`, typer hands them over among the paths."""
    words = [str(path) for path in paths]
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    if first == 0:
        raise InvalidInput(
            f"no notebook is named before {words[0]!r}; write: --nbqa mypy notebooks -- --strict"
        )
    return list(paths[:first]), words[first:]


def _print(
    results: Sequence[Checked],
    form: Form,
    notices: Sequence[str] = (),
    prices: Sequence[Price] = (),
    *,
    statistics: bool = False,
    most: int | None = None,
) -> None:
    from rasen_lint.report import to_json, to_prices, to_statistics, to_text

    text = ""
    match form:
        case "json":
            text = to_json(results, notices=notices, prices=prices)
        case "github":
            from rasen_lint.github_annotations import to_github

            text = to_github(results)
        case "sarif":
            from rasen_lint.sarif import to_sarif

            text = to_sarif(results)
        case "text":
            text = to_prices(prices) + (to_statistics(results) if statistics else to_text(results, most=most))
    typer.echo(text, nl=False)


def _tell(notices: Sequence[str]) -> None:
    for notice in notices:
        typer.echo(f"note: {notice}", err=True)


def _from_standard_input(linting: Linting, name: Path, *, form: Form, fix: bool, diff: bool) -> None:
    """Check a notebook that comes through a pipe; with `--fix` the mended one goes on, and findings go to stderr."""
    from rasen_lint.report import to_text

    data = sys.stdin.buffer.read()
    if not fix and not diff:
        linted = linting.check_bytes(data, path=name)
        _tell(linted.notices)
        _print(linted.results, form, linted.notices)
        raise typer.Exit(max(exit_code(linted.results), InvalidInput.exit_code if linted.incomplete else 0))
    from rasen_lint.mending import diff_of, mend_bytes

    mended = mend_bytes(data, name, linting)
    if diff:
        text = diff_of(data, mended.data, str(name))
        typer.echo(text, nl=False)
        raise typer.Exit(1 if text else 0)
    sys.stdout.buffer.write(mended.data)
    typer.echo(to_text([mended.checked]), err=True, nl=False)
    raise typer.Exit(exit_code([mended.checked]))


def _mend(paths: Sequence[Path], linting: Linting, *, diff: bool) -> Linted:
    from rasen_lint.mending import mend_files
    from rasen_lint.report import count

    linted = linting.check_files(paths, progress=_progress())
    if diff:
        changes = [change for change in mend_files(linted, linting, write=False) if change.diff]
        _tell(linted.notices)
        for change in changes:
            typer.echo(change.diff, nl=False)
        unreadable = [checked for checked in linted.results if checked.problem is not None]
        for checked in unreadable:
            typer.echo(f"error: {checked.problem}", err=True)
        typer.echo(f"{len(changes)} of {count(len(paths), 'notebook')} would change", err=True)
        raise typer.Exit(2 if unreadable else 1 if changes else 0)
    made, kept = 0, []
    results = []
    for change in mend_files(linted, linting, write=True):
        results.append(change.checked)
        made += len(change.made)
        kept += [change.kept] if change.kept is not None else []
        for title in change.made:
            typer.echo(f"mended: {change.checked.path}, {title}", err=True)
    if kept:
        where = ", ".join(sorted({str(path.parent) for path in kept}))
        told = f"{count(made, 'fix', 'fixes')} in {count(len(kept), 'notebook')}"
        typer.echo(f"{told}; as they were: *-before-fix.ipynb in {where}", err=True)
    return type(linted)(results=tuple(results), notices=linted.notices, incomplete=linted.incomplete)


def _price(
    results: Sequence[Checked], linting: Linting
) -> tuple[tuple[Checked, ...], list[Price], str | None]:
    from rasen_lint.query_costs import open_client, price_queries

    client = open_client()
    if isinstance(client, str):
        return tuple(results), [], client
    configurations = {checked.path: linting.configuration(Path(checked.path)) for checked in results}
    changed, prices = price_queries(results, configurations, client)
    return tuple(changed), prices, None if prices else "no query stands in the notebooks as text"


def _watch(paths: Sequence[Path], linting: Linting) -> None:
    from rasen_lint.watching import watch

    def show(linted: Linted) -> None:
        if sys.stdout.isatty():
            typer.echo("\033[2J\033[H", nl=False)
        _tell(linted.notices)
        _print(linted.results, "text")
        typer.echo("waiting for changes; Ctrl-C ends", err=True)

    with contextlib.suppress(KeyboardInterrupt):
        watch(paths, linting, show, lambda problem: typer.echo(f"error: {problem}", err=True))
    typer.echo("stopped", err=True)


def _progress() -> Callable[[int, int], None] | None:
    """Return what shows progress on a terminal, once it takes long."""
    if not sys.stderr.isatty():
        return None
    from rasen_lint.progress import Progress

    return Progress(sys.stderr)
