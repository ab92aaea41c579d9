"""`rasen lint`: arguments in, text or JSON out, an exit code for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rasen.errors import InvalidInput
from rasen_lint.checking import check_file, exit_code, find_notebooks, find_rule, select_rules
from rasen_lint.report import to_json, to_text
from rasen_lint.rule import documentation
from rasen_lint.rules import RULES

__all__ = ["lint"]


def lint(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="notebooks, or folders to search for them", show_default=False)
    ] = None,
    *,
    select: Annotated[
        list[str] | None,
        typer.Option(help="run only these rules; a code or its beginning (NB1), may be given again"),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="leave these rules out; a code or its beginning (NB1), may be given again"),
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="say what a rule does, why, and what to write instead")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="print JSON for programs instead of text for people")
    ] = False,
) -> None:
    """Check notebooks against the rules of the platform.

    Exit code 0 without errors (warnings do not count), 1 with errors, 2 if a file is no notebook, 70 if a rule failed.
    """
    if explain is not None:
        typer.echo(documentation(find_rule(RULES, explain)), nl=False)
        return
    if not paths:
        raise InvalidInput("nothing to lint; name notebooks or folders, for example: rasen lint notebooks")
    rules = select_rules(RULES, select=_codes(select), ignore=_codes(ignore))
    results = [check_file(path, rules) for path in find_notebooks(paths)]
    typer.echo(to_json(results) if json_output else to_text(results), nl=False)
    raise typer.Exit(exit_code(results))


def _codes(values: list[str] | None) -> list[str]:
    """Split `--select NB1,NB205` as well as `--select NB1 --select NB205`."""
    return [code.strip() for value in values or [] for code in value.split(",")]
