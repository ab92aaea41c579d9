"""The process that answers: engines, halves, profiles, and bytes that are checked before anything is unpickled."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rasen.model.loading import LoadedModel, parse_example
from rasen.model.profile import Profile
from rasen.model.publishing import prepare
from rasen.replay.calls import CHOSEN, NATIVE, PROFILE
from rasen.replay.worker import ANSWERS_FILE, JOB_FILE, ROWS_FILE, Answerer, main
from stand.published import Trap
from stand.replayable import shifted
from stand.versions import example_rows

ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 18}, {"origin": "JFK", "hour": 9}]


def answerer(
    model: Any, folder: Path, *, example: pd.DataFrame | None = None, row_wise: bool = True, **options: Any
) -> Answerer:
    published = prepare(model, example=example_rows() if example is None else example, folder=folder)
    rows, recorded = parse_example(published.example, published.schema)
    loaded = LoadedModel(
        model=model,
        schema=published.schema,
        example=rows,
        predictions=recorded,
        profile=options.pop("profile", None),
    )
    return Answerer(loaded, engines=options.pop("engines", ()), onnx=None, row_wise=row_wise)


class Noting:
    """A model that notes how many rows it was asked for, and fails for one hour."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, frame: pd.DataFrame) -> Any:
        self.calls.append(len(frame))
        if (frame["hour"] == 13).any():
            raise ValueError("unlucky")
        return frame["hour"].astype("float64").to_numpy()


def test_a_call_is_filled_up_to_its_size_and_gives_only_its_own_rows(tmp_path: Path) -> None:
    model = Noting()
    asked = answerer(model, tmp_path)
    model.calls.clear()
    assert asked.answer(ROWS, NATIVE, size=8) == ([7.0, 18.0, 9.0], {}, NATIVE)
    assert asked.answer(ROWS, NATIVE) == ([7.0, 18.0, 9.0], {}, NATIVE)
    assert model.calls == [8, 3]


def test_rows_at_fault_are_found_by_halves(tmp_path: Path) -> None:
    asked = answerer(Noting(), tmp_path)
    rows: list[dict[str, Any]] = [{"origin": "JFK", "hour": hour} for hour in range(20)]
    rows[5] = {"origin": "JFK"}
    rows[6] = {"origin": "JFK", "hour": 7, "wind": 3}
    rows[7] = {"origin": None, "hour": 2.5}
    answers, faults, _ = asked.answer(rows, NATIVE)
    assert faults == {
        5: "refused: rows[0].hour: missing",
        6: "refused: rows[0].wind: unknown field; known: 'hour', 'origin'",
        7: "refused: rows[0].origin: null is not accepted; rows[0].hour: 2.5 is not a whole number",
        13: "failed: the model raised ValueError: unlucky",
    }
    assert answers == [None if hour in faults else float(hour) for hour in range(20)]


def test_a_model_of_whole_requests_is_never_halved(tmp_path: Path) -> None:
    answers, faults, _ = answerer(Noting(), tmp_path, row_wise=False).answer(
        [*ROWS, {"origin": "JFK", "hour": 13}], NATIVE
    )
    assert answers == [None] * 4
    assert set(faults.values()) == {"failed: the model raised ValueError: unlucky"}


def test_rows_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    not_rows: list[Any] = [7, ["JFK", 7]]
    _, faults, _ = answerer(shifted(0.0), tmp_path).answer(not_rows, NATIVE)
    assert all("must be an object" in fault for fault in faults.values())
    assert len(faults) == 2


def test_the_profile_answers_for_itself(tmp_path: Path) -> None:
    profile = Profile(by=("origin",), levels={("JFK",): (31.0, 9)}, default=9.0)
    asked = answerer(shifted(0.0), tmp_path, profile=profile)
    assert asked.answer(ROWS, PROFILE) == ([31.0, 9.0, 31.0], {}, PROFILE)
    _, faults, _ = answerer(shifted(0.0), tmp_path).answer(ROWS, PROFILE)
    assert faults[0] == "failed: the version has no profile that could answer"


def test_engines_answer_that_were_found_equal_and_no_others(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": random.normal(size=50), "origin": random.choice(["JFK", "EWR"], 50)})
    encode = ColumnTransformer(
        [("scale", StandardScaler(), ["hour"]), ("hot", OneHotEncoder(handle_unknown="ignore"), ["origin"])]
    )
    model = Pipeline([("encode", encode), ("fit", LogisticRegression())]).fit(frame, frame["hour"] > 0)
    asked = answerer(model, tmp_path, example=frame.head(5), engines=("folded",))
    rows: list[Any] = frame.to_dict("records")
    expected = model.predict(frame).tolist()
    for engine, used in (("folded", {"folded"}), ("onnx", {NATIVE}), (CHOSEN, {"folded", NATIVE})):
        answers, faults, name = asked.answer(rows, engine)
        assert faults == {}
        assert name in used
        assert answers == expected
    assert asked.example_differs() is None


def job(folder: Path, model: bytes, *, sha256: str = "") -> None:
    """Prepare a folder as `asking.py` does, with other bytes as the model if that is asked for."""
    published = prepare(shifted(0.5), example=example_rows(), folder=folder)
    files = {}
    for role, data in (("model", model or published.model), ("example", published.example)):
        (folder / role).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest() if role == "example" or not sha256 else sha256
        files[role] = {"key": role, "sha256": digest, "size_bytes": len(data)}
    described = {
        "files": files,
        "schema": published.schema.to_dict(),
        "versions": {"numpy": "0.1"},
        "engines": [],
        "row_wise": True,
        "calls": [[[0, 1, 2], NATIVE, 0]],
    }
    (folder / JOB_FILE).write_text(json.dumps(described))
    (folder / ROWS_FILE).write_text(json.dumps(ROWS))


def said(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ANSWERS_FILE).read_text().splitlines()]


def test_a_folder_is_answered_line_by_line(tmp_path: Path) -> None:
    job(tmp_path, b"")
    assert main([str(tmp_path)]) == 0
    loaded, example, answers = said(tmp_path)
    assert loaded["loaded"] is True
    assert "numpy was 0.1, is " in loaded["differing"]
    assert example == {"example": ""}
    assert answers == {"answers": [7.5, 18.5, 9.5], "faults": {}, "engine": NATIVE}


def test_bytes_that_nobody_vouched_for_are_not_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    job(tmp_path, cloudpickle.dumps(Trap(sprung)), sha256="0" * 64)
    assert main([str(tmp_path)]) == 1
    assert said(tmp_path)[0]["kind"] == "DigestMismatch"
    assert not sprung.exists()
