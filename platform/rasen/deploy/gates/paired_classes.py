"""How sure the difference of two models' accuracies is: what McNemar's test looks at, with an interval.

Only rows count on which exactly one of the two is right (Q. McNemar, Psychometrika 12, 1947). The interval is the score
interval of T. Tango (Statistics in Medicine 17, 1998), whose test of no difference is McNemar's; where such rows are
few, the exact binomial interval widens it, so that better or worse is said only when the exact test says so too.
"""

from __future__ import annotations

import math

from rasen.deploy.gates.distributions import binomial_limits, normal_quantile

_FEW = 50


def difference_interval(
    only_first: int, only_second: int, rows: int, *, confidence: float
) -> tuple[float, float]:
    """Return the interval of the first accuracy less the second.

    Args:
        only_first: Rows on which only the first model is right.
        only_second: Rows on which only the second model is right.
        rows: All rows, more than none.
        confidence: Of the two-sided interval.
    """
    z = normal_quantile((1 + confidence) / 2)
    low = _score_limit(only_first, only_second, rows, z)
    high = -_score_limit(only_second, only_first, rows, z)
    differing = only_first + only_second
    if 0 < differing < _FEW:
        exact = [
            (2 * share - 1) * differing / rows for share in binomial_limits(only_first, differing, confidence)
        ]
        low, high = min(low, exact[0]), max(high, exact[1])
    return low, high


def _score_limit(only_first: int, only_second: int, rows: int, z: float) -> float:
    """Return the smallest difference that the score test does not refuse, by bisection."""
    estimate = (only_first - only_second) / rows
    low, high = -1.0, estimate
    for _ in range(100):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if _score(only_first, only_second, rows, middle) > z else (low, middle)
    return high


def _score(only_first: int, only_second: int, rows: int, difference: float) -> float:
    """Return Tango's statistic of the hypothesis that the accuracies differ by `difference`."""
    distance = only_first - only_second - rows * difference
    a = 2 * rows
    b = -only_first - only_second + (2 * rows - only_first + only_second) * difference
    c = -only_second * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = rows * (2 * share + difference * (1 - difference))
    if distance == 0:
        return 0.0
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)
