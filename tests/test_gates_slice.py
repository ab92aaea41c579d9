"""The slice gate: the worst slice, chance among many, few rows, and slices beside the live version's."""

from typing import Any

import numpy as np
import pytest

from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import judge
from rasen.deploy.gates.slice_errors import compare_with_all
from rasen.pipeline_gates_statistical import SliceGate
from rasen.tracking.ledger_records import GateVerdict
from stand.judged_rows import evaluation_evidence

ORIGINS = ("EWR", "JFK", "LGA", "SFO")


def verdict(evidence: Evidence, **keys: Any) -> GateVerdict:  # Any: the keys of the gate
    (only,) = judge([SliceGate(**{"kind": "slice", "metric": "rmse", "by": "origin", **keys})], evidence)
    return only


def names(rows: int, origins: tuple[str, ...] = ORIGINS) -> np.ndarray:
    return np.array([origins[row % len(origins)] for row in range(rows)], dtype=object)


def numeric(
    factors: dict[str, float], *, rows: int = 2000, champion: dict[str, float] | None = None
) -> Evidence:
    """Return rows whose errors are so many times larger in some slices."""
    random = np.random.default_rng(1)
    origin = names(rows)
    noise = random.normal(size=rows)
    scale = np.array([factors.get(name, 1.0) for name in origin])
    other = np.array([(champion or {}).get(name, 1.0) for name in origin])
    target = random.normal(size=rows)
    return evaluation_evidence(
        target, target + noise * scale, target + noise * other, slices={"origin": origin}
    )


def test_even_slices_pass_and_the_worst_is_named() -> None:
    found = verdict(numeric({}))
    assert (found.answer, found.outcome) == ("pass", "even")
    assert found.gate == "slice rmse origin"
    assert "the worst of 4 slices of origin is " in found.reason
    assert "within 1.5 times that of all rows" in found.reason
    assert found.numbers["slices_judged"] == 4


def test_a_bad_slice_fails_and_is_named_with_its_numbers() -> None:
    found = verdict(numeric({"LGA": 4.0}))
    assert (found.answer, found.outcome) == ("fail", "worse")
    assert "1 of 4 slices of origin is served worse than allowed" in found.reason
    assert "'LGA', rmse" in found.reason
    assert found.numbers["times origin=LGA"] == pytest.approx(4 / np.sqrt(19 / 4), rel=0.1)
    assert found.numbers["rows origin=LGA"] == 500
    assert "rmse origin=JFK" not in found.numbers
    assert verdict(numeric({"LGA": 4.0}), worst=3).answer == "pass"


def test_a_slice_may_not_be_judged_by_chance() -> None:
    random = np.random.default_rng(7)
    target = np.zeros(1200)
    origin = np.array([f"o{row % 120}" for row in range(1200)], dtype=object)
    found = verdict(
        evaluation_evidence(target, random.normal(size=1200), None, slices={"origin": origin}),
        worst=1.2,
        least_rows=10,
    )
    assert (found.answer, found.outcome) == ("pass", "chance")
    assert "with so few rows that may be chance" in found.reason
    worst = max(value for name, value in found.numbers.items() if name.startswith("times "))
    assert worst > 1.2


def test_slices_with_few_rows_are_told_not_judged() -> None:
    evidence = numeric({"SFO": 10.0}, rows=2000)
    rows = evidence.evaluation
    keep = (rows.slices["origin"] != "SFO") | (np.arange(2000) < 100)
    few = evaluation_evidence(
        rows.target[keep],
        np.asarray(rows.prediction)[keep],
        None,
        slices={"origin": rows.slices["origin"][keep]},
    )
    found = verdict(few)
    assert found.answer == "pass"
    assert found.reason.endswith("; 1 slice has too few rows to be judged")
    assert found.numbers["slices"] - found.numbers["slices_judged"] == 1
    assert verdict(few, least_rows=20).answer == "fail"


def test_when_no_slice_has_enough_rows_a_person_looks() -> None:
    found = verdict(numeric({}, rows=40))
    assert (found.answer, found.outcome) == ("hold", "too few")
    assert "none of the 4 slices of origin has enough rows to be judged (50)" in found.reason


def test_at_most_five_slices_are_told_in_words_and_all_in_numbers() -> None:
    origins = tuple(f"o{number}" for number in range(30))
    random = np.random.default_rng(2)
    origin = names(6000, origins)
    scale = np.array([10.0 if name in {f"o{number}" for number in range(7)} else 0.2 for name in origin])
    noise = random.normal(size=6000) * scale
    found = verdict(evaluation_evidence(np.zeros(6000), noise, None, slices={"origin": origin}))
    assert "7 of 30 slices of origin are served worse" in found.reason
    assert "; and 2 more" in found.reason
    assert sum(name.startswith("times ") for name in found.numbers) == 7


def test_beside_the_live_version_only_what_became_worse_counts() -> None:
    hard_as_ever = numeric({"LGA": 4.0}, champion={"LGA": 4.0})
    assert verdict(hard_as_ever).answer == "fail"
    found = verdict(hard_as_ever, against="champion")
    assert (found.answer, found.outcome) == ("pass", "even")
    worse = verdict(numeric({"LGA": 4.0}), against="champion")
    assert worse.answer == "fail"
    assert "up to 1.5 times the live version's: 'LGA'" in worse.reason


def test_beside_a_live_version_that_was_not_run_it_holds() -> None:
    not_run = numeric({})
    found = verdict(
        evaluation_evidence(np.zeros(200), np.ones(200), None, slices={"origin": names(200)}),
        against="champion",
    )
    assert (found.answer, found.outcome) == ("hold", "inconclusive")
    first = verdict(
        Evidence(
            measured=not_run.measured, candidate=not_run.candidate, read_evaluation=lambda: not_run.evaluation
        ),
        against="champion",
    )
    assert (first.answer, first.outcome) == ("pass", "first")


@pytest.mark.parametrize("metric", ["accuracy", "auc"])
@pytest.mark.parametrize("against", ["overall", "champion"])
def test_metrics_that_are_better_when_larger_are_judged_by_their_distance_from_one(
    metric: str, against: str
) -> None:
    random = np.random.default_rng(3)
    target = random.integers(0, 2, size=4000)
    origin = names(4000)
    wrong = np.where(origin == "LGA", 0.4, 0.05)
    said = np.where(random.random(4000) < wrong, 1 - target, target)
    before = np.where(random.random(4000) < 0.05, 1 - target, target)
    score, score_before = said + 0.1 * random.random(4000), before + 0.1 * random.random(4000)
    predictions = (said, before) if metric == "accuracy" else (score, score_before)
    found = verdict(
        evaluation_evidence(target, *predictions, slices={"origin": origin}), metric=metric, against=against
    )
    assert (found.answer, found.outcome) == ("fail", "worse")
    assert f"1 - {metric} up to 1.5 times" in found.reason
    assert found.numbers[f"{metric} origin=LGA"] == pytest.approx(0.6, abs=0.06)
    even = verdict(
        evaluation_evidence(target, predictions[1], predictions[1], slices={"origin": origin}),
        metric=metric,
        against=against,
    )
    assert even.answer == "pass"


def test_slices_of_one_class_have_no_area() -> None:
    target = np.concatenate([np.zeros(300), np.arange(300) % 2])
    origin = np.array(["only zeros"] * 300 + ["both"] * 300, dtype=object)
    score = target + np.random.default_rng(1).normal(size=600)
    found = verdict(evaluation_evidence(target, score, None, slices={"origin": origin}), metric="auc")
    assert found.answer == "pass"
    assert found.reason.endswith("; 1 slice has too few rows to be judged")
    one_class = verdict(
        evaluation_evidence(np.zeros(600), score, None, slices={"origin": origin}), metric="auc"
    )
    assert (one_class.answer, one_class.outcome) == ("hold", "inconclusive")


@pytest.mark.parametrize(
    ("prediction", "outcome"),
    [(np.full(200, np.nan), "not finite"), (None, "missing"), (np.ones(3), "rows do not match")],
)
def test_rows_that_cannot_be_judged_fail(prediction: np.ndarray | None, outcome: str) -> None:
    found = verdict(evaluation_evidence(np.zeros(200), prediction, None, slices={"origin": names(200)}))
    assert (found.answer, found.outcome) == ("fail", outcome)


def test_an_unknown_slice_column_fails_and_names_those_there_are() -> None:
    found = verdict(numeric({}), by="carrier")
    assert (found.answer, found.outcome) == ("fail", "missing")
    assert "no slice column 'carrier', it has: origin" in found.reason


def test_errors_without_any_spread() -> None:
    origin = names(400)
    perfect = verdict(evaluation_evidence(np.zeros(400), np.zeros(400), None, slices={"origin": origin}))
    assert perfect.answer == "pass"
    constant = np.where(origin == "LGA", 5.0, 1.0)
    assert (
        verdict(evaluation_evidence(np.zeros(400), constant, None, slices={"origin": origin})).answer
        == "fail"
    )
    worse_than_perfect = verdict(
        evaluation_evidence(np.zeros(400), constant, np.zeros(400), slices={"origin": origin}),
        against="champion",
    )
    assert worse_than_perfect.answer == "fail"
    assert "any times the error" in worse_than_perfect.reason


def test_the_variance_is_that_of_drawing_rows_anew() -> None:
    random = np.random.default_rng(4)
    rows, draws = 400, 3000
    numbers = np.arange(rows) % 4
    losses = random.random(size=(draws, rows))
    differences = losses[:, numbers == 0].mean(axis=1) - 1.3 * losses.mean(axis=1)
    found = compare_with_all(random.random(size=rows), np.arange(4).astype(str), numbers, 1.3)[0]
    # From the chance back to the spread that it was computed with.
    import scipy.stats

    distance = found.error - 1.3 * found.yardstick
    spread = distance / float(scipy.stats.t.isf(found.chance, found.rows - 1))
    assert spread == pytest.approx(np.std(differences), rel=0.3)
