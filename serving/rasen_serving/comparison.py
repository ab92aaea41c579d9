"""How a shadow's answers compare with those that were returned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from rasen_serving.messages import Compared

_KEPT = 16
_CLOSE = 1e-6


class Comparisons:
    """Sums by endpoint, version and ledger record."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, int], Compared] = {}

    def of(self, endpoint: str, model: str, revision: int) -> Compared:
        """Return the sums to be added to."""
        place = (endpoint, model, revision)
        found = self._sums.get(place)
        if found is None:
            known = [one for one in self._sums if one[0] == endpoint]
            if len(known) >= _KEPT:
                del self._sums[min(known, key=lambda one: one[2])]
            found = self._sums[place] = Compared(endpoint=endpoint, model=model, revision=revision)
        return found

    def merge(self, others: Iterable[Compared]) -> None:
        """Add the sums of somebody else."""
        for other in others:
            add(self.of(other.endpoint, other.model, other.revision), other)

    def all(self) -> list[Compared]:
        """Return all sums."""
        return list(self._sums.values())


def merged(lists: Iterable[Iterable[Compared]]) -> list[Compared]:
    """Return the sums of several workers together."""
    comparisons = Comparisons()
    for sums in lists:
        comparisons.merge(sums)
    return comparisons.all()


def add(sums: Compared, more: Compared) -> None:
    """Add to sums."""
    sums.answers += more.answers
    sums.equal += more.equal
    sums.numbers += more.numbers
    sums.difference += more.difference
    sums.dropped += more.dropped


def compare(returned: Sequence[Any], shadow: Sequence[Any], sums: Compared) -> None:  # Any: JSON values
    """Add the comparison of predictions, row by row; an object's values are compared one by one."""
    for one, other in zip(returned, shadow, strict=True):
        if isinstance(one, dict) and isinstance(other, dict):
            keys = sorted(one.keys() | other.keys())
            pairs = [(one.get(key), other.get(key)) for key in keys]
        else:
            pairs = [(one, other)]
        for left, right in pairs:
            sums.answers += 1
            if _is_number(left) and _is_number(right):
                difference = abs(left - right)
                sums.numbers += 1
                sums.difference += difference
                sums.equal += difference <= _CLOSE * max(1.0, abs(left), abs(right))
            else:
                sums.equal += left == right


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
