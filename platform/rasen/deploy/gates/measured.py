"""The numbers that gates judge, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rasen.errors import RasenError
from rasen.tracking.records import Metric


class Unmeasured(RasenError):
    """A gate has no number to judge; `outcome` says in one word why."""

    def __init__(self, message: str, outcome: str) -> None:
        super().__init__(message, outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


class Measured:
    """What a run measured over all rows."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._values = {metric.name: metric.value for metric in metrics if not metric.slice}
        self._sliced = {metric.name for metric in metrics if metric.slice}

    def number(self, name: str) -> float:
        """Return the finite number that was logged under `name`.

        Raises:
            Unmeasured: It was not logged, or is no finite number.
        """
        if name not in self._values:
            only = " for all rows, only for slices" if name in self._sliced else ""
            known = ", ".join(sorted(self._values)) or "nothing"
            raise Unmeasured(f"metric {name!r} was not logged{only}; logged are: {known}", "missing")
        # Typed as a number, but read from a file that an analyst's process wrote: not believed.
        value: object = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unmeasured(f"metric {name!r} is {str(value)[:60]!r}, not a number", "not a number")
        if not math.isfinite(value):
            raise Unmeasured(f"metric {name!r} is {float(value)}, not a finite number", "not finite")
        return float(value)


def in_words(*values: float) -> list[str]:
    """Return the numbers with as few digits as keep different numbers different, at least four."""
    for digits in (4, 6, 9, 12):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            return texts
    return [repr(value) for value in values]
