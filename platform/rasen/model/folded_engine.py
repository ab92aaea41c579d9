"""A linear model and the transformers before it, folded into one weight for each number and one for each category.

Scaling is affine and one-hot encoding is a choice of a weight, so behind a linear model both are arithmetic that can
be done once: `w · (x − mean) / scale` is `(w / scale) · x` and a constant. What remains of a pipeline that takes 2.6 ms
a call is a product with a vector, some microseconds. The sums are added in another order, so the last bits may differ;
the comparison with the model itself (`engine_checks.py`) decides whether that ever matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rasen.model.conversion import NUMPY_DTYPES, Values, as_list, check_values, converter, is_category
from rasen.model.matrices import MatrixBuilder
from rasen.model.predictions import Predictions, normalise
from rasen.model.schema import Column, ModelSchema

if TYPE_CHECKING:
    import numpy as np

_REGRESSIONS = ("LinearRegression", "Ridge", "Lasso", "ElasticNet")
_CLASSIFICATIONS = ("LogisticRegression",)


class _NotFoldable(Exception):
    """This part of a model is none that can be folded."""


@dataclass
class _Terms:
    """What each input adds to the scores, one for each of the model's outputs.

    Args:
        constant: What is added to every row, `(outputs,)`.
        slopes: By numeric column, `(outputs,)`.
        tables: By categorical column, what each category adds, `(outputs,)` each.
    """

    constant: np.ndarray
    slopes: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, dict[object, np.ndarray]] = field(default_factory=dict)


class FoldedEngine:
    """A folded model."""

    name = "folded"
    quick = True

    def __init__(self, terms: _Terms, schema: ModelSchema, classes: np.ndarray | None) -> None:
        import numpy as np

        by_name = {column.name: column for column in schema.inputs}
        self._first = schema.names[0]
        self._constant = terms.constant
        self._numbers = MatrixBuilder([by_name[name] for name in terms.slopes])
        self._slopes = np.array(list(terms.slopes.values())).reshape(len(terms.slopes), len(terms.constant))
        self._categories = [
            (by_name[name], self._codes(table), self._weights(table)) for name, table in terms.tables.items()
        ]
        self._unused = [
            (column.name, converter(column))
            for column in schema.inputs
            if column.name not in terms.slopes and column.name not in terms.tables
        ]
        self._classes = classes
        self._output = schema.output

    def predict(self, columns: Mapping[str, Values]) -> Predictions:
        """Predict the rows of `columns`."""
        import numpy as np

        rows = len(columns[self._first])
        scores = np.empty((rows, len(self._constant)))
        scores[:] = self._constant
        if len(self._slopes):
            numbers = self._numbers.build(columns, rows)
            with np.errstate(over="ignore", invalid="ignore"):  # what is no number is refused below
                scores += numbers.T @ self._slopes
        for column, codes, weights in self._categories:
            values = columns[column.name]
            check_values(column, values)
            last = len(codes)  # the row of zeros: a category that was not seen in training
            scores += weights[[codes.get(value, last) for value in as_list(values)]]
        for name, convert in self._unused:
            convert(columns[name])  # refused here as everywhere, though it makes no difference to the answer
        if self._classes is None:
            answer = scores[:, 0]
        elif scores.shape[1] == 1:
            answer = self._classes[(scores[:, 0] > 0).astype(int)]
            if not np.isfinite(scores).all():
                answer = scores[:, 0]  # refused below: no class follows from no number
        else:
            answer = self._classes[scores.argmax(axis=1)]
        return normalise(answer, rows=rows, output=self._output)

    @staticmethod
    def _codes(table: dict[object, np.ndarray]) -> dict[object, int]:
        return {category: position for position, category in enumerate(table)}

    def _weights(self, table: dict[object, np.ndarray]) -> np.ndarray:
        import numpy as np

        return np.array([*table.values(), np.zeros(len(self._constant))])


def make_folded_engine(model: Any, schema: ModelSchema) -> FoldedEngine | None:  # Any: whatever was published
    """Return the engine, or `None` when the model is not made of parts that can be folded."""
    try:
        steps = [step for _, step in model.steps] if _is(model, "Pipeline") else [model]
        linear = steps[-1]
        if _is(linear, *_REGRESSIONS):
            classes = None
        elif _is(linear, *_CLASSIFICATIONS):
            classes = linear.classes_
        else:
            return None
        return FoldedEngine(_fold(steps[:-1], linear, schema), schema, classes)
    except _NotFoldable:
        return None


def _fold(transformers: list[Any], linear: Any, schema: ModelSchema) -> _Terms:  # Any: of scikit-learn
    import numpy as np

    weights = np.atleast_2d(np.asarray(linear.coef_, dtype=float))
    constant = np.atleast_1d(np.asarray(linear.intercept_, dtype=float)) * np.ones(len(weights))
    terms = _Terms(constant=constant.copy())
    by_name = {column.name: column for column in schema.inputs}
    if transformers and _is(transformers[0], "ColumnTransformer"):
        if len(transformers) > 1:
            raise _NotFoldable
        compose = transformers[0]
        for name, part, names in compose.transformers_:
            if name == "remainder" and isinstance(part, str) and part == "drop":
                continue
            block = weights[:, compose.output_indices_[name]]
            _add(terms, part, _names(names, schema), block, by_name)
        return terms
    first = transformers[0] if transformers else linear
    if tuple(getattr(first, "feature_names_in_", schema.names)) != schema.names:
        raise _NotFoldable
    _add_chain(terms, transformers, schema.names, weights, by_name)
    return terms


def _names(chosen: Any, schema: ModelSchema) -> tuple[str, ...]:  # Any: names or positions
    if isinstance(chosen, str):
        return (chosen,)
    found = tuple(chosen)
    if not all(isinstance(name, str) and name in schema.names for name in found):
        raise _NotFoldable
    return found


def _add(
    terms: _Terms, part: Any, names: tuple[str, ...], weights: np.ndarray, by_name: Mapping[str, Column]
) -> None:  # Any: of scikit-learn
    chain = [step for _, step in part.steps] if _is(part, "Pipeline") else [part]
    _add_chain(terms, chain, names, weights, by_name)


def _add_chain(
    terms: _Terms,
    chain: list[Any],  # Any: of scikit-learn
    names: tuple[str, ...],
    weights: np.ndarray,
    by_name: Mapping[str, Column],
) -> None:
    """Add what a chain of transformers makes of some columns, `weights` being those of its outputs."""
    import numpy as np

    if any(name in terms.slopes or name in terms.tables for name in names):
        raise _NotFoldable  # a column that is used twice
    if len(chain) == 1 and _is(chain[0], "OneHotEncoder"):
        _add_one_hot(terms, chain[0], names, weights, by_name)
        return
    if any(is_category(by_name[name]) or by_name[name].dtype not in NUMPY_DTYPES for name in names):
        raise _NotFoldable
    factor, shift = np.ones(len(names)), np.zeros(len(names))
    for step in chain:
        scale, offset = _affine(step, len(names))
        factor, shift = factor * scale, shift * scale + offset
    terms.constant += weights @ shift
    for position, name in enumerate(names):
        terms.slopes[name] = weights[:, position] * factor[position]


def _affine(step: Any, count: int) -> tuple[np.ndarray, np.ndarray]:  # Any: of scikit-learn
    """Return factor and offset of each column behind a transformer."""
    import numpy as np

    ones, zeros = np.ones(count), np.zeros(count)
    if step == "passthrough" or (_is(step, "FunctionTransformer") and step.func is None):
        return ones, zeros
    if _is(step, "StandardScaler"):
        scale = ones if step.scale_ is None else step.scale_
        mean = zeros if step.mean_ is None or not step.with_mean else step.mean_
        return 1 / scale, -mean / scale
    if _is(step, "MinMaxScaler") and not step.clip:
        return step.scale_, step.min_
    if _is(step, "MaxAbsScaler"):
        return 1 / step.scale_, zeros
    raise _NotFoldable


def _add_one_hot(
    terms: _Terms,
    encoder: Any,  # Any: of scikit-learn
    names: tuple[str, ...],
    weights: np.ndarray,
    by_name: Mapping[str, Column],
) -> None:
    import numpy as np

    # An encoder that raises on unseen categories has to raise; what groups rare ones is left to itself.
    if encoder.handle_unknown != "ignore" or encoder.drop is not None or encoder.max_categories is not None:
        raise _NotFoldable
    if encoder.min_frequency is not None:
        raise _NotFoldable
    start = 0
    for name, categories in zip(names, encoder.categories_, strict=True):
        if by_name[name].nullable or is_category(by_name[name]):
            raise _NotFoldable
        values = np.asarray(categories).tolist()
        if len(set(map(type, values))) > 1 or not isinstance(values[0], str | int):
            raise _NotFoldable
        terms.tables[name] = {value: weights[:, start + place] for place, value in enumerate(values)}
        start += len(values)


def _is(part: object, *names: str) -> bool:
    """Return whether a part is exactly one of scikit-learn's classes: a subclass may do anything."""
    kind = type(part)
    return kind.__name__ in names and kind.__module__.startswith("sklearn.")
