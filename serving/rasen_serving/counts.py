"""What a worker counts of its answers, and how the supervisor adds the workers up.

Plain integers in a dictionary: a prometheus-client counter costs a lock and 2 µs a label set, and could not be added
up over processes without files. Cardinality is bounded: a path that names no endpoint counts under the empty name, and
what was counted under an endpoint's older ledger records is folded into one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from rasen_serving.messages import Series

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

KEPT_REVISIONS = 16
"""So many of an endpoint's ledger records are counted apart: more than a rollout's step sees."""

FOLDED = 0
"""The revision under which older ones are counted."""

Label = tuple[str, str, str, int, int, str, str]
"""Endpoint, model, role, revision, status, source, reason."""


class Counts:
    """Counts by label; they only grow."""

    def __init__(self) -> None:
        self._series: dict[Label, Series] = {}
        self._revisions: dict[str, set[int]] = {}
        self.changed = False

    def add(
        self,
        *,
        endpoint: str,
        model: str,
        role: str,
        revision: int,
        status: int,
        source: str,
        reason: str,
        rows: int,
        seconds: float,
    ) -> None:
        """Count one answer."""
        label = (endpoint, model, role, revision, status, source, reason)
        series = self._of(label)
        series.requests += 1
        series.rows += rows
        series.seconds += seconds
        position = bisect_left(BUCKETS_SECONDS, seconds)
        if position < len(BUCKETS_SECONDS):
            series.buckets[position] += 1
        self.changed = True

    def merge(self, others: Iterable[Series]) -> None:
        """Add the counts of somebody else."""
        for other in others:
            label = label_of(other)
            series = self._of(label)
            series.requests += other.requests
            series.rows += other.rows
            series.seconds += other.seconds
            series.buckets = [
                mine + theirs for mine, theirs in zip(series.buckets, other.buckets, strict=True)
            ]

    def series(self) -> list[Series]:
        """Return all counts."""
        return list(self._series.values())

    def _of(self, label: Label) -> Series:
        return self._series.get(label) or self._new(label)

    def _new(self, label: Label) -> Series:
        """Begin to count what was not counted before; make room for it."""
        endpoint, revision = label[0], label[3]
        known = self._revisions.setdefault(endpoint, set())
        if revision != FOLDED and revision not in known:
            if len(known) == KEPT_REVISIONS:
                oldest = min(known)
                if revision < oldest:  # a late answer
                    return self._of((*label[:3], FOLDED, *label[4:]))
                self._fold(endpoint, oldest)
            known.add(revision)
        series = self._series[label] = _empty(label)
        return series

    def _fold(self, endpoint: str, revision: int) -> None:
        self._revisions[endpoint].discard(revision)
        old = [label for label in self._series if label[0] == endpoint and label[3] == revision]
        folded = [self._series.pop(label) for label in old]
        self.merge(relabelled(one, revision=FOLDED) for one in folded)


def added_up(lists: Iterable[Iterable[Series]]) -> list[Series]:
    """Return the counts of several workers together."""
    counts = Counts()
    for series in lists:
        counts.merge(series)
    return counts.series()


def label_of(series: Series) -> Label:
    """Return what the series counts."""
    return (
        *(series.endpoint, series.model, series.role),
        *(series.revision, series.status, series.source, series.reason),
    )


def relabelled(series: Series, **labels: str | int) -> Series:
    """Return the counts of a series under other labels."""
    return Series(
        **{
            "endpoint": series.endpoint,
            "model": series.model,
            "role": series.role,
            "revision": series.revision,
            "status": series.status,
            "source": series.source,
            "reason": series.reason,
            **labels,
        },  # type: ignore[arg-type]  # each label has its own type
        requests=series.requests,
        rows=series.rows,
        seconds=series.seconds,
        buckets=series.buckets,
    )


def _empty(label: Label) -> Series:
    endpoint, model, role, revision, status, source, reason = label
    return Series(
        endpoint=endpoint,
        model=model,
        role=role,
        revision=revision,
        status=status,
        source=source,
        reason=reason,
        requests=0,
        rows=0,
        seconds=0.0,
        buckets=[0] * len(BUCKETS_SECONDS),
    )
