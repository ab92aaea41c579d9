"""Quantiles and tails that the gates compute themselves are those of SciPy."""

import math
from itertools import pairwise

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy.gates.distributions import (
    binomial_limits,
    binomial_tail,
    incomplete_beta,
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
)
from rasen.deploy.gates.holm import stands

freedoms = st.floats(min_value=0.5, max_value=1e6)


@given(value=st.floats(min_value=-50, max_value=50), freedom=freedoms)
def test_student_s_tail(value: float, freedom: float) -> None:
    assert student_tail(value, freedom) == pytest.approx(
        float(scipy.stats.t.sf(value, freedom)), rel=1e-7, abs=1e-15
    )


@pytest.mark.parametrize("freedom", [0.7, 1.0, 2.5, 11.8, 30.0, 99_999.0])
@pytest.mark.parametrize("probability", [0.00135, 0.025, 0.5, 0.9, 0.99865])
def test_student_s_quantile(probability: float, freedom: float) -> None:
    expected = float(scipy.stats.t.ppf(probability, freedom))
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_student_s_tail_far_out_is_certain() -> None:
    assert student_tail(math.inf, 3) == 0
    assert student_tail(-math.inf, 3) == 1


@given(value=st.floats(min_value=-30, max_value=30))
def test_normal_tail_and_quantile(value: float) -> None:
    assert normal_tail(value) == pytest.approx(float(scipy.stats.norm.sf(value)), rel=1e-9)
    if abs(value) < 5:
        assert normal_quantile(1 - normal_tail(value)) == pytest.approx(value, abs=1e-6)


@given(
    x=st.floats(min_value=0, max_value=1),
    a=st.floats(min_value=0.05, max_value=500),
    b=st.floats(min_value=0.05, max_value=500),
)
def test_incomplete_beta(x: float, a: float, b: float) -> None:
    assert incomplete_beta(x, a, b) == pytest.approx(
        float(scipy.stats.beta.cdf(x, a, b)), rel=1e-7, abs=1e-12
    )


@given(data=st.data(), trials=st.integers(min_value=1, max_value=60))
def test_binomial_tail_and_exact_limits(data: st.DataObject, trials: int) -> None:
    successes = data.draw(st.integers(min_value=0, max_value=trials))
    share = data.draw(st.floats(min_value=0.001, max_value=0.999))
    tail = float(scipy.stats.binom.sf(successes - 1, trials, share))
    assert binomial_tail(successes, trials, share) == pytest.approx(tail, rel=1e-7, abs=1e-12)
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert binomial_limits(successes, trials, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_more_successes_than_trials_do_not_happen() -> None:
    assert binomial_tail(3, 2, 0.5) == 0
    assert binomial_tail(0, 2, 0.5) == 1


def test_holm_s_own_example() -> None:
    # Four findings at 5 %: 0.01 <= 0.05/4, 0.013 <= 0.05/3, 0.03 > 0.05/2: from there on none stands.
    assert stands([0.03, 0.01, 0.04, 0.013], level=0.05) == [False, True, False, True]
    assert stands([], level=0.05) == []


@given(chances=st.lists(st.floats(min_value=0, max_value=1), max_size=20))
def test_holm_keeps_what_bonferroni_keeps_and_nothing_above_the_level(chances: list[float]) -> None:
    found = stands(chances, level=0.05)
    for chance, stood in zip(chances, found, strict=True):
        assert stood or chance > 0.05 / len(chances)
        assert not stood or chance <= 0.05
    ordered = sorted(zip(chances, found, strict=True), key=lambda each: (each[0], not each[1]))
    assert all(one >= other for (_, one), (_, other) in pairwise(ordered))
