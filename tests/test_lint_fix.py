"""`--fix`: what changes in the file, that nothing else does, and what happens when a fix is wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen_lint import RULES, Finding, Severity, check_notebook
from rasen_lint.applying import FixFailed, apply_fixes
from rasen_lint.checking import Checked
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Fix
from rasen_lint.fixing import ROUNDS, Check, mend, write_mended
from rasen_lint.linting import Linting, Wishes
from rasen_lint.mending import diff_of, mend_files
from stand.lint_cases import CASES, read_context
from stand.lint_notebooks import NoCallOfBad, NoEmptyCell, code_cell, notebook_bytes, text_cell


def check_with(*rules: Any) -> Check:
    linting = Linting(Wishes(ruff=False), rules={rule.code: rule for rule in rules})

    def check(data: bytes) -> Checked:
        return linting.check_bytes(data, path=Path("n.ipynb")).results[0]

    return check


OWN = check_with(NoCallOfBad(), NoEmptyCell())


def test_several_fixes_of_one_cell_are_made_one_after_the_other() -> None:
    mended = mend(notebook_bytes("bad()\nbad()", "", "bad()"), OWN)
    assert mended.data == notebook_bytes("good()\ngood()", {**code_cell("good()"), "id": "c3"})
    assert mended.checked.findings == ()
    assert mended.made == (
        "cell 1: NB901: Call good",
        "cell 2: NB902: Remove the empty cell",
        "cell 3: NB901: Call good",
        "cell 1: NB901: Call good",
    )


def test_rounds_have_an_end() -> None:
    class Endless:
        code = "NB904"
        severity = Severity.WARNING

        def check(self, document: Document) -> Iterator[Finding]:
            cell = document.notebook.cells[1]
            fix = Fix(title="Add", sources={1: cell.source + "\nx = 1"})
            yield finding_at(self.code, self.severity, "more", cell, fix=fix)

    mended = mend(notebook_bytes("x = 1"), check_with(Endless()))
    assert len(mended.made) == ROUNDS


def test_only_what_was_asked_for_is_mended() -> None:
    data = notebook_bytes("bad()", "bad()", "")
    assert mend(data, OWN, cell=2).data == notebook_bytes("bad()", "good()", "")
    assert mend(data, OWN, codes=["NB902"]).data == notebook_bytes("bad()", "bad()")
    assert mend(data, OWN, cell=3).data == notebook_bytes("bad()", "bad()")
    assert mend(data, OWN, codes=[]).data == data


class Wrong:
    """A rule whose fix breaks the cell."""

    code = "NB905"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        for cell in document.notebook.cells:
            if "wrong" in cell.source:
                fix = Fix(title="Break it", sources={cell.index: "x = ("})
                yield finding_at(self.code, self.severity, "wrong", cell, fix=fix)


def test_fix_that_would_break_a_cell_is_left_out_and_our_fault() -> None:
    mended = mend(notebook_bytes("wrong", "bad()"), check_with(Wrong(), NoCallOfBad()))
    assert mended.data == notebook_bytes("wrong", "good()")
    (fault,) = mended.checked.faults
    assert fault.code == "NB905"
    assert "cell 1 would not parse any more" in fault.error


def test_cell_that_was_broken_before_may_be_mended_elsewhere() -> None:
    mended = mend(notebook_bytes("wrong (", "bad()"), check_with(Wrong(), NoCallOfBad()))
    assert mended.checked.faults == ()
    assert b"good()" in mended.data


@pytest.mark.parametrize(
    "fix",
    [
        Fix(title="no such cell", sources={99: "x"}),
        Fix(title="no such cell", removed=frozenset({99})),
        Fix(title="no JSON", metadata={"x": object()}),
    ],
)
def test_fix_that_cannot_be_made_fails(fix: Fix) -> None:
    with pytest.raises(FixFailed):
        apply_fixes(notebook_bytes("x = 1"), [fix])


STYLES: dict[str, Callable[[Any], str]] = {
    "jupyter": lambda content: json.dumps(content, indent=1, ensure_ascii=False) + "\n",
    "no newline at the end": lambda content: json.dumps(content, indent=1, ensure_ascii=False),
    "four spaces, escapes": lambda content: json.dumps(content, indent=4),
    "tabs": lambda content: json.dumps(content, indent="\t", ensure_ascii=False),
    "one line": json.dumps,
    "tight": lambda content: json.dumps(content, separators=(",", ":")),
    "windows": lambda content: json.dumps(content, indent=1).replace("\n", "\r\n"),
    "byte order mark": lambda content: "\ufeff" + json.dumps(content, indent=2, ensure_ascii=False),
}


@pytest.mark.parametrize("style", STYLES)
def test_file_keeps_the_way_in_which_it_is_written(style: str) -> None:
    content = json.loads(notebook_bytes("é = bad()\ny = 2", text_cell("Ünicode"), "", code_cell("z = 1")))
    content["extra"] = {"zeta": 1e5, "alpha": [float("nan")], "big": 12345678901234567890}
    content["cells"][4] |= {"execution_count": 7, "outputs": [{"output_type": "stream", "text": ["a"]}]}
    before = STYLES[style](content)
    fixes = [
        Fix(title="source", sources={1: "é = good('ü')\n\n\ny = 2"}),
        Fix(title="removed", removed=frozenset({3})),
        Fix(title="cleared", cleared=frozenset({4})),
        Fix(title="metadata", metadata={"kernelspec": {"name": "é"}, "a": []}),
        Fix(title="of a cell", cell_metadata={2: {"tags": ["x"]}}),
    ]
    after = apply_fixes(before.encode(), fixes)
    content["cells"][1]["source"] = ["é = good('ü')\n", "\n", "\n", "y = 2"]
    content["cells"][4] |= {"execution_count": None, "outputs": []}
    content["metadata"] = {"kernelspec": {"name": "é"}, "a": []}
    content["cells"][2]["metadata"] = {"tags": ["x"]}
    del content["cells"][3]
    assert after.decode() == STYLES[style](content)


@pytest.mark.parametrize("removed", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}])
def test_cells_are_removed_wherever_they_stand(removed: set[int]) -> None:
    data = notebook_bytes("a", "b")
    content = json.loads(data)
    content["cells"] = [cell for index, cell in enumerate(content["cells"]) if index not in removed]
    expected = json.dumps(content, indent=1) + "\n"
    assert apply_fixes(data, [Fix(title="Remove", removed=frozenset(removed))]).decode() == expected


SOURCES = st.text(st.characters(exclude_categories=[]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(SOURCES, min_size=1, max_size=4), SOURCES, st.sampled_from([None, 1, 2]), st.booleans())
def test_any_text_in_any_cell_arrives(
    texts: list[str], new: str, indent: int | None, ascii_only: bool
) -> None:
    cells = [code_cell(text) for text in texts]
    content = {"metadata": {}, "nbformat": 4, "nbformat_minor": 4, "cells": cells}
    data = json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode(errors="ignore")
    before = json.loads(data)
    after = json.loads(apply_fixes(data, [Fix(title="New", sources={0: new})]))
    assert "".join(after["cells"][0]["source"]) == new
    assert after["cells"][1:] == before["cells"][1:]


def test_source_that_is_one_text_stays_one() -> None:
    data = json.dumps({"cells": [{"cell_type": "code", "source": "a"}], "nbformat": 4}).encode()
    after = json.loads(apply_fixes(data, [Fix(title="New", sources={0: "b\nc"})]))
    assert after["cells"][0]["source"] == "b\nc"


def test_file_is_replaced_with_its_mode_through_a_link_and_kept_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "real" / "n.ipynb"
    target.parent.mkdir()
    target.write_bytes(b"before")
    target.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(target)
    kept, problem = write_mended(link, b"before", b"after")
    assert problem is None
    assert kept is not None
    assert (kept.read_bytes(), target.read_bytes(), link.is_symlink()) == (b"before", b"after", True)
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in target.parent.iterdir()) == [".ipynb_checkpoints", "n.ipynb"]


def test_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(b"somebody's new work")
    kept, problem = write_mended(path, b"before", b"after")
    assert kept is None
    assert problem is not None
    assert "changed while it was being mended" in problem
    assert path.read_bytes() == b"somebody's new work"


def test_place_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(b"before")
    tmp_path.joinpath(".ipynb_checkpoints").write_text("in the way")
    kept, problem = write_mended(path, b"before", b"after")
    assert kept is None
    assert problem is not None
    assert "cannot be written" in problem
    assert path.read_bytes() == b"before"


def test_files_are_mended_and_the_difference_can_be_applied(tmp_path: Path) -> None:
    linting = Linting(Wishes(ruff=False), rules={"NB901": NoCallOfBad(), "NB902": NoEmptyCell()})
    paths = [tmp_path / "clean.ipynb", tmp_path / "n.ipynb", tmp_path / "broken.ipynb"]
    for path, data in zip(paths, (notebook_bytes("x = 1"), notebook_bytes("bad()"), b"{"), strict=True):
        path.write_bytes(data)
    linted = linting.check_files(paths)
    shown = list(mend_files(linted, linting, write=False))
    assert paths[1].read_bytes() == notebook_bytes("bad()")
    assert '-    "bad()"\n+    "good()"\n' in shown[1].diff
    clean, changed, broken = mend_files(linted, linting, write=True)
    assert paths[1].read_bytes() == notebook_bytes("good()")
    assert (clean.made, changed.made) == ((), ("cell 1: NB901: Call good",))
    assert broken.checked.problem is not None


def test_difference_says_where_a_last_newline_is_missing() -> None:
    assert "\\ No newline at end of file\n" in diff_of(b"a\nb", b"a\nc", "n.ipynb")
    assert diff_of(b"a", b"a", "n.ipynb") == ""


@pytest.mark.parametrize("path", sorted(CASES.glob("*_fail*.ipynb")), ids=lambda path: path.stem)
def test_fixes_of_every_rule_leave_a_notebook_that_needs_none_of_them_any_more(path: Path) -> None:
    case = json.loads(path.read_text())["metadata"]["rasen_lint"]
    context = read_context(case)

    def check(data: bytes) -> Checked:
        return check_notebook(data, name=path.name, rules=RULES.values(), context=context)

    before = path.read_bytes()
    offered = [finding for finding in check(before).findings if finding.fix is not None]
    mended = mend(before, check)
    assert mended.checked.faults == ()
    assert bool(mended.made) == bool(offered)
    assert [finding for finding in mended.checked.findings if finding.fix is not None] == []
    assert mend(mended.data, check).data == mended.data
