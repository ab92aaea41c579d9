"""One column of a training table against the live version's: what has changed, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from rasen.deploy.gates.drift import Effect, ks, psi_of_categories, psi_of_numbers, rise
from rasen.pipeline_gates_contract import DataGate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST_CATEGORIES = 50
"""A column of text with more distinct values is free text or an identifier, as for the statistics of reads."""

_IDENTIFIER_SHARE = 0.95
_LISTED = 3

Kind: TypeAlias = Literal["bool", "int64", "float64", "string", "date", "timestamp", "empty", "other"]


@dataclass
class ColumnDrift:
    """What was found of one column.

    Args:
        name: The column's.
        problems: What is beyond a limit; empty when nothing is.
        notes: What is told and not judged.
        numbers: What was measured.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)


def compare_column(
    name: str, old: pa.ChunkedArray, new: pa.ChunkedArray, gate: DataGate, *, alpha: float
) -> ColumnDrift:
    """Return what has changed of a column, from `old` to `new`; both have rows.

    Dates and instants move by nature, and so do identifiers and free text: of these only NULLs and the type are
    compared, unless the gate names the column.
    """
    found = ColumnDrift(name)
    old, new = _plain(old), _plain(new)
    kinds = _kind(old.type), _kind(new.type)
    if "empty" not in kinds and kinds[0] != kinds[1]:
        sentence = f"was {_type_name(old.type)}, is {_type_name(new.type)}"
        if set(kinds) != {"int64", "float64"}:
            found.problems.append(sentence)
            return found
        found.notes.append(sentence)
    named = gate.columns is not None and name in gate.columns
    match kinds[0] if kinds[1] == "empty" else kinds[1]:
        case "int64" | "float64":
            before, after = _numbers(old), _numbers(new)
            _compare_nulls(
                found, len(old) - len(before), len(old), len(new) - len(after), len(new), gate, alpha
            )
            if not len(before) or not len(after):
                return found
            if not named and set(kinds) == {"int64"} and _identifies(before) and _identifies(after):
                found.notes.append(
                    "is an identifier, so only its NULLs are compared; name it in `columns` otherwise"
                )
                return found
            _compare_numbers(found, before, after, gate, alpha)
        case "bool" | "string":
            _compare_nulls(found, old.null_count, len(old), new.null_count, len(new), gate, alpha)
            if old.null_count < len(old) and new.null_count < len(new):
                _compare_categories(found, old, new, gate, alpha, named=named)
        case _:
            _compare_nulls(found, old.null_count, len(old), new.null_count, len(new), gate, alpha)
    return found


def _compare_nulls(
    found: ColumnDrift, old: int, old_rows: int, new: int, new_rows: int, gate: DataGate, alpha: float
) -> None:
    risen = rise(old, old_rows, new, new_rows, alpha=alpha)
    if old or new:
        found.numbers["nulls"] = new / new_rows
        found.numbers["champion_nulls"] = old / old_rows
    if risen.exceeds(gate.nulls):
        assert gate.nulls is not None  # it was exceeded
        found.problems.append(
            f"NULLs rose from {_percent(old / old_rows)} to {_percent(new / new_rows)} of the rows, by more than "
            f"{_percent(gate.nulls)}"
        )


def _compare_numbers(
    found: ColumnDrift, old: np.ndarray, new: np.ndarray, gate: DataGate, alpha: float
) -> None:
    _judge_effect(found, "psi", "PSI", psi_of_numbers(old, new, alpha=alpha), gate.psi)
    if gate.ks is not None:
        _judge_effect(found, "ks", "Kolmogorov-Smirnov distance", ks(old, new, alpha=alpha), gate.ks)


def _compare_categories(
    found: ColumnDrift,
    old: pa.ChunkedArray,
    new: pa.ChunkedArray,
    gate: DataGate,
    alpha: float,
    *,
    named: bool,
) -> None:
    import pyarrow.compute as pc

    if not named and pc.count_distinct(old).as_py() > MOST_CATEGORIES:
        found.notes.append(
            f"has more than {MOST_CATEGORIES} distinct texts, so only its NULLs are compared; name it in `columns` "
            "otherwise"
        )
        return
    before, after = _counts(old), _counts(new)
    _judge_effect(
        found, "psi", "PSI", psi_of_categories(before, after, most=MOST_CATEGORIES, alpha=alpha), gate.psi
    )
    strange = {value: count for value, count in after.items() if value not in before}
    old_rows, new_rows = sum(before.values()), sum(after.values())
    share = rise(0, old_rows, sum(strange.values()), new_rows, alpha=alpha)
    if strange:
        found.numbers["new_categories"] = share.size
        sentence = f"{_percent(share.size)} of the rows hold new values ({_list(strange)})"
        if share.exceeds(gate.new_categories):
            assert gate.new_categories is not None  # it was exceeded
            found.problems.append(f"{sentence}, more than {_percent(gate.new_categories)}")
        else:
            found.notes.append(sentence)
    gone = {value: count for value, count in before.items() if value not in after}
    if gone:
        found.numbers["vanished_categories"] = sum(gone.values()) / old_rows
        found.notes.append(f"values that are gone: {_list(gone)}")


def _judge_effect(found: ColumnDrift, key: str, words: str, effect: Effect, limit: float | None) -> None:
    found.numbers[key] = effect.size
    if effect.exceeds(limit):
        found.problems.append(f"{words} {effect.size:.3g} is above {limit:g}")
    elif limit is not None and effect.size > limit:
        found.notes.append(
            f"{words} {effect.size:.3g} is above {limit:g}, but so few rows reach {effect.chance:.3g} by chance"
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _kind(type_: pa.DataType) -> Kind:
    from pyarrow import types

    kinds: list[tuple[Kind, bool]] = [
        ("empty", types.is_null(type_)),
        ("bool", types.is_boolean(type_)),
        ("int64", types.is_integer(type_)),
        ("float64", types.is_floating(type_) or types.is_decimal(type_)),
        ("string", types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)),
        ("date", types.is_date(type_)),
        ("timestamp", types.is_timestamp(type_)),
    ]
    return next((kind for kind, holds in kinds if holds), "other")


def _type_name(type_: pa.DataType) -> str:
    kind = _kind(type_)
    return str(type_)[:40] if kind == "other" else kind


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return the values in ascending order, without NULL and NaN."""
    import numpy as np
    import pyarrow as pa

    values: np.ndarray = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
    return np.sort(values[~np.isnan(values)])


def _identifies(values: np.ndarray) -> bool:
    """Return whether nearly every row has a number of its own."""
    import numpy as np

    distinct = 1 + int(np.count_nonzero(np.diff(values)))
    return len(values) > MOST_CATEGORIES and distinct >= _IDENTIFIER_SHARE * len(values)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    import pyarrow as pa

    counted = column.drop_null().cast(pa.string()).value_counts()
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _list(counts: dict[str, int]) -> str:
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    rest = f" and {len(frequent) - _LISTED} more" if len(frequent) > _LISTED else ""
    return ", ".join(f"{value[:40]!r}" for value in frequent[:_LISTED]) + rest


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
