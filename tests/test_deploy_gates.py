"""Gates: what passes, what fails, and what they say about it."""

import math
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy import gates
from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import default_gates, judge
from rasen.pipeline_gates import BaselineGate, DeclaredGate, ThresholdGate
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.records import Metric

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
not_finite = st.sampled_from([math.nan, math.inf, -math.inf])


def logged(**values: float) -> list[Metric]:
    return [Metric(name=name, value=value) for name, value in values.items()]


def rmse_gate(margin: float = 0.0) -> BaselineGate:
    return BaselineGate(kind="baseline", metric="rmse", better_than="profile_rmse", margin=margin)


def verdict(gate: DeclaredGate, metrics: list[Metric]) -> GateVerdict:
    (only,) = judge([gate], Evidence.of_metrics(metrics))
    return only


def test_every_kind_of_gate_that_a_pipeline_can_declare_is_judged() -> None:
    declared = {
        typing.get_args(kind.model_fields["kind"].annotation)[0] for kind in typing.get_args(DeclaredGate)
    }
    assert set(gates._KINDS) == declared


@pytest.mark.parametrize(
    ("value", "reference", "answer", "outcome", "reason"),
    [
        (3.1, 4.0, "pass", "better", "rmse 3.1 is 22 % better than profile_rmse 4"),
        (4.0, 4.0, "fail", "equal", "rmse 4 is equal to profile_rmse 4"),
        (4.2, 4.0, "fail", "worse", "rmse 4.2 is 5 % worse than profile_rmse 4"),
        (4.0000001, 4.0, "fail", "worse", "rmse 4.0000001 is 2.5e-06 % worse than profile_rmse 4"),
        (0.0, 0.0, "fail", "equal", "rmse 0 is equal to profile_rmse 0"),
        (-1.0, 0.0, "pass", "better", "rmse -1 is better than profile_rmse 0"),
        (1.0, 0.0, "fail", "worse", "rmse 1 is worse than profile_rmse 0"),
        (-5.0, -4.0, "pass", "better", "rmse -5 is 25 % better than profile_rmse -4"),
    ],
)
def test_baseline_compares_with_the_profile_and_says_so(
    value: float, reference: float, answer: str, outcome: str, reason: str
) -> None:
    found = verdict(rmse_gate(), logged(rmse=value, profile_rmse=reference))
    assert (found.answer, found.outcome, found.reason) == (answer, outcome, reason)
    assert found.gate == "baseline rmse"
    assert found.numbers == {"rmse": value, "profile_rmse": reference, "margin": 0.0}


def test_baseline_of_a_metric_that_is_better_when_larger() -> None:
    gate = BaselineGate(kind="baseline", metric="auc", better_than="profile_auc")
    assert verdict(gate, logged(auc=0.8, profile_auc=0.7)).answer == "pass"
    assert verdict(gate, logged(auc=0.7, profile_auc=0.8)).answer == "fail"


def test_baseline_of_a_business_metric_follows_its_declared_direction() -> None:
    up = BaselineGate(kind="baseline", metric="revenue", better_than="last_year", direction="maximize")
    down = BaselineGate(kind="baseline", metric="revenue", better_than="last_year", direction="minimize")
    metrics = logged(revenue=120.0, last_year=100.0)
    assert verdict(up, metrics).answer == "pass"
    assert verdict(down, metrics).answer == "fail"


def test_a_business_metric_is_told_from_one_of_machine_learning() -> None:
    metrics = logged(revenue=120.0, last_year=100.0)
    declared: dict[str, Any] = {"metric": "revenue", "metric_kind": "business"}  # Any: keys of several types
    better = BaselineGate(kind="baseline", better_than="last_year", direction="maximize", **declared)
    above = ThresholdGate(kind="threshold", min=100, **declared)
    assert verdict(better, metrics).reason == "business metric revenue 120 is 20 % better than last_year 100"
    assert verdict(above, metrics).reason == "business metric revenue 120 is at least min 100"


def test_a_margin_is_asked_for_in_full() -> None:
    assert verdict(rmse_gate(0.1), logged(rmse=2.7, profile_rmse=3.0)).answer == "pass"
    short = verdict(rmse_gate(0.1), logged(rmse=2.8, profile_rmse=3.0))
    assert (short.answer, short.outcome) == ("fail", "not enough")
    assert (
        short.reason == "rmse 2.8 is 6.7 % better than profile_rmse 3, less than the 10 % that are asked for"
    )


@pytest.mark.parametrize(
    ("limits", "value", "answer", "reason"),
    [
        ({"max": 5.0}, 5.0, "pass", "rmse 5 is at most max 5"),
        ({"max": 5.0}, 5.1, "fail", "rmse 5.1 is above max 5"),
        ({"min": 1.0}, 1.0, "pass", "rmse 1 is at least min 1"),
        ({"min": 1.0, "max": 5.0}, 0.5, "fail", "rmse 0.5 is below min 1, rmse 0.5 is at most max 5"),
    ],
)
def test_threshold_includes_its_limits(
    limits: dict[str, float], value: float, answer: str, reason: str
) -> None:
    found = verdict(ThresholdGate(kind="threshold", metric="rmse", **limits), logged(rmse=value))
    assert (found.answer, found.reason) == (answer, reason)


GATES: list[DeclaredGate] = [
    rmse_gate(),
    ThresholdGate(kind="threshold", metric="rmse", min=-1e300, max=1e300),
]


@given(bad=not_finite, good=finite, gate=st.sampled_from(GATES))
def test_a_metric_that_is_not_finite_fails(bad: float, good: float, gate: DeclaredGate) -> None:
    found = verdict(gate, logged(rmse=bad, profile_rmse=good))
    assert (found.answer, found.outcome) == ("fail", "not finite")
    assert found.reason == f"metric 'rmse' is {bad}, not a finite number"


@given(bad=not_finite, good=finite)
def test_a_profile_that_is_not_finite_fails(bad: float, good: float) -> None:
    assert verdict(rmse_gate(), logged(rmse=good, profile_rmse=bad)).outcome == "not finite"


@pytest.mark.parametrize("bad", ["3.1", "high", None, True, [3.1], b"3"])
@pytest.mark.parametrize("gate", GATES)
def test_a_metric_that_is_no_number_fails(bad: object, gate: DeclaredGate) -> None:
    fields: dict[str, Any] = {"name": "rmse", "value": bad, "slice": {}}  # Any: past the check of the type
    metrics = [Metric.model_construct(**fields), *logged(profile_rmse=9.0)]
    found = verdict(gate, metrics)
    assert (found.answer, found.outcome) == ("fail", "not a number")
    assert str(bad)[:60] in found.reason


@pytest.mark.parametrize("gate", GATES)
def test_a_missing_metric_fails_and_the_reason_lists_what_there_is(gate: DeclaredGate) -> None:
    found = verdict(gate, logged(mae=1.0, profile_rmse=9.0))
    assert (found.answer, found.outcome) == ("fail", "missing")
    assert found.reason == "metric 'rmse' was not logged; logged are: mae, profile_rmse"
    assert verdict(gate, []).reason == "metric 'rmse' was not logged; logged are: nothing"


def test_a_metric_of_slices_only_is_missing() -> None:
    metrics = [Metric(name="rmse", value=1.0, slice={"origin": "JFK"}), *logged(profile_rmse=9.0)]
    assert "only for slices" in verdict(rmse_gate(), metrics).reason


def test_the_last_of_several_values_counts() -> None:
    metrics = [*logged(rmse=9.0, profile_rmse=4.0), *logged(rmse=3.0)]
    assert verdict(rmse_gate(), metrics).answer == "pass"


def test_all_gates_are_judged_in_order_after_one_has_failed() -> None:
    declared: list[DeclaredGate] = [rmse_gate(), ThresholdGate(kind="threshold", metric="mae", max=1.0)]
    found = judge(declared, Evidence.of_metrics(logged(rmse=5.0, profile_rmse=4.0, mae=0.5)))
    assert [(each.gate, each.answer) for each in found] == [
        ("baseline rmse", "fail"),
        ("threshold mae", "pass"),
    ]


def test_without_declared_gates_each_known_metric_must_beat_its_profile() -> None:
    metrics = logged(rmse=1.0, profile_rmse=2.0, auc=0.7, profile_auc=0.8, profile_revenue=1.0, mae=1.0)
    found = judge(default_gates(metrics), Evidence.of_metrics(metrics))
    assert {each.gate: each.answer for each in found} == {"baseline rmse": "pass", "baseline auc": "fail"}


def test_a_profile_metric_whose_model_metric_is_missing_fails_by_default() -> None:
    metrics = logged(profile_rmse=2.0)
    assert [each.outcome for each in judge(default_gates(metrics), Evidence.of_metrics(metrics))] == [
        "missing"
    ]
    assert default_gates([]) == []


@given(value=finite, reference=finite, margin=st.sampled_from([0.0, 0.02, 0.5]))
def test_baseline_never_passes_what_is_not_better_and_always_explains(
    value: float, reference: float, margin: float
) -> None:
    found = verdict(rmse_gate(margin), logged(rmse=value, profile_rmse=reference))
    assert found.answer == "fail" or value < reference
    assert found.reason.startswith("rmse ")
    assert GateVerdict.model_validate_json(found.model_dump_json()) == found


@given(value=finite, low=finite, high=finite)
def test_threshold_passes_exactly_what_lies_within(value: float, low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    found = verdict(ThresholdGate(kind="threshold", metric="rmse", min=low, max=high), logged(rmse=value))
    assert (found.answer == "pass") == (low <= value <= high)
