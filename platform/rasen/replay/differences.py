"""How far two lots of answers to the same rows are apart.

Equal means what it means everywhere in Rasen: numbers with a fraction within 1e-6 of one another, because the size of a
batch changes their last bits, everything else exactly. A row that one side has no answer to is counted apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from rasen.model.predictions import RELATIVE_TOLERANCE
from rasen.replay.asking import Answer

_ABSOLUTE_TOLERANCE = 1e-12  # as rasen.model.predictions has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that two versions answer differently.

    Args:
        row: Position of the row.
        size: The largest distance of two numbers in it; infinity where something else than a number differs.
    """

    row: int
    size: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Absolute distances of one number, over the rows that both answer."""

    mean: float
    median: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two lots of answers.

    Args:
        compared: Rows that both sides answer.
        identical: Of these, answered equally to the last bit.
        equal: Of these, answered equally within the tolerance, the identical ones included.
        differences: The others, largest first.
        problems: Rows that a side does not answer, by the reason.
        spreads: For each field with numbers, `""` for the one value of a scalar output.
        confusion: For each field with classes: how often which class was answered by the one and which by the other.
    """

    compared: int
    identical: int
    equal: int
    differences: list[Difference] = field(default_factory=list)
    problems: dict[str, int] = field(default_factory=dict)
    spreads: dict[str, Spread] = field(default_factory=dict)
    confusion: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)

    @property
    def share_equal(self) -> float:
        """Equal rows among the compared ones, between 0 and 1; 1 when there are none."""
        return self.equal / self.compared if self.compared else 1.0


def compare_answers(left: Sequence[Answer], right: Sequence[Answer]) -> Comparison:
    """Compare two lots of answers to the same rows, in the same order."""
    identical = equal = compared = 0
    differences: list[Difference] = []
    problems: Counter[str] = Counter()
    distances: dict[str, list[float]] = {}
    confusion: dict[str, Counter[tuple[str, str]]] = {}
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        problem = one.problem or other.problem
        if problem:
            problems[problem] += 1
            continue
        compared += 1
        if same_answer(one.value, other.value):
            equal += 1
            identical += is_identical(one.value, other.value)
        else:
            differences.append(Difference(row=row, size=_distance(one.value, other.value)))
        for name, first, second in _fields(one.value, other.value):
            if _is_number(first) and _is_number(second):
                distances.setdefault(name, []).append(abs(first - second))
            elif isinstance(first, str | bool) and isinstance(second, str | bool):
                confusion.setdefault(name, Counter())[_text(first), _text(second)] += 1
    differences.sort(key=lambda one: (-one.size, one.row))
    return Comparison(
        compared=compared,
        identical=identical,
        equal=equal,
        differences=differences,
        problems=dict(problems.most_common()),
        spreads={
            name: Spread(mean=fmean(found), median=median(found), largest=max(found))
            for name, found in distances.items()
        },
        confusion={name: dict(found.most_common()) for name, found in confusion.items()},
    )


def same_answer(one: Any, other: Any) -> bool:  # Any: JSON values
    """Return whether two answers are equal within the tolerance."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_answer(one[name], other[name]) for name in one)
    if _is_number(one) and _is_number(other) and (isinstance(one, float) or isinstance(other, float)):
        return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE)
    return is_identical(one, other)


def is_identical(one: Any, other: Any) -> bool:  # Any: JSON values
    """Return whether two answers are equal to the last bit; 1 is 1.0, and not true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_identical(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def numbers_of(answers: Sequence[Answer], name: str) -> list[float | None]:
    """Return one field's number of each answer, `None` where there is none; `""` is a scalar output's value."""
    found: list[float | None] = []
    for answer in answers:
        value = answer.value.get(name) if name and isinstance(answer.value, dict) else answer.value
        found.append(float(value) if isinstance(value, int | float) and _is_number(value) else None)
    return found


def _fields(one: Any, other: Any) -> list[tuple[str, Any, Any]]:  # Any: JSON values
    if isinstance(one, dict) and isinstance(other, dict):
        return [(name, one[name], other[name]) for name in one if name in other]
    return [("", one, other)]


def _distance(one: Any, other: Any) -> float:  # Any: JSON values
    if isinstance(one, dict) != isinstance(other, dict):
        return math.inf
    if isinstance(one, dict) and one.keys() != other.keys():
        return math.inf
    return max(
        abs(first - second) if _is_number(first) and _is_number(second) else math.inf
        for _, first, second in _fields(one, other)
        if not same_answer(first, second)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: str | bool) -> str:  # noqa: FBT001  # a class is a text or a truth value
    return value if isinstance(value, str) else str(value).lower()
