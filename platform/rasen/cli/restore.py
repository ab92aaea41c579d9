"""`rasen restore`: a run, brought back into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, show_bytes
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.batch.restore import Observer, Progress

_SHOWN_FROM_BYTES = 20_000_000  # less is over before a bar would have been read


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("restore")(restore)


def restore(
    run: Annotated[str, typer.Argument(help="id of the run, or enough of its beginning or of its last part")],
    *,
    into: Annotated[
        Path | None,
        typer.Option(help="a new or empty folder; one named after the run if left out", show_default=False),
    ] = None,
    only: Annotated[
        Literal["model", "tables", "notebooks"] | None,
        typer.Option(help="one part instead of all", show_default=False),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a run back into a folder: notebooks, parameters, tables, model, environment; every byte is checked."""
    from rasen.batch.restore import restore_run

    settings = load_settings()
    with _progress() as observe:
        restored = restore_run(settings, run, into, only=only, observe=observe)
    if as_json:
        print_json(asdict(restored))
        return
    out = console()
    out.print(
        f"[bold]{escape(restored.pipeline)}[/bold]  {restored.run}  [green]restored[/green]: {restored.files} files, "
        f"{show_bytes(restored.size_bytes)}"
    )
    if not restored.verified:
        out.print("[yellow]unverified:[/yellow] the run did not succeed, so nobody has signed for its files")
    out.print(f"{escape(str(restored.folder))}; README.txt in it says what is what", soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Observer | None]:
    """Show a bar on a terminal while much is copied."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn
    from rich.progress import Progress as Bar

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    with Bar(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=screen, transient=True
    ) as bar:
        task = bar.add_task("", visible=False)

        def observe(progress: Progress) -> None:
            visible = progress.total_bytes >= _SHOWN_FROM_BYTES
            bar.update(
                task,
                description=escape(progress.name[-40:]),
                completed=progress.done_bytes,
                total=progress.total_bytes,
                visible=visible,
            )

        yield observe
