"""The `rasen` command: one file a noun, argument parsing and exit codes only.

Commands of packages beside this one (`rasen lint`, `rasen serve`) come in through the entry points of the group
`rasen.commands`. Only `main` catches errors: a `RasenError` becomes one message and the exit code of its class.

Importing all commands takes a quarter of a second, more than many of them take to do their work. So `main` builds the
one that was asked for, and all of them for help and for what it does not know.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import typer

from rasen.errors import PlatformFailed, RasenError

__all__ = ["COMMANDS", "build_app", "main"]

COMMANDS: dict[str, tuple[str, ...]] = {
    "register": ("register", "releases", "schema"),
    "test": ("test",),
    "run": ("run",),
    "runs": ("runs", "reindex"),
    "show": ("show",),
    "logs": ("logs",),
    "cancel": ("cancel",),
    "compare": ("compare",),
    "restore": ("restore",),
    "rerun": ("rerun",),
    "notebook": ("notebook",),
    "export": ("export",),
    "review": ("review",),
    "deployments": ("deployments",),
    "live": ("live",),
    "history": ("history",),
    "decisions": ("hold", "unhold", "approve", "override", "rollback"),
    "rollout": ("rollout", "assign"),
    "dead_letters": ("dead-letters",),
    "predict": ("predict",),
    "replay": ("replay",),
    "bisect": ("bisect",),
    "trust": ("trust",),
    "keys": ("keys",),
    "tokens": ("tokens",),
    "alerts": ("alerts",),
    "retention": ("gc", "pin", "unpin", "pins"),
    "tables": ("tables", "load"),
    "snippets": ("snippets",),
    "up": ("up",),
    "api": ("api",),
    "demo": ("demo",),
}
"""The files of this folder, in the order of the help, and the commands that each adds."""


def build_app(only: str | None = None) -> typer.Typer:
    """Put the command together from the files of this folder and the entry points.

    Args:
        only: A command: what does not belong to it may be left out. One that nobody knows leaves out nothing.
    """
    app = typer.Typer(
        name="rasen",
        help="Rasen: a notebook becomes a live prediction API, and the next turn of the spiral begins.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_group)  # without it, an app of one command would be that command
    points = sorted(entry_points(group="rasen.commands"), key=lambda point: point.name)
    files = [file for file, commands in COMMANDS.items() if only in commands]
    ours = [point for point in points if point.name == only]
    if not files and not ours:
        files, ours = list(COMMANDS), points
    for file in files:
        import_module(f"rasen.cli.{file}").add_commands(app)
    for point in ours:
        _add_point(app, point)
    return app


def _group() -> None:
    """Rasen: a notebook becomes a live prediction API, and the next turn of the spiral begins."""


def _add_point(app: typer.Typer, point: EntryPoint) -> None:
    try:
        loaded = point.load()
    except ImportError as error:  # an image may leave a part out; the other commands still work
        loaded = _not_installed(point.name, str(error))
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=point.name)
    else:
        app.command(name=point.name)(loaded)


def main() -> None:
    """Run the `rasen` command and exit with the code of what happened."""
    try:
        build_app(
            sys.argv[1] if len(sys.argv) > 1 else None
        )()  # typer exits by itself, and tells of wrong options
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
    from rich.console import Console

    Console(stderr=True, highlight=False).print(
        f"[bold red]error:[/bold red] {_escape(message)}", soft_wrap=True
    )


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
