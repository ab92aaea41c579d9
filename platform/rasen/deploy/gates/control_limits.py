"""Where the next value of a series is to be expected: Shewhart's chart of individual values, with honest limits.

The spread is the mean distance of neighbours over 1.128, the mean range of two normal values, so that a slow change
of level does not pass for spread (D. C. Montgomery, Introduction to Statistical Quality Control, section 6.4). A chart
over few values that took `k` sigma as if sigma were known would refuse good versions several times too often; here `k`
sigma stands for its chance alone, and the limit is that of a prediction: Student's t with the degrees of freedom whose
spread varies as much as that of the mean range does (P. B. Patnaik, Biometrika 37, 1950).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import fmean, median

from rasen.deploy.gates.distributions import normal_tail, student_quantile

_MEAN_RANGE_OF_TWO = 2 / math.sqrt(math.pi)
# Variance of a range of two normal values, and its covariance with the next one's, over the square of its mean.
_RANGE_VARIANCE = (2 - 4 / math.pi) * math.pi / 4
_RANGE_COVARIANCE = math.sqrt(3) / 2 + math.pi / 12 - 1
# Iglewicz and Hoaglin call 3.5 suspicious; what is to be left out of a chart must be beyond doubt.
_OUTLIER = 5.0
_OUTLIERS_FROM = 10
_CONSTANT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is expected of the next value.

    Args:
        mean: Of the values.
        sigma: Their spread; 0 when they are all equal.
        distance: How far from the mean the next value may lie to one side.
        values: How many values it rests on.
        left_out: The positions of those that are so far out that they tell nothing about the others.
    """

    mean: float
    sigma: float
    distance: float
    values: int
    left_out: Sequence[int]


def control_limits(values: Sequence[float], sigmas: float) -> Limits:
    """Return the limits for the value that follows `values`, at least three finite ones, the oldest first.

    Args:
        values: The series.
        sigmas: The width of the band; stands for the chance that a normal value lies beyond it on one side.
    """
    left_out = outliers(values)
    kept = [value for position, value in enumerate(values) if position not in left_out]
    mean = fmean(kept)
    sigma = fmean(abs(after - before) for before, after in pairwise(kept)) / _MEAN_RANGE_OF_TWO
    if sigma <= _CONSTANT * abs(mean):
        return Limits(mean=mean, sigma=0.0, distance=0.0, values=len(kept), left_out=left_out)
    freedom, bias = _freedom(len(kept))
    quantile = student_quantile(1 - normal_tail(sigmas), freedom)
    distance = quantile * bias * sigma * math.sqrt(1 + 1 / len(kept))
    return Limits(mean=mean, sigma=sigma, distance=distance, values=len(kept), left_out=left_out)


def outliers(values: Sequence[float]) -> list[int]:
    """Return the positions of values far from all others, by the modified z-score (Iglewicz and Hoaglin, 1993)."""
    if len(values) < _OUTLIERS_FROM:
        return []
    middle = median(values)
    distances = [abs(value - middle) for value in values]
    # The median distance is 0 when most values are equal; then the mean distance stands in.
    scale = 1.4826 * median(distances) or 1.2533 * fmean(distances)
    return [position for position, distance in enumerate(distances) if distance > _OUTLIER * scale]


@lru_cache(maxsize=200)
def _freedom(values: int) -> tuple[float, float]:
    """Return the degrees of freedom of a spread that varies like that of so many values, and its mean."""
    ranges = values - 1
    variance = (ranges * _RANGE_VARIANCE + 2 * (ranges - 1) * _RANGE_COVARIANCE) / ranges**2
    low, high = 0.5, 1000.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        mean = _mean_of_spread(middle)
        low, high = (middle, high) if 1 / mean**2 - 1 > variance else (low, middle)
    return low, _mean_of_spread(low)


def _mean_of_spread(freedom: float) -> float:
    """Return the mean of a standard deviation with these degrees of freedom, of a normal variable of variance 1."""
    return math.sqrt(2 / freedom) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
