"""`rasen export`: the `.py` twins of notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.batch.plain_text import clean_text
from rasen.cli.output import JsonFlag, console, print_json
from rasen.errors import InvalidInput

if TYPE_CHECKING:
    from rasen.review.twins import Twin

_COLOURS = {"written": "green", "left out": "dim", "refused": "red"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("export")(export)


def export(
    paths: Annotated[list[Path], typer.Argument(help="notebooks, or folders to search for them")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for the scripts, with the same tree; beside the notebooks if left out"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; exit with 1 and name what is not current")
    ] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="print the script of one notebook")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the `.py` twins of notebooks: what git shows the difference of, and what a rerun does not change.

    Exit code 1 if a twin could not be written, or with --check if one is missing, stale or orphaned.
    """
    from rasen.batch.light_validation import import_validation
    from rasen.review.twins import export_notebooks

    import_validation()
    if stdout:
        _print_script(paths, alone=not (out or check or as_json))
        return
    twins = export_notebooks(paths, out=out, check=check)
    if as_json:
        print_json({"twins": twins})
    else:
        _print(twins, check=check)
    if any(twin.state == "refused" or (check and twin.state in _BAD) for twin in twins):
        raise typer.Exit(1)


_BAD = ("missing", "stale", "orphaned")


def _print_script(paths: list[Path], *, alone: bool) -> None:
    from rasen.errors import NotebookError
    from rasen.review.twins import script_of

    if not alone or len(paths) != 1 or paths[0].is_dir():
        raise InvalidInput("--stdout prints the script of one notebook; name one, and no other option")
    try:
        data = paths[0].read_bytes()
    except OSError as error:
        raise NotebookError(f"{str(paths[0])!r} cannot be read: {error.strerror}") from None
    script = script_of(data, name=str(paths[0]))
    sys.stdout.buffer.write(script.encode("utf-8", "backslashreplace"))


def _print(twins: list[Twin], *, check: bool) -> None:
    out = console()
    for twin in twins:
        if twin.state == "current":
            continue
        colour = _COLOURS.get(twin.state, "red" if check else "yellow")
        reason = f": {escape(clean_text(twin.reason))}" if twin.reason else ""
        shown = twin.script if twin.state in ("written", *_BAD) else twin.notebook
        out.print(f"[{colour}]{twin.state}[/] {escape(clean_text(str(shown)))}{reason}", soft_wrap=True)
    counts = {
        state: sum(twin.state == state for twin in twins) for state in dict.fromkeys(t.state for t in twins)
    }
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    out.print(said or "there is no notebook here", soft_wrap=True)
