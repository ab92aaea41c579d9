"""The `baseline` gate: the model is better than another number of the same run, usually its statistical profile's.

A model that does not beat the mean by group is not worth its risk. Equal is not better: the profile is simpler.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rasen.deploy.gates.gain import compare_numbers
from rasen.deploy.gates.measured import in_words
from rasen.pipeline_gates import BaselineGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: BaselineGate, evidence: Evidence) -> GateVerdict:
    """Return whether the metric beats the other by the declared margin.

    Raises:
        Unmeasured: One of the two is not a finite number.
    """
    value = evidence.measured.number(gate.metric)
    reference = evidence.measured.number(gate.better_than)
    found = compare_numbers(value, reference, better=gate.better, margin=gate.margin)
    shown, other = in_words(value, reference)
    reason = f"{gate.told} {shown} is {_compared(found.gain, reference)} {gate.better_than} {other}"
    if found.outcome == "not enough":
        reason += f", less than the {_percent(gate.margin)} that are asked for"
    return GateVerdict(
        gate=name,
        answer="pass" if found.passes else "fail",
        outcome=found.outcome,
        numbers={gate.metric: value, gate.better_than: reference, "margin": gate.margin},
        reason=reason,
    )


def _compared(gain: float, reference: float) -> str:
    if gain == 0:
        return "equal to"
    word = "better" if gain > 0 else "worse"
    share = abs(gain / reference) if reference else math.inf
    return f"{_percent(share)} {word} than" if math.isfinite(share) else f"{word} than"


def _percent(share: float) -> str:
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
