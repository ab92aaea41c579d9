"""The schema of a model, derived from what the analyst already has: the example, its answers, held-out rows.

The example shows the columns and their dtypes. Three rows say little about null and categories, so the evaluation
rows, when given, are read for those two: a column that holds a null in either is nullable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.dtypes import CATEGORY, ORDERED_CATEGORY, classify
from rasen.model.predictions import Predictions, output_of
from rasen.model.schema import CategoryValue, Column, ModelSchema

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES = 50
_WITHOUT_NULL = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}


def derive_inputs(example: pd.DataFrame, evaluation: pd.DataFrame | None = None) -> tuple[Column, ...]:
    """Return the input columns of a model that takes frames like `example`.

    Args:
        example: Rows as the model gets them, at least one.
        evaluation: Held-out rows that hold at least the columns of the example.

    Raises:
        InvalidInput: A column has no usable name or type, or differs in type between the two frames.
    """
    names: list[Any] = list(example.columns)  # Any: pandas takes whatever hashes as a name
    if not names:
        raise InvalidInput("the example has no columns")
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidInput(
                f"the example's column {name!r} needs a name that is text: requests are JSON objects"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"the example has more than one column named {twice[0]!r}")
    return tuple(
        _column(name, example[name], None if evaluation is None else evaluation[name]) for name in names
    )


def derive_schema(
    example: pd.DataFrame, predictions: Predictions, evaluation: pd.DataFrame | None = None
) -> ModelSchema:
    """Return the whole schema; see `derive_inputs`."""
    return ModelSchema(inputs=derive_inputs(example, evaluation), output=output_of(predictions))


def _column(name: str, shown: pd.Series, held_out: pd.Series | None) -> Column:
    kind, dtype = classify(shown, where=f"column {name!r} of the example")
    if bool(shown.isna().all()):
        raise InvalidInput(
            f"column {name!r} of the example holds only null: its type cannot be seen; give a row with a value"
        )
    nullable = bool(shown.isna().any())
    categories: tuple[CategoryValue, ...] | None = None
    if dtype in (CATEGORY, ORDERED_CATEGORY):
        categories = tuple(shown.cat.categories.tolist())
    if held_out is not None:
        found, found_dtype = classify(held_out, where=f"column {name!r} of the evaluation rows")
        nulls = held_out.isna()
        unknown = bool(nulls.all()) and dtype not in _WITHOUT_NULL
        if found is not kind and not unknown and (found, kind) != (ColumnType.INT64, ColumnType.FLOAT64):
            raise InvalidInput(
                f"column {name!r} is {kind.value} in the example and {found.value} in the evaluation rows; "
                "take both from the same frame"
            )
        if bool(nulls.any()):
            nullable = True
            if dtype in _WITHOUT_NULL or (dtype == "str" and found_dtype == "object"):
                dtype = found_dtype  # the one that can say null, as it was in the evaluation rows
        if categories is None and kind in (ColumnType.STRING, ColumnType.BOOL):
            categories = _categories(held_out)
    return Column(name=name, type=kind, nullable=nullable, categories=categories, dtype=dtype)


def _categories(series: pd.Series) -> tuple[CategoryValue, ...] | None:
    """Return the distinct values in order, or `None` when they are many or hardly ever repeat (free text)."""
    distinct = series.dropna().unique().tolist()
    if len(distinct) > MOST_CATEGORIES or 2 * len(distinct) > len(series):
        return None
    return tuple(sorted(distinct))
