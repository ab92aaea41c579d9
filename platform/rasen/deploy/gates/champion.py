"""The `champion` gate: candidate and live model predict the same held-out rows; is the candidate worse?

The relative difference of their metrics (above 0: the candidate is better) is estimated with a two-sided interval. The
interval decides, by where it lies beside 0 and beside minus the margin:

* better: wholly above 0;
* equivalent: else, wholly at or above minus the margin (it is not inferior);
* worse: wholly below minus the margin;
* inconclusive: minus the margin lies inside. More rows would decide.

A model that is worse by exactly the margin is let in with half the chance that the confidence leaves, 2.5 % for 95 %,
and refused as often (non-inferiority: G. Piaggio et al., JAMA 308, 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from rasen.deploy.gates.auc_difference import area_and_influence, area_ratio_interval
from rasen.deploy.gates.distributions import normal_quantile
from rasen.deploy.gates.measured import in_words
from rasen.deploy.gates.paired_classes import difference_interval
from rasen.deploy.gates.paired_rows import (
    Incomparable,
    Rows,
    candidate_losses,
    champion_losses,
    paired_rows,
    ranked_rows,
    seed_of,
)
from rasen.deploy.gates.ratio_interval import ratio_interval
from rasen.deploy.gates.row_units import units_of
from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_gates_statistical import ChampionGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    import numpy as np

    from rasen.deploy.evidence import Evidence

Outcome = Literal["better", "equivalent", "inconclusive", "worse"]

_LEAST_UNITS = 20
# The rows that would decide would do so in four of five cases.
_POWER = 0.8
_MOST_ROWS = 1e9


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two metrics on the same rows, and their relative difference: positive where the candidate is better."""

    candidate: float
    champion: float
    gain: float
    low: float
    high: float
    rows: int
    units: int


def judge(name: str, gate: ChampionGate, evidence: Evidence) -> GateVerdict:
    """Return whether the candidate is better than, equivalent to or worse than the live version, or whether rows lack.

    Raises:
        Unmeasured: The candidate's rows are missing, or the metric is not defined for them.
    """
    if evidence.champion is None and not evidence.champion_problem:
        return GateVerdict(
            gate=name, answer="pass", outcome="first", reason="first version: nothing to compare with"
        )
    try:
        rows = paired_rows(evidence)
        units = units_of(evidence.evaluation, by=gate.by, block_seconds=gate.block_seconds)
        comparison = _compare_quietly(gate, rows, units, seed=seed_of(evidence))
    except Incomparable as problem:
        return GateVerdict(
            gate=name,
            answer=gate.inconclusive,
            outcome="inconclusive",
            numbers=problem.numbers,
            reason=f"{gate.told}: inconclusive, {problem}",
        )
    outcome = decide(comparison, gate.margin)
    more = rows_that_decide(comparison, gate.margin, gate.confidence) if outcome == "inconclusive" else None
    match outcome:
        case "better" | "equivalent":
            answer: Literal["pass", "fail", "hold"] = "pass"
        case "worse":
            answer = "fail"
        case "inconclusive":
            answer = gate.inconclusive
        case _:
            assert_never(outcome)
    return GateVerdict(
        gate=name,
        answer=answer,
        outcome=outcome,
        numbers=_numbers(gate, comparison, more),
        reason=_explain(gate, comparison, outcome, more),
    )


def _compare_quietly(gate: ChampionGate, rows: Rows, units: np.ndarray | None, *, seed: int) -> Comparison:
    """Return the comparison; squares that no number can hold make it impossible, not an error of ours."""
    import numpy as np

    with np.errstate(all="ignore"):
        found = compare(gate, rows, units, seed=seed)
    if any(map(math.isnan, (found.gain, found.low, found.high))):
        raise Incomparable("the errors are too large or too small for an interval", rows=len(rows))
    return found


def decide(comparison: Comparison, margin: float) -> Outcome:
    """Return what an interval says beside a margin."""
    if comparison.low > 0:
        return "better"
    if comparison.low >= -margin:
        return "equivalent"
    if comparison.high < -margin:
        return "worse"
    return "inconclusive"


def rows_that_decide(comparison: Comparison, margin: float, confidence: float) -> int | None:
    """Return how many rows would decide in four of five cases, were the true difference the measured one.

    `None` when no number below a billion would: the difference lies on the margin. An interval shrinks with the root
    of the number of rows.
    """
    distance = abs(comparison.gain + margin)
    half = (
        comparison.gain - comparison.low if comparison.gain >= -margin else comparison.high - comparison.gain
    )
    if not math.isfinite(half) or not math.isfinite(distance) or distance == 0:
        return None
    z = normal_quantile((1 + confidence) / 2)
    rows = comparison.rows * ((z + normal_quantile(_POWER)) / z * half / distance) ** 2
    return math.ceil(rows) if rows < _MOST_ROWS else None


def compare(gate: ChampionGate, rows: Rows, units: np.ndarray | None, *, seed: int) -> Comparison:
    """Return both metrics and the interval of their relative difference.

    Raises:
        Unmeasured: The metric is not defined for the candidate's predictions.
        Incomparable: It is not for the live version's, or there are too few rows.
    """
    assert rows.champion is not None
    if gate.chosen_test == "delong":
        return _compare_areas(gate, rows, units)
    candidate, champion = candidate_losses(gate.metric, rows), champion_losses(gate.metric, rows)
    _check_enough(rows, units)
    metrics = [_metric_of(gate.metric, float(each.mean())) for each in (candidate, champion)]
    if _same(rows.candidate, rows.champion):
        return Comparison(
            candidate=metrics[0],
            champion=metrics[1],
            gain=0.0,
            low=0.0,
            high=0.0,
            rows=len(rows),
            units=len(rows),
        )
    if gate.chosen_test == "mcnemar":
        return _compare_classes(gate, candidate, champion, metrics)
    if gate.metric == "accuracy":
        candidate, champion = 1 - candidate, 1 - champion
    found = ratio_interval(candidate, champion, units, confidence=gate.confidence, seed=seed)
    ends = [_gain_of(gate.metric, value) for value in (found.ratio, found.low, found.high)]
    return Comparison(
        candidate=metrics[0],
        champion=metrics[1],
        gain=ends[0],
        low=min(ends[1:]),
        high=max(ends[1:]),
        rows=len(rows),
        units=found.units,
    )


def _check_enough(rows: Rows, units: np.ndarray | None) -> None:
    count = len(rows) if units is None else len(set(units.tolist()))
    if count < _LEAST_UNITS:
        what = f"{count} rows" if units is None else f"{count} independent units of {len(rows)} rows"
        raise Incomparable(f"{what} are too few, {_LEAST_UNITS} are needed", rows=len(rows))


def _compare_areas(gate: ChampionGate, rows: Rows, units: np.ndarray | None) -> Comparison:
    scores = ranked_rows(rows)
    assert scores.champion is not None
    _check_enough(rows, units)
    candidate, _ = area_and_influence(scores.happened, scores.candidate)
    champion, _ = area_and_influence(scores.happened, scores.champion)
    if min(candidate, champion) == 0:
        raise Incomparable("auc 0 has no relative difference; is a score turned round?", rows=len(rows))
    found = area_ratio_interval(
        scores.happened, scores.candidate, scores.champion, units, confidence=gate.confidence
    )
    return Comparison(
        candidate=candidate,
        champion=champion,
        gain=found.ratio - 1,
        low=found.low - 1,
        high=found.high - 1,
        rows=len(rows),
        units=found.units,
    )


def _compare_classes(
    gate: ChampionGate, candidate: np.ndarray, champion: np.ndarray, metrics: list[float]
) -> Comparison:
    only_candidate = int(((candidate == 0) & (champion == 1)).sum())
    only_champion = int(((candidate == 1) & (champion == 0)).sum())
    rows = len(candidate)
    low, high = difference_interval(only_candidate, only_champion, rows, confidence=gate.confidence)
    if metrics[1] == 0:
        raise Incomparable(
            "the live version is right on no row: no difference is relative to that", rows=rows
        )
    return Comparison(
        candidate=metrics[0],
        champion=metrics[1],
        gain=(only_candidate - only_champion) / rows / metrics[1],
        low=low / metrics[1],
        high=high / metrics[1],
        rows=rows,
        units=rows,
    )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    import numpy as np

    return bool(np.array_equal(one, other))


def _metric_of(metric: str, mean: float) -> float:
    if metric == "rmse":
        return math.sqrt(mean)
    return 1 - mean if DIRECTIONS[metric] == "maximize" else mean


def _gain_of(metric: str, ratio: float) -> float:
    """Return the relative difference of two metrics from the ratio of their sums."""
    if DIRECTIONS[metric] == "maximize":
        return ratio - 1
    return 1 - (math.sqrt(ratio) if metric == "rmse" else ratio)


def _numbers(gate: ChampionGate, comparison: Comparison, more: int | None) -> dict[str, float]:
    numbers = {
        gate.metric: comparison.candidate,
        f"champion_{gate.metric}": comparison.champion,
        "difference": comparison.gain,
        "low": comparison.low,
        "high": comparison.high,
        "margin": gate.margin,
        "confidence": gate.confidence,
        "rows": comparison.rows,
    }
    if comparison.units != comparison.rows:
        numbers["units"] = comparison.units
    if more is not None:
        numbers["rows_that_decide"] = more
    # A ledger record is JSON, which has no infinity.
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _explain(gate: ChampionGate, comparison: Comparison, outcome: Outcome, more: int | None) -> str:
    own, other = in_words(comparison.candidate, comparison.champion)
    rows = f"{comparison.rows} rows"
    if comparison.units != comparison.rows:
        rows += f" in {comparison.units} units"
    measured = f"{gate.told} {own} beside the champion's {other} on {rows} is"
    if comparison.low == comparison.high == 0:
        return f"{measured} equal, whatever the rows: equivalent"
    sure = f"{gate.confidence * 100:.3g} %"
    between = f"between {_told(comparison.low)} and {_told(comparison.high)} with {sure} confidence"
    told = f"{measured} {_told(comparison.gain)}, {between}: {outcome}"
    match outcome:
        case "better":
            return told
        case "equivalent":
            return f"{told}, not worse by more than the margin of {_percent(gate.margin)}"
        case "worse":
            return f"{told} by more than the margin of {_percent(gate.margin)}" if gate.margin else told
        case "inconclusive":
            decides = (
                f"about {more} rows would decide"
                if more is not None
                else "the difference lies so near to the margin that no number of rows would decide"
            )
            return f"{told}, it may be worse by more than the margin of {_percent(gate.margin)} or not; {decides}"
        case _:
            assert_never(outcome)


def _told(gain: float) -> str:
    if gain == 0:
        return "equal"
    if math.isinf(gain):
        return "any amount better" if gain > 0 else "any amount worse"
    return f"{_percent(abs(gain))} {'better' if gain > 0 else 'worse'}"


def _percent(share: float) -> str:
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"
