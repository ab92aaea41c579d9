"""The live version is asked about a candidate's rows, and whatever becomes of that is told and refuses nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rasen.deploy.evidence import parse_evaluation
from rasen.store import Store
from rasen.tracking.keys import deployment_key, manifest_key
from rasen.tracking.records import Verdict
from stand.qualifying import PIPELINE, Qualifying
from stand.versions import linear, publish_and_deploy


@pytest.fixture
def qualifying(tmp_path: Path) -> Qualifying:
    return Qualifying(tmp_path)


def held_out(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "hour": [number % 24 for number in range(rows)],
            "origin": pd.Series((["JFK", "EWR"] * rows)[:rows], dtype="str"),
            "departures": [3.0 * (number % 24) for number in range(rows)],
            "at": pd.date_range("2026-01-10", periods=rows, freq="h", tz="UTC"),
        }
    )


def deploy(
    qualifying: Qualifying, *, model: object = None, example: pd.DataFrame | None = None, **more: Any
) -> str:
    """Have a version live: by default one that answers twice the hour."""
    live = publish_and_deploy(
        qualifying.store,
        qualifying.settings,
        number=1,
        pipeline=PIPELINE,
        model=model or linear(2.0),
        example=held_out()[["origin", "hour"]].head(2) if example is None else example,
        **more,
    )
    return live.run


def candidate(qualifying: Qualifying, *, model: object = None, **more: Any) -> None:
    """Qualify a candidate that answers three times the hour, which is right."""
    options: dict[str, Any] = {
        "evaluation": held_out(),
        "target": "departures",
        "time": "at",
        "slices": ["origin"],
    } | more
    example = held_out()[["origin", "hour"]].head(2)
    ending = qualifying.run(model or linear(3.0), example, logged=("rmse", "mae", "revenue"), **options)
    assert ending.verdict is Verdict.SUCCEEDED, qualifying.error


def test_both_predict_the_same_rows(qualifying: Qualifying) -> None:
    live = deploy(qualifying)
    candidate(qualifying)
    assert qualifying.found["champion"] == {"run": live, "evaluated": True, "reason": ""}
    rows = qualifying.rows()
    assert rows["prediction"].tolist() == rows["target"].tolist()
    assert rows["champion"].tolist() == [2.0 * (number % 24) for number in range(60)]
    assert list(rows.columns) == ["target", "prediction", "time", "slice_origin", "champion"]
    metrics = qualifying.metrics()
    assert metrics["rmse"] == metrics["mae"] == 0.0
    assert metrics["champion_mae"] == pytest.approx((rows["target"] - rows["champion"]).abs().mean())
    assert metrics["champion_rmse"] > metrics["champion_mae"]
    assert set(qualifying.found["champion_latency_ms"]) == {"rows_1", "rows_100"}
    evaluation = parse_evaluation((qualifying.folder / "staging" / "evaluation.parquet").read_bytes())
    assert evaluation.champion is not None
    assert evaluation.rows == 60


def test_before_the_first_deployment_there_is_nothing_to_compare_with(qualifying: Qualifying) -> None:
    candidate(qualifying)
    assert qualifying.found["champion"] is None
    assert "champion" not in qualifying.rows()


def model_of(source: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace["predict"]


# Answers when it is published, and not in another process.
HERE_ONLY = """
import os
process = os.getpid()
def predict(frame):
    if os.getpid() != process:
        {}
    return frame["hour"] * 1.0
"""
GONE = """
class Gone:
    def __reduce__(self):
        return (__import__, ("a_library_that_is_gone",))
gone = Gone()
def predict(frame):
    return frame["hour"] * (1.0 if gone else 2.0)
"""


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (HERE_ONLY.format("raise ValueError('no more')"), "the model raised ValueError: no more"),
        (
            HERE_ONLY.format("os._exit(7)"),
            "the live version could not be asked, it ended with 7: the process did not",
        ),
        (
            GONE,
            "the model cannot be loaded here: ModuleNotFoundError: No module named 'a_library_that_is_gone'",
        ),
        (
            "def predict(frame): return frame['origin'].astype('str')",
            "the live version answers string, the candidate",
        ),
        (
            "def predict(frame):\n    import pandas as pd\n    return pd.DataFrame({'low': frame['hour'] * 1.0})",
            "models that answer several columns are not compared row by row",
        ),
    ],
    ids=["raises", "dies", "gone library", "words", "columns"],
)
def test_what_the_live_version_cannot_do_is_told(qualifying: Qualifying, live: str, reason: str) -> None:
    run = deploy(qualifying, model=model_of(live))
    candidate(qualifying)
    found = qualifying.found["champion"]
    assert found["run"] == run
    assert found["evaluated"] is False
    assert found["reason"].startswith(reason), found["reason"]
    assert "champion" not in qualifying.rows()
    assert not [name for name in qualifying.metrics() if name.startswith("champion_")]


def test_a_live_version_that_hangs_is_ended(qualifying: Qualifying) -> None:
    deploy(qualifying, model=model_of(HERE_ONLY.format("import time; time.sleep(3600)")))
    candidate(qualifying, deploy={"qualification": {"timeout": "4s"}})
    assert qualifying.found["champion"]["evaluated"] is False
    assert qualifying.found["champion"]["reason"].startswith(
        "the live version could not be asked, too long: "
    )


def test_a_column_that_the_rows_do_not_have(qualifying: Qualifying) -> None:
    example = held_out()[["origin", "hour"]].head(2).assign(wind=[1.0, 2.0])
    deploy(qualifying, example=example)
    candidate(qualifying)
    assert qualifying.found["champion"]["reason"] == (
        "the rows are not what the live version takes: column 'wind' is missing; the model takes origin, hour, wind"
    )


def test_a_run_that_held_nothing_out(qualifying: Qualifying) -> None:
    deploy(qualifying)
    candidate(qualifying, evaluation=None, target=None, time=None, slices=())
    assert qualifying.found["champion"]["reason"].startswith("the run published no evaluation rows")
    assert set(qualifying.found["champion_latency_ms"]) == {"rows_1", "rows_100"}, (
        "it was measured all the same"
    )


def live_file(qualifying: Qualifying) -> str:
    return next(
        stat.key for stat in qualifying.store.list("runs/") if stat.key.endswith("/model.cloudpickle")
    )


def change_one_byte(store: Store, key: str) -> None:
    data = store.read(key)
    store.delete(key)
    store.write(key, data[:-1] + bytes([data[-1] ^ 1]))


def test_what_is_live_is_verified_before_it_is_loaded(qualifying: Qualifying) -> None:
    live = deploy(qualifying)
    change_one_byte(qualifying.store, live_file(qualifying))
    candidate(qualifying)
    found = qualifying.found["champion"]
    assert (found["run"], found["evaluated"]) == (live, False)
    assert "model.cloudpickle" in found["reason"]
    assert not (qualifying.folder / "champion_staging").exists(), "no process was started for it"


def test_a_live_version_whose_manifest_is_gone(qualifying: Qualifying) -> None:
    live = deploy(qualifying)
    qualifying.store.delete(manifest_key(PIPELINE, live))
    candidate(qualifying)
    assert qualifying.found["champion"]["run"] == live
    assert qualifying.found["champion"]["evaluated"] is False


def test_a_ledger_that_cannot_be_trusted(qualifying: Qualifying) -> None:
    deploy(qualifying)
    change_one_byte(qualifying.store, deployment_key(PIPELINE, 1))
    candidate(qualifying)
    found = qualifying.found["champion"]
    assert (found["run"], found["evaluated"]) == ("", False)
    assert found["reason"].startswith("the ledger of 'demand' cannot be read: ")
