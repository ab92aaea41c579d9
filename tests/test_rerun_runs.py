"""Executing runs again: the same comes out of the same, whatever became of the warehouse; the rest is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from rasen.batch.execute import Executed
from rasen.batch.rerun import DIFFERENT_EXIT_CODE, Repeated, prepare_rerun
from rasen.cli import build_app
from rasen.errors import DigestMismatch, InvalidInput, StepFailed
from rasen.store import open_store
from rasen.tracking.records import Verdict
from stand.past_runs import READ, TRAIN, PastRuns
from stand.runs import ignore

UNSTEADY = """
import os, random, time
print(time.perf_counter_ns())
rasen.log_metrics(luck=random.random(), nearly=1 + random.random() * 1e-9)
noisy = rows[["x"]].assign(noise=[random.random() for _ in range(len(rows))])
rasen.save_table("noisy", noisy)
rasen.save_table("near", rows[["x"]] * (1 + random.random() * 1e-9))
"""
MARKED = TRAIN.replace("class Line:", "import random\nclass Line:\n    mark = random.random()")
OTHER_QUERY = """
import random, rasen
rasen.read_sql("SELECT COUNT(*) + @luck AS n FROM rides", {"luck": random.random()})
"""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> PastRuns:
    made = PastRuns(tmp_path_factory.mktemp("past"))
    made.write()
    return made


@pytest.fixture(scope="module")
def good(past: PastRuns) -> Executed:
    executed = past.run("slope=3.0")
    assert executed.verdict is Verdict.SUCCEEDED, list(executed.explanation())
    past.fill(7)  # the warehouse is another one from now on
    return executed


def again(past: PastRuns, run: str, into: Path | None = None) -> Repeated:
    with prepare_rerun(past.settings, run, into=into) as repetition:
        assert not repetition.execute(ignore)
        return repetition.conclude(into, verify=True)


def differences(repeated: Repeated) -> dict[str, str]:
    return {
        f"{one.step}, {one.artifact}": f"{one.outcome}: {one.detail}"
        for one in repeated.compared
        if one.outcome != "identical"
    }


def test_the_same_comes_out_of_the_same(past: PastRuns, good: Executed, tmp_path: Path) -> None:
    keys = [stat.key for stat in open_store(past.settings).list("") if not stat.key.startswith("live/")]
    repeated = again(past, good.run, tmp_path / "again")
    assert differences(repeated) == {}
    assert repeated.outcome == "identical"
    assert {one.artifact for one in repeated.compared} >= {
        "verdict", "notebook", "read rides", "table features", "metric rmse", "metric rmse of kind=a", "model",
        "model's predictions on the example", "model's profile", "predictions on the evaluation rows",
    }  # fmt: skip
    assert [
        stat.key for stat in open_store(past.settings).list("") if not stat.key.startswith("live/")
    ] == keys
    assert list(past.settings.scratch_dir.iterdir()) == [], "nothing is left, and nothing was published"

    # What came out lies in the folder: made of the rows of then, not of the warehouse of now.
    assert len(pd.read_parquet(tmp_path / "again/tables/features/saved/features.parquet")) == 55
    assert "executed again by `rasen rerun`" in (tmp_path / "again/README.txt").read_text()
    assert not (tmp_path / "again/manifest.json").exists()


def test_what_comes_out_differently_is_named(past: PastRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    past.fill(60)
    past.write(train=[MARKED, UNSTEADY])
    executed = past.run()
    past.write()
    assert executed.verdict is Verdict.SUCCEEDED, list(executed.explanation())
    monkeypatch.setenv("RASEN_HOME", str(past.settings.home))
    done = CliRunner().invoke(
        build_app(), ["rerun", executed.run, "--verify", "--json"], catch_exceptions=False
    )
    assert done.exit_code == DIFFERENT_EXIT_CODE
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["outcome"] == "different"
    found = {
        f"{one['step']}, {one['artifact']}": (one["outcome"], one["detail"])
        for one in answer["compared"]
        if one["outcome"] != "identical"
    }
    assert set(found) == {
        "train, notebook", "train, metric luck", "train, metric nearly", "train, table noisy", "train, table near",
        "train, model",
    }  # fmt: skip
    assert found["train, notebook"][1].startswith("cell 3, output 0 (stdout): line 1: ")
    assert found["train, metric luck"][0] == "different"
    assert found["train, metric nearly"][0] == "equal"
    assert found["train, table noisy"][1].startswith("column 'noise', row 0: ")
    assert found["train, table near"][0] == "equal"
    assert found["train, model"][0] == "equal", "other bytes, and the same answers"


def test_a_question_that_was_not_asked_then_is_named(
    past: PastRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.fill(60)
    past.write(read=[READ, OTHER_QUERY])
    executed = past.run()
    past.write()
    repeated = again(past, executed.run)
    assert repeated.outcome == "different"
    found = differences(repeated)
    said = found["features, verdict"]
    assert "succeeded → failed, QueryError: the query 'SELECT COUNT(*) + @luck AS n FROM rides'" in said
    assert "was not asked by the run that is repeated; it asked it with" in said
    assert found["train, verdict"] == "different: was not executed this time"

    # Without --verify nothing is compared: the outputs are kept, and the exit code is the verdict's.
    monkeypatch.setenv("RASEN_HOME", str(past.settings.home))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build_app(), ["rerun", executed.run[-12:]], catch_exceptions=False)
    assert done.exit_code == StepFailed.exit_code
    kept = tmp_path / f"{executed.run}-rerun"
    assert "was not asked by the run that is repeated" in (kept / "output/features.ipynb").read_text()
    assert "identical" not in done.stdout


def test_a_run_that_failed_fails_the_same_way_again(past: PastRuns) -> None:
    past.fill(60)
    past.write(train=[TRAIN, "raise RuntimeError('not today')"])
    executed = past.run()
    past.write()
    repeated = again(past, executed.run)
    assert (repeated.verdict_then, repeated.verdict) == (Verdict.FAILED, Verdict.FAILED)
    assert differences(repeated) == {}
    assert any("nobody has signed" in note for note in repeated.notes)


def test_what_does_not_fit_is_refused_before_anything_runs(
    past: PastRuns, good: Executed, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("precious")
    with (
        pytest.raises(InvalidInput, match="is not empty"),
        prepare_rerun(past.settings, good.run, into=tmp_path),
    ):
        raise AssertionError
    store = good.store
    manifest = good.finished.manifest
    assert manifest is not None
    key = next(file.key for file in manifest.files if "/features/1/tables/" in file.key)
    whole = store.read(key)
    store.write(key, whole[:-1] + b"?")
    with pytest.raises(DigestMismatch):
        again(past, good.run)
    store.write(key, whole)
    assert list(past.settings.scratch_dir.iterdir()) == []
