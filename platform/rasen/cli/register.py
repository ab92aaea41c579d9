"""`rasen register`, `rasen releases`, `rasen schema`: pipelines and their releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rasen.cli.control import ServerOption, open_control
from rasen.cli.output import JsonFlag, console, print_json, print_table
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("register")(register_pipelines)
    app.command("releases")(list_releases)
    app.command("schema")(print_schema)


def register_pipelines(
    folders: Annotated[
        list[Path], typer.Argument(help="folders with a pipeline.yaml, or folders of such folders")
    ],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Make an immutable, signed release of each pipeline from the repository's current commit."""
    from rasen.pipeline import find_pipelines
    from rasen.release import register
    from rasen.store import open_store
    from rasen.tracking.signature import Role, open_signer
    from rasen.versions import environment_digest

    settings = load_settings()
    store = open_store(settings)
    signer = open_signer(settings, Role.REGISTRAR)
    registered = [
        register(folder, store=store, signer=signer, image=environment_digest())
        for given in folders
        for folder in find_pipelines(given)
    ]
    if as_json:
        print_json(
            [
                {
                    "pipeline": one.release.pipeline,
                    "release": one.release.release,
                    "commit": one.release.commit,
                    "created": one.created,
                }
                for one in registered
            ]
        )
        return
    for one in registered:
        what = "registered" if one.created else "unchanged, still"
        console().print(f"{escape(one.release.pipeline)}: {what} [bold]{escape(one.release.release)}[/bold]")


def list_releases(
    pipeline: Annotated[str | None, typer.Argument(help="only this pipeline")] = None,
    *,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List the registered pipelines with their current release, or all releases of one."""
    rows = open_control(server).releases(pipeline)
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("pipeline", "release", ""),
        [
            (escape(row.pipeline), escape(row.release), "[green]current[/green]" if row.current else "")
            for row in rows
        ],
    )


def print_schema() -> None:
    """Print the JSON Schema of pipeline.yaml, for editors."""
    from rasen.pipeline import json_schema

    print_json(json_schema())
