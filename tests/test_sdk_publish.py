"""`publish`, `load_model`, and what an interactive session says of both."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rasen
from rasen import recorder as recorder_module
from rasen.errors import DigestMismatch, NotFound, PublishError
from rasen.settings import load_settings
from rasen.store import DirectoryStore
from rasen.tracking.records import ModelRecord
from stand.kernel import Kernel
from stand.live_models import RUN, LivePlatform

EXAMPLE = pd.DataFrame({"origin": ["JFK", "LGA"], "hour": [7, 8]})


def doubled(frame: pd.DataFrame) -> Any:
    return frame["hour"].to_numpy() * 2.0


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path / "step")
    made.enter(monkeypatch)
    return made


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a notebook that somebody runs cell by cell; returns the platform's home."""
    notebooks = tmp_path / "notebooks" / "demand"
    notebooks.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(notebooks)
    monkeypatch.setattr(recorder_module, "_recorders", {})
    return tmp_path / ".rasen"


def test_a_publication_is_staged_and_recorded(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    rows = EXAMPLE.assign(y=[1.0, 2.0], at=pd.to_datetime(["2013-09-01T00:00Z", "2013-09-01T01:00Z"]))
    rasen.publish(
        doubled,
        example=EXAMPLE,
        profile=rasen.build_profile(rows, by=["origin"], target="y"),
        evaluation=rows,
        target="y",
        time="at",
        slices=["origin"],
    )
    (record,) = kernel.records("model")
    assert {role: record[role] for role in ("path", "example", "profile", "evaluation")} == {
        "path": "model/model.cloudpickle",
        "example": "model/example.json",
        "profile": "model/profile.json",
        "evaluation": "model/evaluation.parquet",
    }
    described = ModelRecord.model_validate({**record, "files": {}})
    assert (described.target, described.time, described.slices) == ("y", "at", ["origin"])
    assert described.trained_until == "2013-09-01T00:00:00Z"
    said = capsys.readouterr().out
    assert "origin string, hour int64 → float64" in said
    assert "the run publishes it when it succeeds" in said


def test_a_run_publishes_once(kernel: Kernel) -> None:
    rasen.publish(doubled, example=EXAMPLE)
    with pytest.raises(PublishError, match="published a model already"):
        rasen.publish(doubled, example=EXAMPLE)
    assert len(kernel.records("model")) == 1


def test_a_refused_publication_leaves_no_record(kernel: Kernel) -> None:
    not_a_model: Any = object()
    with pytest.raises(PublishError):
        rasen.publish(not_a_model, example=EXAMPLE)
    assert kernel.records("model") == []
    rasen.publish(doubled, example=EXAMPLE)


def test_an_interactive_session_checks_and_says_so(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # cells are run again and again
        rasen.publish(doubled, example=EXAMPLE)
        assert capsys.readouterr().out.endswith("checked, not published: interactive run\n")
    with pytest.raises(PublishError):
        rasen.publish(lambda _frame: None, example=EXAMPLE)
    rasen.log_metrics(rmse=1.0)
    (staging,) = (session / "interactive" / "demand" / "sessions").iterdir()
    kinds = [record["kind"] for record in recorder_module.read_records(staging)]
    assert kinds == ["model", "model", "metric"]
    assert not (session / "store").exists()


def test_tables_pass_from_one_interactive_notebook_to_the_next(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rasen.save_table("features", EXAMPLE)
    monkeypatch.setattr(recorder_module, "_recorders", {})  # another kernel
    pd.testing.assert_frame_equal(rasen.load_table("features"), EXAMPLE)
    with pytest.raises(NotFound, match="run the notebook that saves it first"):
        rasen.load_table("labels")


def test_old_sessions_are_forgotten(session: Path) -> None:
    sessions = session / "interactive" / "demand" / "sessions"
    for number in range(30):
        (sessions / f"2013010{number // 10}T00000{number % 10}-999999999").mkdir(parents=True)
    rasen.log_metrics(rmse=1.0)
    assert len(list(sessions.iterdir())) == 20


def stage_live_model(kernel: Kernel) -> LivePlatform:
    """Do what the step does for `models: [demand]`."""
    platform = LivePlatform(DirectoryStore(kernel.inputs / "models"), kernel.folder)
    platform.deploy(platform.publish(doubled, EXAMPLE))
    (kernel.inputs / "trust.json").write_bytes(platform.trust.to_bytes())
    return platform


def test_a_step_loads_the_live_model_it_declares(kernel: Kernel) -> None:
    stage_live_model(kernel)
    model = rasen.load_model("demand")
    assert model.run == RUN
    assert list(model.predict(EXAMPLE)) == [14.0, 16.0]
    with pytest.raises(
        NotFound, match=r"'delay'; the step must declare it in pipeline.yaml: `models: \[delay\]`"
    ):
        rasen.load_model("delay")


def test_a_step_refuses_a_model_that_was_changed(kernel: Kernel) -> None:
    platform = stage_live_model(kernel)
    platform.store.write(f"runs/demand/{RUN}/train/1/model/model.cloudpickle", b"other")
    with pytest.raises(DigestMismatch):
        rasen.load_model("demand")


def test_a_step_that_declares_no_model(kernel: Kernel) -> None:
    (kernel.inputs / "trust.json").write_bytes(
        LivePlatform(DirectoryStore(kernel.staging), kernel.folder).trust.to_bytes()
    )
    with pytest.raises(NotFound, match="declare it"):
        rasen.load_model("demand")


def test_an_interactive_session_loads_from_the_store(session: Path) -> None:
    settings = load_settings()
    platform = LivePlatform(DirectoryStore(settings.store_dir), session.parent)
    with pytest.raises(NotFound, match="live are: none"):
        rasen.load_model("demand")
    platform.deploy(platform.publish(doubled, EXAMPLE))
    settings.trust_file.parent.mkdir(parents=True, exist_ok=True)
    settings.trust_file.write_bytes(platform.trust.to_bytes())
    assert list(rasen.load_model("demand").predict(EXAMPLE)) == [14.0, 16.0]
    with pytest.raises(NotFound, match="'delay'; live are: demand"):
        rasen.load_model("delay")
