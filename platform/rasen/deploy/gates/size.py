"""The `size` gate: the model's files, and the memory that loading them took, stay within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.deploy.gates.found import found_number
from rasen.deploy.gates.limits import Findings
from rasen.deploy.gates.live_version import NO_LIVE_VERSION, is_first, the_candidate
from rasen.deploy.gates.measured import Unmeasured
from rasen.pipeline_gates_contract import SizeGate
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.records import PublishedModel

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence

_COUNTED = ("model", "onnx")
_UNITS = (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def judge(name: str, gate: SizeGate, evidence: Evidence) -> GateVerdict:
    """Return whether the model is within the limits; one on a limit is.

    Raises:
        Unmeasured: It has no model file, or `memory` is asked for and was not measured.
    """
    size = _size(the_candidate(evidence).model)
    if not size:
        raise Unmeasured("the version names no model file", "missing")
    findings = Findings({"size_bytes": size})
    if gate.max_bytes is not None:
        sentence = f"the model has {_amount(size)}, {{}} max {gate.max}"
        findings.limit("max_bytes", gate.max_bytes, size, sentence)
    if gate.memory_bytes is not None:
        taken = found_number(evidence.qualification, "memory_bytes")
        findings.numbers["memory_bytes"] = taken
        sentence = f"loading it takes {_amount(taken)}, {{}} memory {gate.memory}"
        findings.limit("max_memory_bytes", gate.memory_bytes, taken, sentence)
    if gate.bigger_than_champion is not None:
        if is_first(evidence):
            findings.tell(NO_LIVE_VERSION, "first")
        elif evidence.champion is None:
            findings.hold(f"the live version cannot be looked at: {evidence.champion_problem}")
        else:
            live = _size(evidence.champion.model)
            findings.numbers["champion_size_bytes"] = live
            sentence = (
                f"the model has {_amount(size)}, the live version's {_amount(live)}: {{}} "
                f"{gate.bigger_than_champion:g} times as many"
            )
            most = gate.bigger_than_champion * live
            findings.limit("times", most, size, sentence, shown=gate.bigger_than_champion)
    return findings.verdict(name)


def _size(model: PublishedModel) -> int:
    return sum(file.size_bytes for name, file in model.files.items() if name in _COUNTED)


def _amount(size_bytes: float) -> str:
    for unit, factor in _UNITS:
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.4g} {unit}B"
    return f"{size_bytes:.0f} bytes"
