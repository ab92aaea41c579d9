"""What can be checked in the cell that publishes is checked there."""

import io
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.errors import PublishError
from rasen.model.profile import Profile, build_profile
from rasen.model.publishing import Publication, prepare


def rows(count: int = 4) -> pd.DataFrame:
    return pd.DataFrame({"origin": (["JFK", "LGA"] * count)[:count], "hour": list(range(count))})


def doubled(frame: pd.DataFrame) -> Any:
    return frame["hour"].to_numpy() * 2.0


def held_out(count: int = 4) -> pd.DataFrame:
    return rows(count).assign(
        departures=[2.0 * hour for hour in range(count)],
        at=pd.date_range("2013-09-01T00:00Z", periods=count, freq="h"),
        unused="x",
    )


def publication(tmp_path: Path, model: object = doubled, **options: Any) -> Publication:
    return prepare(model, **{"example": rows(3), "folder": tmp_path, **options})


def refuse(
    tmp_path: Path, message: str, model: object = doubled, **options: Any
) -> pytest.ExceptionInfo[PublishError]:
    with pytest.raises(PublishError, match=message) as caught:
        publication(tmp_path, model, **options)
    return caught


def test_the_files_of_a_publication(tmp_path: Path) -> None:
    evaluation = held_out()
    profile = build_profile(evaluation, by=["origin", "hour"], target="departures")
    made = publication(
        tmp_path,
        profile=profile,
        evaluation=evaluation,
        target="departures",
        time="at",
        slices=["origin"],
    )
    assert json.loads(made.example) == {
        "format": 1,
        "columns": {"origin": ["JFK", "LGA", "JFK"], "hour": [0, 1, 2]},
        "predictions": [0.0, 2.0, 4.0],
    }
    assert made.profile is not None
    assert Profile.from_dict(json.loads(made.profile)) == profile
    assert made.evaluation is not None
    stored = pd.read_parquet(io.BytesIO(made.evaluation))
    pd.testing.assert_frame_equal(stored, evaluation.drop(columns="unused"))
    assert [column.name for column in made.schema.inputs] == ["origin", "hour"]
    assert made.schema.inputs[0].categories == ("JFK", "LGA")
    assert (made.target, made.time, made.slices) == ("departures", "at", ("origin",))
    assert made.trained_until == "2013-09-01T00:00:00Z"


def test_the_index_of_the_example_does_not_matter(tmp_path: Path) -> None:
    shuffled = rows(3).set_axis([30, 10, 20])
    assert publication(tmp_path, example=shuffled).example == publication(tmp_path).example


class _NoPredict:
    pass


class _Predicts:
    def predict(self, frame: pd.DataFrame) -> Any:
        return frame["hour"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_NoPredict(), "_NoPredict cannot be published: it needs a predict"),
        (_Predicts, "the class _Predicts cannot be published"),
        (None, "NoneType cannot be published"),
        ({"predict": doubled}, "dict cannot be published"),
    ],
)
def test_what_is_no_model(tmp_path: Path, model: object, message: str) -> None:
    refuse(tmp_path, message, model)


def test_a_failing_example_is_the_cause_of_the_error(tmp_path: Path) -> None:
    def broken(frame: pd.DataFrame) -> Any:
        return frame["wind"]

    caught = refuse(tmp_path, "the example cannot be predicted: the model raised KeyError: 'wind'", broken)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda frame: np.full(len(frame), np.nan), "row 0: nan is not a finite number"),
        (lambda _frame: np.zeros(2), "2 rows, expected 3"),
        (lambda frame: np.zeros((len(frame), 2)), "return a DataFrame"),
        (lambda _frame: None, "NoneType"),
        (lambda frame: frame["origin"].map(len).map(lambda n: [n]), "holding list"),
    ],
)
def test_answers_that_cannot_be_served(tmp_path: Path, answer: object, message: str) -> None:
    refuse(tmp_path, f"the example cannot be predicted: .*{message}", answer)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([{"hour": 1}], "example is list; it must be a DataFrame"),
        (rows(0), "the example has 0 rows; give 1 to 100"),
        (rows(101), "the example has 101 rows; give 1 to 100"),
        (rows(3).assign(hour=pd.Series([1, "2", None], dtype=object)), "'hour'.*int, str"),
    ],
)
def test_examples_that_cannot_be_used(tmp_path: Path, example: object, message: str) -> None:
    refuse(tmp_path, message, example=example)


def test_infinity_in_the_example_cannot_be_sent(tmp_path: Path) -> None:
    example = rows(3).assign(hour=[1.0, 2.0, float("inf")])
    refuse(tmp_path, "cannot be sent as a request: column 'hour' holds infinity", _constant, example=example)


def _constant(frame: pd.DataFrame) -> Any:
    return np.ones(len(frame))


def test_a_model_that_depends_on_more_than_values_is_refused(tmp_path: Path) -> None:
    calls: list[int] = []

    def counts(frame: pd.DataFrame) -> Any:
        calls.append(1)
        return np.full(len(frame), float(len(calls)))

    refuse(tmp_path, "another answer .row 0: 1.0 against 2.0.: .*earlier calls", counts)


def test_a_model_may_spoil_the_frame_it_is_given(tmp_path: Path) -> None:
    def spoils(frame: pd.DataFrame) -> Any:
        return frame.pop("hour")

    assert json.loads(publication(tmp_path, spoils).example)["columns"]["hour"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (3, "profile is int; rasen.build_profile makes one"),
        ({"by": ["hour"]}, "not a profile"),
        (Profile(by=("wind",), levels={}, default=1.0), "'wind', which is no column of the example"),
        (Profile(by=("hour",), levels={("7",): (1.0, 1)}, default=1.0), "are str, requests carry int64"),
        (Profile(by=("origin",), levels={(7,): (1.0, 1)}, default=1.0), "are int, requests carry string"),
    ],
)
def test_profiles_that_serving_could_not_use(tmp_path: Path, profile: object, message: str) -> None:
    refuse(tmp_path, message, profile=profile)


def test_a_profile_stands_for_a_number_only(tmp_path: Path) -> None:
    profile = Profile(by=("hour",), levels={}, default=1.0)
    refuse(tmp_path, "one number a row", lambda frame: frame["origin"], profile=profile)
    refuse(tmp_path, "one number a row", lambda frame: frame[["hour"]], profile=profile)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "departures"}, "target='departures' names a column of evaluation"),
        ({"slices": ["origin"]}, "slices=.* names a column of evaluation"),
        ({"evaluation": held_out()}, "without target"),
        ({"evaluation": 3, "target": "departures"}, "evaluation is int"),
        ({"evaluation": held_out(0), "target": "departures"}, "no rows"),
        ({"evaluation": held_out(), "target": "hour"}, "would be told the answer"),
        ({"evaluation": held_out(), "target": "nope"}, "lacks the column 'nope'"),
        ({"evaluation": held_out().drop(columns="hour"), "target": "departures"}, "lacks the column 'hour'"),
        ({"evaluation": held_out(), "target": "departures", "time": "day"}, "lacks the column 'day'"),
        ({"evaluation": held_out(), "target": "departures", "time": "hour"}, "time 'hour'.*int64"),
        ({"evaluation": held_out(), "target": "departures", "slices": "origin"}, r"slices=\['origin'\]"),
        ({"evaluation": held_out(), "target": "departures", "slices": ["at"]}, "slice 'at'.*timestamp"),
        ({"evaluation": held_out(), "target": "at"}, "target 'at'.*timestamp"),
        (
            {"evaluation": held_out().assign(departures=np.nan), "target": "departures"},
            "missing in 4 of 4 rows",
        ),
        ({"evaluation": held_out().assign(departures=np.inf), "target": "departures"}, "infinity"),
        (
            {"evaluation": held_out().assign(hour=["a", "b", "c", "d"]), "target": "departures"},
            "'hour' is int64 in the example and string in the evaluation",
        ),
        (
            {"evaluation": pd.concat([held_out(), held_out()[["hour"]]], axis=1), "target": "departures"},
            "columns of the same name",
        ),
    ],
)
def test_evaluation_rows_that_cannot_judge(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    refuse(tmp_path, message, **options)


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("2013-08-31", "2013-08-31T00:00:00Z"),
        ("2013-08-31T23:00:00+01:00", "2013-08-31T22:00:00Z"),
        (date(2013, 8, 31), "2013-08-31T00:00:00Z"),
        (datetime(2013, 8, 31, 1, tzinfo=UTC), "2013-08-31T01:00:00Z"),
        (pd.Timestamp("2013-08-31"), "2013-08-31T00:00:00Z"),
        (None, "2013-09-01T00:00:00Z"),
    ],
)
def test_trained_until_in_every_form(tmp_path: Path, given: Any, recorded: str) -> None:
    judged = {"evaluation": held_out(), "target": "departures", "time": "at"}
    assert publication(tmp_path, trained_until=given, **judged).trained_until == recorded


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2013-09-01", "not later than trained_until=2013-09-01T00:00:00Z"),
        ("yesterday", "'yesterday' is not a time"),
        ("2013-08-31T23:00:00", "no time zone"),
        (20130831, "is int"),
    ],
)
def test_trained_until_that_cannot_be(tmp_path: Path, given: Any, message: str) -> None:
    refuse(tmp_path, message, trained_until=given, evaluation=held_out(), target="departures", time="at")


def test_trained_until_without_evaluation_is_what_was_said(tmp_path: Path) -> None:
    assert publication(tmp_path).trained_until is None
    assert publication(tmp_path, trained_until="2013-08-31").trained_until == "2013-08-31T00:00:00Z"


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    class Connected:
        def __init__(self) -> None:
            self.parts = {"store": [sqlite3.connect(":memory:")]}

        def predict(self, frame: pd.DataFrame) -> Any:
            return doubled(frame)

    model = Connected()
    try:
        refuse(tmp_path, r"model\.parts\['store'\]\[0\] \(of type Connection\) cannot be pickled", model)
    finally:
        model.parts["store"][0].close()
    lock = threading.Lock()

    def locked(frame: pd.DataFrame) -> Any:
        with lock:
            return doubled(frame)

    refuse(tmp_path, r"model, variable 'lock' \(of type lock\) cannot be pickled", locked)


@pytest.fixture
def helper_module(tmp_path: Path) -> Iterator[Any]:
    """A module beside the notebook, imported as a notebook would."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "beside" / "features.py").write_text(
        "FACTOR = 2.0\n\ndef double(frame):\n    return frame['hour'].to_numpy() * FACTOR\n", encoding="utf-8"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import beside.features  # type: ignore[import-not-found]  # made above

        yield beside.features
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.split(".")[0] == "beside"]:
            del sys.modules[name]


def test_a_model_loads_where_the_modules_beside_its_notebook_are_not(
    tmp_path: Path, helper_module: Any
) -> None:
    offset = 1.0

    class Local:
        def predict(self, frame: pd.DataFrame) -> Any:
            return helper_module.double(frame) + offset

    for number, model in enumerate([Local(), lambda frame: Local().predict(frame), helper_module.double]):
        target = tmp_path / f"model{number}"
        target.write_bytes(publication(tmp_path, model).model)
    program = (
        "import pickle, sys, pandas\n"
        "for path in sys.argv[1:]:\n"
        "    model = pickle.load(open(path, 'rb'))\n"
        "    print(list(getattr(model, 'predict', model)(pandas.DataFrame({'hour': [3]}))))\n"
        "assert 'beside' not in sys.modules\n"
    )
    paths = [str(tmp_path / f"model{number}") for number in range(3)]
    finished = subprocess.run(
        [sys.executable, "-c", program, *paths],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(sys.executable).parent,
    )
    assert finished.stdout.split() == ["[np.float64(7.0)]", "[np.float64(7.0)]", "[np.float64(6.0)]"]


def test_only_modules_beside_the_notebook_are_pickled_by_value(tmp_path: Path, helper_module: Any) -> None:
    import cloudpickle

    before = set(cloudpickle.list_registry_pickle_by_value())
    inside = publication(tmp_path, helper_module.double).model
    outside = prepare(helper_module.double, example=rows(3), folder=tmp_path / "elsewhere").model
    assert len(inside) > len(outside)
    assert b"beside.features" in outside
    assert set(cloudpickle.list_registry_pickle_by_value()) == before


def test_a_library_estimator_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    frame = held_out()
    models = [LinearRegression().fit(frame[["hour"]], frame["departures"]) for _ in range(2)]
    first, second = (publication(tmp_path, model, example=frame[["hour"]]).model for model in models)
    assert first == second
