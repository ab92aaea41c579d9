"""The `profile` gate: the statistical profile of the version is much like those of the versions before it.

The profile is the yardstick of other gates and the fallback of serving, so a profile that has silently changed (half of
the groups gone, a mean that doubled) spoils both. `_qualify` asks it for the evaluation rows: `profile_mean` is what it
answers on average, `profile_coverage` the share of rows whose group it knows.

The band is that of the `history` gate (`control_limits.py`), a prediction for one more value of a process at rest:
"3 sigma" blocks as few of its versions as it says, however few make the band. It is never narrower than one percent of
the mean, or one point of coverage: versions that were all alike do not forbid the next one to differ in the last digit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rasen.deploy.gates.control_limits import control_limits
from rasen.deploy.gates.measured import Unmeasured, in_words
from rasen.pipeline_gates_contract import ProfileGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence

MEAN, COVERAGE = "profile_mean", "profile_coverage"
_LEAST_WIDTH = 0.01


def judge(name: str, gate: ProfileGate, evidence: Evidence) -> GateVerdict:
    """Return whether the profile's mean and coverage lie in the band of earlier versions; the ends are within.

    Raises:
        Unmeasured: One of the two is not a finite number.
    """
    mean, coverage = _number(evidence, MEAN), _number(evidence, COVERAGE)
    numbers = {MEAN: mean, COVERAGE: coverage}
    sentences: list[str] = []
    outcomes: list[str] = []
    if gate.coverage is not None:
        numbers["least_coverage"] = gate.coverage
        below = coverage < gate.coverage
        outcomes += ["uncovered"] if below else []
        shown, least = in_words(100 * coverage, 100 * gate.coverage)
        word = "below" if below else "at least"
        sentences.append(f"the profile knows {shown} % of the evaluation rows, {word} {least} %")
    few = False
    for metric, value in ((MEAN, mean), (COVERAGE, coverage)):
        past = _past(gate, evidence, metric)
        numbers[f"{metric}_versions"] = len(past)
        if len(past) < gate.least:
            few = True
            what = f"{len(past)} earlier versions with a {metric}, {gate.least} make a band"
            sentences.append(f"{metric} {in_words(value)[0]}: {what}")
            continue
        low, high = _band(past, gate.within, least_width=_LEAST_WIDTH if metric == COVERAGE else 0.0)
        numbers |= {f"{metric}_low": low, f"{metric}_high": high}
        shown, bottom, top = in_words(value, low, high)
        band = f"the band {bottom} to {top} of the last {len(past)} versions"
        if value < low:
            outcomes.append("below")
            sentences.append(f"{metric} {shown} is below {band}")
        elif value > high and metric == MEAN:
            outcomes.append("above")
            sentences.append(f"{metric} {shown} is above {band}")
        elif value > high:
            sentences.append(f"{metric} {shown} is above {band}, which is no harm")
        else:
            sentences.append(f"{metric} {shown} is within {band}")
    outcome = outcomes[0] if outcomes else "too few" if few else "within"
    return GateVerdict(
        gate=name,
        answer="fail" if outcomes else "pass",
        outcome=outcome,
        numbers=numbers,
        reason="; ".join(sentences),
    )


def _number(evidence: Evidence, metric: str) -> float:
    try:
        return evidence.measured.number(metric)
    except Unmeasured as error:
        hint = (
            "; `_qualify` measures it when a version is published with both `profile=` and `evaluation=`"
            if error.outcome == "missing"
            else ""
        )
        raise Unmeasured(f"{error}{hint}", error.outcome) from None


def _past(gate: ProfileGate, evidence: Evidence, metric: str) -> list[float]:
    """Return the values of the newest versions that went live and have one."""
    values = [version.metrics.get(metric, math.nan) for version in evidence.past if version.went_live]
    known = [value for value in values if math.isfinite(value)]
    return known[: gate.over]


def _band(past: list[float], sigmas: float, *, least_width: float) -> tuple[float, float]:
    """Return the ends of the band for the value that follows `past`, the newest first."""
    scale = max(map(abs, past)) or 1.0  # sums of numbers near the end of the range are infinite
    limits = control_limits([value / scale for value in reversed(past)], sigmas)
    half = max(limits.distance, abs(limits.mean) * _LEAST_WIDTH, least_width / scale)
    return scale * (limits.mean - half), scale * (limits.mean + half)
