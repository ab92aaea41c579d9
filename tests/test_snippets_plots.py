"""Snippets that draw and explain, executed on held-out rows: the numbers that they show, and what they refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from stand.kernel import Kernel
from stand.snippets import enter_step, execute, figures, metrics, predicted, split


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    with figures():
        yield enter_step(tmp_path, monkeypatch)


def drawn(step: Kernel) -> list[str]:
    """Return the names of the figures that were kept, each really a picture."""
    records = step.records("figure")
    for record in records:
        assert (step.staging / record["path"]).read_bytes().startswith(b"\x89PNG")
    return [record["name"] for record in records]


class ByHour:
    """A model that looks at the hour and at nothing else."""

    def predict(self, rows: pd.DataFrame) -> Any:
        return rows["hour"].to_numpy() * 0.5


def titles(names: dict[str, Any]) -> list[str]:
    figure: matplotlib.figure.Figure = names["fig"]
    return [ax.get_title() for ax in figure.axes]


def test_plot_residuals(step: Kernel) -> None:
    names = execute("plot_residuals", predicted())
    assert drawn(step) == ["residuals"]
    assert titles(names)[2].startswith(f"mean {names['residual'].mean():.2f}, ")
    gaps = names["held_out"].assign(predicted=np.nan)
    with pytest.raises(ValueError, match="180 rows lack departures or predicted"):
        execute("plot_residuals", {"held_out": gaps})


def test_plot_calibration(step: Kernel) -> None:
    rng = np.random.default_rng(7)
    probability = rng.random(4000)
    rows = pd.DataFrame({"predicted": probability, "late": (rng.random(4000) < probability).astype(int)})
    execute("plot_calibration", {"held_out": rows})
    honest = metrics(step)["calibration_error"]
    execute("plot_calibration", {"held_out": rows.assign(predicted=probability**3)})
    assert honest < 0.03
    assert metrics(step)["calibration_error"] > 0.1
    assert set(drawn(step)) == {"calibration"}
    for wrong in ({"predicted": 1.2}, {"late": 2}, {"predicted": np.nan}):
        with pytest.raises(ValueError, match="must hold probabilities"):
            execute("plot_calibration", {"held_out": rows.assign(**wrong)})


def test_plot_slices(step: Kernel) -> None:
    names = predicted()
    spoilt = names["held_out"].assign(
        predicted=names["held_out"]["predicted"].where(names["held_out"]["origin"] != "LGA", 99.0)
    )
    assert titles(execute("plot_slices", {"held_out": spoilt})) == ["the model loses at LGA"]
    assert titles(execute("plot_slices", names)) == ["the model loses at none"]
    assert set(drawn(step)) == {"slices"}
    with pytest.raises(ValueError, match="no value of origin has 1000 rows"):
        execute("plot_slices", predicted(), fewest_rows="1000")


def test_plot_drift(step: Kernel) -> None:
    names = split()
    steady = execute("plot_drift", dict(names))["drift"]
    assert steady.max() < 0.25
    later = names["rows"]["time_hour"] >= pd.Timestamp("2013-08-31", tz="UTC")
    rows = names["rows"].assign(
        wind=names["rows"]["wind"] + 20 * later,
        origin=names["rows"]["origin"].where(~later | (names["rows"]["origin"] != "LGA"), "XXX"),
    )
    moved = execute("plot_drift", names | {"rows": rows})["drift"]
    assert (moved[["wind", "origin"]] > 0.25).all()
    assert moved["hour"] < 0.1
    assert metrics(step)["largest_drift"] == moved.max()
    assert set(drawn(step)) == {"drift"}
    with pytest.raises(ValueError, match="one side of 2015-01-01 is empty"):
        execute("plot_drift", names | {"test_from": "2015-01-01"})


def test_stability_index_is_the_published_formula(step: Kernel) -> None:
    times = pd.to_datetime(["2013-08-01"] * 10 + ["2013-09-01"] * 10, utc=True)
    rows = pd.DataFrame({"time_hour": times, "kind": ["a"] * 5 + ["b"] * 5 + ["a"] * 8 + ["b"] * 2})
    found = execute("plot_drift", {"rows": rows, "inputs": ["kind"], "test_from": "2013-08-31"})["drift"]
    assert found["kind"] == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))


def test_plot_permutation_importance(step: Kernel) -> None:
    names = execute("plot_permutation_importance", split() | {"model": ByHour()})
    mean = names["importance"]["mean"]
    assert mean["hour"] > 0.5
    assert mean[["origin", "wind"]].tolist() == [0, 0]
    again = execute("plot_permutation_importance", split() | {"model": ByHour()})
    assert again["importance"].equals(names["importance"])
    assert set(drawn(step)) == {"permutation_importance"}
    with pytest.raises(ValueError, match="nothing to shuffle"):
        execute("plot_permutation_importance", split() | {"held_out": names["held_out"].head(1)})


def test_plot_partial_dependence(step: Kernel) -> None:
    names = execute("plot_partial_dependence", split() | {"model": ByHour()})
    assert names["curve"] == [0, 2, 4, 6, 8, 10]
    assert list(names["grid"]) == [0, 4, 8, 12, 16, 20]
    flat = execute("plot_partial_dependence", split() | {"model": ByHour()}, column="wind")
    assert len(flat["grid"]) == 20
    assert len(set(np.round(flat["curve"], 9))) == 1
    assert drawn(step) == ["partial_dependence_hour", "partial_dependence_wind"]
    with pytest.raises(ValueError, match="only numbers have a curve"):
        execute("plot_partial_dependence", split() | {"model": ByHour()}, column="origin")


def test_list_worst_rows(capsys: pytest.CaptureFixture[str]) -> None:
    held_out = pd.DataFrame(
        {
            "origin": list("abcd"),
            "time_hour": 1,
            "departures": [1, 2, 3, np.nan],
            "predicted": [1.0, 5.0, 2.0, 3.0],
        }
    )
    shown = execute("list_worst_rows", {"held_out": held_out}, most="2")["shown"]
    assert shown["origin"].tolist() == ["b", "c"]
    assert shown["gap"].tolist() == [-3.0, 1.0]
    assert "2 of 4 rows make 100% of the squared error" in capsys.readouterr().out
    with pytest.raises(ValueError, match="some rows have no prediction"):
        execute("list_worst_rows", {"held_out": held_out.assign(predicted=None)})
