"""Models as ONNX graphs: what is converted answers as the model does, on every row; what is not, serves as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from typer.testing import CliRunner
from xgboost import XGBClassifier, XGBRegressor

from rasen.cli import build_app
from rasen.errors import DigestMismatch, InvalidInput, ModelFailed
from rasen.model import qualification
from rasen.model.engine_checks import compare_engine
from rasen.model.engines import NativeEngine, choose_engines, make_engines
from rasen.model.frames import to_values
from rasen.model.onnx_conversion import NotConverted, convert_to_onnx
from rasen.model.onnx_engine import OnnxEngine
from rasen.model.predictions import Predictions, difference
from rasen.model.publishing import prepare
from rasen.model.schema import ModelSchema
from rasen.settings import load_settings, platform_environment
from rasen.store import open_store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Qualification, Verdict
from rasen.tracking.results import read_published_result
from rasen.tracking.signature import load_trust
from rasen_serving.live import load
from rasen_serving.revisions import Revisions
from stand.pipelines import write_pipeline
from stand.runs import run_working_copy
from stand.versions import publish_and_deploy

RANDOM = np.random.default_rng(1)
ROWS = 300
FRAME = pd.DataFrame(
    {
        "a": RANDOM.normal(10, 3, ROWS),
        "b": RANDOM.normal(0, 1, ROWS),
        "n": RANDOM.integers(0, 24, ROWS),
        "c": RANDOM.choice(["x", "y", "z"], ROWS),
    }
)
NUMBERS = FRAME[["a", "b", "n"]]
HOLES = NUMBERS.assign(a=NUMBERS["a"].where(NUMBERS["n"] > 3))
TARGET = FRAME["a"] * 2 - FRAME["b"] ** 2 + FRAME["n"] * 0.1
COUNTS = TARGET.abs().round()
YES = TARGET > 20
CLASS = pd.cut(TARGET, 3, labels=["low", "middle", "high"]).astype(str)

Case = tuple[Any, pd.DataFrame, Any]


def encode(**options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["a", "b"]),
            ("hot", OneHotEncoder(handle_unknown="ignore"), ["n", "c"]),
        ],
        **options,
    )


BARE: dict[str, Case] = {
    "a tree": (DecisionTreeRegressor(max_depth=6), NUMBERS, TARGET),
    "a tree of classes": (DecisionTreeClassifier(max_depth=6), NUMBERS, CLASS),
    "a tree that never splits": (DecisionTreeRegressor(), NUMBERS, TARGET * 0 + 3.25),
    "a forest": (RandomForestRegressor(10, random_state=0), NUMBERS, TARGET),
    "a forest of classes": (RandomForestClassifier(10, random_state=0), NUMBERS, CLASS),
    "a forest of yes and no, and ties": (RandomForestClassifier(4, random_state=0), NUMBERS, YES),
    "a forest that knows missing values": (RandomForestRegressor(10, random_state=0), HOLES, TARGET),
    "extra trees": (ExtraTreesRegressor(10, random_state=0), NUMBERS, TARGET),
    "boosted": (GradientBoostingRegressor(n_estimators=20), NUMBERS, TARGET),
    "boosted yes and no": (GradientBoostingClassifier(n_estimators=10), NUMBERS, YES),
    "boosted classes": (GradientBoostingClassifier(n_estimators=10), NUMBERS, CLASS),
    "binned": (HistGradientBoostingRegressor(max_iter=20), HOLES, TARGET),
    "binned counts": (HistGradientBoostingRegressor(max_iter=20, loss="poisson"), NUMBERS, COUNTS),
    "binned yes and no": (HistGradientBoostingClassifier(max_iter=10), HOLES, YES),
    "binned classes": (HistGradientBoostingClassifier(max_iter=10), NUMBERS, CLASS),
    "xgboost": (XGBRegressor(n_estimators=30), HOLES, TARGET),
    "xgboost counts": (XGBRegressor(n_estimators=20, objective="count:poisson"), NUMBERS, COUNTS),
    "xgboost shares": (XGBRegressor(n_estimators=20, objective="reg:logistic"), NUMBERS, YES.astype(float)),
    "xgboost yes and no": (XGBClassifier(n_estimators=10), NUMBERS, YES.astype(int)),
    "xgboost classes": (XGBClassifier(n_estimators=10), NUMBERS, pd.factorize(CLASS)[0]),
}
PIPELINES: dict[str, Case] = {
    "scaled xgboost": (make_pipeline(StandardScaler(), XGBRegressor(n_estimators=30)), NUMBERS, TARGET),
    "scaled boosted": (
        make_pipeline(MinMaxScaler(), GradientBoostingRegressor(n_estimators=20)),
        NUMBERS,
        TARGET,
    ),
    "encoded xgboost": (make_pipeline(encode(), XGBRegressor(n_estimators=20)), FRAME, TARGET),
    "densely encoded xgboost": (
        make_pipeline(encode(sparse_threshold=0), XGBRegressor(n_estimators=20)),
        FRAME,
        TARGET,
    ),
    "encoded forest of classes": (
        make_pipeline(encode(), RandomForestClassifier(10, random_state=0)),
        FRAME,
        CLASS,
    ),
    "encoded linear": (make_pipeline(encode(), Ridge()), FRAME, TARGET),
    "encoded logistic": (make_pipeline(encode(), LogisticRegression(max_iter=500)), FRAME, CLASS),
    "filled": (make_pipeline(SimpleImputer(), StandardScaler(), Ridge()), HOLES, TARGET),
    "filled and boosted": (
        make_pipeline(SimpleImputer(strategy="median"), GradientBoostingRegressor(n_estimators=10)),
        HOLES,
        TARGET,
    ),
}
NOTHING: dict[str, Case] = {
    "linear boosting": (XGBRegressor(booster="gblinear", n_estimators=3), NUMBERS, TARGET),
    "trees with dropout": (XGBRegressor(booster="dart", n_estimators=3), NUMBERS, TARGET),
    "categories in xgboost": (
        XGBRegressor(n_estimators=3, enable_categorical=True),
        FRAME.assign(c=FRAME["c"].astype("category")),
        TARGET,
    ),
    "categories in binned": (
        HistGradientBoostingRegressor(max_iter=3, categorical_features=["n"]),
        NUMBERS,
        TARGET,
    ),
    "another number is missing": (XGBRegressor(n_estimators=3, missing=-1.0), NUMBERS, TARGET),
    "a function inside": (make_pipeline(FunctionTransformer(np.log1p), Ridge()), NUMBERS.abs(), TARGET),
    "text that may be null": (
        make_pipeline(encode(), Ridge()),
        FRAME.assign(c=FRAME["c"].where(FRAME["n"] > 2)),
        TARGET,
    ),
    "booster that starts from another model": (
        GradientBoostingRegressor(n_estimators=3, init=LinearRegression()),
        NUMBERS,
        TARGET,
    ),
}


def fitted(case: Case, folder: Path) -> tuple[Any, ModelSchema, dict[str, list[Any]]]:
    model, frame, target = case
    model.fit(frame, target)
    schema = prepare(model, example=frame.head(40), folder=folder).schema
    return model, schema, {name: list(values) for name, values in to_values(schema, frame).items()}


def engine_of(model: Any, schema: ModelSchema) -> OnnxEngine:
    graph = convert_to_onnx(model, schema)
    assert graph is not None
    return OnnxEngine(graph, schema)


@pytest.mark.parametrize("name", BARE)
def test_trees_answer_to_the_last_bit_as_their_library(name: str, tmp_path: Path) -> None:
    model, schema, rows = fitted(BARE[name], tmp_path)
    engine = engine_of(model, schema)
    differs, compared = compare_engine(engine, model, schema, rows)
    assert differs is None
    assert compared > 4000 or name == "a tree that never splits", "rows on thresholds are among them"
    given, expected = np.array(engine.predict(rows)), np.array(NativeEngine(model, schema).predict(rows))
    if "counts" not in name and "shares" not in name:  # a transcendental function may end in another last bit
        assert given.tolist() == expected.tolist()


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_answer_as_the_model(name: str, tmp_path: Path) -> None:
    model, schema, rows = fitted(PIPELINES[name], tmp_path)
    engine = engine_of(model, schema)
    differs, compared = compare_engine(engine, model, schema, rows)
    assert differs is None
    assert compared > 2000
    arrays: dict[str, Any] = {n: np.array(rows[n]) for n in ("a", "b", "n") if None not in rows[n]}
    assert difference(engine.predict(rows | arrays), engine.predict(rows)) is None


@pytest.mark.parametrize("name", NOTHING)
def test_what_nobody_can_convert_is_no_candidate_and_no_error(name: str, tmp_path: Path) -> None:
    model, schema, _ = fitted(NOTHING[name], tmp_path)
    assert convert_to_onnx(model, schema) is None


def test_what_an_analyst_wrote_is_no_candidate(tmp_path: Path) -> None:
    class Mine(DecisionTreeRegressor):  # type: ignore[misc] # scikit-learn has no types
        """A subclass may answer anything."""

    for model in (Mine(), make_pipeline(StandardScaler(), Mine())):
        assert convert_to_onnx(*fitted((model, NUMBERS, TARGET), tmp_path)[:2]) is None
    schema = prepare(lambda frame: frame["a"], example=NUMBERS.head(2), folder=tmp_path).schema
    assert convert_to_onnx(lambda frame: frame["a"], schema) is None


class SinglePrecision:
    """What converters make of a scaler before trees: it scales in single precision."""

    name = "single"
    quick = True

    def __init__(self, model: Pipeline, schema: ModelSchema) -> None:
        scaler, self._trees = model[0], model[-1]
        self._scale, self._mean = scaler.scale_.astype("float32"), scaler.mean_.astype("float32")
        self._names = schema.names

    def predict(self, columns: Any) -> Predictions:
        rows = np.array([columns[name] for name in self._names], dtype="float32").T
        answer: np.ndarray = self._trees.predict((rows - self._mean) / self._scale).astype(float)
        return answer


@pytest.mark.parametrize(
    "trees", [XGBRegressor(n_estimators=30), GradientBoostingRegressor(n_estimators=30)], ids=["xgb", "gbm"]
)
def test_a_scaler_in_single_precision_is_found_out(trees: Any, tmp_path: Path) -> None:
    model, schema, rows = fitted((make_pipeline(StandardScaler(), trees), NUMBERS, TARGET), tmp_path)
    few = {name: values[:40] for name, values in rows.items()}
    differs, _ = compare_engine(SinglePrecision(model, schema), model, schema, few)
    assert differs is not None
    assert "against" in differs


def test_a_conversion_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, schema, _ = fitted((DecisionTreeRegressor(max_depth=2), NUMBERS, TARGET), tmp_path)

    def endless(self: Any) -> int:
        while True:
            pass

    with monkeypatch.context() as patched:
        patched.setattr(DecisionTreeRegressor, "n_outputs_", property(endless), raising=False)
        with pytest.raises(NotConverted, match="took more than 0 s"):
            convert_to_onnx(model, schema, seconds=0.05)
    assert convert_to_onnx(model, schema) is not None, "and leaves no alarm behind"


def test_a_conversion_that_fails_says_why(tmp_path: Path) -> None:
    model = make_pipeline(SimpleImputer(add_indicator=True), Ridge())
    with pytest.raises(NotConverted, match="raised NotImplementedError: only NaN in columns of fractions"):
        convert_to_onnx(*fitted((model, HOLES, TARGET), tmp_path)[:2])


def test_what_onnx_computes_in_single_precision_is_not_used(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), SVC())
    with pytest.raises(NotConverted, match="SVMClassifier of ONNX computes in single precision"):
        convert_to_onnx(*fitted((model, NUMBERS, CLASS), tmp_path)[:2])


def test_a_conversion_that_warns_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, schema, _ = fitted((DecisionTreeRegressor(max_depth=2), NUMBERS, TARGET), tmp_path)

    def warning(self: Any) -> int:
        import warnings

        warnings.warn("this tree is odd", UserWarning, stacklevel=1)
        return 1

    monkeypatch.setattr(DecisionTreeRegressor, "n_outputs_", property(warning), raising=False)
    with pytest.raises(NotConverted, match="the conversion warned: this tree is odd"):
        convert_to_onnx(model, schema)


def test_the_engine_refuses_what_the_model_is_never_asked(tmp_path: Path) -> None:
    model, schema, rows = fitted(PIPELINES["encoded xgboost"], tmp_path)
    engine = engine_of(model, schema)
    one = {name: values[:1] for name, values in rows.items()}
    for name, value in (("a", "1"), ("a", None), ("n", 1.5), ("c", 7), ("a", float("inf")), ("n", True)):
        with pytest.raises(InvalidInput, match=f"column '{name}'"):
            engine.predict(one | {name: [value]})


def test_what_the_trees_cannot_hold_is_refused_as_by_them(tmp_path: Path) -> None:
    too_large: dict[str, Any] = {"a": [1e39], "b": [0.0], "n": [1]}
    model, schema, _ = fitted(BARE["a forest"], tmp_path)
    for engine in (engine_of(model, schema), NativeEngine(model, schema)):
        with pytest.raises(ModelFailed, match=r"too large|overflow"):  # a warning of NumPy's is an error here
            engine.predict(too_large)
    model, schema, _ = fitted(BARE["xgboost"], tmp_path)
    expected = NativeEngine(model, schema).predict(too_large)
    assert difference(engine_of(model, schema).predict(too_large), expected) is None


MODELS: list[Callable[[int], Any]] = [
    lambda seed: Ridge(),
    lambda seed: DecisionTreeRegressor(max_depth=5, random_state=seed),
    lambda seed: RandomForestRegressor(5, random_state=seed),
    lambda seed: GradientBoostingRegressor(n_estimators=10, random_state=seed),
    lambda seed: HistGradientBoostingRegressor(max_iter=10),
    lambda seed: XGBRegressor(n_estimators=10, random_state=seed),
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    make=st.sampled_from(MODELS),
    before=st.sampled_from(["nothing", "scaled", "encoded"]),
    seed=st.integers(0, 2**31),
    narrow=st.booleans(),
)
def test_every_engine_that_was_found_equal_is_equal_on_rows_it_never_saw(
    make: Callable[[int], Any], before: str, seed: int, narrow: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)

    def rows_of(count: int) -> pd.DataFrame:
        frame = pd.DataFrame(
            {
                "a": random.normal(0, 10.0 ** random.integers(-3, 4), count).astype(
                    "float32" if narrow else "float64"
                ),
                "n": random.integers(-5, 50, count),
            }
        )
        return frame.assign(c=random.choice(["x", "y"], count)) if before == "encoded" else frame

    frame = rows_of(200)
    model = make(seed)
    if before != "nothing":
        hot = ColumnTransformer(
            [("a", StandardScaler(), ["a", "n"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["c"])],
            sparse_threshold=0,
        )
        model = make_pipeline(hot if before == "encoded" else StandardScaler(), model)
    model.fit(frame, np.sin(frame["n"] * frame["a"]) + frame["n"])
    schema = prepare(model, example=frame.head(20), folder=tmp_path).schema
    graph = convert_to_onnx(model, schema)
    fresh = to_values(schema, rows_of(3000))
    for engine in make_engines(model, schema, onnx=graph):
        if compare_engine(engine, model, schema, to_values(schema, frame))[0] is None:
            given, expected = engine.predict(fresh), NativeEngine(model, schema).predict(fresh)
            assert difference(given, expected) is None, engine.name


def qualify(model: Any, frame: pd.DataFrame, folder: Path, **options: Any) -> tuple[dict[str, Any], Path]:
    """Return the report and the folder of what a qualification writes."""
    inputs, staging = folder / "inputs", folder / "staging"
    inputs.mkdir()
    staging.mkdir()
    made = prepare(model, example=frame.head(20), folder=folder, **options)
    files = {}
    for role in ("model", "example", "evaluation"):
        data = getattr(made, role)
        if data is not None:
            (inputs / role).write_bytes(data)
            files[role] = {"path": role, "sha256": sha256(data).hexdigest()}
    described = {"files": files, "schema": made.schema.to_dict(), "target": made.target}
    (inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")
    assert qualification.main([str(inputs), str(staging)]) == 0
    return json.loads((staging / "qualification.json").read_bytes()), staging


def test_a_qualification_leaves_the_graph_that_it_compared(tmp_path: Path) -> None:
    model = XGBRegressor(n_estimators=20).fit(NUMBERS, TARGET)
    report, staging = qualify(
        model, NUMBERS, tmp_path, evaluation=NUMBERS.assign(y=TARGET), target="y", trained_until="2026-01-01"
    )
    assert report["equal_engines"] == ["xgboost", "onnx"]
    assert report["findings"] == []
    assert report["engine"] == "xgboost"
    assert report["engines"]["onnx"].startswith("the same on ")
    assert (staging / "model.onnx").stat().st_size > 1000


def test_a_folded_model_needs_no_graph(tmp_path: Path) -> None:
    report, staging = qualify(Ridge().fit(NUMBERS, TARGET), NUMBERS, tmp_path)
    assert report["equal_engines"] == ["folded"]
    assert "onnx" not in report["engines"]
    assert not (staging / "model.onnx").exists()


def test_a_graph_that_cannot_be_executed_is_a_finding(tmp_path: Path) -> None:
    model = make_pipeline(PolynomialFeatures(2), Ridge()).fit(NUMBERS, TARGET)
    report, staging = qualify(model, NUMBERS, tmp_path)
    assert report["equal_engines"] == []
    (finding,) = report["findings"]
    assert finding.startswith("the model is not executed by ONNX Runtime: ")
    assert not (staging / "model.onnx").exists()


def test_manifests_of_before_and_of_now() -> None:
    assert Qualification.model_validate({"engine": "folded"}).usable_engines == ("folded",)
    assert Qualification.model_validate({}).usable_engines == ()
    now = Qualification(engine="xgboost", engines=["xgboost", "onnx"])
    assert now.usable_engines == ("xgboost", "onnx")


TRAIN = """
import numpy as np, pandas as pd, rasen
from sklearn.tree import DecisionTreeRegressor
rows = pd.DataFrame({"x": np.arange(60.0)})
rasen.publish(DecisionTreeRegressor(max_depth=3).fit(rows, rows.x ** 2), example=rows.head(20))
"""


def test_a_run_publishes_the_graph_beside_the_model(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    folder = write_pipeline(tmp_path / "toy", {"train": [TRAIN]}, more="deploy: {major: 3}")
    executed = run_working_copy(settings, folder)
    assert executed.verdict is Verdict.SUCCEEDED
    store = open_store(settings)
    manifest = read_manifest(store, load_trust(settings), "toy", executed.run, environment="dev").manifest
    assert manifest.model is not None
    assert manifest.model.major == 3
    assert manifest.model.qualification.engines == ["onnx"]
    assert manifest.model.qualification.engine == "onnx"
    graph = manifest.model.files["onnx"]
    assert graph.key == f"runs/toy/{executed.run}/_qualify/1/model.onnx"
    assert sha256(store.read(graph.key)).hexdigest() == graph.sha256
    assert graph in manifest.files
    qualified = read_published_result(store, manifest, QUALIFY_STEP).qualification
    assert qualified is not None
    assert "sklearn.tree._classes.DecisionTreeRegressor" in qualified["pickle_globals"]["names"]
    shown = CliRunner().invoke(
        build_app(), ["show", executed.run], env=platform_environment(settings) | {"COLUMNS": "300"}
    )
    assert "unpickling imports numpy." in shown.stdout
    assert "sklearn.tree._classes.DecisionTreeRegressor" in shown.stdout


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ModelSchema, bytes]:
    model, schema, _ = fitted(BARE["a forest"], tmp_path_factory.mktemp("forest"))
    graph = convert_to_onnx(model, schema)
    assert graph is not None
    return model, schema, graph


def test_serving_executes_the_published_graph(forest: tuple[Any, ModelSchema, bytes], tmp_path: Path) -> None:
    model, _, graph = forest
    settings = load_settings(home=tmp_path / "home", environment="dev")
    store = open_store(settings)
    publish_and_deploy(
        store, settings, number=1, model=model, example=NUMBERS.head(3), engines=["onnx"], onnx=graph
    )
    revision = Revisions(store, settings).resolve("demand", 1).revision
    loaded = load(revision).champion.loaded
    assert loaded.engines.for_rows(1).name == "onnx"
    assert loaded.quick_rows > 0
    assert loaded.predict({"a": [10.0], "b": [0.0], "n": [3]}) == [
        model.predict(pd.DataFrame({"a": [10.0], "b": [0.0], "n": [3]}))[0]
    ]
    file = Path(revision.variants[0].version.files["onnx"].path)
    file.write_bytes(graph[:-1])
    with pytest.raises(DigestMismatch, match="the ONNX graph is not the one that was published"):
        load(revision)


def test_a_graph_that_this_runtime_cannot_execute_is_left_out(
    forest: tuple[Any, ModelSchema, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    model, schema, graph = forest
    example = to_values(schema, NUMBERS.head(3))
    engines = choose_engines(["onnx"], model, schema, onnx=graph[: len(graph) // 2], example=example)
    assert engines.names == ("native",)
    assert "the converted model is not used" in caplog.text
