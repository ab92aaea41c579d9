"""A profile's answer in the model's own schema: what serving says when the model cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.model.profile import Profile
from rasen.model.schema import Output

if TYPE_CHECKING:
    import numpy as np


def can_answer(output: Output) -> bool:
    """Return whether a mean can stand for such an output: one number, or one yes or no, a row."""
    return output.type in (ColumnType.BOOL, ColumnType.INT64, ColumnType.FLOAT64)


def answer(
    profile: Profile, columns: Mapping[str, Sequence[object]], *, rows: int, output: Output
) -> np.ndarray:
    """Return the profile's means as the output's type, shape `(rows,)`: rounded for int64, from 0.5 on true.

    Args:
        profile: A profile that was published beside a model with this output, so `can_answer` holds.
        columns: The request's columns of JSON values.
        rows: How many rows they have.
        output: The model's output.
    """
    import numpy as np

    means = profile.predict_columns(columns, rows=rows)
    answers: np.ndarray = means
    if output.type is ColumnType.INT64:
        answers = np.rint(means).astype("int64")
    if output.type is ColumnType.BOOL:
        answers = np.greater_equal(means, 0.5)
    return answers
