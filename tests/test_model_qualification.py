"""A model is executed once in a fresh process, and everything found is left in files."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.model import qualification
from rasen.model.metrics import compute
from rasen.model.profile import build_profile
from rasen.model.publishing import prepare


@dataclass
class Bench:
    """The two folders of a qualification, as the batch step makes them."""

    folder: Path
    inputs: Path = field(init=False)
    staging: Path = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = self.folder / "inputs"
        self.staging = self.folder / "staging"
        self.inputs.mkdir()
        self.staging.mkdir()

    def publish(
        self, model: object, example: pd.DataFrame, *, logged: tuple[str, ...] = (), **options: Any
    ) -> None:
        made = prepare(model, example=example, folder=self.folder, **options)
        files = {}
        for role, data in (
            ("model", made.model),
            ("example", made.example),
            ("profile", made.profile),
            ("evaluation", made.evaluation),
        ):
            if data is not None:
                (self.inputs / role).write_bytes(data)
                files[role] = {"path": role, "sha256": hashlib.sha256(data).hexdigest()}
        described = {
            "files": files,
            "schema": made.schema.to_dict(),
            "target": made.target,
            "time": made.time,
            "slices": list(made.slices),
            "trained_until": made.trained_until,
            "metrics": [{"name": name, "value": 1.0, "slice": {}} for name in logged],
        }
        (self.inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")

    def run(self) -> int:
        return qualification.main([str(self.inputs), str(self.staging)])

    def report(self) -> Any:
        return json.loads((self.staging / "qualification.json").read_bytes())

    def metrics(self) -> dict[tuple[str, str], float]:
        lines = (self.staging / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        assert {record["kind"] for record in records} <= {"metric"}
        return {(record["name"], ",".join(record["slice"].values())): record["value"] for record in records}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def flights(count: int = 24) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "origin": pd.Series((["JFK", "LGA", None] * count)[:count], dtype="str"),
            "hour": [number % 12 for number in range(count)],
            "departures": [float(number % 12) for number in range(count)],
            "at": pd.date_range("2013-09-01", periods=count, freq="h", tz="UTC"),
        }
    )


def near(frame: pd.DataFrame) -> Any:
    return frame["hour"].to_numpy() + 0.5


def test_a_good_model_is_qualified_with_everything_a_gate_needs(bench: Bench) -> None:
    rows = flights()
    profile = build_profile(rows, by=["origin"], target="departures")
    bench.publish(
        near,
        rows[["origin", "hour"]].head(2),
        logged=("rmse", "profile_mae", "revenue"),
        profile=profile,
        evaluation=rows,
        target="departures",
        time="at",
        slices=["origin"],
    )
    assert bench.run() == 0
    report = bench.report()
    assert (report["passed"], report["engine"], report["row_wise"]) == (True, "native", True)
    assert report["findings"] == []
    assert report["evaluation_rows"] == 24
    assert set(report["latency_ms"]) == {"rows_1", "rows_100"}
    assert report["versions"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    stored = pd.read_parquet(bench.staging / "evaluation.parquet")
    assert list(stored.columns) == ["target", "prediction", "profile", "time", "slice_origin"]
    assert stored["prediction"].tolist() == [number % 12 + 0.5 for number in range(24)]
    expected = profile.predict(rows)
    assert stored["profile"].tolist() == expected.tolist()
    metrics = bench.metrics()
    target = rows["departures"].to_numpy()
    assert metrics["rmse", ""] == metrics["mae", ""] == metrics["rmse", "JFK"] == 0.5
    assert metrics["profile_rmse", ""] == pytest.approx(compute("rmse", target, expected))
    is_lga = (rows["origin"] == "LGA").to_numpy()
    assert metrics["profile_mae", "LGA"] == pytest.approx(compute("mae", target[is_lga], expected[is_lga]))
    names = {"rmse", "profile_rmse", "mae", "profile_mae", "profile_mean", "profile_coverage"}
    assert {name for name, _ in metrics} == names
    assert metrics["profile_mean", ""] == pytest.approx(expected.mean())
    assert metrics["profile_coverage", ""] == pytest.approx(2 / 3), "a third of the rows names no airport"
    assert report["size_bytes"] == (bench.inputs / "model").stat().st_size
    assert report["memory_bytes"] >= 0
    assert report["versions_differ"] == ""


def test_a_model_without_evaluation_or_profile(bench: Bench) -> None:
    bench.publish(lambda frame: frame["origin"].astype("str").fillna("?"), flights()[["origin"]].head(1))
    assert bench.run() == 0
    assert bench.report()["evaluation_rows"] is None
    assert not (bench.staging / "evaluation.parquet").exists()


def test_answers_of_columns_are_kept_without_metrics(bench: Bench) -> None:
    rows = flights()
    bench.publish(
        lambda frame: pd.DataFrame({"low": frame["hour"] - 1.0}),
        rows[["hour"]].head(1),
        logged=("rmse",),
        evaluation=rows,
        target="departures",
    )
    assert bench.run() == 0
    assert list(pd.read_parquet(bench.staging / "evaluation.parquet").columns) == ["target", "prediction_low"]
    assert bench.metrics() == {}


def test_what_a_client_may_ask_and_the_model_cannot_answer_is_a_finding(bench: Bench) -> None:
    def picky(frame: pd.DataFrame) -> Any:
        if not frame["origin"].isin(["JFK", "LGA"]).all():
            raise ValueError("which airport?")
        return frame["wind"].fillna(0.0) if len(frame) > 3 else frame["wind"]  # alone, null stays null

    rows = flights().assign(wind=[1.0, 2.0, np.nan, 4.0] * 6)
    rows["origin"] = "JFK"
    bench.publish(picky, rows[["origin", "wind"]].head(2), evaluation=rows, target="departures")
    assert bench.run() == 0
    assert bench.report()["row_wise"] is False
    findings = " | ".join(bench.report()["findings"])
    assert "null in 'wind' cannot be predicted: the prediction, row 0: nan" in findings
    assert "an unseen 'origin' cannot be predicted: the model raised ValueError: which airport?" in findings


def test_answers_that_depend_on_the_batch_are_a_finding(bench: Bench) -> None:
    rows = flights()
    centred = rows[["hour"]].iloc[[5]]
    bench.publish(
        lambda frame: frame["hour"] - frame["hour"].mean(), centred, evaluation=rows, target="departures"
    )
    assert bench.run() == 0
    assert bench.report()["row_wise"] is False
    assert "a row alone and in a batch gets different answers" in bench.report()["findings"][-1]


def test_a_metric_that_cannot_be_computed_is_a_finding(bench: Bench) -> None:
    rows = flights()
    bench.publish(near, rows[["hour"]].head(1), logged=("auc", "rmse"), evaluation=rows, target="departures")
    assert bench.run() == 0
    assert bench.report()["findings"] == [
        "auc cannot be computed on the evaluation rows: auc needs a target of 0 and 1"
    ]
    assert set(bench.metrics()) == {("rmse", "")}


def test_too_many_rows_for_the_model_refuse_it(bench: Bench) -> None:
    def few(frame: pd.DataFrame) -> Any:
        if len(frame) > 10:
            raise MemoryError("too many rows")
        return near(frame)

    bench.publish(few, flights()[["hour"]].head(2))
    assert bench.run() == 1
    report = bench.report()
    assert report["passed"] is False
    assert report["reason"] == "ModelFailed: the model raised MemoryError: too many rows"


def test_a_model_that_answers_otherwise_elsewhere_is_refused(bench: Bench) -> None:
    bench.publish(near, flights()[["hour"]].head(2))
    example = json.loads((bench.inputs / "example").read_bytes())
    example["predictions"][1] += 0.1
    data = json.dumps(example).encode()
    (bench.inputs / "example").write_bytes(data)
    described = json.loads((bench.inputs / "model.json").read_bytes())
    described["files"]["example"]["sha256"] = hashlib.sha256(data).hexdigest()
    (bench.inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")
    assert bench.run() == 1
    assert "another answer in a fresh process than in the notebook: row 1" in bench.report()["reason"]


def test_what_loading_takes_is_measured(bench: Bench) -> None:
    class Large:
        def __init__(self) -> None:
            self.table = np.ones(8_000_000)  # large enough never to come from memory that others gave back

        def predict(self, frame: pd.DataFrame) -> Any:
            return frame["hour"] * self.table[0]

    bench.publish(Large(), flights()[["hour"]].head(1))
    assert bench.run() == 0
    assert 40_000_000 < bench.report()["memory_bytes"] < 240_000_000
    assert bench.report()["size_bytes"] > 60_000_000


@pytest.mark.parametrize("role", ["model", "example", "evaluation"])
def test_damaged_files_are_refused(bench: Bench, role: str) -> None:
    rows = flights()
    bench.publish(near, rows[["hour"]].head(1), evaluation=rows, target="departures")
    (bench.inputs / role).write_bytes((bench.inputs / role).read_bytes()[:-1])
    assert bench.run() == 1
    assert bench.report()["reason"].startswith(f"DigestMismatch: the {role} is not the one")


DIES = """
import os
def dies(frame):
    if len(frame) == 1000:
        os._exit(0)
    return frame["hour"] * 1.0
"""


def test_a_model_that_ends_its_process_leaves_word_of_what_it_was_asked(bench: Bench) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(DIES, namespace)
    bench.publish(namespace["dies"], flights()[["hour"]].head(1))
    command = [sys.executable, "-m", "rasen.model.qualification", str(bench.inputs), str(bench.staging)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=bench.inputs)
    assert finished.returncode == 0
    assert finished.stdout.splitlines()[-1] == "predicting 1000 rows …"
    report = bench.report()
    assert report["passed"] is False
    assert report["reason"] == "the process did not come back from predicting 1000 rows"
