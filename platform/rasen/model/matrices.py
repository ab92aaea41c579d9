"""The numbers of a request as one matrix, in one step for all columns.

Column by column costs some microseconds each, which is more than a compiled model takes for its row. So all are judged
together, and only where something is unusual each is converted by itself: the same rules, and the message that names
the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.model.conversion import KINDS, Values, converter, is_array
from rasen.model.schema import Column

if TYPE_CHECKING:
    import numpy as np

_TYPES: dict[ColumnType, set[type]] = {
    ColumnType.BOOL: {bool},
    ColumnType.INT64: {int},
    ColumnType.FLOAT64: {int, float},
}
_EXACT = 2**53  # up to here a double is any whole number


class MatrixBuilder:
    """Builds matrices of some numeric columns of NumPy's dtypes; make one for each loaded model and keep it."""

    def __init__(self, columns: Sequence[Column]) -> None:
        import numpy as np

        self._names = [column.name for column in columns]
        self._converters = [converter(column) for column in columns]
        self._kinds = [KINDS[column.type] for column in columns]
        self._groups = [
            ([column.name for column in columns if (column.type, column.nullable) == group], allowed)
            for group in dict.fromkeys((column.type, column.nullable) for column in columns)
            for allowed in [_TYPES[group[0]] | ({type(None)} if group[1] else set())]
        ]
        self._nullable = [column.name for column in columns if column.nullable]
        self._whole = [n for n, column in enumerate(columns) if column.type is ColumnType.INT64]
        limits = [np.iinfo(column.dtype) for column in columns if column.type is ColumnType.INT64]
        self._least = max((max(int(limit.min), -_EXACT) for limit in limits), default=0)
        self._most = min((min(int(limit.max), _EXACT) for limit in limits), default=0)
        # What is narrower than a double is rounded, and may overflow, by itself.
        self._together = all(column.dtype not in ("float16", "float32") for column in columns)

    def build(self, columns: Mapping[str, Values], rows: int) -> np.ndarray:
        """Return doubles, one row of the matrix a column: `(columns, rows)`.

        Raises:
            InvalidInput: A value is not of its column's type.
        """
        import numpy as np

        given = [columns[name] for name in self._names]
        block = self._build_together(columns, given, rows) if self._together else None
        if block is None:
            block = np.empty((len(given), rows))
            for position, (values, convert) in enumerate(zip(given, self._converters, strict=True)):
                block[position] = convert(values)
        return block

    def _build_together(
        self, columns: Mapping[str, Values], given: list[Values], rows: int
    ) -> np.ndarray | None:
        """Return the matrix, or `None` when something has to be looked at more closely."""
        import numpy as np

        if any(map(is_array, given)):
            block = np.empty((len(given), rows))
            for position, (values, kinds) in enumerate(zip(given, self._kinds, strict=True)):
                if not is_array(values) or values.dtype.kind not in kinds or values.shape != (rows,):
                    return None
                block[position] = values
            nulls = 0  # where there is NaN, the converters say whether it may be there
        else:
            for names, allowed in self._groups:
                if not set(map(type, chain.from_iterable(columns[name] for name in names))) <= allowed:
                    return None
            try:
                block = np.array(given, dtype=np.float64)
            except (ValueError, OverflowError):
                return None
            if block.shape != (len(given), rows):
                return None
            nulls = sum(_count_nulls(columns[name]) for name in self._nullable)
        finite = np.isfinite(block)
        if not finite.all() and block.size - int(np.count_nonzero(finite)) != nulls:
            return None
        if self._whole:
            whole = block if len(self._whole) == len(block) else block[self._whole]
            if whole.size and (whole.min() < self._least or whole.max() > self._most):
                return None
        return block


def _count_nulls(values: Any) -> int:  # Any: a list or a tuple of JSON values
    found: int = values.count(None)
    return found


def to_rows(
    block: np.ndarray, dtype: Any
) -> np.ndarray:  # Any: NumPy's stubs know dtypes by literal name only
    """Return what `build` made as one row a row, in another precision; what is too large for it is infinite."""
    import numpy as np

    with np.errstate(over="ignore"):
        return np.ascontiguousarray(block.T, dtype=dtype)
