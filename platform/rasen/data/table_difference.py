"""Two Parquet files cell by cell: the same, the same within a tolerance, or where they differ first."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Outcome = Literal["identical", "equal", "different"]

TOLERANCE = 1e-6
"""Largest relative difference between two floats that count as equal."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two artifacts compare; `detail` names the first thing that differs, or by how much they do."""

    outcome: Outcome
    detail: str = ""


def compare_tables(left: bytes, right: bytes, *, without: str | None = None) -> Difference:
    """Compare two tables column by column; rows count from 0.

    Args:
        left: A Parquet file.
        right: Another one.
        without: Columns whose name begins with this are left out.
    """
    import pyarrow.parquet

    if left == right:
        return Difference(outcome="identical")
    tables = [pyarrow.parquet.read_table(io.BytesIO(data)) for data in (left, right)]
    if without is not None:
        tables = [
            table.select([name for name in table.column_names if not name.startswith(without)])
            for table in tables
        ]
    first, second = tables
    if first.column_names != second.column_names:
        return _different(f"columns: {first.column_names} → {second.column_names}")
    if first.num_rows != second.num_rows:
        return _different(f"rows: {first.num_rows:,} → {second.num_rows:,}")
    near = ""
    for name in first.column_names:
        found = _compare_column(name, first.column(name), second.column(name))
        if found.outcome == "different":
            return found
        near = near or found.detail
    if without is None and _noted(first) != _noted(second):
        return _different("the same values, but the dtypes that are noted beside them differ")
    return Difference(outcome="equal" if near else "identical", detail=near)


def _noted(table: pa.Table) -> dict[bytes, bytes]:
    """Return what a file notes beside its columns; of pandas's note, what it says of columns was compared."""
    return {name: text for name, text in (table.schema.metadata or {}).items() if name != b"pandas"}


def _compare_column(name: str, left: pa.ChunkedArray, right: pa.ChunkedArray) -> Difference:
    import numpy as np
    import pyarrow as pa

    if left.type != right.type:
        return _different(f"column {name!r}: type {left.type} → {right.type}")
    missing = [column.is_null().to_numpy() for column in (left, right)]
    if pa.types.is_floating(left.type):
        values = [column.to_numpy().astype(float) for column in (left, right)]
        same, close = _compare_floats(*values)
        same, close = ((mask & (missing[0] == missing[1])) for mask in (same, close))
        largest = _largest(*values, where=~same & close)
    else:
        texts = [column.to_pylist() for column in (left, right)]
        same = np.fromiter((a == b for a, b in zip(*texts, strict=True)), dtype=bool, count=len(left))
        close, largest = same, 0.0
    wrong = np.flatnonzero(~close)
    if wrong.size:
        row = int(wrong[0])
        more = f", and {wrong.size - 1:,} rows more" if wrong.size > 1 else ""
        return _different(f"column {name!r}, row {row}: {left[row].as_py()!r} → {right[row].as_py()!r}{more}")
    count = int(np.count_nonzero(~same))
    if not count:
        return Difference(outcome="identical")
    return Difference(
        outcome="equal",
        detail=f"column {name!r}: {count:,} rows differ by at most {largest:.1e} of their value",
    )


def _compare_floats(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where two arrays are the same, and where they are the same or nearly so; NaN is the same as NaN."""
    import numpy as np

    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        near = np.abs(left - right) <= TOLERANCE * np.maximum(np.abs(left), np.abs(right))
        near &= np.isfinite(left) & np.isfinite(right)
    return same, same | near


def _largest(left: np.ndarray, right: np.ndarray, *, where: np.ndarray) -> float:
    import numpy as np

    if not where.any():
        return 0.0
    size = np.maximum(np.abs(left[where]), np.abs(right[where]))
    return float(np.max(np.abs(left[where] - right[where]) / size))


def compare_numbers(left: float, right: float) -> Outcome:
    """Compare two numbers; NaN is the same as NaN."""
    if left == right or (left != left and right != right):  # noqa: PLR0124  # what only NaN is
        return "identical"
    finite = math.isfinite(left) and math.isfinite(right)
    near = finite and abs(left - right) <= TOLERANCE * max(abs(left), abs(right))
    return "equal" if near else "different"


def _different(detail: str) -> Difference:
    return Difference(outcome="different", detail=detail)
