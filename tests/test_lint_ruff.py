"""ruff beside our rules: its findings by cell, what is left out, its configuration, its safe fixes."""

import json
from pathlib import Path
from typing import Any

import pytest

from rasen_lint import Severity
from rasen_lint.checking import Checked
from rasen_lint.document import read_document
from rasen_lint.linting import Linting, Wishes
from rasen_lint.ruff import NOT_FOR_NOTEBOOKS, RuffAnswer, RuffConfigurations, RuffRun, ruff_findings
from stand.lint_notebooks import code_cell, notebook_bytes, text_cell


def lint(*cells: Any, path: Path, **wishes: Any) -> Checked:
    return Linting(Wishes(**wishes)).check_bytes(notebook_bytes(*cells), path=path).results[0]


def found(checked: Checked) -> list[tuple[str, int | None, int | None]]:
    return [(each.code, each.cell, each.line) for each in checked.findings if not each.code.startswith("NB")]


def test_findings_name_the_cell_that_they_are_in_whatever_lies_between(tmp_path: Path) -> None:
    cells = [
        text_cell("# Title\n\nText"),
        "%%bash\nls",
        {**text_cell("raw"), "cell_type": "raw"},
        "x = 1\nx is 1",
    ]
    checked = lint(*cells, path=tmp_path / "n.ipynb", select=("F632",))
    (finding,) = checked.findings
    assert (finding.code, finding.cell, finding.cell_id, finding.line) == ("F632", 4, "c4", 2)
    assert (finding.severity, finding.column, finding.end_column) == (Severity.WARNING, 1, 7)
    assert finding.url is not None
    assert "is-literal" in finding.url


def test_line_that_fails_whenever_it_runs_is_an_error(tmp_path: Path) -> None:
    checked = lint("'{} {}'.format(1)", "'text' % 1", path=tmp_path / "n.ipynb", select=("F507", "F524"))
    assert [(each.code, each.severity) for each in checked.findings] == [
        ("F524", "error"),
        ("F507", "warning"),
    ]


def test_what_our_rules_judge_better_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    cells = ("x = y\nx", "import os\nos")
    assert found(lint(*cells, path=tmp_path / "n.ipynb")) == []
    assert found(lint(*cells, path=tmp_path / "n.ipynb", select=("F821",))) == [("F821", 1, 1)]
    assert all(reason for reason in NOT_FOR_NOTEBOOKS.values())


def test_cell_that_does_not_parse_is_told_once(tmp_path: Path) -> None:
    checked = lint("x = (", path=tmp_path / "n.ipynb")
    assert [each.code for each in checked.findings].count("NB205") == 1
    assert found(checked) == []


def test_cell_that_only_ruff_cannot_read_is_a_warning(tmp_path: Path) -> None:
    (finding,) = lint(">>> x = 1", path=tmp_path / "n.ipynb", ignore=("NB",), select=("F",)).findings
    assert (finding.code, finding.severity) == ("invalid-syntax", "warning")
    assert "its rules have not looked at it" in finding.message
    assert finding.cell == 1


def test_notebook_that_jupyter_reads_and_ruff_does_not_is_a_warning(tmp_path: Path) -> None:
    raw = code_cell("text", cell_type="raw")  # with outputs, which a raw cell has not
    (finding,) = lint(raw, path=tmp_path / "n.ipynb", ignore=("NB",), select=("F",)).findings
    assert (finding.code, finding.cell, finding.line) == ("invalid-syntax", None, None)


def test_configuration_of_the_project_is_obeyed_and_none_means_ours(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    cells = ("def f(a: list[int] = []) -> None: a.sort()\nf()", "l = 1\nprint(l)")
    assert [code for code, *_ in found(lint(*cells, path=path))] == ["B006", "E741"]
    tmp_path.joinpath("ruff.toml").write_text(
        'lint.select = ["E741"]\n[lint.per-file-ignores]\n"m.ipynb" = ["E741"]\n'
    )
    assert [code for code, *_ in found(lint(*cells, path=path))] == ["E741"]
    assert found(lint(*cells, path=tmp_path / "m.ipynb")) == []
    assert [code for code, *_ in found(lint(*cells, path=path, ignore=("E7",)))] == []


def test_where_a_configuration_stands(tmp_path: Path) -> None:
    configurations = RuffConfigurations()
    path = tmp_path / "a" / "n.ipynb"
    assert not configurations.exist_for(path)
    tmp_path.joinpath("pyproject.toml").write_text("[tool.ruffian]\n[tool.rasen.lint]\n")
    assert not configurations.exist_for(path)
    tmp_path.joinpath("pyproject.toml").write_text("[tool.ruff.lint]\n")
    assert configurations.exist_for(path)


def test_broken_configuration_of_ruff_is_told_and_our_rules_have_run(tmp_path: Path) -> None:
    tmp_path.joinpath("ruff.toml").write_text("lint.select = 7\n")
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("x = ("))
    for linted in (
        Linting().check_files([path]),
        Linting().check_bytes(path.read_bytes(), path=path),
    ):
        assert linted.incomplete
        assert any("ruff did not work, so its findings are missing" in notice for notice in linted.notices)
        assert "NB205" in {finding.code for finding in linted.results[0].findings}


def test_noqa_of_ruff_is_ruffs_and_its_fix_spares_our_codes(tmp_path: Path) -> None:
    tmp_path.joinpath("ruff.toml").write_text('lint.select = ["F401", "RUF1"]\n')
    path = tmp_path / "n.ipynb"
    assert found(lint("import os  # noqa: F401", path=path)) == []
    assert found(lint("import os  # noqa: F401, NB202", path=path)) == []
    checked = lint("x = 1  # noqa: F401, NB205", path=path)
    assert all(each.fix is None for each in checked.findings if each.code.startswith("RUF"))
    (unused,) = [each for each in checked.findings if each.code == "NB001"]
    assert unused.fix is not None
    assert unused.fix.sources == {1: "x = 1  # noqa: F401"}


@pytest.mark.parametrize(
    ("source", "code", "mended"),
    [
        ("import os\nimport json\njson", "F401", "import json\njson"),
        ("import json\njson\nimport os", "F401", "import json\njson"),
        ("import os", "F401", ""),
        ("'é'; x = 1; assert not x in (1, 2)", "E713", "'é'; x = 1; assert x not in (1, 2)"),
        ("import os, sys\nos, sys\n", "E401", "import os\nimport sys\nos, sys\n"),
    ],
)
def test_safe_fix_gives_the_new_source_of_the_cell(
    tmp_path: Path, source: str, code: str, mended: str
) -> None:
    (finding,) = lint("x = 1", source, path=tmp_path / "n.ipynb", select=(code,)).findings
    assert finding.fix is not None
    assert finding.fix.sources == {2: mended}


def test_edit_that_may_mean_another_cell_is_not_offered(tmp_path: Path) -> None:
    # ruff would write this import at the top of the notebook, and tells "line 1, column 1" without the cell.
    tmp_path.joinpath("ruff.toml").write_text(
        'lint.select = ["FA", "I002"]\ntarget-version = "py38"\n'
        'lint.isort.required-imports = ["from __future__ import annotations"]\n'
    )
    checked = lint("x = 1", "def f(a: list[int] | None) -> None: ...", path=tmp_path / "n.ipynb")
    assert "I002" in {finding.code for finding in checked.findings}
    assert [each.code for each in checked.findings if each.fix is not None and each.cell != 0] == []


def test_unsafe_fix_is_not_offered(tmp_path: Path) -> None:
    (finding,) = lint("x = 1\nx == None", path=tmp_path / "n.ipynb", select=("E711",)).findings
    assert finding.fix is None


def test_answer_about_another_version_of_the_file_harms_nothing() -> None:
    document = read_document(notebook_bytes("x = 1"), name="n")
    place = {"row": 99, "column": 3}
    base = {
        "code": "F401",
        "message": "m",
        "location": place,
        "end_location": place,
        "fix": None,
        "url": None,
    }
    answer = RuffAnswer(
        found={str(Path("n.ipynb").absolute()): [base | {"cell": cell} for cell in (None, 0, 2, 99)]}
    )
    assert [
        (each.cell, each.line) for each in ruff_findings(answer, document, Path("n.ipynb"), select=())
    ] == [(1, 1)]


def test_program_that_answers_nonsense_is_a_problem() -> None:
    answer = RuffRun([["echo", "no JSON"]]).join()
    assert answer.found == {}
    assert answer.problem is not None
    assert "ruff did not work" in answer.problem


def test_findings_of_several_kinds_of_questions_come_together(tmp_path: Path) -> None:
    tmp_path.joinpath("pyproject.toml").write_text(
        '[tool.rasen.lint.per-folder]\n"a" = {select = ["F401"]}\n"b" = {select = ["E741"]}\n'
    )
    for name in ("a", "b"):
        tmp_path.joinpath(name).mkdir()
        tmp_path.joinpath(name, "n.ipynb").write_bytes(notebook_bytes("import os", "l = 1"))
    linted = Linting().check_files([tmp_path / "a" / "n.ipynb", tmp_path / "b" / ".." / "b" / "n.ipynb"])
    assert [found(checked) for checked in linted.results] == [[("F401", 1, 1)], [("E741", 2, 1)]]


def test_notebook_in_another_language_is_not_read_as_python(tmp_path: Path) -> None:
    data = notebook_bytes("x <- c(1, 2", language="R")
    checked = Linting().check_bytes(data, path=tmp_path / "n.ipynb").results[0]
    assert found(checked) == []
    assert json.loads(data)["metadata"]["kernelspec"]["language"] == "R"
