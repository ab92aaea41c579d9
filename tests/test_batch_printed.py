"""What cells have printed, read from notebooks that grow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.batch.printed import Follower, read_cells
from rasen.notebook import Cell, Notebook
from rasen.notebook_script import to_script

Output = dict[str, Any]


def stream(text: str, name: str = "stdout") -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def cell(
    *outputs: Output, source: str | list[str] = "print(1)", status: str | None = "completed", tag: str = ""
) -> Any:
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"papermill": {"status": status}, "tags": [tag] if tag else []},
        "outputs": list(outputs),
    }


def notebook(*cells: Any) -> dict[str, Any]:
    return {"cells": list(cells)}


def texts(follower: Follower, *cells: Any) -> list[str]:
    return [
        f"[{line.cell}] {line.text}" if line.kind == "cell" else line.text
        for line in follower.take(notebook(*cells))
    ]


def test_every_kind_of_output_is_text() -> None:
    shown = next(
        read_cells(
            notebook(
                cell(
                    stream("one\ntwo\n"),
                    stream("oops\n", "stderr"),
                    {
                        "output_type": "execute_result",
                        "data": {"text/plain": ["[1,\n", " 2]"], "text/html": "x"},
                    },
                    {"output_type": "display_data", "data": {"image/png": "aGk="}},
                    {
                        "output_type": "error",
                        "ename": "E",
                        "evalue": "v",
                        "traceback": ["\x1b[31mE\x1b[0m", "v"],
                    },
                    {"output_type": "error", "ename": "KernelDied", "evalue": "gone", "traceback": []},
                    source=["# first\n", "x"],
                )
            )
        )
    )
    assert shown.title == "# first"
    assert shown.lines == (
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "oops"),
        ("result", "[1,"),
        ("result", " 2]"),
        ("result", "[image/png]"),
        ("error", "\x1b[31mE\x1b[0m"),
        ("error", "v"),
        ("error", "KernelDied: gone"),
    )


def test_cells_are_counted_as_their_author_wrote_them() -> None:
    found = [
        (shown.place, shown.cell)
        for shown in read_cells(
            notebook(
                cell(stream("note\n"), tag="papermill-error-cell-tag"),
                {"cell_type": "markdown", "source": "# T", "metadata": {}},
                cell(tag="parameters"),
                cell(stream("given\n"), tag="injected-parameters"),
                cell(stream("mine\n")),
            )
        )
    ]
    # papermill puts notes about the error in at the end: they shift nothing.
    assert found == [(2, None), (3, 2)]


def test_what_is_new_is_said_once() -> None:
    follower = Follower()
    assert texts(follower, cell(stream("a\n"), status="running")) == ["[0] print(1)", "a"]
    assert texts(follower, cell(stream("a\n"), status="running")) == []
    assert texts(follower, cell(stream("a\nb\n")), cell(stream("c"))) == ["b", "[1] print(1)", "c"]
    assert texts(follower, cell(stream("a\nb\nlate\n")), cell(stream("c"))) == ["[0] print(1)", "late"]


def test_a_progress_bar_is_one_line_in_the_end() -> None:
    follower = Follower()
    bar = [cell(stream("begin\n10%", "stderr"), stream("loss 1\n"), status="running")]
    assert texts(follower, *bar) == ["[0] print(1)", "begin", "loss 1"]
    bar = [cell(stream("begin\n50%", "stderr"), stream("loss 1\nloss 2\n"), status="running")]
    assert texts(follower, *bar) == ["loss 2"]
    assert texts(follower, cell(stream("begin\n100%", "stderr"), stream("loss 1\nloss 2\n"))) == ["100%"]


def test_output_that_was_cleared_and_shown_anew_is_said_again_where_it_differs() -> None:
    follower = Follower()
    texts(follower, cell(stream("epoch 1\nsame\n"), status="running"))
    assert texts(follower, cell(status="running")) == []
    assert texts(follower, cell(stream("epoch 2\nsame\n"), status="running")) == ["epoch 2"]


@given(
    st.lists(st.text(alphabet="ab\n", max_size=6), max_size=8),
    st.integers(min_value=1, max_value=3),
)
def test_a_growing_stream_is_told_completely_and_in_order(pieces: list[str], cells: int) -> None:
    follower = Follower()
    told: list[str] = []
    for done in range(len(pieces) + 1):
        last = done == len(pieces)
        text = "".join(pieces[:done])
        growing = cell(stream(text), status="completed" if last else "running")
        told += [
            line.text for line in follower.take(notebook(*[cell()] * cells, growing)) if line.kind != "cell"
        ]
    assert told == "".join(pieces).splitlines()


def test_harm_is_taken_out() -> None:
    shown = next(read_cells(notebook(cell(stream("\x1b[2J\x1b]0;x\x07clean\x1b[1mbold\x1b[0m\n")))))
    assert shown.lines == (("stdout", "clean\x1b[1mbold\x1b[0m"),)


@pytest.mark.parametrize(
    "broken", [{}, {"cells": []}, {"cells": [{}]}, {"cells": [{"cell_type": "code", "metadata": {}}]}]
)
def test_a_notebook_without_outputs_has_printed_nothing(broken: dict[str, Any]) -> None:
    assert list(read_cells(broken)) == []


def test_a_notebook_as_a_script() -> None:
    cells = (
        Cell(index=0, id="a", type="markdown", source="# Title\n\ntext"),
        Cell(index=1, id="b", type="code", source="n: int = 1\n", tags=("parameters",)),
        Cell(index=2, id="c", type="code", source=""),
    )
    script = to_script(Notebook(name="x.ipynb", cells=cells, language="python"))
    assert script == (
        '# %% [markdown]\n# # Title\n#\n# text\n\n# %% tags=["parameters"]\nn: int = 1\n\n# %%\n'
    )
