"""The six metrics, held to scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput
from rasen.metric_directions import DIRECTIONS
from rasen.model.metrics import compute, direction

numbers = st.floats(-1e6, 1e6)
probabilities = st.integers(0, 20).map(lambda step: step / 20)  # ties are the hard part of auc


@given(st.lists(st.tuples(numbers, numbers), min_size=1))
def test_errors_of_numbers(rows: list[tuple[float, float]]) -> None:
    from sklearn import metrics

    target, prediction = np.array(rows).T
    assert compute("rmse", target, prediction) == pytest.approx(
        metrics.root_mean_squared_error(target, prediction)
    )
    assert compute("mae", target, prediction) == pytest.approx(
        metrics.mean_absolute_error(target, prediction)
    )


@given(st.lists(st.tuples(st.booleans(), probabilities), min_size=2), st.booleans())
def test_scores_of_probabilities(rows: list[tuple[bool, float]], as_bool: bool) -> None:
    from sklearn import metrics

    happened = [False, True] + [row[0] for row in rows]
    target = np.array(happened, dtype="bool" if as_bool else "int64")
    prediction = np.array([0.25, 0.5] + [row[1] for row in rows])
    classes = target.astype("int64")
    assert compute("auc", target, prediction) == pytest.approx(metrics.roc_auc_score(classes, prediction))
    assert compute("log_loss", target, prediction) == pytest.approx(metrics.log_loss(classes, prediction))
    assert compute("brier", target, prediction) == pytest.approx(
        metrics.brier_score_loss(classes, prediction)
    )
    assert compute("accuracy", target, prediction) == pytest.approx(
        metrics.accuracy_score(classes, prediction >= 0.5)
    )


def test_accuracy_of_classes() -> None:
    assert compute("accuracy", np.array([1, 2, 3]), np.array([1, 2, 4])) == pytest.approx(2 / 3)
    text = np.array(["a", "b"], dtype=object)
    assert compute("accuracy", text, np.array(["a", "a"], dtype=object)) == 0.5
    assert compute("accuracy", np.array([1.0, 0.0]), np.array([1.0, 1.0])) == 0.5


def test_ways_to_be_better() -> None:
    assert direction("rmse") == "minimize"
    assert direction("profile_auc") == "maximize"
    assert direction("revenue") is None
    better = {"rmse": 0.0, "mae": 0.0, "log_loss": 0.0, "brier": 0.0, "accuracy": 1.0, "auc": 1.0}
    target, wrong = np.array([0, 1]), np.array([0.9, 0.2])
    for name, perfect in better.items():
        assert compute(name, target, target.astype(float)) == pytest.approx(perfect)
        worse = compute(name, target, wrong)
        assert worse > perfect if DIRECTIONS[name] == "minimize" else worse < perfect


@pytest.mark.parametrize(
    ("name", "target", "prediction", "message"),
    [
        ("r2", [0.0], [0.0], "'r2' cannot be computed.*rmse, mae"),
        ("rmse", [], [], "not defined without rows"),
        ("rmse", [1.0, 2.0], [1.0], "1 predictions for 2 rows"),
        ("rmse", ["a"], [1.0], "must be numbers"),
        ("auc", [1, 1], [0.1, 0.2], "only one class"),
        ("log_loss", [0, 2], [0.1, 0.2], "target of 0 and 1"),
        ("brier", [0, 1], [0.1, 1.2], "between 0 and 1"),
        ("accuracy", ["a", "b"], [0, 1], "one of target and prediction is text"),
    ],
)
def test_where_a_metric_is_not_defined(
    name: str, target: list[object], prediction: list[object], message: str
) -> None:
    arrays = [
        np.array(values, dtype=object if values and isinstance(values[0], str) else None)
        for values in (target, prediction)
    ]
    with pytest.raises(InvalidInput, match=message):
        compute(name, *arrays)
