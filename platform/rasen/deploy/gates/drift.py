"""How far apart two samples of one column are: effect sizes, each with the size that chance alone reaches.

The effect decides, not its significance: with 100,000 rows a shift that no model notices is significant beyond doubt
(a tenth of a standard deviation: PSI 0.01, p < 1e-50). With fifty rows it is the other way round, so whoever judges
asks for both: larger than declared, and larger than chance makes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_DECILES = 10
_SMOOTHING = 0.5


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How far apart two samples are.

    Args:
        size: The measure's value.
        chance: What it reaches between two samples of the same distribution, but for a share of `alpha` of them.
    """

    size: float
    chance: float

    def exceeds(self, limit: float | None) -> bool:
        """Return whether it is above a declared limit, and above chance; `None` is no limit."""
        return limit is not None and self.size > limit and self.size > self.chance


def psi_of_numbers(old: np.ndarray, new: np.ndarray, *, alpha: float) -> Effect:
    """Return the population stability index of two sorted arrays without NaN, over the deciles of `old`.

    A value that fills a decile has a bin of its own, so that a column of few values, or of one, is compared too.
    """
    import numpy as np

    places = np.ceil(np.arange(1, _DECILES) / _DECILES * len(old)).astype(int) - 1
    ends, often = np.unique(old[np.maximum(places, 0)], return_counts=True)
    with np.errstate(over="ignore"):  # what lies below the smallest number is infinity
        below = np.nextafter(ends[often > 1], -np.inf)
    edges = np.unique(np.concatenate([ends, below]))
    return psi(_bin(old, edges), _bin(new, edges), alpha=alpha)


def psi_of_categories(old: Mapping[str, int], new: Mapping[str, int], *, most: int, alpha: float) -> Effect:
    """Return the population stability index of two counts by value; beyond the `most` frequent of `old`, all are one.

    A value that `old` does not have is counted with the rare ones.
    """
    import numpy as np

    kept = sorted(old, key=lambda value: (-old[value], value))[:most]
    rest_old = sum(old.values()) - sum(old[value] for value in kept)
    rest_new = sum(new.values()) - sum(new.get(value, 0) for value in kept)
    return psi(
        np.array([*(old[value] for value in kept), rest_old]),
        np.array([*(new.get(value, 0) for value in kept), rest_new]),
        alpha=alpha,
    )


def psi(old: np.ndarray, new: np.ndarray, *, alpha: float) -> Effect:
    """Return the population stability index of two arrays of counts, one entry a bin.

    The sum over the bins of (q - p) * ln(q / p) (Lewis, 1994). Half a row is added to every bin of both, so that an
    empty one counts as rare and not as infinitely far. Between samples of one distribution it is about chi squared
    with one degree of freedom less than bins, times (1 / n + 1 / m) (Yurdakul and Naranjo, 2020).
    """
    import numpy as np

    filled = (old + new) > 0
    old, new = old[filled], new[filled]
    if len(old) < 2:
        return Effect(size=0.0, chance=0.0)
    p = (old + _SMOOTHING) / (old.sum() + _SMOOTHING * len(old))
    q = (new + _SMOOTHING) / (new.sum() + _SMOOTHING * len(new))
    size = float(np.sum((q - p) * np.log(q / p)))
    spread = 1 / max(int(old.sum()), 1) + 1 / max(int(new.sum()), 1)
    return Effect(size=size, chance=_chi_squared(len(old) - 1, alpha) * spread)


def ks(old: np.ndarray, new: np.ndarray, *, alpha: float) -> Effect:
    """Return the largest distance of the distribution functions of two sorted arrays without NaN.

    Its size by chance is the asymptotic one of Smirnov (1948).
    """
    import numpy as np

    both = np.concatenate([old, new])
    apart = np.searchsorted(old, both, side="right") / len(old) - np.searchsorted(
        new, both, side="right"
    ) / len(new)
    spread = 1 / len(old) + 1 / len(new)
    return Effect(size=float(np.abs(apart).max()), chance=math.sqrt(-math.log(alpha / 2) / 2 * spread))


def rise(old: int, old_rows: int, new: int, new_rows: int, *, alpha: float) -> Effect:
    """Return by how much the share of some rows has risen, below 0 if it fell; by chance as of two binomials."""
    size = new / new_rows - old / old_rows
    pooled = (old + new) / (old_rows + new_rows)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / old_rows + 1 / new_rows))
    return Effect(size=size, chance=-NormalDist().inv_cdf(alpha) * deviation)


def _bin(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many of the sorted values are at most the first edge, in between, and above the last."""
    import numpy as np

    upto = np.searchsorted(values, edges, side="right")
    return np.diff(np.concatenate([[0], upto, [len(values)]]))


def _chi_squared(freedom: int, alpha: float) -> float:
    """Return the value that chi squared exceeds with the chance `alpha` (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread - NormalDist().inv_cdf(alpha) * math.sqrt(spread)) ** 3
