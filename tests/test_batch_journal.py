"""The journal of an executing notebook, cut off at every byte, and the saves of its file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest

from rasen.batch.cell_notes import as_node, forget, mark, note
from rasen.batch.journal import Journal, recover
from rasen.batch.outcome import Outcome
from rasen.batch.salvage import salvage_notebook
from rasen.batch.saver import Saver, sweep_parts
from rasen.errors import PlatformFailed
from rasen.tracking.records import Verdict
from stand.engine import make_notebook


def run_through(path: Path) -> nbformat.NotebookNode:
    """Write the journal of a notebook with two cells and a text; return the notebook as it is at the end."""
    notebook = make_notebook("print('eins')", "# text", "print('zwei ü')")
    notebook.cells[1] = as_node({"cell_type": "markdown", "id": "text", "metadata": {}, "source": "# text"})
    forget(notebook)
    notebook.metadata.papermill = as_node({"start_time": "2026-01-01T00:00:00+00:00"})
    journal = Journal(path, notebook)
    for index in (0, 2):
        cell = notebook.cells[index]
        journal.begin(index, seconds=float(index))
        note(cell, status="completed")
        cell.outputs = as_node([{"output_type": "stream", "name": "stdout", "text": f"{index} ü\n"}])
        cell.execution_count = index
        journal.cell(index, cell, seconds=index + 0.5)
    note(notebook.cells[1], status="completed")
    outcome = Outcome(verdict=Verdict.SUCCEEDED, seconds=3.0)
    mark(notebook, outcome, reached=2, times={"end_time": "2026-01-01T00:00:03+00:00"}, names={})
    journal.end(dict(notebook.metadata))
    journal.close()
    return notebook


def test_a_journal_tells_the_whole_notebook(tmp_path: Path) -> None:
    notebook = run_through(tmp_path / "journal")
    outcome = salvage_notebook(tmp_path / "journal", tmp_path / "out.ipynb")
    assert outcome == Outcome(verdict=Verdict.SUCCEEDED, seconds=3.0)
    found = recover(tmp_path / "journal")
    assert found is not None
    assert (found.began, found.completed, found.ended, found.seconds) == (2, True, True, 2.5)
    assert found.notebook["cells"][2] == json.loads(json.dumps(notebook.cells[2]))


def test_wherever_a_journal_ends_the_notebook_is_whole_and_true(tmp_path: Path) -> None:
    run_through(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    lines = [line for line in data.split(b"\n") if line]
    journal, output = tmp_path / "journal", tmp_path / "out.ipynb"
    seen = set()
    for end in range(len(data) + 1):
        journal.write_bytes(data[:end])
        found = recover(journal)
        whole = sum(data[:end].startswith(b"\n".join(lines[: number + 1])) for number in range(len(lines)))
        if whole == 0:
            assert found is None
            continue
        assert found is not None
        assert found.notebook["nbformat"] == 4
        if whole in seen and end % 31:
            continue  # to look at every file would take long, and tell the same
        output.unlink(missing_ok=True)
        outcome = salvage_notebook(journal, output)
        notebook = nbformat.read(output, as_version=4)  # type: ignore[no-untyped-call] # nbformat annotates little
        nbformat.validate(notebook)
        assert outcome == Outcome.read(output)
        assert outcome is not None
        statuses = [cell.metadata.papermill.status for cell in notebook.cells]
        assert (outcome.verdict, outcome.cell, outcome.seconds) == EXPECTED[whole][:3]
        if whole < len(lines):
            assert statuses == EXPECTED[whole][3]
        texts = [
            output.text
            for cell in notebook.cells
            if cell.cell_type == "code"
            for output in cell.outputs
            if "text" in output
        ]
        assert texts == [f"{index} ü\n" for index in ((), (), (), (0,), (0,), (0, 2), (0, 2))[whole]]
        seen.add(whole)
    assert seen == set(EXPECTED)


STOPPED, NOT = Verdict.INTERRUPTED, "not reached"
# By the number of whole lines: verdict, cell, seconds, and what the cells say.
EXPECTED: dict[int, tuple[Verdict, int | None, float, list[str]]] = {
    1: (STOPPED, None, 0.0, [NOT, NOT, NOT]),
    2: (STOPPED, 0, 0.0, ["interrupted", NOT, NOT]),
    3: (STOPPED, None, 0.5, ["completed", NOT, NOT]),
    4: (STOPPED, 2, 2.0, ["completed", "completed", "interrupted"]),
    5: (STOPPED, None, 2.5, ["completed", "completed", "completed"]),
    6: (Verdict.SUCCEEDED, None, 3.0, []),
}


def test_a_torn_line_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    run_through(tmp_path / "journal")
    first, second, third, *rest = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(b"".join([first, second, third[:40] + b"\n", *rest]))
    found = recover(tmp_path / "journal")
    assert found is not None
    assert found.ended
    assert [len(cell.get("outputs", ())) for cell in found.notebook["cells"]] == [0, 0, 1]


@pytest.mark.parametrize("text", ["", "\n", "{}\n", "[1]\n", '{"event": "cell"}\n', "\0\0\0"])
def test_what_is_no_journal_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text(text)
    assert recover(tmp_path / "journal") is None
    assert recover(tmp_path / "none") is None


def test_a_save_shows_the_running_cell_to_whoever_salvages(tmp_path: Path) -> None:
    notebook = make_notebook("1", "2")
    forget(notebook)
    journal = Journal(tmp_path / "journal", notebook)
    journal.begin(0, seconds=0.0)
    note(notebook.cells[0], status="running")
    notebook.cells[0].outputs = as_node([{"output_type": "stream", "name": "stdout", "text": "a\nb\n"}])
    Saver(tmp_path / "out.ipynb").save(notebook)
    journal.close()
    assert salvage_notebook(tmp_path / "journal", tmp_path / "out.ipynb") is not None
    found = nbformat.read(tmp_path / "out.ipynb", as_version=4)  # type: ignore[no-untyped-call] # as above
    assert [output.output_type for output in found.cells[0].outputs] == ["stream", "error"]
    assert found.cells[0].outputs[0].text == "a\nb\n"


def test_saves_write_little_more_than_the_notebook(tmp_path: Path) -> None:
    clock = Clock()
    saver = Saver(tmp_path / "out.ipynb", clock=lambda: clock.now)
    cells: list[str] = []
    written = 0
    for _ in range(30):
        clock.now += 1.0
        cells.append("x" * 1_000_000)
        saver.grow(1_000_000)
        if saver.due:
            saver.save(make_notebook(*cells))
            written += (tmp_path / "out.ipynb").stat().st_size
    assert 1_000_000 < written <= 1.1 * 30_000_000 + 0.2 * 30_000_000


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0


def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("no folder")
    saver = Saver(place / "out.ipynb")
    with pytest.raises(PlatformFailed, match="cannot be saved"):
        saver.save(make_notebook("1"))
    (tmp_path / "out.ipynb").mkdir()  # a folder in its place: only the last of all steps fails
    with pytest.raises(PlatformFailed, match=r"out\.ipynb"):
        Saver(tmp_path / "out.ipynb").save(make_notebook("1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out.ipynb"]


def test_what_killed_savers_left_is_swept(tmp_path: Path) -> None:
    output = tmp_path / "out.ipynb"
    names = [".out.ipynb.999999999.part", f".out.ipynb.{os.getpid()}.part", ".other.ipynb.999999999.part"]
    for name in names:
        (tmp_path / name).touch()
    sweep_parts(output)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
