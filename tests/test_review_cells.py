"""Two versions of a notebook: which cell became which, what a rerun is not, what outputs show."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.notebook import Cell
from rasen.review import images
from rasen.review.comparing import CellState, NotebookChange, compare_contents
from rasen.review.content import read_content
from rasen.review.images import same_image
from rasen.review.lines import compare_lines, compare_words, unified_lines
from rasen.review.matching import match_cells
from rasen.review.outputs import read_outputs, same_outputs
from stand.hostile_notebooks import document, png, shown
from stand.pipeline_folder import code_cell
from stand.reviewed import executed, table, text_cell

WORDS = st.sampled_from(
    ["x = 1", "y = x + 1\nprint(y)", "import a", "", "fit(x, y)\nplot(y)", "# text", "z = 3"]
)


def cells(*sources: str, ids: str | None = None) -> list[Cell]:
    return [
        Cell(index=n, id=ids[n] if ids else None, type="code", source=source)
        for n, source in enumerate(sources)
    ]


def pairs(old: list[Cell], new: list[Cell]) -> list[tuple[int | None, int | None]]:
    return [(pair.old, pair.new) for pair in match_cells(old, new)]


def compared(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> NotebookChange:
    return compare_contents(*(read_content(document(side), name="x.ipynb") for side in (old, new)))


def states(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    return [cell.state.value for cell in compared(old, new).cells]


@given(st.lists(WORDS, max_size=12), st.lists(WORDS, max_size=12), st.randoms())
def test_every_cell_is_told_once_and_the_new_order_stands(
    old: list[str], new: list[str], noise: random.Random
) -> None:
    before, after = (
        [Cell(index=n, id=noise.choice("abcdefgh"), type="code", source=s) for n, s in enumerate(side)]
        for side in (old, new)
    )
    found = match_cells(before, after)
    assert sorted(pair.old for pair in found if pair.old is not None) == list(range(len(old)))
    assert [pair.new for pair in found if pair.new is not None] == list(range(len(new)))
    stayed = [pair.old for pair in found if pair.old is not None and pair.new is not None and not pair.moved]
    assert stayed == sorted(stayed)


@given(st.lists(WORDS, max_size=12))
def test_a_notebook_is_itself(sources: list[str]) -> None:
    same = cells(*sources)
    assert [(pair.old, pair.new, pair.moved) for pair in match_cells(same, same)] == [
        (n, n, False) for n in range(len(sources))
    ]


def test_an_id_follows_a_cell_that_was_rewritten() -> None:
    old, new = cells("a = 1", "b = 2", ids="pq"), cells("import x", "wholly.other()", "b = 2", ids="zpq")
    assert pairs(old, new) == [(None, 0), (0, 1), (1, 2)]


def test_ids_that_are_only_numbers_of_places_do_not_mislead() -> None:
    old = cells("a = 1", "b = 2", "c = 3", ids="012")
    assert pairs(old, cells("new()", "a = 1", "b = 2", "c = 3", ids="0123")) == [
        (None, 0),
        (0, 1),
        (1, 2),
        (2, 3),
    ]
    assert pairs(old, cells("b = 2", "c = 3", ids="01")) == [(0, None), (1, 0), (2, 1)]


def test_without_ids_content_and_likeness_count() -> None:
    old = cells("import a", "model = fit(x, depth=6)", "plot(model)\nsave(model)\nshow()", "end()")
    new = cells(
        "import a", "model = fit(x, depth=8)", "plot(model)\nsave(model)\nprint(1)", "other_thing(7)", "end()"
    )
    assert pairs(old, new) == [(0, 0), (1, 1), (2, 2), (None, 3), (3, 4)]


def test_a_moved_cell_is_moved_and_nothing_else_is() -> None:
    order = [1, 2, 3, 0, 4]
    old = cells(*(f"step_{n}()" for n in range(5)))
    new = cells(*(f"step_{n}()" for n in order))
    found = match_cells(old, new)
    assert [(pair.old, pair.new) for pair in found] == list(zip(order, range(5), strict=True))
    assert [pair.old for pair in found if pair.moved] == [0]


def test_ten_thousand_cells_of_which_all_changed() -> None:
    old = cells(*(f"value_{n} = compute({n})\nshow(value_{n})" for n in range(10_000)))
    new = cells(*(f"value_{n} = compute({n}, 1)\nshow(value_{n})" for n in reversed(range(10_000))))
    assert len(match_cells(old, new)) == 10_000
    nothing = cells(*("x" for _ in range(10_000)))
    assert len(match_cells(old, nothing)) == 20_000


def rerun(source: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return cells as a program of Jupyter may save them: other ids, counts, metadata, pieces of streams."""
    noise = random.Random(seed)
    again = json.loads(json.dumps(source))
    for cell in again:
        cell["id"] = f"{noise.getrandbits(30):x}"
        cell["metadata"]["execution"] = {"at": noise.random()}
        if cell["cell_type"] == "code":
            cell["execution_count"] = noise.randrange(100)
            for output in cell["outputs"]:
                output["metadata"] = {"n": noise.random()}
    return list(again)


def test_a_rerun_is_no_change() -> None:
    base = [
        text_cell("# T", "t"),
        executed("plot()", "p", shown("image/png", png(5, comment="3.9", level=9))),
        executed("show()", "s", table(1.5), {"output_type": "stream", "name": "stdout", "text": "a\nb\n"}),
        executed("f", "f", shown("text/plain", "<function f at 0x7f0011223344>")),
        executed(
            "w",
            "w",
            shown("application/vnd.jupyter.widget-view+json", {"model_id": "1"}, **{"text/plain": "w"}),
        ),
        executed("bar()", "b", {"output_type": "stream", "name": "stderr", "text": "10%\r50%\r100%\n"}),
    ]
    again = rerun(base, 3)
    again[1]["outputs"] = [shown("image/png", png(5, comment="3.10", level=1))]
    again[2]["outputs"][1:] = [
        {"output_type": "stream", "name": "stdout", "text": piece} for piece in ("a\n", ["b", "\n"])
    ]
    again[2]["outputs"][0]["data"]["text/html"] = table(1.5)["data"]["text/html"].replace("x{", "y{")
    again[3]["outputs"] = [shown("text/plain", ["<function f at 0x7fffffffffff>"])]
    again[4]["outputs"][0]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] = "2"
    again[5]["outputs"][0]["text"] = "11%\r97%\r100%\n"
    change = compared(base, again)
    assert {cell.state for cell in change.cells} == {CellState.SAME}
    assert (change.counts, change.is_real) == ({}, False)


@pytest.mark.parametrize(
    "other",
    [
        [shown("image/png", png(6))],
        [shown("image/png", png(5, width=61))],
        [shown("text/html", "<b>x</b>")],
        [shown("image/png", png(5)), shown("text/plain", "more")],
        [],
    ],
)
def test_another_output_is_told_but_is_no_real_change(other: list[dict[str, Any]]) -> None:
    base = [executed("plot()", "p", shown("image/png", png(5)))]
    change = compared(base, [executed("plot()", "p", *other)])
    assert change.counts == {CellState.OUTPUTS: 1}
    assert not change.is_real


def test_what_becomes_of_cells() -> None:
    old = [text_cell("# A", "a"), code_cell("x = 1", "x"), code_cell("gone()", "g"), code_cell("y = 2", "y")]
    new = [code_cell("y = 2", "y"), text_cell("# A", "a"), code_cell("x = 2", "x"), code_cell("z = 9", "z")]
    assert sorted(states(old, new)) == ["added", "changed", "moved", "removed", "same"]
    assert states([code_cell("x", "x")], [code_cell("x", "x", tags=["parameters"])]) == ["changed"]
    assert states([code_cell("x", "x")], [text_cell("x", "x")]) == ["changed"]
    assert states([code_cell("x\r\ny", "x")], [code_cell("x\ny", "x")]) == ["same"]


def test_parameters_and_kernel_are_compared() -> None:
    def version(source: str, kernel: str) -> bytes:
        content = json.loads(document([code_cell(source, "p", tags=["parameters"])]))
        content["metadata"]["kernelspec"]["name"] = kernel
        return json.dumps(content).encode()

    one = version("depth: int = 6\nname: str = 'a'\nkept: bool = True\n", "python3")
    other = version("depth: int = 8\nkept: bool = True\nrate: float = 0.5\n", "rasen")
    change = compare_contents(*(read_content(side, name="x") for side in (one, other)))
    assert {one.name: (one.old_default, one.new_default) for one in change.parameters} == {
        "depth": (6, 8),
        "name": ("a", None),
        "rate": (None, 0.5),
    }
    assert change.kernel == ("python3", "rasen")
    # A parameter of another type is another one, even where Python calls the values equal.
    same = [version(f"n: {kind} = {value}\n", "python3") for kind, value in (("int", "1"), ("float", "1.0"))]
    assert len(compare_contents(*(read_content(side, name="x") for side in same)).parameters) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"cells": [', "not JSON"),
        (b'{"nbformat": 3, "worksheets": []}', "nbformat 3 is too old"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"nbformat": 4, "cells": [3]}', "cell 0"),
        (b"", "not JSON"),
    ],
)
def test_a_version_that_cannot_be_read_says_why_and_the_other_is_shown(data: bytes, words: str) -> None:
    good = read_content(document([code_cell("x", "x")]), name="x")
    broken = read_content(data, name="x")
    for sides in ((broken, good), (good, broken)):
        change = compare_contents(*sides)
        assert words in f"{change.old_problem}{change.new_problem}"
        assert change.is_real
        assert len(change.cells) == 1


def test_cells_with_nonsense_beside_their_source_are_read() -> None:
    nonsense: list[Any] = [None, 3, "x", {"a": 1}, [None], [3], [{}], [{"output_type": 5}], [{"data": []}]]
    for value in nonsense:
        raw = {"cell_type": "code", "source": "x", "metadata": value, "outputs": value, "attachments": value}
        if isinstance(value, dict):
            raw["metadata"] = {"tags": []}
        content = read_content(document([raw]), name="x")
        assert content.problem is None
        for one in content.outputs:
            read_outputs(one)
    bundles: list[dict[str, Any]] = [
        *(
            {},
            {"text/html": None},
            {"image/png": 5},
            {"text/plain": {"a": 1}},
            {"x": 1},
            {"image/svg+xml": []},
        ),
        *({"text/markdown": 3}, {"application/json": None}, {"text/latex": [1]}),
    ]
    for data in bundles:
        outputs = read_outputs([{"output_type": "display_data", "data": data}])
        assert same_outputs(outputs, outputs)


def test_pixels_count_and_not_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_image("image/png", png(1), png(1, comment="other", level=1))
    assert not same_image("image/png", png(1), png(2))
    assert not same_image("image/png", png(1), png(1)[:-40])
    assert not same_image("image/jpeg", "/9j/AAAA", "/9j/AAAB")
    # What unpacks into more than a picture has is not unpacked to the end.
    monkeypatch.setattr(images, "_MOST_PIXEL_BYTES", 1_000)
    assert not same_image("image/png", png(1), png(1, comment="other", level=1))


def test_lines_and_words_stand_beside_what_replaced_them() -> None:
    rows = compare_lines(["a", "depth = 6", "c", "gone"], ["a", "depth = 8", "c", "new", "newer"])
    assert [(row.kind, row.old, row.new) for row in rows] == [
        ("same", 0, 0),
        ("changed", 1, 1),
        ("same", 2, 2),
        ("changed", 3, 3),
        ("added", None, 4),
    ]
    assert (rows[1].old_spans, rows[1].new_spans) == (((8, 9),), ((8, 9),))
    assert compare_words("nothing alike", "wholly(other)") == ((), ())


@given(st.lists(st.sampled_from("abc\n "), max_size=30), st.lists(st.sampled_from("abc\n "), max_size=30))
def test_no_line_is_lost(old: list[str], new: list[str]) -> None:
    left, right = "".join(old).split("\n"), "".join(new).split("\n")
    rows = compare_lines(left, right)
    assert [row.old for row in rows if row.old is not None] == list(range(len(left)))
    assert [row.new for row in rows if row.new is not None] == list(range(len(right)))
    for row in rows:
        if row.kind == "same":
            assert row.old is not None
            assert row.new is not None
            assert left[row.old] == right[row.new]
    assert (unified_lines("\n".join(left), "\n".join(right)) == []) == (left == right)


def test_a_long_difference_is_found_in_bounded_time() -> None:
    noise = random.Random(1)
    old, new = ([noise.choice("ab") for _ in range(20_000)] for _ in range(2))
    assert len(compare_lines(["start", *old], ["start", *new])) == 20_001
    assert unified_lines("a\nb\nc", "a\nx\nc") == ["@@ -1 +1 @@", " a", "-b", "+x", " c"]
