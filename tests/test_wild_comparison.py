"""The suite of wild notebooks itself: what it takes for equal, for a difference, and for a reason."""

from __future__ import annotations

from typing import Any

import pytest

from wild.comparison import Difference, compare, normalise, unstable_places
from wild.execution import Run
from wild.known import KNOWN, reason_for
from wild.sources import WildNotebook, find_notebooks, sources
from wild.suite import NOT_DETERMINISTIC, Compared, same_verdict, write_report

Output = dict[str, Any]  # Any: the notebook format


def stream(text: str, name: str = "stdout") -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def display(**data: str) -> Output:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {kind.replace("_", "/"): value for kind, value in data.items()},
    }


def notebook(*cells: list[Output], count: int | None = 1) -> dict[str, Any]:  # Any: as above
    return {
        "cells": [
            {"cell_type": "code", "metadata": {}, "outputs": outputs, "execution_count": count}
            for outputs in cells
        ]
    }


def ran(verdict: str, error: str = "", message: str = "", **more: Any) -> Run:  # Any: the notebook format
    return Run(verdict=verdict, error=error, message=message, notebook=more.get("notebook"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<Axes at 0x7f12aabb3310>", "<Axes at 0x7f9900112233>"),
        ("done in 0.123s.", "done in 12s."),
        ("fit: 1.5e-03 seconds", "fit: 2 seconds"),
        ("/tmp/ipykernel_12/345.py:3: UserWarning: x", "/tmp/ipykernel_9/1.py:3: UserWarning: x"),
        ("Date: Sat, 21 Nov 2026\nTime: 10:11:12", "Date: Sun, 22 Nov 2026\nTime: 01:02:03"),
        ("at 2026-11-21 10:11:12.5", "at 2026-11-22T10:11:12"),
        ("50%\r100%\n", "100%\n"),
        ("a  b\n\n", "a b\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("/x/place/0/folder", "/x/place/1/folder"),
        ("-----\nx", "------\nx"),
    ],
)
def test_what_differs_between_any_two_executions_is_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.812", "0.813"), ("1 sample", "2 samples"), ("a\nb", "b\na"), ("line 12", "line 13"), ("x", "")],
)
def test_what_a_notebook_computes_is_not(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_streams_are_compared_whole_and_pictures_by_presence() -> None:
    theirs = notebook([stream("a"), stream("w", "stderr"), stream("b\n"), display(image_png="AAAA")])
    ours = notebook([stream("ab\n"), stream("w", "stderr"), display(image_png="BBBB")])
    assert compare(theirs, ours) == []
    without = notebook([stream("ab\n"), stream("w", "stderr")])
    assert [(found.cell, found.what) for found in compare(theirs, without)] == [(0, "outputs")]


def test_each_kind_of_difference_is_named_with_its_first_line() -> None:
    theirs = notebook([stream("same\n1.5\n")], [display(text_plain="x")], [stream("w", "stderr")])
    ours = notebook([stream("same\n1.6\n")], [display(text_plain="y")], [])
    found = compare(theirs, ours)
    assert [(one.cell, one.what) for one in found] == [(0, "stdout"), (1, "outputs"), (2, "stderr")]
    assert (found[0].papermill, found[0].rasen) == ("1.5", "1.6")
    assert [one.what for one in compare(notebook([]), notebook([], count=2))] == ["count"]
    assert [one.what for one in compare(notebook([]), notebook([], []))] == ["cells"]


def test_cells_that_papermill_adds_to_a_failed_notebook_are_not_the_author_s() -> None:
    theirs = notebook([stream("a")])
    mark = {"cell_type": "code", "metadata": {"tags": ["papermill-error-cell-tag"]}, "outputs": []}
    theirs["cells"].insert(0, mark)
    assert compare(theirs, notebook([stream("a")])) == []


def test_papermill_disagreeing_with_itself_explains_numbers_and_not_another_form() -> None:
    first, second = (
        notebook([stream("rmse 1.5\n")], [stream("n 1")]),
        notebook([stream("rmse 1.6\n")], [stream("n 1")]),
    )
    numbers = notebook([stream("rmse -2e-05\n")], [stream("n 2")])
    assert unstable_places(first, second, numbers) == {(0, "stdout")}, "the second cell is stable"
    padded = notebook([stream("rmse  -0. \n")], [stream("n 1")])
    assert unstable_places(first, second, padded) == {(0, "stdout")}
    form = notebook([stream("rmse ... 1.5\n")], [stream("n 1")])
    assert unstable_places(first, second, form) == set()
    words = notebook([stream("converged\n")], [stream("n 1")])
    assert unstable_places(first, words, form) == {(0, "stdout")}


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        (ran("succeeded"), ran("succeeded"), True),
        (ran("failed", "KeyError"), ran("failed", "KeyError"), True),
        (ran("failed", "KeyError"), ran("failed", "ValueError"), False),
        (ran("failed", "MemoryError"), ran("out_of_memory", "MemoryError"), True),
        (ran("succeeded"), ran("failed", "KeyError"), False),
        (ran("succeeded"), ran("kernel_died", "KernelDied"), False),
        (ran("failed", "KeyError"), ran("succeeded"), False),
        (ran("broken", "CellTimeoutError"), ran("timed_out", "CellTimeout"), True),
        (ran("broken", "CellTimeoutError"), ran("succeeded"), False),
        (ran("broken", "NoSuchKernel"), ran("refused", "NotebookError"), True),
        (ran("broken", "DeadKernelError"), ran("broken", "DeadKernelError"), False),
    ],
)
def test_verdicts_agree_when_both_passed_or_the_same_error_ended_both(
    theirs: Run, ours: Run, same: bool
) -> None:
    assert same_verdict(theirs, ours) is same


def test_every_known_difference_names_notebooks_and_a_reason() -> None:
    for known in KNOWN:
        assert known.notebooks.split("/")[0] in {source.name for source in sources()}
        assert known.notebooks.split("/")[1].strip("*"), "a row covers as little as possible"
        assert known.reason
    first = KNOWN[0]
    unrelated = Difference(cell=0, what="stdout", papermill="a", rasen="b")
    assert reason_for(first.notebooks, unrelated) is None


def test_the_report_counts_and_lists_every_difference() -> None:
    difference = Difference(cell=2, what="stdout", papermill="1", rasen="2")
    one = Compared(
        notebook=next(found for found in map(_first, sources()) if found is not None),
        papermill=ran("succeeded"),
        rasen=ran("succeeded"),
        differences=[(difference, None), (difference, NOT_DETERMINISTIC)],
    )
    assert one.unknown
    report = write_report([one], ["elsewhere: 7 notebooks skipped"], kernel="rasen")
    assert f"| {one.notebook.source} | 1 | 1 | 0 | 0 | 0 | 1 |" in report
    assert report.count(f"* {one.notebook.label}, code cell 2, stdout") == 2
    assert "elsewhere: 7 notebooks skipped" in report
    assert f"1 × {NOT_DETERMINISTIC}" in report


def _first(source: Any) -> WildNotebook | None:
    return next(iter(find_notebooks(source)), None)
