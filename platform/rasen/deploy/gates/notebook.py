"""The `notebook` gate: a notebook that uses the version logs a better number than with the live one.

`_qualify` ran it, once with the candidate and once with the live version (`qualification["notebooks"]`); here is the
arithmetic. What fails with the candidate fails the gate. What fails with the live version alone says nothing about
the candidate: that is `inconclusive`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rasen.deploy.gates.found import finite
from rasen.deploy.gates.gain import compare_numbers
from rasen.deploy.gates.live_version import executed_another, first, is_first, why_silent
from rasen.deploy.gates.measured import Unmeasured, in_words
from rasen.pipeline_gates_contract import NotebookGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: NotebookGate, evidence: Evidence) -> GateVerdict:
    """Return whether the notebook's metric is better with the candidate by the declared margin.

    Raises:
        Unmeasured: The notebook failed with the candidate, or logged no finite number.
    """
    ran = _mapping(_mapping(evidence.qualification.get("notebooks")).get(gate.notebook))
    if not ran:
        raise Unmeasured(f"`_qualify` did not run {gate.notebook!r}", "missing")
    value = _metric(gate, ran.get("candidate"), "the candidate")
    if gate.better_than != "champion":
        return _compare(name, gate, value, gate.better_than, f"{gate.better_than:g}")
    if is_first(evidence):
        verdict = first(name, f"{gate.told} is {in_words(value)[0]}")
        return verdict.model_copy(update={"numbers": {gate.metric: value}})
    problem = executed_another(evidence) or ("" if ran.get("champion") else why_silent(evidence))
    if not problem:
        try:
            reference = _metric(gate, ran.get("champion"), "the live version")
        except Unmeasured as error:
            problem = str(error)
        else:
            return _compare(name, gate, value, reference, "with the live version")
    return GateVerdict(
        gate=name,
        answer=gate.inconclusive,
        outcome="inconclusive",
        numbers={gate.metric: value},
        reason=f"{gate.told} is {in_words(value)[0]} with the candidate; {problem}",
    )


def _metric(gate: NotebookGate, ran: object, with_whom: str) -> float:
    run = _mapping(ran)
    if not run:
        raise Unmeasured(f"`_qualify` did not run {gate.notebook!r} with {with_whom}", "missing")
    if run.get("verdict") != "succeeded":
        error = run.get("error")
        if isinstance(error, Mapping):
            cell = error.get("cell", run.get("cell"))
            told = f"{error.get('name', 'error')}: {error.get('message', '')}"
        else:
            cell, told = run.get("cell"), str(error or "no error was recorded")
        where = f" in cell {cell}" if isinstance(cell, int) else ""
        raise Unmeasured(
            f"{gate.notebook!r} ended as {str(run.get('verdict'))[:40]!r} with {with_whom}{where}: {told[:500]}",
            "failed",
        )
    metrics = _mapping(run.get("metrics"))
    if gate.metric not in metrics:
        known = ", ".join(sorted(map(str, metrics))) or "nothing"
        raise Unmeasured(
            f"{gate.notebook!r} logged no {gate.metric!r} with {with_whom}; logged are: {known}", "missing"
        )
    return finite(metrics[gate.metric], f"{gate.metric!r} of {gate.notebook!r} with {with_whom}")


def _compare(name: str, gate: NotebookGate, value: float, reference: float, other: str) -> GateVerdict:
    found = compare_numbers(value, reference, better=gate.better, margin=gate.margin)
    shown, against = in_words(value, reference)
    compared = other if gate.better_than != "champion" else f"{against} {other}"
    relation = "equal to" if found.gain == 0 else "better than" if found.gain > 0 else "worse than"
    reason = f"{gate.told} {shown} with the candidate is {relation} {compared} ({gate.better}d)"
    if found.outcome == "not enough":
        reason += f", by less than the {100 * gate.margin:g} % that are asked for"
    return GateVerdict(
        gate=name,
        answer="pass" if found.passes else "fail",
        outcome=found.outcome,
        numbers={gate.metric: value, "reference": reference, "margin": gate.margin},
        reason=reason,
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
