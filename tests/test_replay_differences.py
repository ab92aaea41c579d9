"""How far two lots of answers are apart: equal within 1e-6, classes exactly, rows without an answer counted apart."""

import math
from pathlib import Path
from typing import Any

import pytest

from rasen.errors import InvalidInput
from rasen.replay.asking import Answer
from rasen.replay.differences import compare_answers, is_identical, same_answer
from rasen.replay.plot import plot_answers


def answers(*values: Any) -> list[Answer]:
    return [
        Answer(problem=str(value)) if isinstance(value, Exception) else Answer(value=value)
        for value in values
    ]


@pytest.mark.parametrize(
    ("one", "other", "same", "identical"),
    [
        (1.0, 1.0, True, True),
        (1.0, 1.0 + 5e-7, True, False),
        (1.0, 1.00001, False, False),
        (0.0, 1e-13, True, False),
        (1_000_000_000, 1_000_000_001, False, False),
        (1, 1.0, True, True),
        (1, True, False, False),
        (True, True, True, True),
        ("late", "late", True, True),
        ("late", "early", False, False),
        ("1", 1, False, False),
        ({"low": 1.0, "class": "a"}, {"class": "a", "low": 1.0 + 1e-9}, True, False),
        ({"low": 1.0}, {"low": 1.0, "high": 2.0}, False, False),
        ({"low": 1.0}, 1.0, False, False),
    ],
)
def test_when_two_answers_are_equal(one: Any, other: Any, same: bool, identical: bool) -> None:
    assert same_answer(one, other) is same is same_answer(other, one)
    assert is_identical(one, other) is identical


def test_numbers_are_summed_up_and_the_largest_difference_comes_first() -> None:
    found = compare_answers(answers(1.0, 2.0, 3.0, 4.0), answers(1.0, 2.5, 3.0 + 1e-9, 6.0))
    assert (found.compared, found.equal, found.identical) == (4, 2, 1)
    assert [(one.row, one.size) for one in found.differences] == [(3, 2.0), (1, 0.5)]
    spread = found.spreads[""]
    assert spread.largest == 2.0
    assert math.isclose(spread.mean, 2.5 / 4, rel_tol=1e-6)
    assert found.share_equal == 0.5
    assert found.confusion == {}


def test_classes_are_counted_by_pairs() -> None:
    found = compare_answers(answers("a", "a", "b", True), answers("a", "b", "b", False))
    assert found.confusion[""] == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1, ("true", "false"): 1}
    assert [one.size for one in found.differences] == [math.inf, math.inf]
    assert found.spreads == {}


def test_each_field_of_an_answer_with_several_is_compared() -> None:
    left = answers({"low": 1.0, "class": "a"}, {"low": 2.0, "class": "a"})
    right = answers({"low": 1.5, "class": "a"}, {"low": 2.0, "class": "b"})
    found = compare_answers(left, right)
    assert found.spreads["low"].largest == 0.5
    assert found.confusion["class"] == {("a", "a"): 1, ("a", "b"): 1}
    assert [(one.row, one.size) for one in found.differences] == [(1, math.inf), (0, 0.5)]


def test_rows_without_an_answer_are_counted_by_their_reason() -> None:
    left = answers(1.0, ValueError("gone"), 3.0, ValueError("gone"))
    right = answers(1.0, 2.0, ValueError("late"), 4.0)
    found = compare_answers(left, right)
    assert found.compared == found.equal == 1
    assert found.problems == {"gone": 2, "late": 1}


def test_nothing_to_compare_is_no_error() -> None:
    assert compare_answers([], []).share_equal == 1.0


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1.0, 2.0, 3.0), (1.0, 2.5, 3.0)),
        ((1.0, 2.0), (1.0, 2.0)),
        ((True, "b"), (False, "b")),
        (({"low": 1.0, "kind": "a"},), ({"low": 2.0, "kind": "b"},)),
    ],
)
def test_plots_are_drawn(left: tuple[Any, ...], right: tuple[Any, ...], tmp_path: Path) -> None:
    one, other = answers(*left), answers(*right)
    file = tmp_path / "plot.png"
    plot_answers(file, one, other, compare_answers(one, other), labels=("3", "7"), title="demand")
    assert file.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    nothing = answers(ValueError("gone"))
    with pytest.raises(InvalidInput, match="nothing to draw"):
        plot_answers(
            tmp_path / "plot.png",
            nothing,
            nothing,
            compare_answers(nothing, nothing),
            labels=("3", "7"),
            title="",
        )
    one = answers(1.0)
    for name, reason in (("plot.txt", "must end in .png"), ("no/plot.png", "there is no folder")):
        with pytest.raises(InvalidInput, match=reason):
            plot_answers(tmp_path / name, one, one, compare_answers(one, one), labels=("3", "7"), title="")
