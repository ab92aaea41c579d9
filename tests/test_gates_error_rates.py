"""The benchmark of error rates, in small: 200 releases a setting, with bounds that chance does not reach."""

import pytest

from bench.gates import seconds_of_a_large_release, show, simulate
from bench.gates_releases import Setting, settings
from rasen.deploy.gates.distributions import binomial_tail
from stand.repository import ROOT

RELEASES = 200
CHOSEN = (
    ("champion rmse, 60 rows", "equal, no margin"),
    ("champion accuracy by mcnemar, 250 rows", "worse by the margin"),
    ("champion auc, 250 rows", "equal, no margin"),
    ("history rmse, 8 versions, 2 sigma", "in control"),
    ("slice mae, 5 slices of about 400 rows, worst 1x", "all alike"),
)
"""Quick ones, of each kind and each test."""


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], Setting]:
    return {(setting.gate, setting.truth): setting for setting in settings()}


@pytest.mark.parametrize("name", CHOSEN, ids=": ".join)
def test_wrong_answers_are_not_more_often_than_promised(
    known: dict[tuple[str, str], Setting], name: tuple[str, str]
) -> None:
    setting = known[name]
    for wrong, rate in zip(setting.wrong, simulate(setting, RELEASES), strict=True):
        assert wrong.level is not None
        assert binomial_tail(rate.wrong, rate.releases, wrong.level) > 1e-4, show(setting, wrong, rate)


def test_clear_differences_are_found(known: dict[tuple[str, str], Setting]) -> None:
    passes, fails, _ = simulate(known["champion rmse, 250 rows", "30 % worse, margin 5 %"], 50)
    assert passes.wrong == 0
    assert fails.wrong >= 40
    (missed,) = simulate(known["history rmse, 20 versions, 3 sigma", "worse by 6 sigma"], RELEASES)
    assert missed.share < 0.25


def test_the_table_is_of_these_settings_and_nothing_is_above_its_level(
    known: dict[tuple[str, str], Setting],
) -> None:
    text = (ROOT / "tests" / "bench" / "gates.md").read_text()
    for gate, truth in known:
        assert f"| {gate} | {truth} |" in text
    assert "| above |" not in text


def test_a_large_release_is_timed_for_every_kind_of_row_gate() -> None:
    assert {name.split()[0] for name in seconds_of_a_large_release(rows=3000)} == {"champion", "slice"}
