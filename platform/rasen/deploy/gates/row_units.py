"""Which rows count as one, because they depend on one another: those of one value, or of one block of time.

A thousand rows of one rainy morning are not a thousand observations of how a model does. Rows that are drawn as if they
were give intervals that are too narrow, and answers that are too sure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.deploy.gates.measured import Unmeasured

if TYPE_CHECKING:
    import numpy as np

    from rasen.deploy.evidence import Evaluation


def units_of(
    evaluation: Evaluation, *, by: str | None = None, block_seconds: float | None = None
) -> np.ndarray | None:
    """Return for each row the number of its unit, from 0; `None` when each row is one.

    Raises:
        Unmeasured: The evaluation has no such column, or no times.
    """
    import numpy as np

    if by is not None:
        return np.unique(slice_values(evaluation, by), return_inverse=True)[1]
    if block_seconds is None:
        return None
    if evaluation.time is None:
        raise Unmeasured(
            "the evaluation names no time, which `block` needs; give `time=` to rasen.publish", "missing"
        )
    seconds = evaluation.time.astype("datetime64[us]").astype("int64") // 1_000_000
    return np.unique(seconds // round(block_seconds), return_inverse=True)[1]


def slice_values(evaluation: Evaluation, by: str) -> np.ndarray:
    """Return the value of each row in a slice column, as text.

    Raises:
        Unmeasured: The evaluation has no such column.
    """
    if by not in evaluation.slices:
        known = ", ".join(sorted(evaluation.slices)) or "none"
        raise Unmeasured(
            f"the evaluation has no slice column {by!r}, it has: {known}; name it in `slices` of rasen.publish",
            "missing",
        )
    values = evaluation.slices[by]
    if len(values) != evaluation.rows:
        raise Unmeasured(
            f"the evaluation rows do not match: {len(values)} values of {by!r} for {evaluation.rows} rows",
            "rows do not match",
        )
    found: np.ndarray = values.astype(str)
    return found
