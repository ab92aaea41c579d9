"""The `history` gate: the metric lies where those of the last versions that went live make one expect it.

A control chart (control_limits.py) of which only the bad side counts: a version that is better than usual passes, and
the reason says that it is unusual. What was live and was taken back is no example of what is usual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, assert_never

from rasen.deploy.gates.control_limits import Limits, control_limits
from rasen.deploy.gates.flapping import FLAPPING, WINDOW, count_flaps
from rasen.deploy.gates.measured import Unmeasured, in_words
from rasen.pipeline_gates_statistical import HistoryGate, Season
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence, PastVersion

_LARGEST = 1e150  # the squares and sums of larger numbers are none
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def judge(name: str, gate: HistoryGate, evidence: Evidence) -> GateVerdict:
    """Return whether the metric is usual, or at least no worse.

    Raises:
        Unmeasured: The metric is not a finite number.
    """
    value = evidence.measured.number(gate.metric)
    if not _is_number(value):
        raise Unmeasured(f"{gate.metric} {value:.3g} is too large to be compared with anything", "not finite")
    verdict = _judge_value(name, gate, evidence, value)
    flapping = count_flaps(name, evidence.past, passes=verdict.answer != "fail", limit=gate.flaps)
    if verdict.answer != "pass" or not flapping.is_flapping:
        return verdict
    ends = f"it goes on until there are at most {gate.flaps // 2}"
    return GateVerdict(
        gate=name,
        answer="hold",
        outcome=FLAPPING,
        numbers={**verdict.numbers, "changes": flapping.changes, "taken_back": flapping.taken_back},
        reason=f"{verdict.reason}; but within the last {WINDOW} versions this gate changed its mind "
        f"{flapping.changes} times and {flapping.taken_back} live versions were taken back, "
        f"{gate.flaps} are too many: a person should look ({ends})",
    )


def _judge_value(name: str, gate: HistoryGate, evidence: Evidence, value: float) -> GateVerdict:
    live = [
        version
        for version in evidence.past
        if version.went_live and not version.taken_back and _is_number(version.metrics.get(gate.metric))
    ]
    chosen, whose = _match_season(gate, live, evidence.at)
    values = [version.metrics[gate.metric] for version in reversed(chosen)]
    shown = in_words(value)[0]
    if len(values) < gate.least:
        return GateVerdict(
            gate=name,
            answer="pass",
            outcome="too few",
            numbers={gate.metric: value, "versions": len(values)},
            reason=f"{gate.told} {shown}: {_count(len(values))} went live with this metric, {gate.least} are needed "
            "to say what is usual",
        )
    limits = control_limits(values, gate.within)
    return _compare(name, gate, value, limits, whose)


def _compare(name: str, gate: HistoryGate, value: float, limits: Limits, whose: str) -> GateVerdict:
    match gate.better:
        case "minimize":
            worse = value - limits.mean
        case "maximize":
            worse = limits.mean - value
        case _:
            assert_never(gate.better)
    numbers = {
        gate.metric: value,
        "mean": limits.mean,
        "sigma": limits.sigma,
        "limit": limits.mean + math.copysign(limits.distance, 1 if gate.better == "minimize" else -1),
        "within": gate.within,
        "versions": limits.values,
        "left_out": len(limits.left_out),
    }
    shown, mean = in_words(value, limits.mean)
    of_whom = f"the {limits.values} {whose}"
    if limits.left_out:
        of_whom += f" ({len(limits.left_out)} left out, far from all others)"
    if limits.sigma == 0:
        equal = abs(worse) <= 1e-9 * abs(limits.mean)
        said = "equal to" if equal else "better than" if worse < 0 else "worse than"
        reason = f"{gate.told} {shown} is {said} the {mean} that all of {of_whom} have"
        if equal or worse < 0:
            return _verdict(name, "pass", "usual", numbers, reason)
        reason += ": without any spread nobody can say whether that is much, a person should look"
        return _verdict(name, "hold", "constant", numbers, reason)
    numbers["sigmas"] = worse / limits.sigma
    side = "worse" if worse > 0 else "better"
    far = f"{abs(worse) / limits.sigma:.1f} sigma {side} than the mean {mean} of {of_whom}"
    allowed = f"{limits.distance / limits.sigma:.1f}"
    known = (
        ""
        if f"{gate.within:.1f}" == allowed
        else f" ({gate.within:g} sigma, were sigma known from more versions)"
    )
    if worse > limits.distance:
        reason = f"{gate.told} {shown} is {far}: unusual, {allowed} are allowed{known}"
        return _verdict(name, "fail", "worse than usual", numbers, reason)
    if -worse > limits.distance:
        reason = f"{gate.told} {shown} is {far}: unusually good, look whether the data leak"
        return _verdict(name, "pass", "better than usual", numbers, reason)
    return _verdict(
        name, "pass", "usual", numbers, f"{gate.told} {shown} is {far}: usual, {allowed} are allowed{known}"
    )


def _match_season(
    gate: HistoryGate, live: Sequence[PastVersion], at: datetime | None
) -> tuple[Sequence[PastVersion], str]:
    """Return the versions to look at, newest first, and what they are called."""
    if gate.season is None:
        return live[: gate.over], "versions before"
    alike = [version for version in live if at is not None and _same(gate.season, version.at, at)]
    if len(alike) >= gate.least and at is not None:
        return alike[: gate.over], f"versions of {_season_in_words(gate.season, at)} before"
    few = "none" if not alike else f"only {len(alike)}"
    return live[: gate.over], f"versions before ({few} of the same {gate.season}, so all count)"


def _same(season: Season, one: datetime, other: datetime) -> bool:
    return _season_of(season, one) == _season_of(season, other)


def _season_of(season: Season, at: datetime) -> int:
    at = at.astimezone(UTC)
    match season:
        case "weekday":
            return at.weekday()
        case "hour":
            return at.hour
        case _:
            assert_never(season)


def _season_in_words(season: Season, at: datetime) -> str:
    number = _season_of(season, at)
    return _DAYS[number] if season == "weekday" else f"{number:02d} h UTC"


def _is_number(value: object) -> bool:
    # Read from a record: not believed to be what its type says.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _count(versions: int) -> str:
    return f"{versions or 'no'} version{'' if versions == 1 else 's'}"


def _verdict(
    name: str, answer: Literal["pass", "fail", "hold"], outcome: str, numbers: dict[str, float], reason: str
) -> GateVerdict:
    finite = {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
    return GateVerdict(gate=name, answer=answer, outcome=outcome, numbers=finite, reason=reason)
