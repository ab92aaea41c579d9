"""The champion gate: four verdicts, and what makes rows useless for any of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import judge
from rasen.deploy.gates.champion import Comparison, decide, rows_that_decide
from rasen.pipeline_gates_statistical import ChampionGate
from rasen.tracking.ledger_records import GateVerdict
from stand.judged_rows import LIVE, evaluation_evidence

ROWS = 2000


def gate(**keys: Any) -> ChampionGate:  # Any: the keys of the gate
    return ChampionGate(**{"kind": "champion", "metric": "rmse", "margin": 0.05, **keys})


def verdict(evidence: Evidence, **keys: Any) -> GateVerdict:  # Any: the keys of the gate
    (only,) = judge([gate(**keys)], evidence)
    return only


def numeric(worse: float = 0.0, *, rows: int = ROWS, **more: Any) -> Evidence:  # Any: of evaluation_evidence
    random = np.random.default_rng(1)
    target = random.normal(size=rows)
    shared = random.normal(size=rows)
    candidate, champion = (shared + 0.5 * random.normal(size=rows) for _ in range(2))
    return evaluation_evidence(target, target + (1 + worse) * candidate, target + champion, **more)


def classes(
    accuracy: float, other: float, *, rows: int = ROWS, text: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    target = random.integers(0, 2, size=rows)
    answers = [np.where(random.random(rows) < share, target, 1 - target) for share in (accuracy, other)]
    if text:
        names = np.array(["early", "late"], dtype=object)
        return names[target], names[answers[0]], names[answers[1]]
    return target, answers[0], answers[1]


@pytest.mark.parametrize(
    ("worse", "margin", "answer", "outcome"),
    [
        (-0.1, 0.05, "pass", "better"),
        (0.0, 0.05, "pass", "equivalent"),
        (0.2, 0.05, "fail", "worse"),
        (0.05, 0.05, "hold", "inconclusive"),
        (0.1, 0.0, "fail", "worse"),
    ],
)
def test_the_four_verdicts(worse: float, margin: float, answer: str, outcome: str) -> None:
    found = verdict(numeric(worse), margin=margin)
    assert (found.answer, found.outcome) == (answer, outcome)
    assert found.gate == "champion rmse"
    assert found.numbers["rows"] == ROWS
    assert found.numbers["low"] <= found.numbers["difference"] <= found.numbers["high"]
    assert found.numbers["difference"] == pytest.approx(
        1 - found.numbers["rmse"] / found.numbers["champion_rmse"]
    )
    assert found.reason.startswith("rmse ")
    assert outcome in found.reason
    assert ("rows_that_decide" in found.numbers) == (outcome == "inconclusive")


def test_inconclusive_passes_where_that_is_declared_and_says_how_many_rows_would_decide() -> None:
    found = verdict(numeric(0.03), inconclusive="pass")
    assert (found.answer, found.outcome) == ("pass", "inconclusive")
    assert f"about {found.numbers['rows_that_decide']:.0f} rows would decide" in found.reason
    assert found.numbers["rows_that_decide"] > ROWS


def test_the_rows_that_would_decide_do() -> None:
    few = verdict(numeric(0.02, rows=400)).numbers
    more, first = int(few["rows_that_decide"]), few["difference"]
    decided = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        target = np.zeros(more)
        shared = random.normal(size=more)
        candidate, champion = (shared + 0.5 * random.normal(size=more) for _ in range(2))
        evidence = evaluation_evidence(target, (1 - first) * candidate, champion)
        decided += verdict(evidence).outcome != "inconclusive"
    assert decided >= 5  # four of five, were the models' true difference the measured one


@pytest.mark.parametrize(
    ("low", "high", "margin", "outcome"),
    [
        (0.001, 0.1, 0.0, "better"),
        (0.0, 0.1, 0.0, "equivalent"),
        (-0.02, 0.1, 0.02, "equivalent"),
        (-0.03, -0.01, 0.02, "inconclusive"),
        (-0.03, -0.021, 0.02, "worse"),
        (-0.1, -0.001, 0.0, "worse"),
        (-0.1, 0.1, 0.05, "inconclusive"),
    ],
)
def test_the_interval_beside_the_margin_decides(low: float, high: float, margin: float, outcome: str) -> None:
    comparison = Comparison(
        candidate=1, champion=1, gain=(low + high) / 2, low=low, high=high, rows=100, units=100
    )
    assert decide(comparison, margin) == outcome


def test_no_number_of_rows_decides_a_difference_that_is_the_margin() -> None:
    comparison = Comparison(candidate=1, champion=1, gain=-0.02, low=-0.1, high=0.05, rows=100, units=100)
    assert rows_that_decide(comparison, 0.02, 0.95) is None
    assert rows_that_decide(replace(comparison, gain=0.06), 0.02, 0.95) == 818


def test_equal_predictions_are_equivalent_without_any_margin() -> None:
    target = np.arange(50.0)
    for metric in ("rmse", "mae"):
        found = verdict(evaluation_evidence(target, target + 1, target + 1), metric=metric, margin=0)
        assert (found.answer, found.outcome) == ("pass", "equivalent")
        assert found.reason.endswith("is equal, whatever the rows: equivalent")


def test_a_first_version_has_nothing_to_be_compared_with() -> None:
    found = verdict(replace(numeric(), champion=None))
    assert (found.answer, found.outcome) == ("pass", "first")
    assert found.reason == "first version: nothing to compare with"


def test_a_live_version_that_cannot_be_looked_at_is_no_reason_to_pass() -> None:
    found = verdict(replace(numeric(), champion=None, champion_problem="its manifest is gone"))
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert "its manifest is gone" in found.reason


@pytest.mark.parametrize(
    ("qualified", "reason"),
    [
        (
            {"run": LIVE, "evaluated": False, "reason": "ModuleNotFoundError: lightgbm"},
            "ModuleNotFoundError: lightgbm",
        ),
        ({"run": LIVE, "evaluated": False, "reason": None}, "no reason is given"),
        ({"run": LIVE, "evaluated": "yes"}, "could not be run"),
        ({"run": "another", "evaluated": True}, f"ran another, but {LIVE} is live now"),
        ("nonsense", "did not run the live version"),
        (False, "did not run the live version"),
    ],
)
def test_a_live_version_that_was_not_run_is_inconclusive(qualified: object, reason: str) -> None:
    found = verdict(numeric(qualified=qualified))
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert reason in found.reason


def test_a_live_version_without_predictions_is_inconclusive() -> None:
    found = verdict(evaluation_evidence(np.zeros(50), np.ones(50), None))
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert "no predictions" in found.reason


def test_rows_that_the_live_version_was_trained_on_are_leakage() -> None:
    hours = np.datetime64("2026-02-10T00:00", "us") + np.arange(ROWS) * np.timedelta64(1, "h")
    seen = numeric(0.5, time=hours, trained_until="2026-02-10T09:00:00Z")
    found = verdict(seen)
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert f"leakage: 10 of {ROWS} evaluation rows are not later than 2026-02-10T09:00:00Z" in found.reason
    assert found.numbers == {"rows": ROWS, "wrong_rows": 10}
    assert verdict(seen, inconclusive="pass").answer == "pass"
    later = numeric(0.5, time=hours, trained_until="2026-02-10T01:00:00+02:00")  # 23:00 of the day before
    assert verdict(later).outcome == "worse"
    hours[3] = np.datetime64("NaT")
    unknown = numeric(0.5, time=hours, trained_until="2026-02-09T00:00:00Z")
    assert "leakage: 1 of" in verdict(unknown).reason
    assert "leakage cannot be ruled out" in verdict(numeric(time=hours, trained_until="lately")).reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_predictions_that_are_no_numbers(bad: float) -> None:
    target, good = np.zeros(50), np.ones(50)
    wrong = good.copy()
    wrong[:3] = bad
    own = verdict(evaluation_evidence(target, wrong, good))
    assert (own.answer, own.outcome) == ("fail", "not finite")
    assert "NaN or infinite in 3 of 50 evaluation rows" in own.reason
    other = verdict(evaluation_evidence(target, good, wrong))
    assert (other.answer, other.outcome) == ("hold", "inconclusive")
    assert "live version's prediction is missing, NaN or infinite in 3 of 50" in other.reason
    assert verdict(evaluation_evidence(wrong, good, good)).outcome == "not finite"


@pytest.mark.parametrize(
    ("target", "candidate", "champion", "outcome", "reason"),
    [
        (
            np.zeros(50),
            np.zeros(49),
            np.zeros(50),
            "rows do not match",
            "49 predictions of the candidate for 50 rows",
        ),
        (
            np.zeros(50),
            np.zeros(50),
            np.zeros(51),
            "rows do not match",
            "51 predictions of the live version for 50 rows",
        ),
        (np.zeros(0), np.zeros(0), np.zeros(0), "missing", "the evaluation has no rows"),
        (np.zeros(50), None, np.zeros(50), "missing", "several outputs"),
        (np.zeros(50), np.array(["a"] * 50, dtype=object), np.zeros(50), "not defined", "must be numbers"),
        (np.zeros(50), np.array([None] * 50, dtype=object), np.zeros(50), "not finite", "missing"),
        (np.zeros(50), np.full(50, 1e300), np.zeros(50), "not defined", "too large for a number"),
    ],
)
def test_rows_that_cannot_be_judged_fail(
    target: np.ndarray, candidate: np.ndarray | None, champion: np.ndarray, outcome: str, reason: str
) -> None:
    found = verdict(evaluation_evidence(target, candidate, champion))
    assert (found.answer, found.outcome) == ("fail", outcome)
    assert reason in found.reason


def test_too_few_rows_are_inconclusive() -> None:
    found = verdict(numeric(rows=19))
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert "19 rows are too few, 20 are needed" in found.reason


def test_a_live_version_whose_predictions_have_another_meaning_is_inconclusive() -> None:
    target = np.arange(50) % 2
    found = verdict(evaluation_evidence(target, np.full(50, 0.4), np.full(50, 7.0)), metric="brier")
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    assert "between 0 and 1" in found.reason


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("test", ["mcnemar", "paired_bootstrap"])
def test_classes_are_compared_by_mcnemar_or_bootstrap(test: str, *, text: bool) -> None:
    better = verdict(evaluation_evidence(*classes(0.9, 0.8, text=text)), metric="accuracy", test=test)
    assert (better.answer, better.outcome) == ("pass", "better")
    worse = verdict(evaluation_evidence(*classes(0.7, 0.9, text=text)), metric="accuracy", test=test)
    assert (worse.answer, worse.outcome) == ("fail", "worse")


def test_both_tests_of_accuracy_agree_on_many_rows() -> None:
    evidence = evaluation_evidence(*classes(0.85, 0.84, rows=20_000))
    one, other = (verdict(evidence, metric="accuracy", test=test) for test in ("mcnemar", "paired_bootstrap"))
    for end in ("low", "high", "difference"):
        assert one.numbers[end] == pytest.approx(other.numbers[end], abs=0.002)


def test_areas_are_compared_by_delong() -> None:
    random = np.random.default_rng(3)
    target = (np.arange(ROWS) % 3 == 0).astype("float64")
    good, bad = target + random.normal(size=ROWS), target + 3 * random.normal(size=ROWS)
    assert verdict(evaluation_evidence(target, good, bad), metric="auc").outcome == "better"
    assert verdict(evaluation_evidence(target, bad, good), metric="auc").outcome == "worse"
    same = verdict(evaluation_evidence(target, good, good), metric="auc", margin=0)
    assert (same.answer, same.outcome) == ("pass", "equivalent")
    one_class = verdict(evaluation_evidence(np.zeros(50), np.ones(50), np.ones(50)), metric="auc")
    assert (one_class.answer, one_class.outcome) == ("hold", "inconclusive")
    assert "0 rows of class 1 and 50 of class 0" in one_class.reason
    turned = verdict(evaluation_evidence(target, -target, good), metric="auc")
    assert "auc 0 has no relative difference" in turned.reason
    assert verdict(evaluation_evidence(target + 1, good, bad), metric="auc").outcome == "not defined"


def test_rows_of_one_unit_count_as_one() -> None:
    random = np.random.default_rng(5)
    days = np.repeat(np.arange(40), 50)
    weather = random.normal(size=40)[days]
    target = np.zeros(2000)
    candidate, champion = weather + 0.1 * random.normal(size=2000), 1.05 * np.roll(weather, 50)
    time = (
        np.datetime64("2026-03-01", "us")
        + days * np.timedelta64(1, "D")
        + np.arange(2000) * np.timedelta64(1, "s")
    )
    day_names = np.array([f"day {day:02d}" for day in days], dtype=object)
    evidence = evaluation_evidence(target, candidate, champion, time=time, slices={"day": day_names})
    naive, by, block = (verdict(evidence, **keys) for keys in ({}, {"by": "day"}, {"block": "1d"}))
    assert by.numbers == block.numbers
    assert by.numbers["units"] == 40
    assert "in 40 units" in by.reason
    assert by.numbers["high"] - by.numbers["low"] > 2 * (naive.numbers["high"] - naive.numbers["low"])
    assert (
        "19 independent units of 950 rows"
        in verdict(
            evaluation_evidence(
                target[:950], candidate[:950], champion[:950], slices={"day": day_names[:950]}
            ),
            by="day",
        ).reason
    )


def test_units_that_the_rows_do_not_have_fail() -> None:
    by = verdict(numeric(slices={"origin": np.array(["JFK"] * ROWS)}), by="carrier")
    assert (by.answer, by.outcome) == ("fail", "missing")
    assert "no slice column 'carrier', it has: origin" in by.reason
    block = verdict(numeric(), block="1d")
    assert (block.answer, block.outcome) == ("fail", "missing")
    assert "give `time=` to rasen.publish" in block.reason
    short = verdict(numeric(slices={"origin": np.array(["JFK"])}), by="origin")
    assert short.outcome == "rows do not match"


def test_a_perfect_live_version_leaves_nothing_relative() -> None:
    random = np.random.default_rng(6)
    target = random.normal(size=100)
    found = verdict(evaluation_evidence(target, target + 1, target))
    assert (found.answer, found.outcome) == ("fail", "worse")
    assert "any amount worse" in found.reason
    assert "difference" not in found.numbers  # a record has no infinity
    assert GateVerdict.model_validate_json(found.model_dump_json()) == found
    hopeless = verdict(
        evaluation_evidence(np.ones(50), np.ones(50), np.zeros(50)), metric="accuracy", test="mcnemar"
    )
    assert (hopeless.answer, hopeless.outcome) == ("hold", "inconclusive")
