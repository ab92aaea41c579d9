"""The six metrics that gates recompute from rows, and which way each is better.

A notebook may log any name; only these are known well enough to be computed again, on other rows, by somebody who
did not write the notebook. NumPy only: the function and the qualification import no scikit-learn. Tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rasen.errors import InvalidInput
from rasen.metric_directions import DIRECTIONS, Direction

if TYPE_CHECKING:
    import numpy as np

PROFILE_PREFIX = "profile_"
_TEXT = "OSTU"  # kinds of arrays that hold classes as text


def direction(name: str) -> Direction | None:
    """Return which way a metric is better, `None` for a name that is not known; `profile_rmse` goes with `rmse`."""
    return DIRECTIONS.get(name.removeprefix(PROFILE_PREFIX))


def compute(name: str, target: np.ndarray, prediction: np.ndarray) -> float:
    """Compute a metric over rows.

    Args:
        name: One of `DIRECTIONS`.
        target: What happened, shape `(rows,)`: numbers, or for `accuracy` any classes.
        prediction: What was predicted, shape `(rows,)`: numbers, for `log_loss`, `brier` and `auc` of the class 1.

    Raises:
        InvalidInput: The metric is unknown, or not defined for these rows; the message says why.
    """
    if name not in _FORMULAS:
        raise InvalidInput(f"metric {name!r} cannot be computed from rows; known are {', '.join(DIRECTIONS)}")
    if len(target) != len(prediction):
        raise InvalidInput(f"{len(prediction)} predictions for {len(target)} rows")
    if not len(target):
        raise InvalidInput(f"{name} is not defined without rows")
    return float(_FORMULAS[name](target, prediction))


def rmse(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return math.sqrt(_mean(squared_errors(target, prediction)))


def mae(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean absolute error."""
    return _mean(absolute_errors(target, prediction))


def log_loss(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the classes 0 and 1, probabilities kept off 0 and 1 by one epsilon."""
    return _mean(log_losses(target, prediction))


def brier(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean squared distance of the probability from what happened."""
    return _mean(brier_losses(target, prediction))


def accuracy(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the share of rows whose class was predicted; a probability stands for the class 1 from 0.5 on."""
    return _mean(misses(target, prediction) == 0)


def squared_errors(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the squared error of each row."""
    errors: np.ndarray = (_numbers("rmse", prediction) - _numbers("rmse", target)) ** 2
    return errors


def absolute_errors(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the absolute error of each row."""
    import numpy as np

    errors: np.ndarray = np.abs(_numbers("mae", prediction) - _numbers("mae", target))
    return errors


def log_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of each row."""
    import numpy as np

    happened, probability = _classes("log_loss", target), _probabilities("log_loss", prediction)
    epsilon = np.finfo("float64").eps
    clipped = np.clip(probability, epsilon, 1 - epsilon)
    losses: np.ndarray = np.where(happened == 1, -np.log(clipped), -np.log1p(-clipped))
    return losses


def brier_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the squared distance of each row's probability from what happened."""
    losses: np.ndarray = (_probabilities("brier", prediction) - _classes("brier", target)) ** 2
    return losses


def misses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return 1.0 for each row whose class was not predicted, 0.0 for the others."""
    import numpy as np

    if prediction.dtype.kind == "f" and not np.array_equal(prediction, np.rint(prediction)):
        missed = (_probabilities("accuracy", prediction) >= 0.5) != _classes("accuracy", target)
    elif (prediction.dtype.kind in _TEXT) != (target.dtype.kind in _TEXT):
        raise InvalidInput("accuracy compares classes of one kind; one of target and prediction is text")
    else:
        missed = prediction != target
    losses: np.ndarray = missed.astype("float64")
    return losses


def auc(target: np.ndarray, prediction: np.ndarray) -> float:
    """Return the chance that a row of class 1 is ranked above one of class 0, ties counting half.

    Mann-Whitney U from mean ranks (Hanley and McNeil, 1982).
    """
    import numpy as np

    happened, score = _classes("auc", target), _numbers("auc", prediction)
    positive = int(happened.sum())
    negative = len(happened) - positive
    if not positive or not negative:
        raise InvalidInput("auc is not defined where only one class occurs")
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    ranks = mean_ranks[group]
    return float((ranks[happened == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _mean(losses: np.ndarray) -> float:
    return float(losses.mean())


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} is not defined for values of type {values.dtype}; they must be numbers")
    return values.astype("float64")


def _classes(name: str, values: np.ndarray) -> np.ndarray:
    import numpy as np

    numbers = _numbers(name, values)
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise InvalidInput(f"{name} needs a target of 0 and 1")
    return numbers


def _probabilities(name: str, values: np.ndarray) -> np.ndarray:
    numbers = _numbers(name, values)
    if ((numbers < 0) | (numbers > 1)).any():
        raise InvalidInput(f"{name} needs predictions between 0 and 1")
    return numbers


_FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "rmse": rmse,
    "mae": mae,
    "log_loss": log_loss,
    "brier": brier,
    "accuracy": accuracy,
    "auc": auc,
}

LOSSES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "rmse": squared_errors,
    "mae": absolute_errors,
    "log_loss": log_losses,
    "brier": brier_losses,
    "accuracy": misses,
}
"""What each row adds to the metrics that are the mean of a loss: `rmse` is the mean's root, `accuracy` is 1 less it."""
