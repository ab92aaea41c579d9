"""How much worse slices of the rows are served than a yardstick, with the chance that it is no more than allowed.

The error is the metric, or its distance from 1 where larger is better (accuracy, auc). Of each slice the question is
whether error - allowed × yardstick is above 0, one-sided, by a t-test on what each row adds to that difference: the
slice is part of all rows, and both models answer the same rows, so the two sides are not independent. Losses are
skewed, for which the t of their mean is corrected (P. Hall, Journal of the Royal Statistical Society B 54, 1992):
without that the test of a small slice would be several times more careful than it says, and miss what it looks for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasen.deploy.gates.auc_difference import area_and_influence
from rasen.deploy.gates.distributions import student_tail
from rasen.deploy.gates.paired_rows import LEAST_OF_A_CLASS

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class SliceError:
    """One slice.

    Args:
        value: Of the slice column.
        rows: How many.
        error: Of the slice.
        yardstick: What it is compared with.
        chance: How probable what was seen is, were the slice just allowed.
    """

    value: str
    rows: int
    error: float
    yardstick: float
    chance: float

    @property
    def times(self) -> float:
        """How many times the yardstick the error is."""
        if self.yardstick > 0:
            return self.error / self.yardstick
        return 1.0 if self.error == 0 else math.inf


def compare_with_all(
    losses: np.ndarray, names: np.ndarray, numbers: np.ndarray, allowed: float
) -> list[SliceError]:
    """Return how the mean loss of each slice stands to that of all rows.

    Args:
        losses: Of each row.
        names: The slices.
        numbers: Of each row the position of its slice in `names`.
        allowed: How many times the mean loss of all rows a slice's may be.
    """
    import numpy as np

    total = len(losses)
    mean = float(losses.mean())
    rows = np.bincount(numbers, minlength=len(names)).astype("float64")
    means = np.bincount(numbers, weights=losses, minlength=len(names)) / rows
    apart = losses - means[numbers]
    within = np.bincount(numbers, weights=apart**2, minlength=len(names))
    skews = _skews(apart, within, rows, numbers)
    spread = float(((losses - mean) ** 2).sum())
    # The squares of what each row adds to (mean of its slice - allowed × mean of all), summed.
    variance = (
        within / (rows * np.maximum(rows - 1, 1))
        - 2 * allowed * within / (rows * total)
        + allowed**2 * spread / total**2
    )
    differences = means - allowed * mean
    return [
        SliceError(
            value=str(name),
            rows=int(count),
            error=float(error),
            yardstick=mean,
            chance=_chance(
                float(difference),
                float(square),
                float(count) - 1,
                scale=mean,
                skew=float(skew),
                rows=float(count),
            ),
        )
        for name, count, error, difference, square, skew in zip(
            names, rows, means, differences, variance, skews, strict=True
        )
    ]


def compare_with_champion(
    candidate: np.ndarray, champion: np.ndarray, names: np.ndarray, numbers: np.ndarray, allowed: float
) -> list[SliceError]:
    """Return how the candidate's mean loss of each slice stands to the live version's; arguments as above.

    Differences of losses lie on both sides: their t is right as it is, and a correction for the skewness that few rows
    show by chance would refuse twice as often as it says.
    """
    import numpy as np

    def by_slice(values: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, weights=values, minlength=len(names))

    differences = candidate - allowed * champion
    rows = np.bincount(numbers, minlength=len(names)).astype("float64")
    means = by_slice(differences) / rows
    variance = by_slice((differences - means[numbers]) ** 2) / (rows * np.maximum(rows - 1, 1))
    errors, yardsticks = by_slice(candidate) / rows, by_slice(champion) / rows
    return [
        SliceError(
            value=str(name),
            rows=int(rows[position]),
            error=float(errors[position]),
            yardstick=float(yardsticks[position]),
            chance=_chance(
                float(means[position]),
                float(variance[position]),
                float(rows[position]) - 1,
                scale=float(errors[position]),
            ),
        )
        for position, name in enumerate(names)
    ]


def compare_areas(
    happened: np.ndarray,
    score: np.ndarray,
    champion: np.ndarray | None,
    names: np.ndarray,
    numbers: np.ndarray,
    allowed: float,
) -> list[SliceError]:
    """Return how far the area under the curve of each slice is from 1, beside all rows' or the live version's.

    Slices with fewer than ten rows of a class are left out.

    Args:
        happened: True for the rows of class 1.
        score: The candidate's.
        champion: The live version's scores, to compare with these; `None` to compare with all rows.
        names: The slices.
        numbers: Of each row the position of its slice in `names`.
        allowed: How many times the yardstick's distance from 1 a slice's may be.
    """
    import numpy as np

    area_of_all, influence_of_all = area_and_influence(happened, score)
    squares_of_all = float((influence_of_all**2).sum())
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(names) + 1))
    found = []
    for position, name in enumerate(names):
        inside = order[starts[position] : starts[position + 1]]
        classes = int(happened[inside].sum()), int((~happened[inside]).sum())
        if min(classes) < LEAST_OF_A_CLASS:
            continue
        area, influence = area_and_influence(happened[inside], score[inside])
        if champion is None:
            yardstick = 1 - area_of_all
            moved = allowed * influence_of_all[inside] - influence
            outside = allowed**2 * (squares_of_all - float((influence_of_all[inside] ** 2).sum()))
        else:
            other, other_influence = area_and_influence(happened[inside], champion[inside])
            yardstick = 1 - other
            moved = allowed * other_influence - influence
            outside = 0.0
        found.append(
            SliceError(
                value=str(name),
                rows=len(inside),
                error=1 - area,
                yardstick=yardstick,
                chance=_chance(
                    (1 - area) - allowed * yardstick,
                    float((moved**2).sum()) + max(outside, 0.0),
                    float(min(classes) - 1),
                    scale=1 - area,
                ),
            )
        )
    return found


def _skews(apart: np.ndarray, within: np.ndarray, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the skewness of each slice, from the distances of the rows to the mean of theirs."""
    import numpy as np

    spread = np.sqrt(within / rows)
    # Scaled before it is cubed: the cube of a number near the largest is none.
    scaled = apart / np.where(spread > 0, spread, 1.0)[numbers]
    found: np.ndarray = np.bincount(numbers, weights=scaled**3, minlength=len(rows)) / rows
    return found


def _chance(
    difference: float,
    variance: float,
    freedom: float,
    *,
    scale: float,
    skew: float = 0.0,
    rows: float = 1.0,
) -> float:
    """Return the chance of such a difference where there is none; without any spread it is certain or impossible."""
    if variance <= 0 or math.sqrt(variance) <= 1e-12 * scale:
        return 0.0 if difference > 1e-9 * scale else 1.0
    share = difference / math.sqrt(variance * rows)
    corrected = share + skew * share**2 / 3 + skew**2 * share**3 / 27 + skew / (6 * rows)
    return student_tail(math.sqrt(rows) * corrected, max(freedom, 1.0))
