"""`rasen demo`: the main job, end to end, on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("demo")(demo)


def demo(
    repository: Annotated[
        Path, typer.Option(help="git repository with the sample pipelines under notebooks/")
    ] = Path(),
) -> None:
    """Load the flights of 2013, register, train, deploy and ask the samples; then once more with a changed cell."""
    from rasen.local.demo import run_demo

    run_demo(load_settings(), repository.resolve())
