"""The linter as JupyterLab, the review and the control API ask for it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rasen.errors import InvalidInput, NotebookError
from rasen.linter import Linter
from rasen_lint.plugin import RasenLinter
from stand.lint_notebooks import code_cell, notebook_bytes


@pytest.fixture(scope="module")
def linter() -> Linter:
    return RasenLinter()


def test_report_has_our_findings_and_ruffs_with_their_places(linter: Linter, tmp_path: Path) -> None:
    report = linter.check(notebook_bytes("import os\nx = 1", "y = ("), path=tmp_path / "n.ipynb")
    assert (report.problem, report.faults) == (None, ())
    broken = next(finding for finding in report.findings if finding.code == "NB205")
    assert (broken.severity, broken.cell, broken.cell_id, broken.line) == ("error", 2, "c2", 1)
    report = linter.check(notebook_bytes("import os\nx = 1"), path=tmp_path / "n.ipynb")
    unused = next(finding for finding in report.findings if finding.code == "F401")
    assert (unused.cell, unused.line, unused.end_column, unused.fixable) == (1, 1, 10, True)
    assert unused.url is not None


def test_notebook_need_not_lie_on_disk(linter: Linter, tmp_path: Path) -> None:
    report = linter.check(
        notebook_bytes("x = ("), path=tmp_path / "not" / "there" / "n.ipynb", stage="review"
    )
    assert "NB205" in {finding.code for finding in report.findings}


@pytest.mark.parametrize(("data", "said"), [(b"{", "not JSON"), (b'{"nbformat": 3}', "nbformat 3")])
def test_broken_notebook_is_a_problem(linter: Linter, tmp_path: Path, data: bytes, said: str) -> None:
    report = linter.check(data, path=tmp_path / "n.ipynb")
    assert report.problem is not None
    assert said in report.problem
    with pytest.raises(NotebookError, match=said):
        linter.fix(data, path=tmp_path / "n.ipynb")


def test_wrong_configuration_is_a_problem_and_its_correction_is_seen(linter: Linter, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.rasen.lint]\nignore = ["NB999"]\n')
    report = linter.check(notebook_bytes("x = ("), path=tmp_path / "n.ipynb")
    assert report.problem is not None
    assert f"{project}, line 2: there is no rule 'NB999'" in report.problem
    project.write_text('[tool.rasen.lint]\nignore = ["NB205"]\n')
    report = linter.check(notebook_bytes("x = ("), path=tmp_path / "n.ipynb")
    assert report.problem is None
    assert "NB205" not in {finding.code for finding in report.findings}


def test_role_is_told_by_the_pipeline_around_and_seen_when_it_changes(linter: Linter, tmp_path: Path) -> None:
    tmp_path.joinpath("pipeline.yaml").write_text("a: [")
    report = linter.check(notebook_bytes("x = 1"), path=tmp_path / "n.ipynb")
    assert report.problem is not None
    tmp_path.joinpath("pipeline.yaml").write_text("name: a\nowner: b\nsteps: {t: {notebook: n.ipynb}}\n")
    assert linter.check(notebook_bytes("x = 1"), path=tmp_path / "n.ipynb").problem is None


def test_fixes_of_all_rules_of_some_and_of_one_cell(linter: Linter, tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    data = notebook_bytes("import os\nx = 1", "import json\ny = 1 == x in (1,)  # noqa: NB205")

    def sources(data: bytes) -> list[str]:
        return ["".join(cell["source"]) for cell in json.loads(data)["cells"]][1:]

    assert sources(linter.fix(data, path=path)) == ["x = 1", "y = 1 == x in (1,)"]
    assert sources(linter.fix(data, path=path, codes=["F401"]))[1].endswith("# noqa: NB205")
    first = sources(linter.fix(data, path=path, cell=1))
    assert (first[0], first[1][:11]) == ("x = 1", "import json")
    assert linter.fix(data, path=path, codes=[]) == data


def test_explanation_of_our_rules_and_ruffs(linter: Linter) -> None:
    assert linter.explain("nb205").startswith("NB205 (error)\n\nCheck that")
    assert "What it does:" in linter.explain("NB001")
    assert "unused-import" in linter.explain("f401")
    for code in ("NB999", "XX1", ""):
        with pytest.raises(InvalidInput, match="there is no rule"):
            linter.explain(code)


def test_several_threads_get_each_their_own_answer(linter: Linter, tmp_path: Path) -> None:
    def cells_with_findings(count: int) -> list[int | None]:
        data = notebook_bytes(*["import os"] * count)
        report = linter.check(data, path=tmp_path / f"{count}.ipynb")
        return [finding.cell for finding in report.findings if finding.code == "F811"]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(cells_with_findings, range(1, 9)))
    assert [len(answer) for answer in answers] == list(range(8))


def test_very_long_notebook_and_very_large_outputs_are_read(linter: Linter, tmp_path: Path) -> None:
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo" * 900_000}}
    cells = [code_cell(f"x{index} = {index}\nx{index}") for index in range(3000)]
    cells[0]["outputs"] = [image]
    report = linter.check(notebook_bytes(*cells), path=tmp_path / "n.ipynb")
    assert (report.problem, report.faults) == (None, ())
    assert "NB301" in {finding.code for finding in report.findings}
