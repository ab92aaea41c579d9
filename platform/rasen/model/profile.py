"""The statistical baseline beside a model: a mean for each group, data and never code.

It is the yardstick of the gates and the fallback of serving, so it must answer when the model cannot: a profile is
read from JSON, needs no pandas for a request, and has an answer for every key. A row gets the mean of its own group;
where the group was not seen, of the coarser one (`by` without its last column), and in the end of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.conversion import json_values
from rasen.model.dtypes import classify

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MOST_LEVELS = 200_000
_VALUE = "\0value"  # no column of a frame that can be published is called that
_KEY_TYPES = (ColumnType.BOOL, ColumnType.INT64, ColumnType.FLOAT64, ColumnType.STRING, ColumnType.DATE)

KeyValue: TypeAlias = bool | int | str
Key: TypeAlias = tuple[KeyValue, ...]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Means by group.

    Args:
        by: Columns of the request, coarsest first.
        levels: For the values of `by`, or of its first columns, the mean and the number of rows behind it.
        default: The mean of all rows, for a group never seen at any level.
    """

    by: tuple[str, ...]
    levels: Mapping[Key, tuple[float, int]]
    default: float

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return one number a row, shape `(rows,)`.

        Raises:
            InvalidInput: A column of `by` is missing or has a type that cannot be a key.
        """
        return self.predict_columns(_key_columns(frame, self.by), rows=len(frame))

    def coverage(self, frame: pd.DataFrame) -> float:
        """Return the share of rows whose own group was seen, not only a coarser one; 1 for a profile of no columns.

        Raises:
            InvalidInput: A column of `by` is missing or has a type that cannot be a key.
        """
        keys = list(zip(*_key_columns(frame, self.by).values(), strict=True))
        known = sum(key in self.levels for key in keys)
        return known / len(keys) if keys else 1.0

    def predict_columns(self, columns: Mapping[str, Sequence[object]], *, rows: int) -> np.ndarray:
        """Return one number a row for columns of JSON values, shape `(rows,)`; missing values are `None`.

        Args:
            columns: At least those of `by`; one that is missing counts as all `None`.
            rows: The number of rows, which `columns` cannot tell when `by` is empty.
        """
        import numpy as np

        known = self._means
        keys = [
            [
                each.isoformat() if isinstance(each, date) else each
                for each in columns.get(name, [None] * rows)
            ]
            for name in self.by
        ]
        answers = [known[key] for key in zip(*keys, strict=True)] if keys else [self.default] * rows
        return np.array(answers, dtype="float64")

    @cached_property
    def _means(self) -> _Means:
        return _Means({key: mean for key, (mean, _) in self.levels.items()}, self.default)

    def to_dict(self) -> dict[str, object]:
        """Return the profile as JSON, finest levels first."""
        ordered = sorted(self.levels.items(), key=lambda item: (-len(item[0]), _order(item[0])))
        return {
            "format": 1,
            "by": list(self.by),
            "levels": [[list(key), mean, count] for key, (mean, count) in ordered],
            "default": self.default,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # Any: JSON, each field checked below
        """Build the profile from JSON.

        Raises:
            InvalidInput: The format is unknown, or a field is missing or wrong.
        """
        if data.get("format", 1) != 1:
            raise InvalidInput(f"the profile has format {data['format']!r}; this version reads 1")
        try:
            by = tuple(data["by"])
            levels = {tuple(key): (float(mean), int(count)) for key, mean, count in data["levels"]}
            default = float(data["default"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"not a profile ({error}); one looks like "
                '{"by": ["origin", "hour"], "levels": [[["JFK", 7], 31.2, 412]], "default": 9.8}'
            ) from None
        too_long = [key for key in levels if not 0 < len(key) <= len(by)]
        if too_long or not all(isinstance(name, str) for name in by):
            raise InvalidInput(f"the profile's keys {too_long[:1]!r} must name the first of {list(by)!r}")
        if not all(map(math.isfinite, [default, *(mean for mean, _ in levels.values())])):
            raise InvalidInput("the profile holds a number that is not finite")
        return cls(by=by, levels=levels, default=default)


class _Means(dict[Any, float]):  # Any: a request's key may be anything, found or not
    """Means by key that learn the answer for a key never seen: the longest shorter one that is known.

    Bounded, because keys come from clients.
    """

    def __init__(self, means: Mapping[Key, float], default: float) -> None:
        super().__init__(means)
        self._default = default
        self._most = 2 * len(means) + 1000

    def __missing__(self, key: tuple[object, ...]) -> float:
        answer = self._default
        for length in range(len(key) - 1, 0, -1):
            if key[:length] in self:
                answer = self[key[:length]]
                break
        if len(self) < self._most:
            self[key] = answer
        return answer


def build_profile(frame: pd.DataFrame, *, by: Sequence[str], target: str) -> Profile:
    """Return the mean of `target` for each group of rows, and for each coarser group.

    Rows whose target is missing do not count; a row whose key is missing counts for the coarser groups only.

    Args:
        frame: Training rows.
        by: Columns of the request, coarsest first, for example `["origin", "hour"]`.
        target: The column to average: numbers, or true and false.

    Raises:
        InvalidInput: A column is missing or of the wrong type, no target is known, or there are too many groups.
    """
    names = [by] if isinstance(by, str) else list(by)
    absent = [name for name in [*names, target] if name not in frame.columns]
    if absent:
        raise InvalidInput(
            f"column {absent[0]!r} is not in the frame; it has {', '.join(map(str, frame.columns))}"
        )
    if not names or len(set(names)) != len(names):
        raise InvalidInput(f"by={names!r} must name one column or more, each once")
    kind, _ = classify(frame[target], where=f"target {target!r}")
    if kind not in (ColumnType.BOOL, ColumnType.INT64, ColumnType.FLOAT64):
        raise InvalidInput(
            f"target {target!r} is {kind.value}; a profile averages numbers, or true and false"
        )
    _key_columns(frame.head(0), names)
    values = frame[target].astype("Float64").to_numpy(dtype="float64", na_value=float("nan"))
    rows = frame[names].assign(**{_VALUE: values}).dropna(subset=[_VALUE])
    default = float(rows[_VALUE].mean()) if len(rows) else math.nan
    if not math.isfinite(default):
        raise InvalidInput(
            f"target {target!r} has no finite mean over {len(rows)} rows: nothing to build a profile from"
        )
    levels: dict[Key, tuple[float, int]] = {}
    for length in range(1, len(names) + 1):
        levels |= _level(rows, names[:length])
        if len(levels) > MOST_LEVELS:
            raise InvalidInput(
                f"a profile by {names[:length]!r} has {len(levels)} groups, {MOST_LEVELS} are the most; "
                "choose coarser columns"
            )
    return Profile(by=tuple(names), levels=levels, default=default)


def _level(rows: pd.DataFrame, names: list[str]) -> dict[Key, tuple[float, int]]:
    groups = rows.groupby(names, observed=True, sort=True)[_VALUE]
    means, counts = groups.mean(), groups.count()
    keys = zip(*_key_columns(means.index.to_frame(index=False), names).values(), strict=True)
    return dict(zip(keys, zip(means.tolist(), counts.tolist(), strict=True), strict=True))


def _key_columns(frame: pd.DataFrame, by: Sequence[str]) -> dict[str, list[Any]]:  # Any: checked keys
    """Return the key columns as JSON values; whole floats become integers, as they are in a request."""
    columns = {}
    for name in by:
        if name not in frame.columns:
            raise InvalidInput(f"column {name!r} is missing; the profile needs {', '.join(by)}")
        kind, _ = classify(frame[name], where=f"column {name!r}")
        if kind not in _KEY_TYPES:
            raise InvalidInput(
                f"column {name!r} is {kind.value}: a profile groups by text, whole numbers, bool and dates; "
                "derive the hour or the day first"
            )
        values = json_values(frame[name], kind)
        if kind is ColumnType.FLOAT64:
            values = [_whole(name, value) for value in values]
        columns[name] = values
    return columns


def _whole(name: str, value: Any) -> int | None:  # Any: a float or None
    if value is None:
        return None
    if value != int(value):
        raise InvalidInput(
            f"column {name!r} holds {value!r}: a profile groups by whole numbers; round or bin it first"
        )
    return int(value)


def _order(key: Key) -> list[tuple[str, KeyValue]]:
    return [(type(value).__name__, value) for value in key]
