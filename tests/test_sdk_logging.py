"""Metrics and figures."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rasen
from rasen.errors import InvalidInput
from rasen.tracking.records import Metric
from stand.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    made.enter(monkeypatch)
    return made


def test_numbers_of_every_library(kernel: Kernel) -> None:
    rasen.log_metrics(rmse=3.5, rows=7, mae=np.float32(0.5), count=np.int64(3), share=Fraction(1, 4))
    rasen.log_metrics(slice={"origin": "JFK", "hour": np.int64(7), "weekend": True}, rmse=2)
    assert [(each["name"], each["value"], each["slice"]) for each in kernel.records("metric")] == [
        ("rmse", 3.5, {}),
        ("rows", 7.0, {}),
        ("mae", 0.5, {}),
        ("count", 3.0, {}),
        ("share", 0.25, {}),
        ("rmse", 2.0, {"origin": "JFK", "hour": "7", "weekend": "True"}),
    ]


def test_what_is_not_finite_is_recorded_and_read_as_such(kernel: Kernel) -> None:
    rasen.log_metrics(a=float("nan"), b=np.inf, c=-np.inf)
    records = kernel.records("metric")
    assert [each["value"] for each in records] == ["nan", "inf", "-inf"]
    values = [Metric.model_validate(each).value for each in records]
    assert np.isnan(values[0])
    assert values[1:] == [np.inf, -np.inf]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "no number"),
        ({"late": True}, "'late' is True .bool."),
        ({"late": np.bool_(True)}, "bool"),
        ({"rmse": "3.1"}, "'3.1' .str."),
        ({"rmse": None}, "NoneType"),
        ({"rmse": [3.1]}, "list"),
        ({"rmse": np.array([3.1])}, "ndarray"),
        ({"rmse": 1j}, "complex"),
        ({"rmse": 10**400}, "too large"),
        ({"RMSE": 1.0}, "metric name 'RMSE' is not usable"),
        ({"rmse": 1.0, "slice": {"origin": 1.5}}, "'origin' is 1.5; a slice has one value"),
        ({"rmse": 1.0, "slice": {1: "JFK"}}, "must name columns"),
    ],
)
def test_what_is_no_metric(kernel: Kernel, metrics: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        rasen.log_metrics(**metrics)
    assert kernel.records("metric") == []


def test_one_bad_number_records_none_of_them(kernel: Kernel) -> None:
    with pytest.raises(InvalidInput):
        rasen.log_metrics(rmse=1.0, mae="x")
    assert kernel.records("metric") == []


def test_a_figure_or_its_axes_become_a_png(kernel: Kernel) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2, 3])
    rasen.log_figure(figure, "residuals")
    first = (kernel.staging / "figures" / "residuals.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    axes.plot([3, 2, 1])
    rasen.log_figure(axes, "residuals")
    assert (kernel.staging / "figures" / "residuals.png").read_bytes() != first
    assert kernel.records("figure") == [{"name": "residuals", "path": "figures/residuals.png"}] * 2


def test_what_is_no_figure(kernel: Kernel) -> None:
    not_a_figure: Any = "residuals"
    with pytest.raises(InvalidInput, match="takes a matplotlib figure, not str"):
        rasen.log_figure(not_a_figure, "residuals")
    with pytest.raises(InvalidInput, match=r"figure name '../x' is not usable"):
        rasen.log_figure(not_a_figure, "../x")
    assert kernel.records("figure") == []
