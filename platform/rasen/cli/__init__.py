"""The `rasen` command: one file a noun, argument parsing and exit codes only.

Commands of packages beside this one (`rasen lint`, `rasen serve`) come in through the entry points of the group
`rasen.commands`. Only `main` catches errors: a `RasenError` becomes one message and the exit code of its class.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer
from click.exceptions import ClickException
from rich.console import Console

from rasen.cli import demo, deployments, register, run, runs, tables, up
from rasen.errors import RasenError

__all__ = ["build_app", "main"]


def build_app() -> typer.Typer:
    """Put the command together from the files of this folder and the entry points."""
    app = typer.Typer(
        name="rasen",
        help="Rasen: a notebook becomes a live prediction API, and the next turn of the spiral begins.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in (register, run, runs, deployments, tables, up, demo):
        module.add_commands(app)
    for point in sorted(entry_points(group="rasen.commands"), key=lambda point: point.name):
        loaded = point.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=point.name)
        else:
            app.command(name=point.name)(loaded)
    return app


def main() -> None:
    """Run the `rasen` command and exit with the code of what happened."""
    try:
        result = build_app()(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except RasenError as error:
        _complain(f"{error}")
        sys.exit(error.exit_code)
    except ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _complain("stopped")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False).print(
        f"[bold red]error:[/bold red] {_escape(message)}", soft_wrap=True
    )


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
