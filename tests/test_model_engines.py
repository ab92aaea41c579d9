"""Engines: they answer as the model does, and where they would not, they are not used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from rasen.errors import InvalidInput, ModelFailed
from rasen.model.engine_checks import compare_engine
from rasen.model.engine_plan import EnginePlan
from rasen.model.engines import NativeEngine, choose_engines, make_engines
from rasen.model.frames import to_values
from rasen.model.predictions import Predictions, difference
from rasen.model.publishing import prepare
from rasen.model.schema import ModelSchema

RANDOM = np.random.default_rng(0)
ROWS = 400
FRAME = pd.DataFrame(
    {
        "a": RANDOM.normal(10, 3, ROWS),
        "b": RANDOM.normal(0, 1, ROWS),
        "n": RANDOM.integers(0, 24, ROWS),
        "c": RANDOM.choice(["x", "y", "z"], ROWS),
        "k": RANDOM.choice([1, 2, 5], ROWS),
    }
)
NUMBERS = FRAME[["a", "b", "n"]]
TARGET = FRAME["a"] * 2 - FRAME["b"] + FRAME["n"] * 0.1 + (FRAME["c"] == "x") * 3
CLASS = pd.cut(TARGET, 3, labels=["low", "middle", "high"]).astype(str)


def encode(**options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("scale", StandardScaler(), ["a", "n"]),
            (
                "small",
                Pipeline([("first", MinMaxScaler()), ("then", StandardScaler(with_mean=False))]),
                ["b"],
            ),
            ("hot", OneHotEncoder(**({"handle_unknown": "ignore"} | options)), ["c", "k"]),
        ]
    )


FOLDED: dict[str, tuple[Any, pd.DataFrame, Any]] = {
    "pipeline": (Pipeline([("e", encode()), ("fit", LinearRegression())]), FRAME, TARGET),
    "two classes": (Pipeline([("e", encode()), ("fit", LogisticRegression())]), FRAME, TARGET > 20),
    "three classes": (
        Pipeline([("e", encode()), ("fit", LogisticRegression(max_iter=1000))]),
        FRAME,
        CLASS,
    ),
    "no transformer": (Ridge(), NUMBERS, TARGET),
    "scaled": (make_pipeline(StandardScaler(), Ridge()), NUMBERS, TARGET),
    "a column unused": (
        Pipeline(
            [("e", ColumnTransformer([("s", StandardScaler(), ["a"])])), ("fit", LinearRegression())],
        ),
        FRAME,
        TARGET,
    ),
    "passed through": (
        Pipeline(
            [("e", ColumnTransformer([("s", "passthrough", ["a", "b"])])), ("fit", LinearRegression())],
        ),
        NUMBERS,
        TARGET,
    ),
}
XGBOOST: dict[str, tuple[Any, pd.DataFrame, Any]] = {
    "regression": (XGBRegressor(n_estimators=30, max_depth=4), NUMBERS, TARGET),
    "two classes": (XGBClassifier(n_estimators=20), NUMBERS, (TARGET > 20).astype(int)),
    "three classes": (XGBClassifier(n_estimators=10), NUMBERS, pd.factorize(CLASS)[0]),
    "counts": (XGBRegressor(n_estimators=20, objective="count:poisson"), NUMBERS, TARGET.abs()),
}
NEITHER: dict[str, tuple[Any, pd.DataFrame, Any]] = {
    "a forest": (RandomForestRegressor(3), NUMBERS, TARGET),
    "raises on unseen": (
        Pipeline([("e", encode(handle_unknown="error")), ("fit", LinearRegression())]),
        FRAME,
        TARGET,
    ),
    "rare categories grouped": (
        Pipeline([("e", encode(min_frequency=0.4, handle_unknown="infrequent_if_exist")), ("f", Ridge())]),
        FRAME,
        TARGET,
    ),
    "one dropped": (Pipeline([("e", encode(drop="first")), ("f", Ridge())]), FRAME, TARGET),
    "clipped": (make_pipeline(MinMaxScaler(clip=True), Ridge()), NUMBERS, TARGET),
    "linear boosting": (XGBRegressor(booster="gblinear", n_estimators=5), NUMBERS, TARGET),
}


class MyRegression(LinearRegression):  # type: ignore[misc] # scikit-learn has no types
    """A subclass may answer anything."""

    def predict(self, rows: Any) -> Any:
        """Add one to what its parent says."""
        return super().predict(rows) + 1


def fitted(
    parts: tuple[Any, pd.DataFrame, Any], tmp_path: Any
) -> tuple[Any, ModelSchema, dict[str, list[Any]]]:
    model, frame, target = parts
    model.fit(frame, target)
    schema = prepare(model, example=frame.head(5), folder=tmp_path).schema
    return model, schema, {name: list(values) for name, values in to_values(schema, frame).items()}


def assert_equal(given: Predictions, expected: Predictions) -> None:
    assert difference(given, expected) is None


@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_model_answers_as_the_model(name: str, tmp_path: Any) -> None:
    model, schema, rows = fitted(FOLDED[name], tmp_path)
    engines = make_engines(model, schema)
    assert [engine.name for engine in engines] == ["folded"]
    differs, compared = compare_engine(engines[0], model, schema, rows)
    assert differs is None
    assert compared > ROWS + 2000, "rows at the edges of its columns are among them"
    assert_equal(engines[0].predict(rows), NativeEngine(model, schema).predict(rows))


@pytest.mark.parametrize("name", XGBOOST)
def test_xgboost_without_a_frame_answers_as_with_one(name: str, tmp_path: Any) -> None:
    model, schema, rows = fitted(XGBOOST[name], tmp_path)
    engines = make_engines(model, schema)
    assert [engine.name for engine in engines] == ["xgboost"]
    differs, compared = compare_engine(engines[0], model, schema, rows)
    assert differs is None
    assert compared > ROWS + 4000, "rows on the thresholds of its trees are among them"


def test_xgboost_stops_where_the_model_stops(tmp_path: Any) -> None:
    model = XGBRegressor(n_estimators=200, early_stopping_rounds=2, learning_rate=0.9)
    model.fit(NUMBERS, TARGET, eval_set=[(NUMBERS, TARGET + RANDOM.normal(0, 5, ROWS))], verbose=False)
    schema = prepare(model, example=NUMBERS.head(5), folder=tmp_path).schema
    engine = make_engines(model, schema)[0]
    rows = {name: list(values) for name, values in to_values(schema, NUMBERS).items()}
    assert compare_engine(engine, model, schema, rows)[0] is None


@pytest.mark.parametrize("name", NEITHER)
def test_what_cannot_be_executed_otherwise_is_left_to_itself(name: str, tmp_path: Any) -> None:
    model, schema, rows = fitted(NEITHER[name], tmp_path)
    assert make_engines(model, schema) == []
    engines = choose_engines(["folded", "xgboost", "onnx"], model, schema, example=head(rows, 3))
    assert engines.names == ("native",)
    assert engines.quick_rows == 0, "nobody knows what a model does"
    assert_equal(engines.predict(rows), NativeEngine(model, schema).predict(rows))


def test_a_subclass_is_not_taken_for_its_parent(tmp_path: Any) -> None:
    model, schema, _ = fitted((MyRegression(), NUMBERS, TARGET), tmp_path)
    assert make_engines(model, schema) == []


def test_an_engine_that_differs_anywhere_is_found_out(tmp_path: Any) -> None:
    model, schema, rows = fitted(XGBOOST["regression"], tmp_path)
    engine = make_engines(model, schema)[0]

    class OffOnThresholds:
        name = "off"
        quick = True

        def predict(self, columns: Any) -> Predictions:
            answer = np.array(engine.predict(columns))
            split = float(model.get_booster().trees_to_dataframe().query("Feature == 'b'")["Split"].iloc[0])
            answer[np.array(columns["b"], dtype="float32") == np.float32(split)] += 0.01
            return answer

    differs, _ = compare_engine(OffOnThresholds(), model, schema, rows)
    assert differs is not None
    assert "against" in differs


def test_engines_refuse_what_the_model_is_never_asked(tmp_path: Any) -> None:
    model, schema, rows = fitted(FOLDED["pipeline"], tmp_path)
    engine = make_engines(model, schema)[0]
    one = {name: values[:1] for name, values in rows.items()}
    for name, value in (
        ("a", "1"),
        ("a", None),
        ("n", 1.5),
        ("c", 7),
        ("k", "1"),
        ("a", float("inf")),
        ("k", True),
    ):
        with pytest.raises(InvalidInput, match=f"column '{name}'"):
            engine.predict(one | {name: [value]})
    unseen = engine.predict(one | {"c": ["never seen"]})
    assert_equal(unseen, NativeEngine(model, schema).predict(one | {"c": ["never seen"]}))


def test_no_number_is_no_answer(tmp_path: Any) -> None:
    frame = NUMBERS.assign(a=NUMBERS["a"].where(NUMBERS["n"] > 3))
    model = Ridge().fit(frame.fillna(0), TARGET)
    model.coef_ = np.array([1e300, 0.0, 0.0])
    schema = prepare(model, example=frame.head(20).fillna(0), folder=tmp_path).schema
    engine = make_engines(model, schema)[0]
    with pytest.raises(ModelFailed, match="not a finite number"):
        engine.predict({"a": [1e300], "b": [0.0], "n": [1]})


def test_each_number_of_rows_has_an_engine_and_batches_are_as_large_as_pays(tmp_path: Any) -> None:
    model, schema, rows = fitted(FOLDED["pipeline"], tmp_path)
    engines = choose_engines(["folded"], model, schema, example=head(rows, 3))
    assert engines.names[0] == "folded"
    assert 1 <= engines.quick_rows <= engines.batch_rows <= 5000
    for count in (1, 2, 17, 100, 399):
        some = head(rows, count)
        assert engines.for_rows(count).name in engines.names
        assert_equal(engines.predict(some), NativeEngine(model, schema).predict(some))
    assert engines.for_rows(10**6).name in engines.names


def test_an_engine_that_was_not_found_equal_is_not_used(tmp_path: Any) -> None:
    model, schema, rows = fitted(FOLDED["pipeline"], tmp_path)
    assert choose_engines([], model, schema, example=head(rows, 3)).names == ("native",)
    assert choose_engines(["xgboost"], model, schema, example=head(rows, 3)).names == ("native",)


def test_an_engine_that_answers_the_example_otherwise_here_is_left_out(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model, schema, rows = fitted(FOLDED["pipeline"], tmp_path)
    example = head(rows, 3)
    answers = np.array(NativeEngine(model, schema).predict(example))
    assert "folded" in choose_engines(["folded"], model, schema, example=example, answers=answers).names
    engines = choose_engines(["folded"], model, schema, example=example, answers=answers + 1)
    assert engines.names == ("native",)
    assert "the engine 'folded' is not used" in caplog.text


def test_a_model_that_fails_when_it_is_measured_still_serves(tmp_path: Any) -> None:
    asked = []

    def tired(frame: pd.DataFrame) -> Any:
        asked.append(len(frame))
        if len(frame) > 5:
            raise ValueError("not today")
        return frame["a"].to_numpy()

    schema = prepare(tired, example=NUMBERS.head(3), folder=tmp_path).schema
    engines = choose_engines([], tired, schema, example=to_values(schema, NUMBERS.head(3)))
    assert (engines.batch_rows, engines.quick_rows) == (64, 0)
    assert max(asked) <= 10, "after a failure no larger batches are tried"


ARRAYS = {
    "folded": FOLDED["pipeline"],
    "a column unused": FOLDED["a column unused"],
    "xgboost": XGBOOST["regression"],
    "narrow": (Ridge(), NUMBERS.astype({"a": "float32", "n": "int8"}), TARGET),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_numbers_are_as_good_as_lists(name: str, tmp_path: Any) -> None:
    model, schema, rows = fitted(ARRAYS[name], tmp_path)
    arrays: dict[str, Any] = {
        n: np.array(values) if not isinstance(values[0], str) else values for n, values in rows.items()
    }
    for engine in (*make_engines(model, schema), NativeEngine(model, schema)):
        expected = np.array(engine.predict(rows))
        assert np.array(engine.predict(arrays)).tolist() == expected.tolist()
        for wrong in (
            {"a": np.full(ROWS, np.nan)},
            {"a": np.full(ROWS, np.inf)},
            {"n": np.full(ROWS, 1.5)},
            {"n": np.full(ROWS, True)},
            {"a": np.full(ROWS, "1")},
            {"n": np.full(ROWS, 2**63, dtype="uint64")},
        ):
            with pytest.raises(InvalidInput, match=f"column '{next(iter(wrong))}'"):
                engine.predict(arrays | wrong)


def test_nulls_and_odd_numbers_reach_xgboost_as_they_reach_the_model(tmp_path: Any) -> None:
    frame = NUMBERS.assign(a=NUMBERS["a"].where(NUMBERS["n"] > 3))
    model = XGBRegressor(n_estimators=20).fit(frame, TARGET)
    schema = prepare(model, example=frame.head(20), folder=tmp_path).schema
    rows = to_values(schema, frame)
    assert None in rows["a"]
    (engine,) = make_engines(model, schema)
    native = NativeEngine(model, schema)
    arrays: Any = {name: frame[name].to_numpy() for name in frame}
    for asked in (rows, arrays, head(rows, 1) | {"a": [None]}, head(rows, 1) | {"a": [1e39]}):
        assert np.array(engine.predict(asked)).tolist() == np.array(native.predict(asked)).tolist()
    assert compare_engine(engine, model, schema, rows)[0] is None


def test_a_row_that_the_model_refuses_does_not_hide_the_others(tmp_path: Any) -> None:
    def picky(frame: pd.DataFrame) -> Any:
        if (frame["a"] > 100).any():
            raise ValueError("too much")
        return frame["a"].to_numpy() * 2

    schema = prepare(picky, example=NUMBERS.head(5), folder=tmp_path).schema
    rows = to_values(schema, NUMBERS.assign(a=NUMBERS["a"].where(NUMBERS.index != 200, 101.0)))
    native = NativeEngine(picky, schema)

    class Off:
        name = "off"
        quick = True

        def predict(self, columns: Any) -> Predictions:
            if max(columns["a"]) > 100:
                raise ModelFailed("likewise")
            answer = np.array(native.predict(columns))
            answer[np.array(columns["a"]) == rows["a"][300]] += 1
            return answer

    assert compare_engine(native, picky, schema, rows)[0] is None
    differs, _ = compare_engine(Off(), picky, schema, rows)
    assert differs is not None


def test_a_model_that_answers_nothing_has_no_engine(tmp_path: Any) -> None:
    schema = prepare(lambda frame: frame["a"].to_numpy(), example=NUMBERS.head(5), folder=tmp_path).schema

    def mute(_frame: pd.DataFrame) -> Any:
        raise ValueError("no")

    differs, compared = compare_engine(
        NativeEngine(mute, schema), mute, schema, to_values(schema, NUMBERS.head(9))
    )
    assert (differs, compared) == ("the model answers none of the rows to compare on", 0)


def head(rows: dict[str, list[Any]], count: int) -> dict[str, list[Any]]:
    return {name: values[:count] for name, values in rows.items()}


def test_what_was_measured_elsewhere_is_followed_if_it_can_be(tmp_path: Any) -> None:
    model, schema, rows = fitted(FOLDED["pipeline"], tmp_path)
    example = head(rows, 3)
    plan = EnginePlan(engines=("folded", "native"), begins=(0, 7), batch_rows=99, quick_rows=6)
    engines = choose_engines(["folded"], model, schema, example=example, plan=plan)
    assert engines.plan is plan
    assert [engines.for_rows(rows).name for rows in (1, 6, 7, 99)] == ["folded", "folded", "native", "native"]
    impossible = EnginePlan(engines=("onnx",), begins=(0,), batch_rows=99, quick_rows=6)
    engines = choose_engines(["folded"], model, schema, example=example, plan=impossible)
    assert engines.plan is not impossible
    assert set(engines.names) <= {"folded", "native"}
