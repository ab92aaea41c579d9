"""The `latency` gate: a request is answered in time, in one process without a network, as `_qualify` measured it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.deploy.gates.found import found_number
from rasen.deploy.gates.limits import Findings
from rasen.deploy.gates.live_version import NO_LIVE_VERSION, executed_another, is_first, why_silent
from rasen.deploy.gates.measured import Unmeasured, in_words
from rasen.pipeline_gates_contract import LatencyGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: LatencyGate, evidence: Evidence) -> GateVerdict:
    """Return whether the median latency is within the limits; one on a limit is.

    Raises:
        Unmeasured: It is not a finite number.
    """
    measured = f"rows_{gate.rows}"
    taken = found_number(evidence.qualification, "latency_ms", measured)
    what = "a row takes" if gate.rows == 1 else f"{gate.rows} rows take"
    findings = Findings({"latency_ms": taken})
    if gate.max_ms is not None:
        shown, limit = in_words(taken, gate.max_ms)
        findings.limit("max_ms", gate.max_ms, taken, f"{what} {shown} ms, {{}} max {limit} ms")
    if gate.worse_than_champion is not None:
        if is_first(evidence):
            findings.tell(NO_LIVE_VERSION, "first")
        elif problem := executed_another(evidence):
            findings.hold(problem)
        else:
            try:
                live = found_number(evidence.qualification, "champion_latency_ms", measured)
            except Unmeasured as error:
                findings.hold(why_silent(evidence) or f"the live version's latency is not known: {error}")
            else:
                limit_ms = gate.worse_than_champion * live
                shown, other, limit = in_words(taken, live, limit_ms)
                findings.numbers["champion_latency_ms"] = live
                findings.limit(
                    "times",
                    limit_ms,
                    taken,
                    f"{what} {shown} ms, the live version's {other} ms: {{}} {gate.worse_than_champion:g} times "
                    f"as long ({limit} ms)",
                    shown=gate.worse_than_champion,
                )
    return findings.verdict(name)
