"""The `profile` gate: the statistical profile of the version is much like those of the versions before it.

The profile is the yardstick of other gates and the fallback of serving, so a profile that has silently changed (half of
the groups gone, a mean that doubled) spoils both. `_qualify` asks it for the evaluation rows: `profile_mean` is what it
answers on average, `profile_coverage` the share of rows whose group it knows.

The band is a prediction interval for one more value of a normal process, so that "3 sigma" blocks one version in 370
of a process at rest, however few versions it is made from (Hahn, 1970): mean +- t * s * sqrt(1 + 1/n), t with n - 1
degrees of freedom. It is never narrower than one percent of the mean, or one point of coverage: versions that were all
alike do not forbid the next one to differ in the last digit.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

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
    """Return the ends of the prediction interval for one more value."""
    count = len(past)
    scale = max(map(abs, past)) or 1.0  # squares of numbers near the end of the range are infinite
    center = sum(value / scale for value in past) / count
    variance = sum((value / scale - center) ** 2 for value in past) / (count - 1)
    half = student_quantile(sigmas, count - 1) * math.sqrt(variance * (1 + 1 / count))
    half = max(half, abs(center) * _LEAST_WIDTH, least_width / scale)
    return scale * (center - half), scale * (center + half)


def student_quantile(sigmas: float, freedom: int) -> float:
    """Return how far out Student's t is as rarely as a normal value is `sigmas` standard deviations out.

    Args:
        sigmas: 1 to 6.
        freedom: Degrees of freedom, at least 1.
    """
    inside = 1 - 2 * NormalDist().cdf(-sigmas)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _student_inside(middle, freedom) < inside:
            low = middle
        else:
            high = middle
    return math.tan((low + high) / 2) * math.sqrt(freedom)


def _student_inside(angle: float, freedom: int) -> float:
    """Return the chance of |t| <= tan(angle) * sqrt(freedom) (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for order in range(3 if freedom % 2 else 2, freedom, 2):
        term *= cosine * cosine * (order - 1) / order
        total += term
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
