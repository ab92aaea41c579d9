"""The history gate: what is usual, what few, constant or odd versions leave to say, and when it holds for flapping."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rasen.deploy.evidence import PastVersion
from rasen.deploy.gates import judge
from rasen.deploy.gates.flapping import count_flaps
from rasen.pipeline_gates_statistical import HistoryGate
from rasen.tracking.ledger_records import GateVerdict
from stand.judged_rows import history_evidence, past_version

NOW = datetime(2026, 3, 2, 4, 10, tzinfo=UTC)  # a Monday
USUAL = (3.0, 3.1, 2.9, 3.05, 2.95, 3.1, 3.0, 2.9, 3.0, 3.1)


def gate(**keys: Any) -> HistoryGate:  # Any: the keys of the gate
    return HistoryGate(**{"kind": "history", "metric": "rmse", **keys})


def nightly(*values: float, **more: Any) -> list[PastVersion]:  # Any: of past_version
    """Return versions of the nights before, newest first."""
    return [past_version(value, at=NOW - timedelta(days=age + 1), **more) for age, value in enumerate(values)]


def verdict(value: float, past: list[PastVersion], **keys: Any) -> GateVerdict:  # Any: the keys of the gate
    (only,) = judge([gate(**keys)], history_evidence(value, past, at=NOW, metric=keys.get("metric", "rmse")))
    return only


@pytest.mark.parametrize(
    ("value", "answer", "outcome"),
    [
        (3.0, "pass", "usual"),
        (3.2, "pass", "usual"),
        (4.0, "fail", "worse than usual"),
        (2.0, "pass", "better than usual"),
    ],
)
def test_only_the_bad_side_fails(value: float, answer: str, outcome: str) -> None:
    found = verdict(value, nightly(*USUAL))
    assert (found.answer, found.outcome) == (answer, outcome)
    assert found.gate == "history rmse"
    assert found.numbers["mean"] == pytest.approx(3.01)
    assert found.numbers["versions"] == 10
    assert found.numbers["limit"] > 3.2


def test_it_explains_itself() -> None:
    assert verdict(4.0, nightly(*USUAL)).reason == (
        "rmse 4 is 9.1 sigma worse than the mean 3.01 of the 10 versions before: unusual, 5.0 are allowed (3 sigma, "
        "were sigma known from more versions)"
    )
    assert "unusually good, look whether the data leak" in verdict(2.0, nightly(*USUAL)).reason


def test_a_metric_that_is_better_when_larger() -> None:
    past = nightly(*(value / 4 for value in USUAL), metric="auc")
    assert verdict(0.5, past, metric="auc").answer == "fail"
    assert verdict(0.99, past, metric="auc").outcome == "better than usual"
    revenue = nightly(*USUAL, metric="revenue")
    assert verdict(1.0, revenue, metric="revenue", direction="maximize").answer == "fail"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_versions_pass_and_say_so(count: int) -> None:
    found = verdict(300.0, nightly(*USUAL[:count]))
    assert (found.answer, found.outcome) == ("pass", "too few")
    assert f"{count or 'no'} version" in found.reason
    assert "5 are needed" in found.reason
    assert verdict(300.0, nightly(*USUAL[:4]), least=4).answer == "fail"


def test_a_constant_history_passes_what_is_no_worse_and_holds_the_rest() -> None:
    past = nightly(*[3.1] * 10)
    assert verdict(3.1, past).reason == "rmse 3.1 is equal to the 3.1 that all of the 10 versions before have"
    assert verdict(3.0, past).answer == "pass"
    worse = verdict(3.2, past)
    assert (worse.answer, worse.outcome) == ("hold", "constant")
    assert "a person should look" in worse.reason


def test_one_outlier_does_not_widen_the_band() -> None:
    past = nightly(*USUAL[:5], 60.0, *USUAL[5:])
    found = verdict(4.0, past)
    assert (found.answer, found.numbers["left_out"], found.numbers["versions"]) == ("fail", 1, 10)
    assert "(1 left out, far from all others)" in found.reason
    assert found.numbers["mean"] == pytest.approx(3.01)


def test_only_versions_that_went_live_and_stayed_are_examples() -> None:
    odd = [
        *nightly(9.0, action="refuse"),
        *nightly(9.0, action="hold"),
        *nightly(9.0, taken_back=True),
        *nightly(9.0, metric="mae"),
        *nightly(float("nan")),
    ]
    found = verdict(3.0, [*odd, *nightly(*USUAL)])
    assert (found.answer, found.numbers["versions"], found.numbers["left_out"]) == ("pass", 10, 0)
    approved = [*nightly(*USUAL[:5], action="approve"), *nightly(*USUAL[5:], action="override")]
    assert verdict(3.0, approved).numbers["versions"] == 10


def test_only_the_last_versions_count() -> None:
    past = nightly(*USUAL, *[30.0] * 50)
    assert verdict(4.0, past, over=10).answer == "fail"
    assert verdict(4.0, past, over=60).answer == "pass"


def test_the_same_weekday_is_compared_where_there_are_enough() -> None:
    # Mondays are hard: 5, the other days 3; some spread in both.
    values = [(5.0 if age % 7 == 6 else 3.0) + 0.05 * ((age * 5) % 7 % 3) for age in range(60)]
    found = verdict(5.1, nightly(*values), season="weekday")
    assert (found.answer, found.outcome) == ("pass", "usual")
    assert "versions of Mondays before" in found.reason
    assert verdict(5.1, nightly(*values)).answer == "fail"
    few = verdict(5.1, nightly(*values[:20]), season="weekday")
    assert few.answer == "fail"
    assert "(only 2 of the same weekday, so all count)" in few.reason


def test_the_same_hour_is_compared_in_utc() -> None:
    hours = [
        past_version(
            5.0 + 0.01 * (age % 5) if hour == 4 else 3.0, at=NOW - timedelta(days=age, hours=4 - hour)
        )
        for age in range(1, 15)
        for hour in (4, 3)
    ]
    found = verdict(5.02, hours, season="hour")
    assert found.answer == "pass"
    assert "versions of 04 h UTC before" in found.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_fails(bad: float) -> None:
    found = verdict(bad, nightly(*USUAL))
    assert (found.answer, found.outcome) == ("fail", "not finite")
    assert "too large" in verdict(1e200, nightly(*USUAL)).reason
    assert verdict(3.0, nightly(*USUAL), metric="mae").numbers == {"mae": 3.0, "versions": 0.0}


def said(answer: str, outcome: str = "usual") -> GateVerdict:
    return GateVerdict.model_validate({"gate": "history rmse", "answer": answer, "outcome": outcome})


def judged(*answers: str, newest: str = "usual") -> list[PastVersion]:
    """Return versions that the gate answered so, newest first."""
    return [
        past_version(value, verdict=said(answer, newest if place == 0 else "usual"))
        for place, (answer, value) in enumerate(zip(answers, USUAL, strict=False))
    ]


def test_a_gate_that_keeps_changing_its_mind_holds() -> None:
    past = judged("fail", "pass", "fail", "pass", "pass", "pass", "pass", "pass")
    found = verdict(3.0, past)
    assert (found.answer, found.outcome) == ("hold", "flapping")
    assert "this gate changed its mind 4 times" in found.reason
    assert found.numbers["changes"] == 4
    assert verdict(30.0, past).answer == "fail"  # a refusal stays one
    assert verdict(3.0, past, flaps=5).answer == "pass"


def test_flapping_ends_at_half_of_what_began_it() -> None:
    two = ("pass", "fail", "pass", "pass", "pass", "pass", "pass", "pass")
    assert verdict(3.0, judged(*two)).answer == "pass"
    held = judged("hold", *two[1:], newest="flapping")
    assert verdict(3.0, held).outcome == "flapping"
    calm = judged("hold", *["pass"] * 9, newest="flapping")
    assert verdict(3.0, calm).outcome == "usual"
    long_ago = judged(*["pass"] * 9, "fail")
    assert count_flaps("history rmse", long_ago, passes=True, limit=3).changes == 0


def test_versions_that_are_taken_back_again_and_again_hold_the_next_one() -> None:
    past = [replace(version, taken_back=place in {0, 2, 3}) for place, version in enumerate(nightly(*USUAL))]
    found = verdict(3.0, past)
    assert (found.answer, found.outcome, found.numbers["taken_back"]) == ("hold", "flapping", 3)
    assert "3 live versions were taken back" in found.reason


def test_verdicts_of_other_gates_are_not_counted() -> None:
    other = [
        replace(version, verdicts=()) for version in judged("fail", "pass", "fail", "pass", "fail", "pass")
    ]
    assert verdict(3.0, other).answer == "pass"
