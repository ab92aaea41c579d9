"""`rasen tables`, `rasen load`: what is in the warehouse of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_time
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("tables")(list_tables)
    app.command("load")(load_table)


def list_tables(*, as_json: JsonFlag = False) -> None:
    """List the tables that `rasen.read_sql` can read, with their columns."""
    from rasen.data.warehouse import EmbeddedWarehouse

    tables = EmbeddedWarehouse(load_settings().warehouse_dir).tables()
    if as_json:
        print_json({name: info.model_dump(mode="json") for name, info in tables.items()})
        return
    print_table(
        "",
        ("table", "rows", "loaded", "source", "columns"),
        [
            (
                escape(name),
                f"{info.rows:,}",
                show_time(info.loaded_at),
                escape(info.source),
                escape(", ".join(f"{column} {kind}" for column, kind in info.columns.items())),
            )
            for name, info in sorted(tables.items())
        ],
    )


def load_table(
    name: Annotated[str, typer.Argument(help="name of the table")],
    file: Annotated[Path, typer.Argument(help="a .csv, .csv.zip, .json or .parquet file", exists=True)],
) -> None:
    """Load a file into the warehouse as a table; it replaces the table of that name, whole and at once."""
    from rasen.data.warehouse import EmbeddedWarehouse

    info = EmbeddedWarehouse(load_settings().warehouse_dir).load_table(name, [file], source=file.name)
    console().print(f"{escape(name)}: {info.rows:,} rows, {len(info.columns)} columns")
