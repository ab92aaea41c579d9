"""The published model under what a client may send, with what the serving image has, and beside what is live."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.errors import RasenError
from rasen.interface_test.before import Found
from rasen.interface_test.home import open_home
from rasen.interface_test.notebook_calls import Calls
from rasen.interface_test.plan import ROWS, make_plan
from rasen.interface_test.published import check_clients, check_contract, check_latency, check_publish
from rasen.interface_test.serving_check import NAMES, try_model
from rasen.interface_test.serving_image import ServingImage, modules_left_out, serving_distributions
from rasen.interface_test.serving_process import _row_checks
from rasen.interface_test.steps import Ran
from rasen.model.loading import LoadedModel, parse_example
from rasen.model.publishing import prepare
from rasen.pipeline import parse_pipeline
from rasen.pipeline_deploy import Qualification
from rasen.pipeline_schema import Pipeline
from rasen.settings import Settings, load_settings
from rasen.store import open_store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import FileRecord, ModelRecord, StepResult, Verdict
from stand.live_models import LivePlatform

EXAMPLE = pd.DataFrame({"hour": [7, 8], "wind": [1.5, None], "origin": ["JFK", "EWR"]})
HEAD = "name: demand\nowner: us\nsteps: {train: {notebook: train.ipynb}, more: {notebook: more.ipynb}}\n"


def made(model: object, folder: Path) -> tuple[LoadedModel, Any]:
    """Return a model as it is after loading, and its files."""
    files = prepare(model, example=EXAMPLE, folder=folder)
    example, predictions = parse_example(files.example, files.schema)
    return LoadedModel(model=model, schema=files.schema, example=example, predictions=predictions), files


def rows_of(model: object, folder: Path) -> dict[str, tuple[str, str]]:
    """Return what each check of rows comes to."""
    return {name: check() for name, check in _row_checks(made(model, folder)[0])}


def test_a_sound_model_answers_all_rows(tmp_path: Path) -> None:
    found = rows_of(lambda frame: frame["hour"] * 2.0, tmp_path)
    assert list(found) == list(ROWS)
    assert {outcome for outcome, _ in found.values()} == {"pass"}
    assert found["many rows"][1] == "10,000 rows are answered"


@pytest.mark.parametrize(
    ("check", "message", "fault"),
    [
        ("one row", "the model raised ValueError: two rows", lambda frame: len(frame) < 2),
        ("many rows", "the model raised ValueError", lambda frame: len(frame) > 9999),
        ("missing values", "a row with null in 'wind' cannot", lambda frame: frame["wind"].isna().all()),
        (
            "unseen texts",
            "a row with an unseen text in 'origin' cannot be predicted",
            lambda frame: not frame["origin"].isin(["JFK", "EWR", ""]).all(),
        ),
        ("empty texts", "a row with an empty text in 'origin'", lambda frame: (frame["origin"] == "").any()),
        (
            "extreme numbers",
            "a row with negative numbers in 'hour', 'wind' cannot",
            lambda frame: (frame["hour"] < 0).any(),
        ),
    ],
)
def test_each_kind_of_row_is_asked_for(check: str, message: str, fault: Any, tmp_path: Path) -> None:
    def model(frame: pd.DataFrame) -> np.ndarray:
        if fault(frame) and model.armed:  # type: ignore[attr-defined] # set below: publishing asks it too
            raise ValueError("two rows")
        return np.zeros(len(frame))

    model.armed = False  # type: ignore[attr-defined]
    loaded, _ = made(model, tmp_path)
    model.armed = True  # type: ignore[attr-defined]
    outcome, said = dict(_safe(loaded))[check]()
    assert outcome == "fail"
    assert message in said


def _safe(loaded: LoadedModel) -> Iterator[tuple[str, Any]]:
    """Yield the checks as the process makes them: an error of ours is a failure."""
    for name, check in _row_checks(loaded):

        def run(check: Any = check) -> tuple[str, str]:
            try:
                result: tuple[str, str] = check()
            except RasenError as error:
                return "fail", str(error)
            return result

        yield name, run


def test_no_finite_answer_far_out_is_told_and_no_fault(tmp_path: Path) -> None:
    with np.errstate(over="ignore"):
        outcome, message = rows_of(lambda frame: np.exp(frame["hour"] * 1.0), tmp_path)["extreme numbers"]
    assert outcome == "pass"
    assert "large ones get no finite answer, there the profile would answer" in message


def test_what_does_not_apply_is_skipped(tmp_path: Path) -> None:
    example = pd.DataFrame({"open": [True, False]})
    files = prepare(lambda frame: frame["open"] * 1.0, example=example, folder=tmp_path)
    frame, predictions = parse_example(files.example, files.schema)
    loaded = LoadedModel(
        model=lambda frame: frame["open"] * 1.0, schema=files.schema, example=frame, predictions=predictions
    )
    found = {name: check()[0] for name, check in _row_checks(loaded)}
    assert list(found.values()) == ["pass", "pass", "skip", "skip", "skip", "skip"]


def tried(model: object, tmp_path: Path) -> dict[str, Found]:
    """Try a model in a process of its own."""
    _, files = made(model, tmp_path)
    with open_home(load_settings(home=tmp_path / "home")) as home:
        records = {}
        for role, data in (("model", files.model), ("example", files.example)):
            home.store.write(f"runs/{role}", data)
            digest = hashlib.sha256(data).hexdigest()
            records[role] = FileRecord(key=f"runs/{role}", sha256=digest, size_bytes=len(data))
        record = ModelRecord(files=records, schema_=files.schema.to_dict())
        return {name: found for name, found, _ in try_model(home, record, Qualification(timeout="60s"))}


def test_a_model_that_needs_what_serving_has_not_is_told_which(tmp_path: Path) -> None:
    import matplotlib.colors

    class Model:
        scale = matplotlib.colors.Normalize  # pickled as a reference

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return np.zeros(len(frame))

    found = tried(Model(), tmp_path)
    assert found["serving packages"].outcome == "fail"
    assert "the serving image has no matplotlib (module 'matplotlib" in found["serving packages"].message
    assert {found[name].outcome.value for name in NAMES[1:]} == {"skip"}


def test_a_model_that_ends_its_process_fails_where_it_does(tmp_path: Path) -> None:
    def model(frame: pd.DataFrame) -> np.ndarray:
        import os

        if len(frame) > 9999:
            os._exit(9)
        return np.zeros(len(frame))

    found = tried(model, tmp_path)
    assert [found[name].outcome.value for name in NAMES[:4]] == ["pass", "pass", "pass", "fail"]
    assert found["many rows"].message == "the model's process did not come back: it ended with 9"
    assert {found[name].outcome.value for name in NAMES[4:]} == {"skip"}


def test_what_the_serving_image_holds_follows_from_the_distributions() -> None:
    held = serving_distributions()
    assert {"rasen", "fastapi", "scikit-learn", "xgboost-cpu", "starlette", "cffi"} <= held
    left_out = modules_left_out(held)
    assert {"pandera", "matplotlib", "papermill", "pytest", "IPython"} <= left_out.keys()
    assert not {"sklearn", "pandas", "numpy", "duckdb", "joblib"} & left_out.keys(), "the image has them"


def test_a_module_that_is_left_out_is_refused_with_all_below_it() -> None:
    hook = ServingImage({"xdist": "pytest-xdist"})
    with pytest.raises(ModuleNotFoundError, match="the serving image has no pytest-xdist"):
        hook.find_spec("xdist.plugin")
    assert hook.find_spec("numpy.random") is None
    assert hook not in sys.meta_path


# Beside what is declared, and what is live


def record_of(model: object, folder: Path) -> ModelRecord:
    _, files = made(model, folder)
    return ModelRecord(files={}, schema_=files.schema.to_dict())


def spec(deploy: str) -> Pipeline:
    return parse_pipeline(HEAD + deploy)


def test_no_contract_is_no_fault_and_a_wrong_one_is(tmp_path: Path) -> None:
    model = record_of(lambda frame: frame["hour"] * 2.0, tmp_path)
    assert check_contract(spec(""), model).outcome == "skip"
    inputs = 'inputs: {hour: int64, wind: "float64?", origin: string}'
    assert (
        check_contract(spec(f"deploy: {{contract: {{{inputs}, output: float64}}}}"), model).outcome == "pass"
    )
    wrong = check_contract(spec(f"deploy: {{contract: {{{inputs}, output: {{low: float64}}}}}}"), model)
    assert wrong.message == "the output is declared as {low: float64}, the model's is float64"
    broken = ModelRecord(files={}, schema_={"format": 9})
    assert "cannot be read" in check_contract(spec(""), broken).message
    assert check_clients(spec(""), broken, load_settings(home=tmp_path)).outcome == "skip"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A platform on which a model of two inputs is live."""
    folder = tmp_path_factory.mktemp("live")
    settings = load_settings(home=folder / "home")
    platform = LivePlatform(open_store(settings), folder)
    digest = platform.publish(lambda frame: frame["hour"] * 2.0, EXAMPLE.drop(columns="wind"))
    platform.deploy(digest)
    settings.trust_file.write_bytes(platform.trust.to_bytes())
    return settings


def test_clients_of_the_live_version(live: Settings, tmp_path: Path) -> None:
    model = record_of(lambda frame: frame["hour"] * 2.0, tmp_path)
    assert "go on working" in check_clients(spec(""), model, live).message, (
        "a new nullable input breaks nobody"
    )
    narrow = prepare(lambda frame: frame["hour"] * 2.0, example=EXAMPLE[["hour"]], folder=tmp_path)
    other = ModelRecord(files={}, schema_=narrow.schema.to_dict())
    broken = check_clients(spec(""), other, live)
    assert broken.outcome == "fail"
    assert "input 'origin' was removed; keep what they rely on, or write `deploy.major: 2`" in broken.message
    raised = check_clients(spec("deploy: {major: 2}"), other, live)
    assert (raised.outcome, raised.message) == (
        "pass",
        "deploy.major rises from 1 to 2: input 'origin' was removed",
    )
    assert check_clients(spec("deploy: {endpoint: other}"), model, live).outcome == "skip"
    assert check_clients(spec(""), model, load_settings(home=tmp_path)).outcome == "skip"


def test_a_live_model_is_copied_for_the_steps_that_load_it(live: Settings) -> None:
    with open_home(live) as home:
        assert home.copy_live("demand") == ""
        assert home.store.children("endpoints/demand/deployments/") == ["00000001.json"]
        assert "nothing is live behind endpoint 'delay'" in home.copy_live("delay")
        folder = home.settings.home
    assert not folder.exists()


def ran_with(**latency: float) -> Ran:
    result = StepResult(
        attempt=1, verdict=Verdict.SUCCEEDED, seconds=1.0, qualification={"latency_ms": dict(latency)}
    )
    return Ran(results={QUALIFY_STEP: result})


def test_latency_is_told_and_fails_only_beyond_all_noise() -> None:
    gate = spec("deploy: {gates: [{kind: latency, max: 5ms}, {kind: latency, rows: 100, max: 20ms}]}")
    within = check_latency(gate, ran_with(rows_1=2.0, rows_100=30.0))
    assert within.outcome == "pass"
    assert within.message == (
        "1 row takes 2 ms here, the budget of its gate is 5 ms; 100 rows take 30 ms here, the budget of its gate "
        "is 20 ms, over it"
    )
    assert check_latency(gate, ran_with(rows_1=51.0, rows_100=1.0)).outcome == "fail"
    assert "the usual budget is 100 ms" in check_latency(spec(""), ran_with(rows_1=2.0)).message
    assert check_latency(spec(""), Ran()).outcome == "skip"


def published(*steps: str, failing: str = "") -> Ran:
    model = ModelRecord(files={}, schema_={})
    results = {
        name: StepResult(
            attempt=1,
            verdict=Verdict.FAILED if name == failing else Verdict.SUCCEEDED,
            seconds=1.0,
            model=model if name in steps else None,
        )
        for name in ("train", "more")
    }
    return Ran(results=results)


def test_publish_is_called_exactly_once() -> None:
    def check(deploy: str, ran: Ran, *, certain: bool = False) -> tuple[str, str]:
        calls = {"train": Calls(published_at=["train.ipynb, cell 3"] if certain else [])}
        plan = make_plan(spec(deploy), step=None, calls=calls, helpers=Calls(), gate_calls={}, lint=False)
        found = check_publish(plan, ran)
        return found.outcome.value, found.message

    assert check("", published("train"))[0] == "pass"
    assert check("", published())[1] == "no model was published, and none was promised"
    assert check("", published(), certain=True)[0] == "fail"
    assert check("deploy: {major: 2}", published())[0] == "fail"
    assert check("deploy: {major: 2}", published(failing="more"))[0] == "skip"
    assert "here steps 'train', 'more' did" in check("", published("train", "more"))[1]
