"""Whether a table still is what it was in the last good run: named anomalies, each with the words that accept it.

An alarm that is not meant stops a training for nothing, and after the third nobody reads the fourth. So every rule asks
two questions: is the change large enough to matter, and could rows of the same origin show it by chance? Both must
speak against the table, save for what no chance explains (a column gone, a text never seen before). Three things move
without anything being wrong:

* The window of a scheduled query. Dates and instants therefore have no range, only a newest value that must not go
  back. A column that runs along with one of them (a serial number) may go on beyond its range, and a part of one (a
  month) has none.
* The parameters. With others than the last good run's, a longer or shorter window is meant: too few or too many rows
  are then an anomaly only if the rows per day of some date or timestamp column have changed as much. Without such a
  column it takes a tenth or tenfold. The newest value may go back, unless the oldest moved forward. Ranges are wider
  by a tenth at either end, because May is warmer than April.
* Rare texts. The share of rows with texts nobody has seen is about the share of texts seen only once or twice
  (Good, 1953): so many are let pass. Where all texts were frequent, the first row of a new one is an anomaly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType, table_from_frame
from rasen.data.statistics import ColumnStatistics, TableStatistics
from rasen.data.time_columns import direction_in_time, is_date_part
from rasen.errors import InvalidInput
from rasen.suggestion import nearest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TABLE = "rows"  # stands before the colon when the anomaly is of the table and not of a column
_OUTSIDE_SHARE = 0.01
_OUTSIDE_CHANCE = 1e-4
_MOVED_MARGIN = 0.1
_NULLS_STANDARD_ERRORS = 4
_ROWS_STANDARD_ERRORS = 3
_VALUES_SHOWN = 5
_VALUE_CHARACTERS = 40


class AnomalyKind(StrEnum):
    """What is wrong; the values are the words after the colon of `accept=`."""

    MISSING = "missing"
    ADDED = "added"
    TYPE_CHANGED = "type changed"
    MORE_NULLS = "more nulls"
    OUTSIDE_RANGE = "outside range"
    NEW_CATEGORIES = "new categories"
    OLDER = "older"
    FEWER = "fewer"
    MORE = "more"


_TABLE_KINDS = (AnomalyKind.FEWER, AnomalyKind.MORE)
_FORMS = tuple(f"{_TABLE if kind in _TABLE_KINDS else '<column>'}: {kind}" for kind in AnomalyKind)


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """One way in which a table is not what it was.

    Attributes:
        column: The column, or `None` when it is of the table as a whole.
        kind: What is wrong.
        message: One line with the numbers, for the analyst; it does not name the column.
    """

    column: str | None
    kind: AnomalyKind
    message: str

    @property
    def accept(self) -> str:
        """What to write into `accept=` if this is as it should be."""
        return f"{_TABLE if self.column is None else self.column}: {self.kind}"


def check_accept(accept: Sequence[str]) -> None:
    """Refuse words that accept nothing because no anomaly is written so.

    A column that does not exist is not refused: once its removal was accepted it is unknown to the next run too.

    Raises:
        InvalidInput: One of them has not the form of an anomaly; the message lists the forms.
    """
    if isinstance(accept, str):
        raise InvalidInput(f"accept={accept!r} is one text; it takes a list: accept=[{accept!r}]")
    for words in accept:
        column, _, kind = str(words).rpartition(": ")
        if column and kind in set(AnomalyKind) and (kind not in _TABLE_KINDS or column == _TABLE):
            continue
        column, _, kind = str(words).rpartition(":")
        close = nearest(kind.strip(), AnomalyKind)
        meant = ""
        if close is not None:
            place = _TABLE if close in _TABLE_KINDS else column.strip() or "<column>"
            meant = f"; did you mean {f'{place}: {close}'!r}?"
        raise InvalidInput(
            f"accept={words!r} names no anomaly{meant} (anomalies are written {', '.join(map(repr, _FORMS))})"
        )


def compare(
    frame: pd.DataFrame,
    statistics: TableStatistics,
    last_good: TableStatistics,
    *,
    parameters_changed: bool,
    accept: Sequence[str] = (),
) -> list[Anomaly]:
    """Return how a table differs from what it was in the last good run, apart from what was accepted.

    Args:
        frame: The table.
        statistics: Its own, from `describe`.
        last_good: Those of the same read in the last good run.
        parameters_changed: Whether the query had other parameters then, as a scheduled one has every day.
        accept: Anomalies that are as they should be, in the words of `Anomaly.accept`.

    Raises:
        InvalidInput: Something in `accept` has not the form of an anomaly.
    """
    check_accept(accept)
    table = table_from_frame(frame, origin="table")
    return [
        anomaly
        for anomaly in _find(table, statistics, last_good, parameters_changed=parameters_changed)
        if anomaly.accept not in accept
    ]


def format_anomalies(name: str, anomalies: Sequence[Anomaly], last_good_run: str) -> str:
    """Return the message that ends a run: what differs, and what to write if it is as it should be.

    Args:
        name: What the read is called.
        anomalies: At least one.
        last_good_run: The run that the read was compared with.
    """
    points = "1 point" if len(anomalies) == 1 else f"{len(anomalies)} points"
    lines = [
        f"  {_TABLE if anomaly.column is None else anomaly.column}: {anomaly.message}"
        for anomaly in anomalies
    ]
    return "\n".join(
        [
            f"what was read as {name!r} differs from the last good run {last_good_run} in {points}:",
            *lines,
            f"If this is as it should be, say so where it is read: accept={[each.accept for each in anomalies]!r}",
        ]
    )


def _find(
    table: pa.Table, now: TableStatistics, last: TableStatistics, *, parameters_changed: bool
) -> Iterator[Anomaly]:
    yield from _compare_rows(now, last, parameters_changed=parameters_changed)
    for name, before in last.columns.items():
        after = now.columns.get(name)
        if after is None:
            yield Anomaly(
                column=name,
                kind=AnomalyKind.MISSING,
                message=f"the column is missing; the last good run had it as {before.type}",
            )
            continue
        rows = _Rows(
            table=table,
            column=name,
            after=after,
            before=before,
            rows_after=now.rows,
            rows_before=last.rows,
            parameters_changed=parameters_changed,
        )
        if rows.known_after and rows.known_before and after.type is not before.type:
            yield Anomaly(
                column=name,
                kind=AnomalyKind.TYPE_CHANGED,
                message=f"the type is {after.type}, in the last good run it was {before.type}",
            )
        elif now.rows and last.rows:
            yield from rows.compare()
    for name, after in now.columns.items():
        if name not in last.columns:
            yield Anomaly(
                column=name,
                kind=AnomalyKind.ADDED,
                message=f"the column, of type {after.type}, is new since the last good run",
            )


def _compare_rows(
    now: TableStatistics, last: TableStatistics, *, parameters_changed: bool
) -> Iterator[Anomaly]:
    if not last.rows or abs(now.rows - last.rows) < _ROWS_STANDARD_ERRORS * math.sqrt(now.rows + last.rows):
        if last.rows and not now.rows:
            yield Anomaly(column=None, kind=AnomalyKind.FEWER, message=_count_message(now, last))
        return
    ratios = [now.rows / last.rows]
    factor = 2
    if parameters_changed and now.rows:
        spans = list(_spans(now, last))
        ratios += [ratios[0] * before / after for after, before in spans]
        factor = 2 if spans else 10
    if max(ratios) < 1 / factor:
        yield Anomaly(column=None, kind=AnomalyKind.FEWER, message=_count_message(now, last))
    elif min(ratios) > factor:
        yield Anomaly(column=None, kind=AnomalyKind.MORE, message=_count_message(now, last))


def _count_message(now: TableStatistics, last: TableStatistics) -> str:
    return f"there are {now.rows:,} rows, in the last good run there were {last.rows:,}"


def _spans(now: TableStatistics, last: TableStatistics) -> Iterator[tuple[float, float]]:
    """Yield the days that each date or timestamp column covers, now and in the last good run."""
    for name, after in now.columns.items():
        before = last.columns.get(name)
        if before is not None and after.type is before.type:
            days_after, days_before = _days_covered(after), _days_covered(before)
            if days_after and days_before:
                yield days_after, days_before


def _days_covered(column: ColumnStatistics) -> float:
    if column.oldest is None or column.newest is None:
        return 0.0
    span = datetime.fromisoformat(column.newest) - datetime.fromisoformat(column.oldest)
    whole_day = 1.0 if column.type is ColumnType.DATE else 1 / 24
    return span.total_seconds() / 86_400 + whole_day


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """One column that both runs have, of a type that has not changed."""

    table: pa.Table
    column: str
    after: ColumnStatistics
    before: ColumnStatistics
    rows_after: int
    rows_before: int
    parameters_changed: bool

    @property
    def known_after(self) -> int:
        return self.rows_after - self.after.nulls

    @property
    def known_before(self) -> int:
        return self.rows_before - self.before.nulls

    def compare(self) -> Iterator[Anomaly]:
        yield from self._nulls()
        if self.known_after and self.known_before:
            yield from self._range()
            yield from self._categories()
            yield from self._newest()

    def _nulls(self) -> Iterator[Anomaly]:
        share, usual = self.after.nulls / self.rows_after, self.before.nulls / self.rows_before
        pooled = (self.after.nulls + self.before.nulls) / (self.rows_after + self.rows_before)
        error = math.sqrt(pooled * (1 - pooled) * (1 / self.rows_after + 1 / self.rows_before))
        # Twenty points instead of one are much, twenty-one instead of twenty are not.
        large = min(max(0.01, usual / 2), 0.10)
        if share - usual > max(large, _NULLS_STANDARD_ERRORS * error):
            yield Anomaly(
                column=self.column,
                kind=AnomalyKind.MORE_NULLS,
                message=f"{_count(self.after.nulls, self.rows_after)} are NULL, "
                f"in the last good run {_percent(usual)} were",
            )

    def _range(self) -> Iterator[Anomaly]:
        import pyarrow as pa
        import pyarrow.compute as pc

        low, high = self.before.min, self.before.max
        if low is None or high is None or self.after.min is None or self.after.max is None:
            return
        margin = (high - low) * _MOVED_MARGIN if self.parameters_changed else 0
        if low - margin <= self.after.min and self.after.max <= high + margin:
            return
        values = self.table.column(self.column)
        is_below = pc.less(values, pa.scalar(low - margin))
        is_above = pc.greater(values, pa.scalar(high + margin))
        below, above = pc.sum(is_below).as_py(), pc.sum(is_above).as_py()
        if not self._is_too_many_outside(below + above):
            return
        if is_date_part(self.table.filter(pc.or_(is_below, is_above)), self.column):
            return
        direction = direction_in_time(self.table, self.column)
        if direction and self.parameters_changed:
            return
        outside = {1: below, -1: above, 0: below + above}[direction]
        if self._is_too_many_outside(outside):
            yield Anomaly(
                column=self.column,
                kind=AnomalyKind.OUTSIDE_RANGE,
                message=f"{_count(outside, self.rows_after)} lie outside the last good run's range from "
                f"{_number(low)} to {_number(high)}; now from {_number(self.after.min)} to {_number(self.after.max)}",
            )

    def _is_too_many_outside(self, count: int) -> bool:
        """Return whether so many rows outside the range matter, and whether chance would hardly put them there.

        Of rows of one origin, those beyond the two extremes of earlier ones follow a negative binomial distribution,
        whatever their own (Wilks, Statistical Prediction with Special Reference to the Problem of Tolerance Limits,
        1942): with `share` new rows among all, `count` or more lie there with this probability.
        """
        share = self.known_after / (self.known_after + self.known_before)
        chance = math.exp(count * math.log(share)) * (1 + count * (1 - share))
        return count > _OUTSIDE_SHARE * self.rows_after and chance < _OUTSIDE_CHANCE

    def _categories(self) -> Iterator[Anomaly]:
        import pyarrow as pa
        import pyarrow.compute as pc

        known = self.before.categories
        if known is None or (
            self.after.categories is not None and self.after.categories.keys() <= known.keys()
        ):
            return
        known_values = pa.array([*sorted(known), None], pa.string())
        new = self.table.filter(pc.invert(pc.is_in(self.table.column(self.column), known_values)))
        counts = {
            each["values"]: each["counts"] for each in new.column(self.column).value_counts().to_pylist()
        }
        rare = sum(count <= 2 for count in known.values())
        expected = self.known_after * rare / self.known_before
        if new.num_rows <= (expected and expected + 4 * math.sqrt(expected) + 3):
            return
        if is_date_part(new, self.column):
            return
        direction = direction_in_time(self.table, self.column)
        if direction and self.parameters_changed:
            return
        if direction:
            counts = {
                value: count
                for value, count in counts.items()
                if (value < max(known) if direction > 0 else value > min(known))
            }
        if counts:
            often = sorted(counts, key=lambda value: (-counts[value], value))
            shown = ", ".join(
                f"{value!r:.{_VALUE_CHARACTERS}} ({counts[value]:,})" for value in often[:_VALUES_SHOWN]
            )
            more = f" and {len(often) - _VALUES_SHOWN} more" if len(often) > _VALUES_SHOWN else ""
            yield Anomaly(
                column=self.column,
                kind=AnomalyKind.NEW_CATEGORIES,
                message=f"{_count(sum(counts.values()), self.rows_after)} hold what the last good run did not know: "
                f"{shown}{more}",
            )

    def _newest(self) -> Iterator[Anomaly]:
        after, before = self.after, self.before
        if not (after.newest and before.stale_before and _is_later(before.stale_before, after.newest)):
            return
        moved_forward = after.oldest and before.moved_after and _is_later(after.oldest, before.moved_after)
        if not self.parameters_changed or moved_forward:
            yield Anomaly(
                column=self.column,
                kind=AnomalyKind.OLDER,
                message=f"the newest value is {after.newest}, in the last good run it was {before.newest}",
            )


def _count(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows ({_percent(count / rows)})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _is_later(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) > datetime.fromisoformat(other)
