"""The main job through real processes and HTTP: a commit becomes an answer, whatever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasen.batch.claims import read_claim
from rasen.deploy import ledger
from rasen.store import Store, open_store
from rasen.tracking.keys import manifest_key
from rasen.tracking.manifest import list_manifests, read_manifest
from rasen.tracking.signature import load_trust
from stand.pipelines import commit_all, write_pipeline
from stand.platform_process import (
    Platform,
    answer_of,
    rasen,
    settings_with_free_ports,
    start_rasen,
    until,
)

TRAIN = """
import numpy as np, pandas as pd, rasen, time
time.sleep(pause)
rows = pd.DataFrame({"x": np.arange(60.0), "kind": ["a", "b", "c"] * 20})
rows["y"] = rows.x * slope
rows["at"] = pd.date_range("2026-01-01", periods=60, freq="h", tz="UTC")
class Line:
    def predict(self, frame):
        return frame.x.to_numpy() * slope
rasen.publish(
    Line(), example=rows[["x", "kind"]].head(2), profile=rasen.build_profile(rows, by=["kind"], target="y"),
    evaluation=rows, target="y", time="at", slices=["kind"],
)
rasen.log_metrics(rmse=0.0, profile_rmse=30.0)
"""
PARAMETERS = "slope: float = 2.0\npause: float = 0.0"
ROW = {"x": 3.0, "kind": "a"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("main_job") / "home"
    started = Platform(settings_with_free_ports(home))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, platform: Platform) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    write_pipeline(folder / "notebooks" / "line", {"train": [TRAIN]}, parameters=PARAMETERS)
    commit_all(folder)
    rasen(platform.settings, "register", folder / "notebooks")
    return folder


def test_a_commit_becomes_an_answer(platform: Platform, repository: Path) -> None:
    ran = answer_of(rasen(platform.settings, "run", "line", "--json"))
    assert ran["verdict"] == "succeeded"
    answer = platform.await_model("line", ran["run"], ROW)
    assert answer["predictions"] == [6.0]
    assert answer["source"] == "model"

    # The second lap: the cell is edited, committed, registered, run.
    notebook = repository / "notebooks" / "line" / "train.ipynb"
    notebook.write_text(notebook.read_text().replace("slope: float = 2.0", "slope: float = 5.0"))
    refused = rasen(platform.settings, "register", repository / "notebooks", check=False)
    assert refused.returncode == 2
    assert "train.ipynb" in refused.stderr
    commit_all(repository, "steeper")
    rasen(platform.settings, "register", repository / "notebooks")
    ran = answer_of(rasen(platform.settings, "run", "line", "--json"))
    assert platform.await_model("line", ran["run"], ROW)["predictions"] == [15.0]
    shown = rasen(platform.settings, "show", ran["run"]).stdout
    assert "_qualify" in shown
    assert "of endpoint line at" in shown
    assert ran["run"] in rasen(platform.settings, "deployments", "line").stdout


def test_a_worse_model_stays_out_and_the_live_one_answers(platform: Platform, repository: Path) -> None:
    live = platform.predict("line", ROW).headers["X-Rasen-Model"]
    folder = repository / "notebooks" / "line"
    before = (folder / "train.ipynb").read_text()
    (folder / "train.ipynb").write_text(
        before.replace("frame.x.to_numpy() * slope", "frame.x.to_numpy() * 0 + 1000")
    )
    commit_all(repository, "worse")
    rasen(platform.settings, "register", repository / "notebooks")
    ran = answer_of(rasen(platform.settings, "run", "line", "--json"))
    assert ran["verdict"] == "succeeded", "the run is fine; its model is not"
    settings = platform.settings
    store, trust = open_store(settings), load_trust(settings)

    def refused() -> bool:
        record = ledger.latest(store, trust, "line", environment="dev")
        return record is not None and record.run == ran["run"] and record.action == "refuse"

    until(refused)
    assert platform.predict("line", ROW).headers["X-Rasen-Model"] == live
    (folder / "train.ipynb").write_text(before)
    commit_all(repository, "back")
    rasen(platform.settings, "register", repository / "notebooks")


def test_a_working_copy_runs_and_is_not_deployed(platform: Platform, repository: Path) -> None:
    live = platform.predict("line", ROW).headers["X-Rasen-Model"]
    ran = answer_of(rasen(platform.settings, "run", "--dev", repository / "notebooks" / "line", "--json"))
    assert ran["verdict"] == "succeeded"
    assert ran["published_model"]
    assert "(dev)" in rasen(platform.settings, "runs").stdout
    assert platform.predict("line", ROW).headers["X-Rasen-Model"] == live


def test_every_process_is_killed_once_and_the_ledger_is_right(platform: Platform, repository: Path) -> None:
    settings = platform.settings
    store, trust = open_store(settings), load_trust(settings)
    before = ledger.latest(store, trust, "line", environment="dev")
    assert before is not None

    newest = newest_run(store)
    # The runner, in the middle of a step: asked again, the same wish is the same run.
    runner = start_rasen(settings, "run", "line", "--request", "first", "-p", "pause=1.5", "--json")
    first = await_claim(store, after=newest)
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    again = answer_of(rasen(settings, "run", "line", "--request", "first", "--json"))
    assert (again["run"], again["verdict"]) == (first, "succeeded")
    platform.await_model("line", first, ROW)

    # The step's own process, in the middle of its notebook: the second attempt counts.
    runner = start_rasen(settings, "run", "line", "-p", "pause=1.5", "--json")
    second = await_claim(store, after=first)
    claim = read_claim(store, "line", second, "train", 1)
    assert claim is not None
    os.kill(claim.process, signal.SIGKILL)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, output
    platform.await_model("line", second, ROW)
    assert store.stat(f"runs/line/{second}/train/1/result.json") is None
    assert store.stat(f"runs/line/{second}/train/2/result.json") is not None

    # Function, bridge and serving, while a run is on its way.
    runner = start_rasen(settings, "run", "line", "-p", "slope=7.0", "--json")
    third = await_claim(store, after=second)
    for process in platform.children():
        os.kill(process, signal.SIGKILL)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, output
    assert platform.await_model("line", third, ROW)["predictions"] == [21.0]

    records = list(ledger.list_records(store, trust, "line", environment="dev", after=before.number))
    assert [(record.run, record.action) for record in records] == [
        (first, "deploy"),
        (second, "deploy"),
        (third, "deploy"),
    ]
    assert [record.number for record in records] == [before.number + n for n in (1, 2, 3)]
    for run in list_manifests(store, "line"):
        manifest = read_manifest(store, trust, "line", run, environment="dev").manifest
        for file in manifest.files:
            assert store.stat(file.key) is not None


def newest_run(store: Store) -> str:
    return store.children("starts/line/")[-1].removesuffix(".json")


def await_claim(store: Store, *, after: str) -> str:
    """Wait until the step of a run newer than `after` is at work; return the run."""
    until(lambda: newest_run(store) > after)
    run = newest_run(store)
    until(lambda: read_claim(store, "line", run, "train", 1) is not None)
    assert store.stat(manifest_key("line", run)) is None
    return run


@pytest.mark.timeout(400)
def test_the_demo_runs_as_the_readme_says(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    settings = settings_with_free_ports(tmp_path / "home")
    finished = rasen(settings, "demo", "--repository", root, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    told = finished.stdout
    for what in (
        "flight_demand is live",
        "flight_delay is live",
        "gate baseline",
        "curl -s",
        "second lap",
        "ledger 2",
    ):
        assert what in told
    assert "flight_demand_scores" in answer_of(rasen(settings, "tables", "--json"))
    # Nothing of it reached the user's own repository.
    commits = ["git", "-C", str(root), "log", "-1", "--format=%an"]
    assert "Rasen demo" not in subprocess.run(commits, capture_output=True, text=True, check=True).stdout
