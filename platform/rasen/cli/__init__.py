"""The `rasen` command: one file a noun, argument parsing and exit codes only.

Commands of packages beside this one (`rasen lint`, `rasen serve`) come in through the entry points of the group
`rasen.commands`. Only `main` catches errors: a `RasenError` becomes one message and the exit code of its class.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import typer
from rich.console import Console

from rasen.cli import (
    alerts,
    api,
    bisect,
    cancel,
    compare,
    dead_letters,
    decisions,
    demo,
    deployments,
    export,
    history,
    keys,
    live,
    logs,
    notebook,
    predict,
    register,
    replay,
    rerun,
    restore,
    retention,
    review,
    rollout,
    run,
    runs,
    show,
    snippets,
    tables,
    test,
    tokens,
    trust,
    up,
)
from rasen.errors import PlatformFailed, RasenError

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
    for module in (
        *(register, test, run, runs, show, logs, cancel, compare, restore, rerun, notebook),
        *(export, review),
        *(deployments, live, history, decisions, rollout, dead_letters),
        *(predict, replay, bisect),
        *(trust, keys, tokens, alerts, retention, tables, snippets, up, api, demo),
    ):
        module.add_commands(app)
    for point in sorted(entry_points(group="rasen.commands"), key=lambda point: point.name):
        try:
            loaded = point.load()
        except ImportError as error:  # an image may leave a part out; the other commands still work
            loaded = _not_installed(point.name, str(error))
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=point.name)
        else:
            app.command(name=point.name)(loaded)
    return app


def main() -> None:
    """Run the `rasen` command and exit with the code of what happened."""
    try:
        build_app()()  # typer exits by itself, and tells of wrong options
    except RasenError as error:
        _complain(str(error))
        sys.exit(error.exit_code)


def _not_installed(name: str, problem: str) -> Callable[[], None]:
    def command() -> None:
        raise PlatformFailed(
            f"`rasen {name}` is not usable here: {problem}; install the extra `rasen[{name}]`"
        )

    command.__doc__ = f"Not usable here: {problem}."
    return command


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False).print(
        f"[bold red]error:[/bold red] {_escape(message)}", soft_wrap=True
    )


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
