"""The intervals of the gates beside what others compute: SciPy, the definitions, and the published examples."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.deploy.gates.auc_difference import area_and_influence, area_ratio_interval
from rasen.deploy.gates.control_limits import control_limits, outliers
from rasen.deploy.gates.paired_classes import difference_interval
from rasen.deploy.gates.ratio_interval import ratio_interval
from rasen.metric_directions import DIRECTIONS
from rasen.model.metrics import LOSSES, auc, compute


def skewed(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(size=rows)
    return (shared + random.normal(size=rows)) ** 2, (shared + 1.1 * random.normal(size=rows)) ** 2


def test_ratio_interval_is_near_scipy_s_bootstrap() -> None:
    first, second = skewed(500)
    found = ratio_interval(first, second, None, confidence=0.95, seed=1)
    reference = scipy.stats.bootstrap(
        (first, second),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        n_resamples=3000,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.ratio == pytest.approx(first.mean() / second.mean())
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), rel=0.03)
    assert found.units == 500


def test_groups_of_many_rows_give_the_interval_of_the_rows() -> None:
    first, second = skewed(20_000)
    found = ratio_interval(first, second, None, confidence=0.95, seed=1)
    moved = first / first.sum() - second / second.sum()
    half = 1.96 * math.sqrt((moved**2).sum())
    assert math.log(found.high / found.ratio) == pytest.approx(half, rel=0.12)
    assert math.log(found.ratio / found.low) == pytest.approx(half, rel=0.12)


def test_rows_that_are_repeated_within_units_do_not_narrow_the_interval() -> None:
    first, second = skewed(200)
    once = ratio_interval(first, second, None, confidence=0.95, seed=1)
    units = np.repeat(np.arange(200), 50)
    repeated = ratio_interval(np.repeat(first, 50), np.repeat(second, 50), units, confidence=0.95, seed=1)
    naive = ratio_interval(np.repeat(first, 50), np.repeat(second, 50), None, confidence=0.95, seed=1)
    assert repeated.high - repeated.low == pytest.approx(once.high - once.low, rel=0.1)
    assert naive.high - naive.low < (once.high - once.low) / 4
    assert repeated.units == 200


@settings(max_examples=30)
@given(seed=st.integers(min_value=0, max_value=1000), rows=st.integers(min_value=20, max_value=60))
def test_a_ratio_turned_round_has_the_interval_turned_round_whatever_the_order(seed: int, rows: int) -> None:
    first, second = skewed(rows, seed=seed)
    found = ratio_interval(first, second, None, confidence=0.9, seed=seed)
    turned = ratio_interval(second, first, None, confidence=0.9, seed=seed)
    expected = (1 / found.high, 1 / found.ratio, 1 / found.low)
    assert (turned.low, turned.ratio, turned.high) == pytest.approx(expected, rel=1e-12)
    order = np.random.default_rng(seed).permutation(rows)
    assert ratio_interval(first[order], second[order], None, confidence=0.9, seed=seed) == found
    assert found.low <= found.ratio <= found.high


def test_ratios_of_nothing() -> None:
    nothing, something = np.zeros(50), np.ones(50)
    equal = ratio_interval(nothing, nothing, None, confidence=0.95, seed=1)
    assert (equal.low, equal.ratio, equal.high) == (1, 1, 1)
    perfect = ratio_interval(nothing, something, None, confidence=0.95, seed=1)
    assert (perfect.low, perfect.high) == (0, 0)
    hopeless = ratio_interval(something, nothing, None, confidence=0.95, seed=1)
    assert (hopeless.low, hopeless.high) == (math.inf, math.inf)


def test_one_row_that_differs_from_nothing_proves_nothing() -> None:
    one = np.zeros(1000)
    one[7] = 1.0
    found = ratio_interval(np.zeros(1000), one, None, confidence=0.95, seed=1)
    assert (found.low, found.high) == (0, math.inf)


@pytest.mark.parametrize("metric", sorted(LOSSES))
def test_losses_sum_to_the_metrics(metric: str) -> None:
    random = np.random.default_rng(2)
    target = random.integers(0, 2, size=300).astype("float64")
    prediction = random.random(300)
    mean = float(LOSSES[metric](target, prediction).mean())
    expected = math.sqrt(mean) if metric == "rmse" else 1 - mean if metric == "accuracy" else mean
    assert compute(metric, target, prediction) == pytest.approx(expected)
    assert set(LOSSES) == set(DIRECTIONS) - {"auc"}


def slow_influence(happened: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Return the area and its variance by the definitions of DeLong and others, pair by pair."""
    ones, zeros = score[happened], score[~happened]
    wins = (ones[:, None] > zeros[None, :]) + 0.5 * (ones[:, None] == zeros[None, :])
    variance = wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / len(zeros)
    return float(wins.mean()), float(variance)


@settings(max_examples=40)
@given(seed=st.integers(min_value=0, max_value=10_000), ties=st.booleans())
def test_areas_have_delong_s_variance(seed: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    happened = np.concatenate([[True, True, False, False], random.random(60) < 0.3])
    score = random.normal(size=64) + happened
    score = score.round() if ties else score
    area, influence = area_and_influence(happened, score)
    expected, variance = slow_influence(happened, score)
    assert area == pytest.approx(expected)
    assert area == pytest.approx(auc(happened.astype("float64"), score))
    assert (influence**2).sum() == pytest.approx(variance)


def test_area_ratio_interval_by_the_delta_method() -> None:
    random = np.random.default_rng(3)
    happened = random.random(3000) < 0.4
    shared = random.normal(size=3000)
    first, second = (happened + shared + random.normal(size=3000) for _ in range(2))
    found = area_ratio_interval(happened, first, second, None, confidence=0.95)
    draws = []
    for _ in range(300):
        drawn = random.integers(0, 3000, size=3000)
        target = happened[drawn].astype("float64")
        draws.append(math.log(auc(target, first[drawn]) / auc(target, second[drawn])))
    assert math.log(found.high / found.low) / (2 * 1.96) == pytest.approx(np.std(draws), rel=0.15)
    each_row = area_ratio_interval(happened, first, second, np.arange(3000), confidence=0.95)
    assert each_row.high == pytest.approx(found.high, rel=1e-3)


def test_the_score_interval_ends_where_mcnemar_s_test_does() -> None:
    # 60 and 40 discordant rows: McNemar's chi-squared is 20² / 100 = 4, so that the level of 4.55 % just refuses.
    rows, exact = 500, math.erfc(math.sqrt(4 / 2))
    just, _ = difference_interval(60, 40, rows, confidence=1 - exact)
    assert just == pytest.approx(0, abs=1e-9)
    assert (
        difference_interval(60, 40, rows, confidence=1 - exact - 0.01)[0]
        > 0
        > (difference_interval(60, 40, rows, confidence=1 - exact + 0.01)[0])
    )


@given(
    first=st.integers(min_value=0, max_value=200),
    second=st.integers(min_value=0, max_value=200),
    others=st.integers(min_value=1, max_value=2000),
)
def test_difference_interval_is_mirrored_and_agrees_with_the_exact_test(
    first: int, second: int, others: int
) -> None:
    rows = first + second + others
    low, high = difference_interval(first, second, rows, confidence=0.95)
    assert low <= (first - second) / rows <= high
    mirrored = difference_interval(second, first, rows, confidence=0.95)
    assert mirrored == pytest.approx((-high, -low), abs=1e-9)
    if 0 < first + second < 50:
        chance = scipy.stats.binomtest(first, first + second, alternative="greater").pvalue
        assert (low <= 0) or chance <= 0.025 + 1e-9


def test_difference_interval_of_many_rows_is_wald_s() -> None:
    low, high = difference_interval(600, 500, 20_000, confidence=0.95)
    half = 1.96 * math.sqrt(1100 - 100**2 / 20_000) / 20_000
    assert (low, high) == pytest.approx((0.005 - half, 0.005 + half), rel=0.02)


def test_control_limits_of_many_values_are_shewhart_s() -> None:
    values = np.random.default_rng(4).normal(10, 2, size=5000).tolist()
    limits = control_limits([value for value in values if abs(value - 10) < 9], 3)
    assert limits.sigma == pytest.approx(2, rel=0.03)
    assert limits.distance == pytest.approx(3 * limits.sigma, rel=0.003)


def test_control_limits_of_few_values_hold_the_chance_of_a_prediction() -> None:
    limits = control_limits([3.0, 3.2, 3.1, 3.4, 3.0], 3)
    assert limits.sigma == pytest.approx(0.25 / 1.128, rel=1e-3)
    # With the standard deviation instead, the factor would be that of t with 4 degrees of freedom.
    assert 6.6 < limits.distance / limits.sigma < 11


@pytest.mark.parametrize("count", [5, 8, 20, 60])
def test_control_limits_miss_as_often_as_sigma_says(count: int) -> None:
    random = np.random.default_rng(count)
    beyond = 0
    for _ in range(1500):
        *values, fresh = random.normal(size=count + 1).tolist()
        limits = control_limits(values, 2)
        beyond += fresh > limits.mean + limits.distance
    # 2.28 % of 1500 are 34; the bounds are those of one chance in ten thousand.
    assert 14 <= beyond <= 60


def test_outliers_are_those_beyond_doubt() -> None:
    values = [3.0, 3.1, 2.9, 3.2, 3.0, 50.0, 3.1, 2.8, 3.0, 3.1]
    assert outliers(values) == [5]
    assert outliers([3.1] * 19 + [9.0]) == [19]
    assert outliers([3.1] * 20) == []
    assert outliers([3.0, 3.1, 50.0]) == []  # of so few nobody can say which one is off
    assert control_limits(values, 3).mean < 3.1
