"""XGBoost without the way through a DataFrame: the request's numbers become the matrix that the trees read.

`XGBRegressor.predict` spends most of a small call on looking at its DataFrame's columns (0.9 ms of which 0.2 are
trees). The trees, the conversion to float32 and the transformation of the margin are XGBoost's own here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rasen.errors import ModelFailed
from rasen.model.conversion import NUMPY_DTYPES, Values, is_category
from rasen.model.matrices import MatrixBuilder, to_rows
from rasen.model.predictions import Predictions, normalise
from rasen.model.schema import ModelSchema

_REGRESSOR, _CLASSIFIER = "XGBRegressor", "XGBClassifier"


class XgboostEngine:
    """An `XGBRegressor` or `XGBClassifier` of trees on numeric columns."""

    name = "xgboost"
    quick = True

    def __init__(self, model: Any, schema: ModelSchema) -> None:  # Any: a class of an optional library
        booster = model.get_booster()
        booster.set_param(
            {"nthread": 1}
        )  # a worker has one core; to wake threads for a small batch costs more than it
        self._booster = booster
        self._missing = model.missing
        self._classes = model.classes_ if type(model).__name__ == _CLASSIFIER else None
        best = model.best_iteration if booster.attr("best_iteration") is not None else None
        self._iterations = (0, 0) if best is None else (0, int(best) + 1)
        self._first = schema.names[0]
        self._matrices = MatrixBuilder(schema.inputs)
        self._output = schema.output

    def predict(self, columns: Mapping[str, Values]) -> Predictions:
        """Predict the rows of `columns`."""
        rows = len(columns[self._first])
        matrix = to_rows(self._matrices.build(columns, rows), "float32")
        try:
            answer = self._booster.inplace_predict(
                matrix, iteration_range=self._iterations, missing=self._missing, validate_features=False
            )
        except Exception as error:  # the boundary to a library
            raise ModelFailed(f"the model raised {type(error).__name__}: {error}") from error
        if self._classes is not None:
            chosen = answer.argmax(axis=1) if answer.ndim > 1 else (answer > 0.5).astype(int)
            answer = self._classes[chosen]
        return normalise(answer, rows=rows, output=self._output)


def make_xgboost_engine(
    model: Any, schema: ModelSchema
) -> XgboostEngine | None:  # Any: whatever was published
    """Return the engine, or `None` when the model is none that it can execute."""
    kind = type(model)
    if kind.__module__ != "xgboost.sklearn" or kind.__name__ not in (_REGRESSOR, _CLASSIFIER):
        return None
    if any(is_category(column) or column.dtype not in NUMPY_DTYPES for column in schema.inputs):
        return None
    booster = model.get_booster()
    names = booster.feature_names
    if names is not None and tuple(names) != schema.names:
        return None
    if any(kind == "c" for kind in booster.feature_types or ()) or model.booster == "gblinear":
        return None
    return XgboostEngine(model, schema)
