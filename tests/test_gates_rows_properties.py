"""What holds of the gates that judge rows, whatever the rows: they answer, and the same in any order of the rows."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.deploy.gates import judge
from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_gates import DeclaredGate
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate
from rasen.tracking.ledger_records import GateVerdict
from stand.judged_rows import evaluation_evidence, history_evidence, past_version

metrics = st.sampled_from(sorted(DIRECTIONS))
numbers = st.one_of(
    st.floats(),
    st.floats(min_value=0, max_value=1),
    st.sampled_from([0.0, 1.0, float("nan"), float("inf"), 1e308, 5e-324]),
)
columns = st.one_of(
    st.lists(numbers, min_size=25, max_size=25).map(np.array),
    st.lists(st.sampled_from([0, 1]), min_size=25, max_size=25).map(np.array),
    st.lists(st.sampled_from(["a", "b", None]), min_size=25, max_size=25).map(
        lambda values: np.array(values, dtype=object)
    ),
    st.lists(st.booleans(), min_size=25, max_size=25).map(np.array),
    st.lists(numbers, max_size=3).map(np.array),
    st.none(),
)


@settings(max_examples=150, deadline=None)
@given(target=columns, candidate=columns, champion=columns, metric=metrics, data=st.data())
def test_gates_answer_whatever_the_rows(
    target: np.ndarray | None,
    candidate: np.ndarray | None,
    champion: np.ndarray | None,
    metric: str,
    data: st.DataObject,
) -> None:
    rows = np.zeros(25) if target is None else target
    origin = np.array(
        data.draw(st.lists(st.sampled_from("xyz"), min_size=len(rows), max_size=len(rows))), dtype=object
    )
    evidence = evaluation_evidence(rows, candidate, champion, slices={"origin": origin})
    gates: list[DeclaredGate] = [
        ChampionGate(kind="champion", metric=metric),
        SliceGate(kind="slice", metric=metric, by="origin", least_rows=10),
        SliceGate(kind="slice", metric=metric, by="origin", least_rows=10, against="champion"),
    ]
    if metric == "accuracy":
        gates.append(ChampionGate(kind="champion", metric=metric, test="mcnemar"))
    if metric not in {"auc", "accuracy"}:
        gates.append(ChampionGate(kind="champion", metric=metric, by="origin"))
    for found in judge(gates, evidence):
        assert found.reason
        assert found.outcome
        assert GateVerdict.model_validate_json(found.model_dump_json()) == found
        assert all(np.isfinite(value) for value in found.numbers.values())


def rows_of(metric: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    worse = random.choice([0.0, 0.4])
    if metric in {"rmse", "mae"}:
        target = random.normal(size=60)
        return target, target + (1 + worse) * random.normal(size=60), target + random.normal(size=60)
    target = (np.arange(60) % 2).astype("float64")
    return (
        target,
        np.clip(target * 0.5 + random.random(60) * (0.5 + worse), 0, 1),
        target * 0.5 + random.random(60) / 2,
    )


@settings(max_examples=40, deadline=None)
@given(metric=metrics, seed=st.integers(min_value=0, max_value=10_000))
def test_exchanging_the_models_exchanges_better_and_worse(metric: str, seed: int) -> None:
    target, candidate, champion = rows_of(metric, seed)
    gate = ChampionGate(kind="champion", metric=metric)
    (one,) = judge([gate], evaluation_evidence(target, candidate, champion))
    (other,) = judge([gate], evaluation_evidence(target, champion, candidate))
    turned = {"better": "worse", "worse": "better"}
    assert other.outcome == turned.get(one.outcome, one.outcome)


@settings(max_examples=30, deadline=None)
@given(metric=metrics, seed=st.integers(min_value=0, max_value=10_000))
def test_the_order_of_the_rows_does_not_matter_and_judging_twice_gives_the_same(
    metric: str, seed: int
) -> None:
    target, candidate, champion = rows_of(metric, seed)
    origin = np.array(["JFK", "LGA", "EWR"] * 20, dtype=object)
    order = np.random.default_rng(seed).permutation(60)
    gates: list[DeclaredGate] = [
        ChampionGate(kind="champion", metric=metric, margin=0.02),
        SliceGate(kind="slice", metric=metric, by="origin", least_rows=10),
    ]
    straight, again, shuffled = (
        judge(
            gates,
            evaluation_evidence(
                target[rows], candidate[rows], champion[rows], slices={"origin": origin[rows]}
            ),
        )
        for rows in (slice(None), slice(None), order)
    )
    assert again == straight
    for one, other in zip(straight, shuffled, strict=True):
        assert (other.answer, other.outcome) == (one.answer, one.outcome)
        assert other.numbers == pytest.approx(one.numbers, rel=1e-6, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    value=st.floats(min_value=-1e100, max_value=1e100),
    values=st.lists(st.floats(), max_size=12),
    answers=st.lists(st.sampled_from(["pass", "fail", "hold"]), max_size=12),
    direction=st.sampled_from(["minimize", "maximize"]),
)
def test_history_answers_whatever_the_past_and_never_refuses_what_is_better(
    value: float, values: list[float], answers: list[str], direction: Literal["minimize", "maximize"]
) -> None:
    gate = HistoryGate(kind="history", metric="yield", direction=direction, least=3)
    past: list[Any] = [
        past_version(
            each,
            metric="yield",
            verdict=GateVerdict.model_validate(
                {"gate": "history yield", "answer": answer, "outcome": "flapping"}
            ),
        )
        for each, answer in zip(values, answers, strict=False)
    ]
    (found,) = judge([gate], history_evidence(value, past, metric="yield"))
    assert found.reason
    assert all(np.isfinite(number) for number in found.numbers.values())
    known = [each for each in values[: len(past)] if abs(each) < 1e150]
    best = min(known, default=value) if direction == "minimize" else max(known, default=value)
    if (value <= best) if direction == "minimize" else (value >= best):
        assert found.answer != "fail"
