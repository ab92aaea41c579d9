"""What a worker counts of its answers, and how the supervisor adds the workers up.

Plain integers in a dictionary: a prometheus-client counter costs a lock and 2 µs a label set, and could not be added
up over processes without files. Cardinality is bounded: a path that names no endpoint counts under the empty name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from rasen_serving.messages import Series

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Label = tuple[str, str, str, int, str, str]
"""Endpoint, model, role, status, source, reason."""


class Counts:
    """Counts by label; they only grow."""

    def __init__(self) -> None:
        self._series: dict[Label, Series] = {}
        self.changed = False

    def add(
        self,
        *,
        endpoint: str,
        model: str,
        role: str,
        status: int,
        source: str,
        reason: str,
        rows: int,
        seconds: float,
    ) -> None:
        """Count one answer."""
        label = (endpoint, model, role, status, source, reason)
        series = self._series.get(label)
        if series is None:
            series = self._series[label] = _empty(label)
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
            label = (other.endpoint, other.model, other.role, other.status, other.source, other.reason)
            series = self._series.get(label)
            if series is None:
                series = self._series[label] = _empty(label)
            series.requests += other.requests
            series.rows += other.rows
            series.seconds += other.seconds
            series.buckets = [
                mine + theirs for mine, theirs in zip(series.buckets, other.buckets, strict=True)
            ]

    def series(self) -> list[Series]:
        """Return all counts."""
        return list(self._series.values())


def _empty(label: Label) -> Series:
    endpoint, model, role, status, source, reason = label
    return Series(
        endpoint=endpoint,
        model=model,
        role=role,
        status=status,
        source=source,
        reason=reason,
        requests=0,
        rows=0,
        seconds=0.0,
        buckets=[0] * len(BUCKETS_SECONDS),
    )
