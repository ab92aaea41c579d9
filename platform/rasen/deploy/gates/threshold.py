"""The `threshold` gate: a number of the run lies within limits that somebody has declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.deploy.gates.measured import in_words
from rasen.pipeline_gates import ThresholdGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: ThresholdGate, evidence: Evidence) -> GateVerdict:
    """Return whether the metric lies within the limits; a number on a limit does.

    Raises:
        Unmeasured: The metric is not a finite number.
    """
    value = evidence.measured.number(gate.metric)
    numbers = {gate.metric: value}
    sentences: list[str] = []
    outcome = "within"
    if gate.min is not None:
        numbers["min"] = gate.min
        shown, limit = in_words(value, gate.min)
        if value < gate.min:
            outcome = "below"
        sentences.append(f"{gate.told} {shown} is {'below' if value < gate.min else 'at least'} min {limit}")
    if gate.max is not None:
        numbers["max"] = gate.max
        shown, limit = in_words(value, gate.max)
        if value > gate.max:
            outcome = "above"
        sentences.append(f"{gate.told} {shown} is {'above' if value > gate.max else 'at most'} max {limit}")
    return GateVerdict(
        gate=name,
        answer="pass" if outcome == "within" else "fail",
        outcome=outcome,
        numbers=numbers,
        reason=", ".join(sentences),
    )
