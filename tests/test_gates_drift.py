"""Effect sizes between two samples of a column: against references, under chance, and at the borders."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from rasen.deploy.gates.drift import ks, psi, psi_of_categories, psi_of_numbers, rise

ALPHA = 0.01


def drawn(seed: int, rows: int, shift: float = 0.0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).normal(shift, 1, rows))


def test_psi_is_the_textbook_sum() -> None:
    old, new = np.array([300, 400, 300]), np.array([200, 400, 400])
    p, q = (old + 0.5) / 1001.5, (new + 0.5) / 1001.5
    assert psi(old, new, alpha=ALPHA).size == pytest.approx(sum((q - p) * np.log(q / p)))


@pytest.mark.parametrize(("shift", "low", "high"), [(0.1, 0.005, 0.015), (0.5, 0.2, 0.27), (1.0, 0.8, 1.1)])
def test_psi_of_a_shift_in_standard_deviations(shift: float, low: float, high: float) -> None:
    found = psi_of_numbers(drawn(1, 100_000), drawn(2, 100_000, shift), alpha=ALPHA)
    assert low < found.size < high
    assert found.size > found.chance, "with so many rows, any shift is beyond chance: the size has to decide"


def test_values_that_fill_deciles_have_bins_of_their_own() -> None:
    constant = np.full(1000, 5.0)
    assert psi_of_numbers(constant, constant, alpha=ALPHA).size == 0
    for other in (3.0, 7.0):
        assert psi_of_numbers(constant, np.full(1000, other), alpha=ALPHA).size > 5
    zeros = np.sort(np.concatenate([np.zeros(950), drawn(1, 50) ** 2]))
    for value in (-1.0, 1.0):
        assert psi_of_numbers(zeros, np.full(1000, value), alpha=ALPHA).size > 2
    flags = np.repeat([0.0, 1.0], [700, 300])
    assert psi_of_numbers(flags, np.repeat([0.0, 1.0], [300, 700]), alpha=ALPHA).size > 0.5


def test_the_distance_of_distributions_is_that_of_scipy() -> None:
    for seed in range(5):
        old, new = drawn(seed, 300), np.sort(np.round(drawn(seed + 50, 170, 0.3), 1))
        expected = stats.ks_2samp(old, new)
        assert ks(old, new, alpha=ALPHA).size == pytest.approx(float(expected.statistic))


@pytest.mark.parametrize("rows", [50, 400])
def test_chance_reaches_its_size_as_rarely_as_it_says(rows: int) -> None:
    pairs = [(drawn(seed, rows), drawn(10_000 + seed, rows)) for seed in range(500)]
    for effect in (psi_of_numbers, ks):
        above = sum((found := effect(old, new, alpha=0.05)).size > found.chance for old, new in pairs)
        assert above / len(pairs) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(pairs)), effect
        assert above > 0, f"{effect}: the limit of chance is out of reach"


def test_the_chance_of_psi_is_a_quantile_of_chi_squared() -> None:
    for bins in (2, 5, 11, 51):
        found = psi(np.full(bins, 100), np.full(bins, 100), alpha=0.001)
        spread = 2 / (100 * bins)
        assert found.chance == pytest.approx(float(stats.chi2.isf(0.001, bins - 1)) * spread, rel=0.05)


def test_rare_categories_count_as_one() -> None:
    old = {str(number): 100 - number for number in range(100)}
    moved = old | {"99": 0, "98": old["98"] + old["99"]}
    assert psi_of_categories(old, moved, most=50, alpha=ALPHA).size == 0
    assert psi_of_categories(old, {"0": 1000}, most=50, alpha=ALPHA).size > 1


@pytest.mark.parametrize(
    ("old", "new", "size", "beyond"),
    [
        ((0, 1000), (100, 1000), 0.1, True),
        ((0, 20), (2, 20), 0.1, False),
        ((100, 1000), (0, 1000), -0.1, False),
        ((1000, 1000), (1000, 1000), 0.0, False),
    ],
)
def test_a_share_rises_beyond_chance_or_not(
    old: tuple[int, int], new: tuple[int, int], size: float, *, beyond: bool
) -> None:
    found = rise(*old, *new, alpha=0.001)
    assert found.size == pytest.approx(size)
    assert found.exceeds(0.05) == beyond
    assert not found.exceeds(None)


samples = arrays("float64", st.integers(1, 40), elements=st.floats(allow_nan=False, allow_infinity=True)).map(
    np.sort
)


@given(old=samples, new=samples)
def test_effects_are_finite_and_none_between_equals(old: np.ndarray, new: np.ndarray) -> None:
    for effect in (psi_of_numbers, ks):
        found = effect(old, new, alpha=ALPHA)
        assert math.isfinite(found.size)
        assert math.isfinite(found.chance)
        assert found.size >= -1e-12
        assert effect(old, old, alpha=ALPHA).size == pytest.approx(0, abs=1e-12)
    assert ks(old, new, alpha=ALPHA).size == pytest.approx(ks(new, old, alpha=ALPHA).size)
