"""Rows that stand on the thresholds of a model's trees: where an engine that rounds otherwise is found out.

A tree behind a scaler compares what the scaler made of a value, so the threshold has to be found in the column that a
client sends. It is found by halving, with the model's own transformers: of any two neighbouring numbers between which
the answer of the comparison changes, both become rows.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.model.conversion import is_category
from rasen.model.frames import FrameBuilder
from rasen.model.schema import Column, ModelSchema
from rasen.model.trees import Ensemble, read_trees

if TYPE_CHECKING:
    import numpy as np

Values = Mapping[str, Sequence[Any]]  # Any: JSON values

_HALVINGS = 80  # enough between any two doubles of one sign


def threshold_rows(
    real: Values, model: Any, schema: ModelSchema, chooser: random.Random, *, count: int
) -> dict[str, list[Any]]:  # Any: whatever was published, and JSON values
    """Return up to `count` real rows, each with one value moved to the edge of a threshold; none for other models.

    Args:
        real: Rows to start from, at least one.
        model: What was published.
        schema: Its contract.
        chooser: Chooses rows and thresholds.
        count: How many at most.
    """
    nothing: dict[str, list[Any]] = {name: [] for name in schema.names}
    is_pipeline = type(model).__name__ == "Pipeline" and type(model).__module__.startswith("sklearn.")
    transformers = model[:-1] if is_pipeline and len(model) > 1 else None
    try:
        ensemble = read_trees(model[-1] if is_pipeline else model)
        if ensemble is None:
            return nothing
        return _Search(real, schema, transformers, ensemble, chooser).find(count // 2)
    except Exception:  # noqa: BLE001  # transformers are anybody's code, and these rows only a part of what is compared
        return nothing


class _Search:
    """Looks for the numbers where a comparison changes."""

    def __init__(
        self, real: Values, schema: ModelSchema, transformers: Any, ensemble: Ensemble, chooser: random.Random
    ) -> None:  # Any: of scikit-learn
        self._real = real
        self._schema = schema
        self._builder = FrameBuilder(schema)
        self._transformers = transformers
        self._ensemble = ensemble
        self._chooser = chooser
        self._ranges = {
            column.name: found
            for column in schema.inputs
            if column.type in (ColumnType.FLOAT64, ColumnType.INT64)
            and not is_category(column)
            and (found := _range(column, real[column.name])) is not None
        }

    def find(self, count: int) -> dict[str, list[Any]]:  # Any: JSON values
        import numpy as np

        sources = self._sources()
        splits = [split for split in self._splits(count) if split[0] in sources]
        if not splits:
            return {name: [] for name in self._schema.names}
        chosen = [self._chooser.choice(splits) for _ in range(count)]
        names = np.array([sources[feature] for feature, _ in chosen])
        features = np.array([feature for feature, _ in chosen])
        thresholds = np.array([threshold for _, threshold in chosen])
        rows = self._rows(count)
        low = np.array([self._ranges[name][0] for name in names])
        high = np.array([self._ranges[name][1] for name in names])
        whole = np.array([self._ranges[name][2] for name in names])

        def goes_left(at: np.ndarray) -> np.ndarray:
            return self._goes_left(self._moved(rows, names, at), features, thresholds)

        left = goes_left(low)
        between = left != goes_left(high)
        for _ in range(_HALVINGS):
            middle = low + (high - low) / 2
            middle = np.where(whole, np.floor(middle), middle)
            if ((middle == low) | (middle == high) | ~between).all():
                break
            same = goes_left(middle) == left
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        below, above = (self._moved(rows, names, at) for at in (low, high))
        kept = np.flatnonzero(between).tolist()
        return {
            name: [found[name][row] for found in (below, above) for row in kept]
            for name in self._schema.names
        }

    def _splits(self, count: int) -> list[tuple[int, float]]:
        """Return feature and threshold of so many inner nodes as are worth looking at."""
        import numpy as np

        found: set[tuple[int, float]] = set()
        trees = list(self._ensemble.trees)
        self._chooser.shuffle(trees)
        for tree in trees:
            inner = tree.left >= 0
            thresholds = tree.threshold[inner].astype(np.float64)
            found.update(zip(tree.feature[inner].tolist(), thresholds.tolist(), strict=True))
            if len(found) > 10 * count:
                break
        return sorted(found)

    def _sources(self) -> dict[int, str]:
        """Return the column behind each feature that comes from one number alone."""
        import numpy as np

        if self._transformers is None:
            return {
                position: name for position, name in enumerate(self._schema.names) if name in self._ranges
            }
        names = list(self._ranges)
        rows = self._rows(len(names), same=True)
        every = np.array(names)
        low, high = (
            self._features(self._moved(rows, every, np.array([self._ranges[name][side] for name in names])))
            for side in (0, 1)
        )
        changed = low != high
        alone = changed.sum(axis=0) == 1
        return {int(feature): names[int(changed[:, feature].argmax())] for feature in np.flatnonzero(alone)}

    def _rows(self, count: int, *, same: bool = False) -> dict[str, list[Any]]:  # Any: JSON values
        available = len(self._real[self._schema.names[0]])
        chosen = [0 if same else self._chooser.randrange(available) for _ in range(count)]
        return {name: [self._real[name][row] for row in chosen] for name in self._schema.names}

    def _moved(
        self, rows: Mapping[str, list[Any]], names: np.ndarray, at: np.ndarray
    ) -> dict[str, list[Any]]:  # Any: JSON values
        """Return the rows with one value each replaced: that of the column in `names`."""
        moved = {name: list(values) for name, values in rows.items()}
        for row, (name, value) in enumerate(zip(names.tolist(), at.tolist(), strict=True)):
            moved[name][row] = int(value) if self._ranges[name][2] else value
        return moved

    def _features(self, columns: Values) -> np.ndarray:
        import numpy as np

        made: Any = self._builder.build(columns)  # Any: a DataFrame, or what the transformers make of it
        if self._transformers is not None:
            made = self._transformers.transform(made)
        if hasattr(made, "toarray"):
            made = made.toarray()
        matrix: np.ndarray = np.asarray(made)
        return matrix

    def _goes_left(self, columns: Values, features: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        import numpy as np

        values = self._features(columns)[np.arange(len(features)), features]
        if self._ensemble.rounded:
            values = values.astype(np.float32)
        values = values.astype(np.float64)
        left: np.ndarray = values < thresholds if self._ensemble.strict else values <= thresholds
        return left


def _range(column: Column, values: Sequence[Any]) -> tuple[float, float, bool] | None:  # Any: JSON numbers
    """Return numbers to either side of what a column holds, and whether it holds whole ones."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    low, high = float(min(numbers)), float(max(numbers))
    margin = (high - low) or 1.0
    if column.type is ColumnType.FLOAT64:
        return low - margin, high + margin, False
    return float(int(low)), float(int(high)), True  # beyond might not fit into the column
