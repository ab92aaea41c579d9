"""By how much a number is better than another, and whether that is enough: for `baseline` and `notebook`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from rasen.metric_directions import Direction

# 2.7 is 10 % better than 3.0, whatever the last bit says.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How a number compares with a reference.

    Args:
        gain: By how much it is better, in its own unit; negative when it is worse.
        passes: Whether it is better by the margin. Equal never is.
        outcome: In a word or two.
    """

    gain: float
    passes: bool
    outcome: str


def compare_numbers(value: float, reference: float, *, better: Direction, margin: float) -> Gain:
    """Return how a number compares with a reference, of whose size the margin is a share."""
    match better:
        case "minimize":
            gain = reference - value
        case "maximize":
            gain = value - reference
        case _:
            assert_never(better)
    passes = gain > 0 and gain >= margin * abs(reference) * (1 - _ROUNDING)
    outcome = "better" if passes else "not enough" if gain > 0 else "equal" if gain == 0 else "worse"
    return Gain(gain=gain, passes=passes, outcome=outcome)
