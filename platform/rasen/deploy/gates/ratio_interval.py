"""How sure the ratio of two models' losses is: a paired bootstrap of units that do not depend on one another.

Studentised (bootstrap-t), because the percentile interval of a skewed loss is too narrow with few rows: its error falls
with the number of units, not with its root (Hall, The Bootstrap and Edgeworth Expansion, 1992, sections 3.3 and 3.5).
On the logarithm of the ratio, so that exchanging the two models mirrors the answer.

Many rows are dealt at random to a thousand groups, and groups are drawn: sums of independent rows are independent, and
the time no longer depends on the number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_GROUPS = 1000
_DRAWS_LEAST = 1999
_DRAWS_IN_TAILS = 100
_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class RatioInterval:
    """A ratio with its interval; `units` is how many independent observations it rests on."""

    ratio: float
    low: float
    high: float
    units: int


def ratio_interval(
    first: np.ndarray, second: np.ndarray, units: np.ndarray | None, *, confidence: float, seed: int
) -> RatioInterval:
    """Return the interval of sum(first) / sum(second) over paired rows.

    The order of the rows does not matter, and exchanging `first` and `second` gives the inverse.

    Args:
        first: Finite numbers from 0, shape `(rows,)`.
        second: As `first`, of the same rows.
        units: For each row the number of its unit, from 0; `None` when each row is one.
        confidence: Of the two-sided interval.
        seed: Of the random draws: equal arguments give equal answers.
    """
    import numpy as np

    if float(np.sort(first).sum()) > float(np.sort(second).sum()):
        turned = ratio_interval(second, first, units, confidence=confidence, seed=seed)
        return RatioInterval(
            ratio=_inverse(turned.ratio),
            low=_inverse(turned.high),
            high=_inverse(turned.low),
            units=turned.units,
        )
    largest = max(float(first.max()), float(second.max()))
    if largest == 0:
        return RatioInterval(ratio=1.0, low=1.0, high=1.0, units=_count(first, units))
    random = np.random.default_rng(seed)
    sums, count = _sum_units(first / largest, second / largest, units, random)
    totals = sums.sum(axis=0)
    if totals[1] == 0:  # both are sums of numbers too small to be told from 0
        return RatioInterval(ratio=1.0, low=1.0, high=1.0, units=count)
    shares = sums / np.where(totals > 0, totals, 1.0)
    spread = _spread(np.array([[*_moments(shares).sum(axis=0)]]), len(shares))[0]
    ratio = float(totals[0] / totals[1])
    if spread == 0:
        return RatioInterval(ratio=ratio, low=ratio, high=ratio, units=count)
    below, above = _draw(shares, random, confidence)
    return RatioInterval(
        ratio=ratio,
        low=_scaled(ratio, -above * spread),
        high=_scaled(ratio, -below * spread),
        units=count,
    )


def _count(rows: np.ndarray, units: np.ndarray | None) -> int:
    return len(rows) if units is None else len(set(units.tolist()))


def _inverse(value: float) -> float:
    if value == 0:
        return math.inf
    return 1 / value


def _scaled(ratio: float, exponent: float) -> float:
    if ratio == 0:  # no factor moves it: the draws say whether to believe it, or nothing
        return math.inf if exponent == math.inf else 0.0
    return math.inf if exponent > 700 else ratio * math.exp(exponent)


def _sum_units(
    first: np.ndarray, second: np.ndarray, units: np.ndarray | None, random: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return the sums by unit, or by random group of units when these are many, and how many units there are."""
    import numpy as np

    if units is None:
        order = np.lexsort((second, first))
        sums = np.column_stack([first[order], second[order]])
    else:
        order = np.lexsort((second, first, units))
        _, numbers = np.unique(units[order], return_inverse=True)
        sums = _sum_by(numbers, np.column_stack([first[order], second[order]]))
    count = len(sums)
    if count > 2 * _GROUPS:
        sums = _sum_by(random.permutation(count) % _GROUPS, sums)
    return sums, count


def _sum_by(numbers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.column_stack([np.bincount(numbers, weights=column) for column in pairs.T])


def _moments(shares: np.ndarray) -> np.ndarray:
    """Return of each unit what sums to a draw's ratio and to its spread."""
    import numpy as np

    first, second = shares.T
    return np.column_stack([first, second, first * first, first * second, second * second])


def _spread(sums: np.ndarray, units: int) -> np.ndarray:
    """Return the standard error of the logarithm of the ratio, by the delta method, for each row of sums."""
    import numpy as np

    a, b, aa, ab, bb = sums.T
    a, b = np.where(a > 0, a, 1.0), np.where(b > 0, b, 1.0)
    variance = aa / a**2 - 2 * ab / (a * b) + bb / b**2
    # What is left of equal terms by rounding is no variance.
    variance = np.where(variance > 1e-14 * (aa / a**2 + bb / b**2), variance, 0.0)
    found: np.ndarray = np.sqrt(variance * units / (units - 1))
    return found


def _draw(shares: np.ndarray, random: np.random.Generator, confidence: float) -> tuple[float, float]:
    """Return the two quantiles of the studentised logarithm of the ratio over the draws.

    A draw in which a sum or the spread is 0 shows nothing: it counts for both tails.
    """
    import numpy as np

    units = len(shares)
    draws = max(_DRAWS_LEAST, round(_DRAWS_IN_TAILS / (1 - confidence)) - 1)
    moments = _moments(shares)
    at_once = max(1, _CELLS_AT_ONCE // units)
    found = []
    first_is_nothing = not shares[:, 0].any()
    for start in range(0, draws, at_once):
        several = min(at_once, draws - start)
        drawn = random.integers(0, units, size=(several, units)) + np.arange(several)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=several * units).reshape(several, units)
        sums = counts.astype("float64") @ moments
        spread = _spread(sums, units)
        shown = (sums[:, 1] > 0) & (spread > 0)
        if not first_is_nothing:
            shown &= sums[:, 0] > 0
            logarithm = np.log(np.where(shown, sums[:, 0], 1.0) / np.where(shown, sums[:, 1], 1.0))
            found.append(np.where(shown, logarithm / np.where(shown, spread, 1.0), np.nan))
        else:
            found.append(np.where(shown, 0.0, np.nan))
    values = np.concatenate(found)
    rank = round((draws + 1) * (1 - confidence) / 2)
    below = np.sort(np.where(np.isnan(values), -np.inf, values))[rank - 1]
    above = np.sort(np.where(np.isnan(values), np.inf, values))[-rank]
    return float(below), float(above)
