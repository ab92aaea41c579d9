"""The `slice` gate: no slice of the rows is served much worse than all rows are, or than the live model serves it.

Of many slices one is always the worst: a slice is refused when its error is above what is allowed by more than chance
makes of so many slices (Holm). What is above but may be chance is told. Slices with few rows are counted, not judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rasen.deploy.gates.holm import stands
from rasen.deploy.gates.measured import in_words
from rasen.deploy.gates.paired_rows import (
    Incomparable,
    Rows,
    candidate_losses,
    candidate_rows,
    champion_losses,
    paired_rows,
    ranked_rows,
)
from rasen.deploy.gates.row_units import slice_values
from rasen.deploy.gates.slice_errors import (
    SliceError,
    compare_areas,
    compare_with_all,
    compare_with_champion,
)
from rasen.pipeline_gates_statistical import SliceGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    import numpy as np

    from rasen.deploy.evidence import Evidence

_NAMED = 5
_LONGEST_VALUE = 60


def judge(name: str, gate: SliceGate, evidence: Evidence) -> GateVerdict:
    """Return whether no slice is much worse than the others, or than with the live version.

    Raises:
        Unmeasured: The rows are missing, or the metric is not defined for them.
    """
    if gate.against == "champion" and evidence.champion is None and not evidence.champion_problem:
        return GateVerdict(
            gate=name, answer="pass", outcome="first", reason="first version: nothing to compare with"
        )
    try:
        rows = paired_rows(evidence) if gate.against == "champion" else candidate_rows(evidence.evaluation)
        judged, slices = _measure(gate, rows, slice_values(evidence.evaluation, gate.by))
    except Incomparable as problem:
        return GateVerdict(
            gate=name,
            answer="hold",
            outcome="inconclusive",
            numbers=problem.numbers,
            reason=f"{gate.told} by {gate.by}: inconclusive, {problem}",
        )
    few = slices - len(judged)
    numbers = {"worst": gate.worst, "slices": slices, "slices_judged": len(judged), "rows": len(rows)}
    if not judged:
        return GateVerdict(
            gate=name,
            answer="hold",
            outcome="too few",
            numbers={key: float(value) for key, value in numbers.items()},
            reason=f"none of the {slices} slices of {gate.by} has enough rows to be judged ({gate.least_rows}): "
            "publish more evaluation rows, or lower `least_rows`",
        )
    bad = stands([each.chance for each in judged], level=1 - gate.confidence)
    offending = sorted(
        (each for each, is_bad in zip(judged, bad, strict=True) if is_bad),
        key=lambda each: (-each.times, each.value),
    )
    worst = max(judged, key=lambda each: (each.times, each.value))
    for each in offending or [worst]:
        numbers |= _numbers_of(gate, each)
    outcome = "worse" if offending else "chance" if worst.times > gate.worst else "even"
    return GateVerdict(
        gate=name,
        answer="fail" if offending else "pass",
        outcome=outcome,
        numbers={key: float(value) for key, value in numbers.items() if math.isfinite(value)},
        reason=_explain(gate, offending, worst, judged=len(judged)) + _told_of_few(gate, few),
    )


def _measure(gate: SliceGate, rows: Rows, values: np.ndarray) -> tuple[list[SliceError], int]:
    """Return the slices that have enough rows, with the error in the metric's unit, and how many slices there are."""
    import numpy as np

    names, numbers = np.unique(values, return_inverse=True)
    with np.errstate(all="ignore"):
        if gate.metric == "auc":
            found = _measure_areas(gate, rows, names, numbers)
        else:
            found = _measure_means(gate, rows, names, numbers)
    if any(math.isnan(value) for each in found for value in (each.error, each.yardstick, each.chance)):
        raise Incomparable("the errors are too large or too small to be compared", rows=len(rows))
    return [each for each in found if each.rows >= gate.least_rows], len(names)


def _measure_means(gate: SliceGate, rows: Rows, names: np.ndarray, numbers: np.ndarray) -> list[SliceError]:
    own = candidate_losses(gate.metric, rows)
    is_root = gate.metric == "rmse"
    allowed = gate.worst**2 if is_root else gate.worst
    if rows.champion is None:
        found = compare_with_all(own, names, numbers, allowed)
    else:
        found = compare_with_champion(own, champion_losses(gate.metric, rows), names, numbers, allowed)
    return [_with_root(each) for each in found] if is_root else found


def _measure_areas(gate: SliceGate, rows: Rows, names: np.ndarray, numbers: np.ndarray) -> list[SliceError]:
    scores = ranked_rows(rows)
    return compare_areas(scores.happened, scores.candidate, scores.champion, names, numbers, gate.worst)


def _with_root(found: SliceError) -> SliceError:
    return replace(found, error=math.sqrt(found.error), yardstick=math.sqrt(found.yardstick))


def _metric_of(gate: SliceGate, error: float) -> float:
    return 1 - error if gate.better == "maximize" else error


def _numbers_of(gate: SliceGate, found: SliceError) -> dict[str, float]:
    which = f"{gate.by}={found.value[:_LONGEST_VALUE]}"
    return {
        f"{gate.metric} {which}": _metric_of(gate, found.error),
        f"times {which}": found.times,
        f"rows {which}": found.rows,
        f"chance {which}": found.chance,
    }


def _explain(gate: SliceGate, offending: Sequence[SliceError], worst: SliceError, *, judged: int) -> str:
    error = f"1 - {gate.metric}" if gate.better == "maximize" else gate.metric
    beside = "the live version's" if gate.against == "champion" else "that of all rows"
    allowed = f"{gate.worst:g} times {beside}"
    if offending:
        named = "; ".join(_told(gate, each) for each in offending[:_NAMED])
        more = f"; and {len(offending) - _NAMED} more" if len(offending) > _NAMED else ""
        verb = "is" if len(offending) == 1 else "are"
        return (
            f"{len(offending)} of {judged} slices of {gate.by} {verb} served worse than allowed, {error} up to "
            f"{allowed}: {named}{more}"
        )
    told = f"the worst of {judged} slices of {gate.by} is {_told(gate, worst)}"
    if worst.times > gate.worst:
        return f"{told}: above {allowed}, but with so few rows that may be chance ({worst.chance:.2g})"
    return f"{told}: within {allowed}"


def _told(gate: SliceGate, found: SliceError) -> str:
    own, other = in_words(_metric_of(gate, found.error), _metric_of(gate, found.yardstick))
    times = f"{found.times:.3g} times" if math.isfinite(found.times) else "any times"
    which = found.value[:_LONGEST_VALUE]
    return f"{which!r}, {gate.metric} {own} beside {other} ({times} the error, {found.rows} rows)"


def _told_of_few(gate: SliceGate, few: int) -> str:
    if not few:
        return ""
    return f"; {few} {'slice has' if few == 1 else 'slices have'} too few rows to be judged"
