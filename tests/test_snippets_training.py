"""Snippets that train, judge and publish, executed on forty days of departures: what they give and refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBRegressor

from rasen.errors import InvalidInput, PublishError
from rasen.store import DirectoryStore
from stand.kernel import Kernel
from stand.live_models import RUN, LivePlatform
from stand.snippets import enter_step, execute, figures, hours, metrics, predicted, put_table, split

EARLY, LATE = {"validation_from": "2013-01-01"}, {"validation_from": "2014-01-01"}


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return enter_step(tmp_path, monkeypatch)


def ridge() -> Pipeline:
    airport = ColumnTransformer([("airport", OneHotEncoder(), ["origin"])], remainder="passthrough")
    return make_pipeline(airport, Ridge())


def without_gaps() -> dict[str, Any]:
    names = split()
    for each in ("rows", "train", "held_out"):
        names[each] = names[each].assign(wind=names[each]["wind"].fillna(10.0))
    return names


def test_set_seeds() -> None:
    first, again, other = (execute("set_seeds", {"seed": seed}) for seed in (7, 7, 8))
    drawn = [names["rng"].random() for names in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    execute("set_seeds", {"seed": 3})
    assert np.random.random() == pytest.approx(0.5507979)
    for seed in (-1, 1.5, True, "7", 2**32):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            execute("set_seeds", {"seed": seed})


def test_build_baseline_profile(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    names = execute("build_baseline_profile", split())
    logged = metrics(step)["profile_rmse"]
    gap = names["held_out"]["departures"] - names["held_out"]["profile"]
    assert logged == pytest.approx(float(np.sqrt((gap**2).mean())))
    assert "100% of the rows in a known group" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="'carrier'"):
        execute("build_baseline_profile", split(), by="carrier")


def test_cross_validate_by_time(step: Kernel) -> None:
    execute("cross_validate_by_time", without_gaps() | {"model": ridge()})
    logged = metrics(step)
    folds = [logged[f"validation_rmse fold={fold}"] for fold in (1, 2, 3, 4)]
    assert logged["validation_rmse"] == pytest.approx(np.mean(folds))
    assert max(folds) < 1.5  # the noise is 1, of whole departures
    with pytest.raises(ValueError, match="30 days are too few for 20 folds"):
        execute("cross_validate_by_time", without_gaps() | {"model": ridge()}, folds="20")


def test_folds_by_time_cut_no_day_and_never_look_ahead(step: Kernel) -> None:
    seen: list[tuple[pd.Series, pd.Series]] = []

    class Remembers(Ridge):  # type: ignore[misc]  # scikit-learn ships no types
        def fit(self, rows: pd.DataFrame, target: "pd.Series[float]") -> "Remembers":
            self.last = target.index
            return self

        def predict(self, rows: pd.DataFrame) -> Any:
            days = train["time_hour"].dt.floor("D")
            seen.append((days.loc[self.last], days.loc[rows.index]))
            return np.zeros(len(rows))

    names = without_gaps()
    train = names["train"]
    execute("cross_validate_by_time", names | {"model": Remembers()}, gap_days="2")
    assert len(seen) == 4
    assert all(past.max() + pd.Timedelta(days=2) < future.min() for past, future in seen)


def test_cross_validate_by_group(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    names = without_gaps() | {"model": Ridge(), "inputs": ["hour", "wind"]}
    execute("cross_validate_by_group", names)
    logged = metrics(step)
    assert set(logged) == {"unseen_rmse", *(f"unseen_rmse fold={fold}" for fold in (1, 2, 3))}
    assert sorted(line[-3:] for line in capsys.readouterr().out.splitlines()) == ["EWR", "JFK", "LGA"]
    with pytest.raises(ValueError, match="3 values of origin are too few for 5 folds"):
        execute("cross_validate_by_group", names, folds="5")


def test_train_text_classifier(step: Kernel) -> None:
    rng = np.random.default_rng(7)
    rows = hours().sample(400, random_state=7)
    late = rng.random(len(rows)) < np.where(rows["hour"] > 12, 0.8, 0.1)
    remarks = np.where(late, "thunderstorm over the field", "nothing to say")
    train = rows.assign(late=late.astype("int64"), remarks=remarks, carrier="UA", distance=rows["wind"])
    train.loc[train.index[:5], "remarks"] = None
    names = execute("train_text_classifier", {"train": train})
    unseen = pd.DataFrame(
        {
            "remarks": ["thunderstorm", None],
            "origin": ["XXX", None],
            "carrier": "ZZ",
            "hour": [20, 4],
            "distance": np.nan,
        }
    )
    likely, unlikely = names["probability"](unseen)
    assert likely > 0.5 > unlikely
    with pytest.raises(ValueError, match="late must hold 0 and 1, and both"):
        execute("train_text_classifier", {"train": train.assign(late=0)})


def test_train_xgboost_early_stopping(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    names = execute("train_xgboost_early_stopping", split())
    logged = metrics(step)
    assert 10 < logged["trees"] < 2000
    assert logged["validation_rmse"] < 1.6
    assert names["model"].predict(names["held_out"][names["inputs"]]).min() > 0
    assert names["model"].named_steps["trees"].get_booster().num_boosted_rounds() == logged["trees"]
    unseen = names["held_out"].head(1).assign(origin="XXX")
    assert np.isfinite(names["model"].predict(unseen[names["inputs"]])).all()
    again = execute("train_xgboost_early_stopping", split())
    assert (again["model"].predict(names["train"]) == names["model"].predict(names["train"])).all()
    for wrong in (EARLY, LATE):
        with pytest.raises(ValueError, match="is empty"):
            execute("train_xgboost_early_stopping", split() | wrong)


def test_tune_by_hand(step: Kernel) -> None:
    model = XGBRegressor(n_estimators=20, n_jobs=1)
    names = split() | {"model": model, "inputs": ["hour", "wind"]}
    names = execute("tune_by_hand", names, values="[1, 3]")
    logged = metrics(step)
    errors = {depth: logged[f"validation_rmse max_depth={depth}"] for depth in (1, 3)}
    assert names["best"] == min(errors, key=errors.__getitem__)
    assert names["model"].max_depth == names["best"]
    assert names["shown"]["validation RMSE"].to_dict() == errors
    with pytest.raises(ValueError, match="'maxdepth'"):
        execute("tune_by_hand", split() | {"model": Ridge(), "inputs": ["hour"]}, setting="maxdepth")
    with pytest.raises(ValueError, match="is empty"):
        execute("tune_by_hand", split() | {"model": model} | LATE)


def test_predict_held_out(step: Kernel) -> None:
    names = execute("predict_held_out", split() | {"model": Model(exact)})
    assert names["held_out"]["predicted"].tolist() == exact(split()["held_out"]).tolist()
    assert [(record["name"], record["rows"]) for record in step.records("table")] == [("predictions", 180)]
    missing = Model(lambda rows: np.where(rows["wind"].isna(), np.nan, 1.0))
    with pytest.raises(ValueError, match=r"180 rows got 180 predictions, 1\d\d of them finite"):
        execute("predict_held_out", split() | {"model": missing})


def test_snippets_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_table(tmp_path / "warehouse", "hours", hours())
    step = enter_step(tmp_path, monkeypatch, warehouse=tmp_path / "warehouse")
    days = {"first_day": "2013-08-01", "validation_day": "2013-08-24", "test_day": "2013-08-31"}
    names = execute("declare_parameters", {}, **days, end_day="2013-09-10")
    with figures():
        for name, values in {
            "set_seeds": {},
            "read_and_check_table": {"table": "hours", "value": "departures"},
            "inspect_table": {},
            "add_local_time": {"zone": "UTC"},
            "split_by_time": {},
            "build_baseline_profile": {},
            "train_xgboost_early_stopping": {},
            "predict_held_out": {},
            "log_metrics_by_slice": {},
            "log_business_metric": {},
            "list_worst_rows": {},
            "plot_residuals": {},
            "publish_model": {},
        }.items():
            execute(name, names, **values)
            names["inputs"] = ["origin", "hour", "weekday"]
    assert len(step.records("model")) == 1
    assert metrics(step)["rmse"] < metrics(step)["profile_rmse"] * 1.2  # it was not told of the wind
    assert {"rmse origin=JFK", "cost", "trees"} <= set(metrics(step))


def test_log_metrics_by_slice(step: Kernel) -> None:
    names = execute("log_metrics_by_slice", predicted())
    logged = metrics(step)
    assert logged["rmse"] < logged["profile_rmse"]
    assert {"rmse origin=EWR", "profile_mae origin=LGA"} <= set(logged)
    assert len(logged) == 4 * 4
    assert list(names["shown"].index) == ["all", "EWR", "JFK", "LGA"]
    held_out = names["held_out"].assign(origin=None)
    with pytest.raises(ValueError, match="origin is missing in every row"):
        execute("log_metrics_by_slice", {"held_out": held_out})


def test_log_business_metric(step: Kernel) -> None:
    held_out = pd.DataFrame({"departures": [10.0, 10.0], "predicted": [9.0, 12.0], "profile": [5.0, 10.0]})
    execute("log_business_metric", {"held_out": held_out})
    assert metrics(step) == {"cost": (400 + 2 * 60) / 2, "profile_cost": 5 * 400 / 2}
    with pytest.raises(ValueError, match="a cost is a positive number"):
        execute("log_business_metric", {"held_out": held_out}, too_much="-1")


def test_publish_model(step: Kernel) -> None:
    names = execute("build_baseline_profile", split())
    fitted = ridge().fit(names["train"].dropna()[names["inputs"]], names["train"].dropna()["departures"])

    def model(rows: pd.DataFrame) -> Any:
        return fitted.predict(rows.assign(wind=rows["wind"].fillna(10.0)))

    execute("publish_model", names | {"model": model}, may_be_missing='["wind"]')
    (record,) = step.records("model")
    nullable = {column["name"]: column["nullable"] for column in record["schema"]["inputs"]}
    assert nullable == {"origin": False, "hour": False, "wind": True}
    assert (record["target"], record["slices"]) == ("departures", ["origin"])
    assert record["trained_until"].startswith("2013-08-30")
    mixed = names | {"model": model, "train": names["rows"]}
    with pytest.raises(ValueError, match="rows of held_out are not later than all of train"):
        execute("publish_model", mixed)
    with pytest.raises(ValueError, match="no row of train has all inputs"):
        execute("publish_model", names | {"train": names["train"].assign(wind=np.nan)})
    with pytest.raises(PublishError):
        execute("publish_model", names | {"model": object()})


def go_live(step: Kernel, model: Any, example: pd.DataFrame) -> None:
    """Do what a step does whose pipeline.yaml declares `models: [flight_demand]`."""
    platform = LivePlatform(DirectoryStore(step.inputs / "models"), step.folder)
    digest = platform.publish(model, example, pipeline="flight_demand")
    platform.deploy(digest, endpoint="flight_demand", pipeline="flight_demand")
    (step.inputs / "trust.json").write_bytes(platform.trust.to_bytes())


def plain(rows: pd.DataFrame) -> Any:
    return rows["hour"].to_numpy() * 0.4 + 9.0


def exact(rows: pd.DataFrame) -> Any:
    usual = rows["origin"].map({"EWR": 12.0, "JFK": 9.0, "LGA": 6.0})
    return (usual + 0.4 * rows["hour"] - 0.2 * rows["wind"].fillna(10.0)).clip(lower=0).to_numpy()


class Model:
    """Something that predicts by a function."""

    def __init__(self, function: Any) -> None:
        self.predict = function


def test_score_in_batch(step: Kernel) -> None:
    names = split()
    go_live(step, plain, names["train"][["hour"]].head(2))
    scores = execute("score_in_batch", {"rows": names["held_out"]})["scores"]
    assert list(scores) == ["origin", "time_hour", "score", "model"]
    assert scores["score"].tolist() == plain(names["held_out"]).tolist()
    assert set(scores["model"]) == {RUN}
    assert [record["name"] for record in step.records("table")] == ["scores"]
    for wrong in (names["rows"].head(0), pd.concat([names["rows"]] * 2)):
        with pytest.raises(ValueError, match="there must be rows to score"):
            execute("score_in_batch", {"rows": wrong})
    with pytest.raises(InvalidInput, match="'hour'"):
        execute("score_in_batch", {"rows": names["held_out"].drop(columns="hour")})


def test_compare_with_live(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    names = split() | {"model": Model(exact)}
    (step.inputs / "trust.json").write_bytes(
        LivePlatform(DirectoryStore(step.staging), step.folder).trust.to_bytes()
    )
    execute("compare_with_live", dict(names))
    assert "nothing to compare with: there is no live model" in capsys.readouterr().out
    assert metrics(step) == {}
    go_live(step, plain, names["train"][["hour"]].head(2))
    execute("compare_with_live", dict(names))
    assert metrics(step)["rmse"] < metrics(step)["live_rmse"]
    assert capsys.readouterr().out.endswith(f"than that of run {RUN}: better\n")
    execute("compare_with_live", names | {"model": Model(plain)})
    assert capsys.readouterr().out.endswith(": no clear difference\n")
    with pytest.raises(ValueError, match="1 days are too few"):
        execute("compare_with_live", names | {"held_out": names["held_out"].head(6)})


def test_judge_business_cost(step: Kernel) -> None:
    names = split()
    costs = {"delay_cost": 400.0, "idle_cost": 60.0}
    execute("save_table_for_next_step", {"features": names["held_out"]}, table="predictions")
    go_live(step, exact, names["held_out"].dropna()[names["inputs"]].head(2).assign(wind=[1.0, np.nan]))
    execute("judge_business_cost", dict(costs))
    cost_of_exact = metrics(step)["cost"]
    assert 0 < cost_of_exact < 400
    dear = {"delay_cost": 4000.0, "idle_cost": 60.0}
    execute("judge_business_cost", dear)
    assert metrics(step)["cost"] > cost_of_exact
    execute(
        "save_table_for_next_step", {"features": names["held_out"].assign(departures=np.nan)}, table="wrong"
    )
    with pytest.raises(ValueError, match="wrong must have rows, and in each of them departures"):
        execute("judge_business_cost", dict(costs), table="wrong")
