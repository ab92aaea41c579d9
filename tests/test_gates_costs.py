"""The `latency` and `size` gates: what answering costs, alone and beside the live version."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.pipeline_gates_contract import LatencyGate, SizeGate
from stand.evidence import CHAMPION, evidence, verdict, version

LIVE = version(CHAMPION, sizes={"model": 2**20, "example": 9 * 2**20})
MIB = 2**20


def measured(
    own: object, live: object = None, *, run: str = CHAMPION, problem: str = ""
) -> dict[str, object]:
    """Return what `_qualify` found for one row."""
    return {
        "latency_ms": {"rows_1": own, "rows_100": 40.0},
        "champion_latency_ms": {} if live is None else {"rows_1": live},
        "champion": {"run": run, "evaluated": not problem, "reason": problem},
    }


@pytest.mark.parametrize(
    ("took", "answer", "reason"),
    [
        (5.0, "pass", "a row takes 5 ms, at most max 5 ms"),
        (5.2, "fail", "a row takes 5.2 ms, above max 5 ms"),
        (5.00001, "fail", "a row takes 5.00001 ms, above max 5 ms"),
    ],
)
def test_a_request_is_answered_in_time(took: float, answer: str, reason: str) -> None:
    gate = LatencyGate(kind="latency", max="5ms")
    found = verdict(gate, evidence(qualification=measured(took)))
    assert (found.gate, found.answer, found.reason) == ("latency 1 row", answer, reason)
    assert found.numbers == {"latency_ms": took, "max_ms": 5.0}


def test_many_rows_have_a_limit_of_their_own() -> None:
    gate = LatencyGate(kind="latency", rows=100, max="1s")
    found = verdict(gate, evidence(qualification=measured(5.0)))
    assert (found.gate, found.reason) == ("latency 100 rows", "100 rows take 40 ms, at most max 1000 ms")


@pytest.mark.parametrize(
    ("own", "live", "answer", "outcome"),
    [(3.0, 2.0, "pass", "within"), (3.1, 2.0, "fail", "above"), (0.0, 0.0, "pass", "within")],
)
def test_latency_beside_the_live_version(own: float, live: float, answer: str, outcome: str) -> None:
    gate = LatencyGate(kind="latency", worse_than_champion=1.5)
    found = verdict(gate, evidence(qualification=measured(own, live), champion=LIVE))
    assert (found.answer, found.outcome) == (answer, outcome)
    assert found.numbers == {"latency_ms": own, "champion_latency_ms": live, "times": 1.5}
    assert gate.executes_champion


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (measured(3.0, 2.0, run="older"), "compared it with older; live now is champion"),
        ({"latency_ms": {"rows_1": 3.0}}, "compared it with no live version; live now is champion"),
        (measured(3.0, problem="it raised ValueError"), "got nothing from the live version: it raised Value"),
        (
            measured(3.0),
            "the live version's latency is not known: `_qualify` measured no champion_latency_ms",
        ),
        (measured(3.0, "NaN"), "is NaN, not a finite number"),
    ],
)
def test_a_live_version_that_was_not_measured_holds(found: dict[str, Any], told: str) -> None:
    compares = LatencyGate(kind="latency", max="5ms", worse_than_champion=1.5)
    held = verdict(compares, evidence(qualification=found, champion=LIVE))
    assert (held.answer, held.outcome) == ("hold", "unavailable")
    assert told in held.reason
    late = LatencyGate(kind="latency", max="2ms", worse_than_champion=1.5)
    assert verdict(late, evidence(qualification=found, champion=LIVE)).answer == "fail"
    gone = verdict(compares, evidence(qualification=found, problem="its manifest is gone"))
    assert (gone.answer, gone.outcome) == ("hold", "unavailable")


def test_a_live_version_that_could_not_predict_the_rows_may_have_been_measured_all_the_same() -> None:
    gate = LatencyGate(kind="latency", worse_than_champion=1.5)
    found = measured(3.0, 2.5, problem="the candidate published no evaluation rows")
    assert verdict(gate, evidence(qualification=found, champion=LIVE)).answer == "pass"


def test_the_first_version_has_its_own_limits_only() -> None:
    gate = LatencyGate(kind="latency", max="5ms", worse_than_champion=1.5)
    assert verdict(gate, evidence(qualification=measured(4.0))).outcome == "first"
    assert verdict(gate, evidence(qualification=measured(6.0))).outcome == "above"
    size = SizeGate(kind="size", max="1Mi", bigger_than_champion=2.0)
    assert verdict(size, evidence(candidate=version(sizes={"model": MIB}))).outcome == "first"
    assert verdict(size, evidence(candidate=version(sizes={"model": MIB + 1}))).outcome == "above"


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (None, "not a number"),
        (True, "not a number"),
        ("4", "not a number"),
        ([4], "not a number"),
        ("NaN", "not finite"),
        ("Infinity", "not finite"),
        (float("inf"), "not finite"),
        (10**400, "not finite"),
    ],
)
def test_what_is_no_finite_number_fails(value: object, outcome: str) -> None:
    found = verdict(LatencyGate(kind="latency", max="5ms"), evidence(qualification=measured(value)))
    assert (found.answer, found.outcome) == ("fail", outcome)
    assert "latency_ms.rows_1" in found.reason
    sized = verdict(
        SizeGate(kind="size", memory="1Gi"),
        evidence(candidate=version(sizes={"model": 1}), qualification={"memory_bytes": value}),
    )
    assert (sized.answer, sized.outcome) == ("fail", outcome)


@pytest.mark.parametrize("found", [{}, {"latency_ms": None}, {"latency_ms": [1]}, {"latency_ms": {}}])
def test_a_latency_that_was_not_measured_fails(found: dict[str, Any]) -> None:
    missing = verdict(LatencyGate(kind="latency", max="5ms"), evidence(qualification=found))
    assert (missing.answer, missing.outcome) == ("fail", "missing")


def test_the_model_is_its_file_and_its_graph() -> None:
    own = version(sizes={"model": 3 * MIB, "onnx": MIB // 2, "example": 100 * MIB})
    found = verdict(SizeGate(kind="size", max="4Mi"), evidence(candidate=own))
    assert (found.gate, found.answer) == ("size", "pass")
    assert found.reason == "the model has 3.5 MiB, at most max 4Mi"
    assert found.numbers == {"size_bytes": 3.5 * MIB, "max_bytes": 4 * MIB}
    assert verdict(SizeGate(kind="size", max="3Mi"), evidence(candidate=own)).answer == "fail"


def test_memory_and_the_live_version_are_judged_beside() -> None:
    gate = SizeGate(kind="size", max="9Mi", memory="1Gi", bigger_than_champion=2.0)
    own = version(sizes={"model": 3 * MIB})
    found = verdict(gate, evidence(candidate=own, champion=LIVE, qualification={"memory_bytes": 2**29}))
    assert (found.answer, found.outcome) == ("fail", "above")
    assert found.reason == (
        "the model has 3 MiB, at most max 9Mi; loading it takes 512 MiB, at most memory 1Gi; the model has 3 MiB, "
        "the live version's 1 MiB: above 2 times as many"
    )
    gone = verdict(gate, evidence(candidate=own, problem="it is gone", qualification={"memory_bytes": 2**29}))
    assert (gone.answer, gone.outcome) == ("hold", "unavailable")


def test_a_version_without_a_model_file_fails() -> None:
    found = verdict(SizeGate(kind="size", max="1Mi"), evidence())
    assert (found.answer, found.outcome, found.reason) == (
        "fail",
        "missing",
        "the version names no model file",
    )


@given(own=st.floats(0, 1e9), live=st.floats(0, 1e9), times=st.floats(1, 999))
def test_a_factor_is_exact_on_its_border(own: float, live: float, times: float) -> None:
    gate = LatencyGate(kind="latency", worse_than_champion=times)
    found = verdict(gate, evidence(qualification=measured(own, live), champion=LIVE))
    assert (found.answer == "pass") == (own <= times * live)
