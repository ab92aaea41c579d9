"""Snippets executed as an analyst does: in a step of a run, one namespace for the cells, on small tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.snippets import Snippet, load_snippets, render, shipped_folder
from stand.kernel import Kernel

FOLDER = shipped_folder()


@cache
def shipped() -> dict[str, Snippet]:
    """Return Rasen's own snippets by name."""
    return {snippet.name: snippet for snippet in load_snippets([FOLDER])}


def execute(name: str, names: dict[str, Any], **values: str) -> dict[str, Any]:
    """Execute a snippet among the names that earlier cells have defined, and return them all.

    What it shows, its last expression, is there as `shown`.
    """
    code = render(shipped()[name], values)
    lines = code.split("\n")
    last = max(number for number, line in enumerate(lines) if line and line[0] not in " )]}#")
    try:
        shown = compile("\n".join(lines[last:]), name, "eval")
    except SyntaxError:
        shown = None
    exec(compile("\n".join(lines if shown is None else lines[:last]), name, "exec"), names)
    if shown is not None:
        names["shown"] = eval(shown, names)
    return names


@contextmanager
def figures() -> Iterator[None]:
    """Draw without a screen, and close what was drawn."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    try:
        yield
    finally:
        plt.close("all")


def enter_step(folder: Path, monkeypatch: pytest.MonkeyPatch, *, warehouse: Path | None = None) -> Kernel:
    """Make this process the kernel of a step whose notebook lies in an empty folder, and return the step."""
    made = Kernel(folder / "step", warehouse=warehouse)
    made.enter(monkeypatch)
    notebook = folder / "notebook"
    notebook.mkdir()
    monkeypatch.chdir(notebook)
    return made


def put_table(root: Path, name: str, frame: pd.DataFrame) -> None:
    """Make a DataFrame a table of the embedded warehouse."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / f".{name}.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    EmbeddedWarehouse(root).put_table(name, file, source="test")
    file.unlink()


def metrics(step: Kernel) -> dict[str, float]:
    """Return the metrics that were logged, by name and slice: `rmse`, `rmse origin=JFK`."""
    return {
        " ".join(
            [record["name"], *(f"{column}={value}" for column, value in record["slice"].items())]
        ): record["value"]
        for record in step.records("metric")
    }


@cache
def _hours() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    times = pd.date_range(datetime(2013, 8, 1, tzinfo=UTC), periods=40 * 24, freq="h")
    times = times[times.hour % 4 == 0]
    airports = {"EWR": 12.0, "JFK": 9.0, "LGA": 6.0}
    frames = []
    for origin, usual in airports.items():
        hour = times.hour.to_numpy()
        wind = rng.gamma(2.0, 5.0, len(times))
        expected = usual + 0.4 * hour - 0.2 * wind
        frames.append(
            pd.DataFrame(
                {
                    "time_hour": times.as_unit("us"),
                    "origin": origin,
                    "hour": hour.astype("int64"),
                    "wind": np.where(rng.random(len(times)) < 0.05, np.nan, wind),
                    "departures": np.round(np.clip(expected + rng.normal(0, 1, len(times)), 0, None)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).sort_values(["time_hour", "origin"], ignore_index=True)


def hours() -> pd.DataFrame:
    """Return forty days of departures at three airports; more by hour and airport, fewer in the wind."""
    return _hours().copy()


def split() -> dict[str, Any]:
    """Return what the cells before training leave: rows of thirty days to learn from, ten held out."""
    rows = hours()
    is_held_out = rows["time_hour"] >= pd.Timestamp("2013-08-31", tz="UTC")
    return {
        "rows": rows,
        "train": rows[~is_held_out],
        "held_out": rows[is_held_out],
        "inputs": ["origin", "hour", "wind"],
        "validation_from": "2013-08-24",
        "test_from": "2013-08-31",
        "seed": 7,
    }


def predicted() -> dict[str, Any]:
    """Return what the cells before evaluation leave: the held-out rows with a good and a plain prediction."""
    names = split()
    rows = names["held_out"]
    usual = rows["origin"].map({"EWR": 12.0, "JFK": 9.0, "LGA": 6.0})
    good = usual + 0.4 * rows["hour"] - 0.2 * rows["wind"].fillna(10.0)
    names["held_out"] = rows.assign(predicted=good.clip(lower=0), profile=usual + 3.0)
    return names
