"""Releases of which the truth is known: what the statistical gates are shown by `bench.gates`.

Models whose metrics differ by a given factor, metrics of versions that are in control or got worse, and rows whose
slices are alike or not; and which of the answers to them would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np

from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import judge
from rasen.model.metrics import compute
from rasen.pipeline_gates import DeclaredGate
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate
from rasen.tracking.ledger_records import GateVerdict
from stand.judged_rows import evaluation_evidence, history_evidence, past_version

_NORMAL = NormalDist()
_ROWS = 250
_MARGIN = 0.05
_TRUTH_ROWS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong answer.

    Args:
        told: What it is, in words.
        outcomes: What a verdict says then.
        level: How often that may happen; `None` when the gate promises nothing and the rate tells what it misses.
    """

    told: str
    outcomes: frozenset[str]
    level: float | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Releases of one kind, of which the truth is known.

    Args:
        gate: Kind and metric.
        truth: How they are made, in words.
        wrong: The wrong answers to them.
        outcome: Makes one release, its number given, and returns what the gate says of it.
    """

    gate: str
    truth: str
    wrong: tuple[Wrong, ...]
    outcome: Callable[[np.random.Generator, int], str]


def settings() -> Iterator[Setting]:
    """Yield everything that is simulated."""
    yield from champion_settings()
    yield from history_settings()
    yield from slice_settings()


Pair = tuple[np.ndarray, np.ndarray, np.ndarray]
Maker = Callable[[np.random.Generator, int, float], Pair]


def make_errors(random: np.random.Generator, rows: int, worse: float) -> Pair:
    """Return target, candidate and champion whose rmse and mae differ by the factor 1 + worse."""
    return _errors(random, rows, worse, spread=np.ones(rows))


def _heavy_errors(random: np.random.Generator, rows: int, worse: float) -> Pair:
    # Student's t with 5 degrees of freedom in both, from one divisor.
    return _errors(random, rows, worse, spread=np.sqrt(random.chisquare(5, size=rows) / 5))


def _errors(random: np.random.Generator, rows: int, worse: float, *, spread: np.ndarray) -> Pair:
    target = random.normal(size=rows)
    shared = random.normal(size=rows)
    candidate, champion = ((0.6 * shared + 0.8 * random.normal(size=rows)) / spread for _ in range(2))
    return target, target + (1 + worse) * candidate, target + champion


def make_probabilities(random: np.random.Generator, rows: int, worse: float) -> Pair:
    """Return classes and two noisy probabilities; `worse` adds noise to the candidate's."""
    score = random.normal(size=rows)
    happened = (random.random(rows) < _logistic(1.5 * score - 1)).astype("float64")

    def noisy(noise: float) -> np.ndarray:
        return _logistic(1.5 * score - 1 + noise * random.normal(size=rows))

    return happened, noisy(0.8 + worse), noisy(0.8)


def make_classes(random: np.random.Generator, rows: int, worse: float) -> Pair:
    """Return classes whose accuracies are 0.85 × (1 - worse) and 0.85; the models often err on the same rows."""
    target = random.integers(0, 3, size=rows)
    hard = random.random(rows) < 0.3

    def said(accuracy: float) -> np.ndarray:
        right = random.random(rows) < np.where(hard, (accuracy - 0.7 * 0.97) / 0.3, 0.97)
        return np.where(right, target, (target + 1) % 3)

    return target, said(0.85 * (1 - worse)), said(0.85)


def make_scores(random: np.random.Generator, rows: int, worse: float) -> Pair:
    """Return classes and scores whose areas under the curve are 0.8 × (1 - worse) and 0.8."""
    happened = (random.random(rows) < 0.3).astype("float64")
    shared = random.normal(size=rows)

    def score(area: float) -> np.ndarray:
        own = np.sqrt(0.51) * random.normal(size=rows)
        said: np.ndarray = happened * _NORMAL.inv_cdf(area) * np.sqrt(2) + 0.7 * shared + own
        return said

    return happened, score(0.8 * (1 - worse)), score(0.8)


def _logistic(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-values))
    return found


@dataclass(frozen=True, kw_only=True)
class _Contest:
    """A metric, how its releases are made, and how much worse the candidate is in truth at `worse`."""

    metric: str
    make: Maker
    worse: float
    margin: float
    told: str = ""
    test: Literal["mcnemar"] | None = None
    rows: int = _ROWS

    @property
    def name(self) -> str:
        return f"champion {self.metric}{self.told}, {self.rows} rows"


@lru_cache
def _true_loss(metric: str, worse: float) -> float:
    """Return by how much of the champion's the candidate's metric is worse in truth: of two million rows."""
    target, candidate, champion = make_probabilities(np.random.default_rng(1), _TRUTH_ROWS, worse)
    return compute(metric, target, candidate) / compute(metric, target, champion) - 1


def contests() -> list[_Contest]:
    """Return what the champion gate is shown."""
    noisier = 0.25
    return [
        _Contest(metric="rmse", make=make_errors, worse=_MARGIN, margin=_MARGIN),
        _Contest(metric="rmse", make=make_errors, worse=_MARGIN, margin=_MARGIN, rows=60),
        _Contest(metric="rmse", make=make_errors, worse=_MARGIN, margin=_MARGIN, rows=5000),
        _Contest(metric="rmse", make=_heavy_errors, worse=_MARGIN, margin=_MARGIN, told=" of heavy tails"),
        _Contest(metric="mae", make=make_errors, worse=_MARGIN, margin=_MARGIN),
        _Contest(
            metric="log_loss", make=make_probabilities, worse=noisier, margin=_true_loss("log_loss", noisier)
        ),
        _Contest(metric="brier", make=make_probabilities, worse=noisier, margin=_true_loss("brier", noisier)),
        _Contest(metric="accuracy", make=make_classes, worse=_MARGIN, margin=_MARGIN),
        _Contest(
            metric="accuracy",
            make=make_classes,
            worse=_MARGIN,
            margin=_MARGIN,
            test="mcnemar",
            told=" by mcnemar",
        ),
        _Contest(metric="auc", make=make_scores, worse=_MARGIN, margin=_MARGIN),
    ]


def champion_settings() -> Iterator[Setting]:
    """Yield, of each contest: equal models without a margin, and models that differ by the margin."""
    for contest in contests():
        yield Setting(
            gate=contest.name,
            truth="equal, no margin",
            wrong=(_wrong("false pass", "better", level=0.025), _wrong("false block", "worse", level=0.025)),
            outcome=_champion(contest, 0.0, 0.0),
        )
        yield Setting(
            gate=contest.name,
            truth="worse by the margin",
            wrong=(
                _wrong("false pass", "better", "equivalent", level=0.025),
                _wrong("false block", "worse", level=0.025),
            ),
            outcome=_champion(contest, contest.worse, contest.margin),
        )
    plain = _Contest(metric="rmse", make=make_errors, worse=_MARGIN, margin=_MARGIN)
    for worse, told in ((-0.2, "20 % better"), (0.0, "equal"), (0.3, "30 % worse")):
        yield Setting(
            gate=plain.name,
            truth=f"{told}, margin 5 %",
            wrong=(
                _wrong("passes", "better", "equivalent"),
                _wrong("fails", "worse"),
                _wrong("holds", "inconclusive"),
            ),
            outcome=_champion(plain, worse, _MARGIN),
        )


def _wrong(told: str, *outcomes: str, level: float | None = None) -> Wrong:
    return Wrong(told=told, outcomes=frozenset(outcomes), level=level)


def _champion(contest: _Contest, worse: float, margin: float) -> Callable[[np.random.Generator, int], str]:
    gate = ChampionGate(kind="champion", metric=contest.metric, margin=margin, test=contest.test)

    def outcome(random: np.random.Generator, number: int) -> str:
        target, candidate, champion = contest.make(random, contest.rows, worse)
        evidence = evaluation_evidence(target, candidate, champion, run=f"release-{number}")
        return verdict_of(gate, evidence).outcome

    return outcome


def history_settings() -> Iterator[Setting]:
    """Yield metrics in control, with few and with many versions, and metrics that got worse."""
    for versions, within in ((5, 2.0), (8, 2.0), (20, 2.0), (20, 3.0), (60, 3.0)):
        yield Setting(
            gate=f"history rmse, {versions} versions, {within:g} sigma",
            truth="in control",
            wrong=(_wrong("false block", "worse than usual", level=1 - _NORMAL.cdf(within)),),
            outcome=_history(versions, within, 0.0),
        )
    passes = _wrong("passes", "usual", "better than usual")
    for shift in (3.0, 4.5, 6.0):
        yield Setting(
            gate="history rmse, 20 versions, 3 sigma",
            truth=f"worse by {shift:g} sigma",
            wrong=(passes,),
            outcome=_history(20, 3.0, shift),
        )
    yield Setting(
        gate="history rmse, 20 versions, one 50 sigma off, 3 sigma",
        truth="worse by 6 sigma",
        wrong=(passes,),
        outcome=_history(20, 3.0, 6.0, outlier=50.0),
    )


def _history(
    versions: int, within: float, shift: float, *, outlier: float = 0.0
) -> Callable[[np.random.Generator, int], str]:
    gate = HistoryGate(kind="history", metric="rmse", within=within, over=max(versions, 20), least=5)

    def outcome(random: np.random.Generator, _: int) -> str:
        values = 10 + random.normal(size=versions)
        values[versions // 2] += outlier
        now = datetime(2026, 3, 1, tzinfo=UTC)
        past = [
            past_version(float(value), at=now - timedelta(days=age + 1)) for age, value in enumerate(values)
        ]
        evidence = history_evidence(10 + shift + float(random.normal()), past, at=now)
        return verdict_of(gate, evidence).outcome

    return outcome


_ALIKE: tuple[tuple[str, Maker], ...] = (
    ("rmse", make_errors),
    ("mae", make_errors),
    ("brier", make_probabilities),
    ("accuracy", make_classes),
    ("auc", make_scores),
)
# With one of 20 equal slices, its error is 1.5 times that of all rows when it is this many times that of the others.
_JUST_ALLOWED = 1.5 * 19 / (20 - 1.5)


def slice_settings() -> Iterator[Setting]:
    """Yield rows whose slices are all alike, one slice at what is allowed, and one that is bad."""
    block = _wrong("false block", "worse", level=0.05)
    for metric, make in _ALIKE:
        for slices, rows in ((20, 100), (5, 400)):
            yield Setting(
                gate=f"slice {metric}, {slices} slices of about {rows} rows, worst 1x",
                truth="all alike",
                wrong=(block,),
                outcome=_slices(metric, make, slices, rows, 1.0),
            )
    yield Setting(
        gate="slice rmse, 50 slices of about 60 rows, worst 1.5x",
        truth="all alike",
        wrong=(block,),
        outcome=_slices("rmse", make_errors, 50, 60, 1.5),
    )
    yield Setting(
        gate="slice rmse, 20 slices of about 100 rows, worst 1x, against the champion",
        truth="both models alike",
        wrong=(block,),
        outcome=_slices("rmse", make_errors, 20, 100, 1.0, against="champion"),
    )
    for times, wrong, told in (
        (_JUST_ALLOWED, block, "one slice just allowed"),
        (2.5, _wrong("passes", "even", "chance"), "one slice with 2.5 times the error"),
    ):
        yield Setting(
            gate="slice mae, 20 slices of about 200 rows, worst 1.5x",
            truth=told,
            wrong=(wrong,),
            outcome=_slices("mae", make_errors, 20, 200, 1.5, times=times),
        )


def _slices(
    metric: str,
    make: Maker,
    slices: int,
    rows: int,
    worst: float,
    *,
    times: float = 1.0,
    against: Literal["overall", "champion"] = "overall",
) -> Callable[[np.random.Generator, int], str]:
    gate = SliceGate(kind="slice", metric=metric, by="origin", worst=worst, least_rows=10, against=against)

    def outcome(random: np.random.Generator, number: int) -> str:
        target, candidate, champion = make(random, slices * rows, 0.0)
        names = random.integers(0, slices, size=slices * rows)
        if times != 1:
            candidate = target + (candidate - target) * np.where(names == 0, times, 1.0)
        evidence = evaluation_evidence(
            target,
            candidate,
            champion,
            run=f"release-{number}",
            slices={"origin": names.astype(str).astype(object)},
        )
        return verdict_of(gate, evidence).outcome

    return outcome


def verdict_of(gate: DeclaredGate, evidence: Evidence) -> GateVerdict:
    (verdict,) = judge([gate], evidence)
    return verdict
