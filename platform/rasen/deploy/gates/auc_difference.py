"""How sure the ratio of two models' areas under the curve is: DeLong's variance of paired areas.

E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988), computed from mean ranks as X. Sun and W. Xu
(IEEE Signal Processing Letters 21, 2014) do, in the time of a sort. Rows that depend on one another are summed by unit
(N. A. Obuchowski, Biometrics 53, 1997).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rasen.deploy.gates.distributions import student_quantile
from rasen.deploy.gates.ratio_interval import RatioInterval

if TYPE_CHECKING:
    import numpy as np


def area_and_influence(happened: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the area under the curve, and by how much each row moves it away from its mean.

    The squares of the second sum to the variance of the first.

    Args:
        happened: True for the rows of class 1, shape `(rows,)`; both classes occur at least twice.
        score: Finite numbers, of the same rows.
    """
    import numpy as np

    positive, negative = int(happened.sum()), int((~happened).sum())
    influence = np.empty(len(score))
    all_ranks = _mean_ranks(score)
    above = (all_ranks[happened] - _mean_ranks(score[happened])) / negative
    below = 1 - (all_ranks[~happened] - _mean_ranks(score[~happened])) / positive
    area = float(above.mean())
    influence[happened] = (above - area) / math.sqrt(positive * (positive - 1))
    influence[~happened] = (below - area) / math.sqrt(negative * (negative - 1))
    return area, influence


def area_ratio_interval(
    happened: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    units: np.ndarray | None,
    *,
    confidence: float,
) -> RatioInterval:
    """Return the interval of the first score's area over the second's; both areas are above 0.

    Args:
        happened: True for the rows of class 1.
        first: Scores, finite, of the same rows.
        second: As `first`.
        units: For each row the number of its unit, from 0; `None` when each row is one.
        confidence: Of the two-sided interval.
    """
    import numpy as np

    first_area, first_influence = area_and_influence(happened, first)
    second_area, second_influence = area_and_influence(happened, second)
    moved = first_influence / first_area - second_influence / second_area
    if units is None:
        parts = [float((moved[which] ** 2).sum()) for which in (happened, ~happened)]
        variance = sum(parts)
        sizes = [int(happened.sum()), int((~happened).sum())]
        # Satterthwaite's degrees of freedom for the two classes.
        weight = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
        freedom = variance**2 / weight if weight > 0 else 1.0
        count = len(moved)
    else:
        _, numbers = np.unique(units, return_inverse=True)
        sums = np.bincount(numbers, weights=moved)
        count = len(sums)
        variance = float((sums**2).sum()) * count / (count - 1)
        freedom = count - 1.0
    ratio = first_area / second_area
    # The rounding of ranks is no variance.
    if variance < 1e-24:
        return RatioInterval(ratio=ratio, low=ratio, high=ratio, units=count)
    half = student_quantile((1 + confidence) / 2, freedom) * math.sqrt(variance)
    return RatioInterval(
        ratio=ratio, low=ratio * math.exp(-half), high=ratio * math.exp(min(half, 700.0)), units=count
    )


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    import numpy as np

    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return ranks
