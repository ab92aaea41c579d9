"""A small platform with a past: a warehouse table, a pipeline of two steps that trains on it, and runs of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rasen.batch.execute import Executed
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.settings import Settings, load_settings
from stand.pipelines import write_pipeline
from stand.runs import run_working_copy

READ = """
import pandas as pd, rasen
rides = rasen.read_sql("SELECT x, kind, y FROM rides WHERE x >= @least", {"least": float(least)}, name="rides")
unnamed = rasen.read_sql("SELECT COUNT(*) AS n FROM rides")
kinds = rasen.read_file("kinds.csv")
print(len(rides), int(unnamed.n.iloc[0]), object())
rasen.save_table("features", rides.merge(kinds, on="kind"))
"""
TRAIN = """
import pandas as pd, rasen
rows = rasen.load_table("features")
rows["at"] = pd.date_range("2026-01-01", periods=len(rows), freq="h", tz="UTC")
class Line:
    def predict(self, frame):
        return frame.x.to_numpy() * slope
rasen.publish(
    Line(), example=rows[["x", "kind"]].head(2), profile=rasen.build_profile(rows, by=["kind"], target="y"),
    evaluation=rows[["x", "kind", "y", "at"]], target="y", time="at", slices=["kind"],
)
rasen.log_metrics(rmse=0.5 * slope)
rasen.log_metrics(rmse=0.25, slice={"kind": "a"})
rows.head(3)
"""
PARAMETERS = "least: int = 5\nslope: float = 2.0\nday: str = '2026-01-01'"


class PastRuns:
    """A home with a warehouse and a pipeline `rides`."""

    def __init__(self, folder: Path, *, home: Path | None = None) -> None:
        self.settings: Settings = load_settings(home=home or folder / "home")
        self.folder = folder / "rides"
        self.fill(60)

    def fill(self, rows: int) -> None:
        """Let the table `rides` of the warehouse have so many rows."""
        frame = pd.DataFrame({"x": [float(n) for n in range(rows)], "kind": (["a", "b", "c"] * rows)[:rows]})
        frame["y"] = frame.x * 2
        path = self.folder.parent / "rides.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
        EmbeddedWarehouse(self.settings.warehouse_dir).put_table("rides", path, source="tests")

    def write(
        self, *, read: Sequence[str] = (READ,), train: Sequence[str] = (TRAIN,), more: str = ""
    ) -> None:
        """Write the pipeline's folder."""
        scheduled = 'parameters: {day: "@scheduled"}'
        steps = {"features": read, "train": train}
        write_pipeline(self.folder, steps, parameters=PARAMETERS, more=f"{scheduled}\n{more}")
        (self.folder / "kinds.csv").write_text("kind,size\na,1\nb,2\nc,3\n", encoding="utf-8")

    def run(self, *typed: str) -> Executed:
        """Run the folder as it is."""
        return run_working_copy(self.settings, self.folder, *typed)
