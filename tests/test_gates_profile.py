"""The `profile` gate: the band of the versions before, and what stands outside of it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy.evidence import Evidence
from rasen.deploy.gates.control_limits import control_limits
from rasen.deploy.gates.measured import Measured
from rasen.pipeline_gates_contract import ProfileGate
from rasen.tracking.records import Metric
from stand.evidence import evidence, past_version, verdict

GATE = ProfileGate(kind="profile")
AT_REST = [10.0, 10.4, 9.8, 10.1, 9.7, 10.2, 9.9, 10.3]


def past(means: list[float], coverage: float = 0.99) -> list[dict[str, float]]:
    return [{"profile_mean": mean, "profile_coverage": coverage} for mean in means]


def now(mean: float, coverage: float = 0.99) -> dict[str, float]:
    return {"profile_mean": mean, "profile_coverage": coverage}


@pytest.mark.parametrize(
    ("mean", "coverage", "answer", "outcome", "told"),
    [
        (10.05, 0.99, "pass", "within", "profile_mean 10.05 is within the band"),
        (20.0, 0.99, "fail", "above", "profile_mean 20 is above the band"),
        (5.0, 0.99, "fail", "below", "profile_mean 5 is below the band"),
        (10.05, 0.50, "fail", "below", "profile_coverage 0.5 is below the band"),
        (10.05, 1.0, "pass", "within", "profile_coverage 1 is within the band 0.98"),
    ],
)
def test_mean_and_coverage_are_held_against_the_band(
    mean: float, coverage: float, answer: str, outcome: str, told: str
) -> None:
    found = verdict(GATE, evidence(metrics=now(mean, coverage), past=past(AT_REST)))
    assert (found.gate, found.answer, found.outcome) == ("profile", answer, outcome)
    assert told in found.reason
    assert "of the last 8 versions" in found.reason
    assert found.numbers["profile_mean_versions"] == 8
    assert found.numbers["profile_mean_low"] < 10 < found.numbers["profile_mean_high"]


def test_better_coverage_than_ever_is_no_harm() -> None:
    found = verdict(GATE, evidence(metrics=now(10.0, 0.99), past=past(AT_REST, coverage=0.7)))
    assert found.answer == "pass"
    assert "which is no harm" in found.reason


def test_the_band_is_that_of_the_history_gate() -> None:
    found = verdict(GATE, evidence(metrics=now(10.0), past=past(AT_REST)))
    limits = control_limits(AT_REST[::-1], 3.0)
    assert found.numbers["profile_mean_high"] == pytest.approx(limits.mean + limits.distance)
    assert found.numbers["profile_mean_low"] == pytest.approx(limits.mean - limits.distance)


@pytest.mark.parametrize("count", [5, 10])
def test_of_a_process_at_rest_as_few_are_blocked_as_declared(count: int) -> None:
    drawn = random.Random(3)  # 2 sigma: 4.55 in 100, of 2000 within four standard errors
    gate = ProfileGate(kind="profile", within=2.0, over=count)
    blocked = 0
    for _ in range(2000):
        means = [drawn.gauss(100, 20) for _ in range(count + 1)]
        blocked += verdict(gate, evidence(metrics=now(means[0]), past=past(means[1:]))).answer == "fail"
    assert abs(blocked / 2000 - 0.0455) < 4 * math.sqrt(0.0455 * 0.9545 / 2000)


def test_too_few_versions_pass_and_the_floor_is_judged() -> None:
    few = evidence(metrics=now(99.0, 0.8), past=past(AT_REST[:4]))
    found = verdict(GATE, few)
    assert (found.answer, found.outcome) == ("pass", "too few")
    assert "4 earlier versions with a profile_mean, 5 make a band" in found.reason
    floored = verdict(ProfileGate(kind="profile", coverage=0.9), few)
    assert (floored.answer, floored.outcome) == ("fail", "uncovered")
    assert "the profile knows 80 % of the evaluation rows, below 90 %" in floored.reason
    assert verdict(GATE, evidence(metrics=now(1.0))).outcome == "too few"


@pytest.mark.parametrize(
    ("mean", "coverage", "answer"),
    [(10.0, 0.99, "pass"), (10.1, 0.98, "pass"), (10.11, 0.99, "fail"), (10.0, 0.979, "fail")],
)
def test_versions_that_were_all_alike_leave_one_percent(mean: float, coverage: float, answer: str) -> None:
    assert verdict(GATE, evidence(metrics=now(mean, coverage), past=past([10.0] * 6))).answer == answer


def test_only_what_went_live_and_was_measured_makes_the_band() -> None:
    refused = [past_version(age, {"profile_mean": 1e6}, "refuse") for age in range(9)]
    unmeasured = [past_version(20 + age, {"profile_mean": math.nan}) for age in range(9)]
    live = [past_version(40 + age, each) for age, each in enumerate(past(AT_REST))]
    known = Evidence(
        measured=Measured([Metric(name=name, value=value) for name, value in now(10.0).items()]),
        past=[*refused, *unmeasured, *live],
    )
    found = verdict(GATE, known)
    assert found.answer == "pass"
    assert found.numbers["profile_mean_versions"] == 8


def test_the_newest_versions_count() -> None:
    gate = ProfileGate(kind="profile", over=5)
    moved = past([20.0, 20.4, 19.8, 20.1, 19.7]) + past([10.0] * 20)
    assert verdict(gate, evidence(metrics=now(20.0), past=moved)).answer == "pass"
    assert verdict(gate, evidence(metrics=now(10.0), past=moved)).answer == "fail"


def test_an_outlier_among_enough_versions_does_not_widen_the_band() -> None:
    spoiled = past([*AT_REST[:4], 40.0, *AT_REST[4:], *AT_REST])
    assert verdict(GATE, evidence(metrics=now(20.0), past=spoiled)).answer == "fail"
    assert verdict(GATE, evidence(metrics=now(10.0), past=spoiled)).answer == "pass"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["profile_mean", "profile_coverage"])
def test_a_number_that_is_not_finite_fails(name: str, bad: float) -> None:
    found = verdict(GATE, evidence(metrics=now(10.0) | {name: bad}, past=past(AT_REST)))
    assert (found.answer, found.outcome) == ("fail", "not finite")


def test_a_version_without_a_profile_fails_and_is_told_what_to_give() -> None:
    found = verdict(GATE, evidence(metrics={"rmse": 1.0}, past=past(AT_REST)))
    assert (found.answer, found.outcome) == ("fail", "missing")
    assert "published with both `profile=` and `evaluation=`" in found.reason


floats = st.floats(allow_nan=True, allow_infinity=True)


@given(mean=floats, coverage=floats, means=st.lists(floats, max_size=12))
def test_whatever_the_numbers_a_verdict_comes(mean: float, coverage: float, means: list[float]) -> None:
    found = verdict(GATE, evidence(metrics=now(mean, coverage), past=past(means)))
    assert found.reason
    if not (math.isfinite(mean) and math.isfinite(coverage)):
        assert found.answer == "fail"
