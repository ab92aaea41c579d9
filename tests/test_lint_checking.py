"""What the linter does with files that are no notebooks, with rules that raise, and with choices of rules."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasen.errors import InvalidInput
from rasen_lint import RULES, Finding, Severity, check_file, check_notebook
from rasen_lint.checking import exit_code, find_notebooks
from rasen_lint.document import Document
from rasen_lint.report import to_text
from rasen_lint.selection import find_rule, select_rules

HEADER = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5}
PARAMETERS = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "", "outputs": []}


HEADINGS = ["Purpose", "Background", "Data set", "Method", "Result", "Discussion", "Next action"]
TITLE = {"cell_type": "markdown", "metadata": {}, "source": "\n".join(f"# {each}" for each in HEADINGS)}


def notebook(*sources: str, language: str = "python") -> bytes:
    """Return a notebook that is right but for its sources, of which the first is cell 1."""
    cells = [PARAMETERS, *({"cell_type": "code", "metadata": {}, "source": source} for source in sources)]
    kernel = {"language": language, "name": "python3" if language == "python" else language}
    return json.dumps(
        {**HEADER, "metadata": {"kernelspec": kernel}, "cells": [*cells[:2], TITLE, *cells[2:]]}
    ).encode()


class BrokenRule:
    """A rule of somebody who did not think of empty notebooks."""

    code = "NB999"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        yield Finding(
            code=self.code, severity=self.severity, message="never seen", cell=len(document.output_sizes) // 0
        )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "no `nbformat`"),
        (b'{"cells": []}', "no `nbformat`"),
        (b'{"nbformat": 3, "worksheets": []}', "nbformat 3 is too old"),
        (b'{"nbformat": 5, "cells": []}', "newer than 4"),
        (b'{"nbformat": 4, "cells": {}}', "`cells` is dict"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "cell 0: `source`"),
        (b'{\n<<<<<<< HEAD\n"nbformat": 4}', "merge conflict"),
    ],
)
def test_file_that_is_no_notebook_is_a_problem_with_its_name(data: bytes, said: str) -> None:
    checked = check_notebook(data, name="broken.ipynb", rules=RULES.values())
    assert checked.problem is not None
    assert said in checked.problem
    assert "broken.ipynb" in checked.problem
    assert (checked.findings, exit_code([checked])) == ((), 2)


def test_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "folder.ipynb"
    folder.mkdir()
    checked = check_file(folder, RULES.values())
    assert checked.problem is not None
    assert "Is a directory" in checked.problem


def test_rule_that_raises_is_our_fault_and_the_others_run() -> None:
    checked = check_notebook(notebook("x = ("), name="n.ipynb", rules=[BrokenRule(), *RULES.values()])
    assert [finding.code for finding in checked.findings] == ["NB205"]
    assert [fault.code for fault in checked.faults] == ["NB999"]
    assert "ZeroDivisionError" in checked.faults[0].error
    assert checked.faults[0].place.startswith("test_lint_checking.py, line ")
    assert "our fault" in to_text([checked])
    assert exit_code([checked]) == 70


def test_warnings_alone_do_not_fail() -> None:
    checked = check_file(Path(__file__).parent / "lint_cases/nb301_fail.ipynb", RULES.values())
    assert [finding.severity for finding in checked.findings] == [Severity.WARNING]
    assert exit_code([checked]) == 0


def test_code_of_another_language_is_not_read_as_python() -> None:
    checked = check_notebook(notebook("x <- (", language="R"), name="r.ipynb", rules=RULES.values())
    assert ([finding.code for finding in checked.findings], checked.faults) == (["NB103"], ())


@pytest.mark.parametrize(
    "source", ["\x00", "\ud800 = 1", "(" * 5000, "x = " + "9" * 10_000, "-" * 50_000 + "1"]
)
def test_hostile_cell_does_not_parse_and_harms_nothing(source: str) -> None:
    checked = check_notebook(notebook(source, "print(1)"), name="n.ipynb", rules=RULES.values())
    assert checked.faults == ()
    assert [(finding.code, finding.cell) for finding in checked.findings] == [("NB205", 1)]
    text = to_text([checked])
    assert text.encode()
    assert "\x00" not in text


def test_cell_that_only_ipython_reads_is_no_finding() -> None:
    checked = check_notebook(notebook(">>> x = 1\n>>> print(x)"), name="n.ipynb", rules=RULES.values())
    assert checked.findings == ()


def test_text_shows_the_lines_around_the_finding() -> None:
    checked = check_notebook(
        notebook("a = 1\nb = 2\nc = )\nd = 4\ne = 5"), name="n.ipynb", rules=RULES.values()
    )
    first, *rest = to_text([checked]).splitlines()
    assert first.startswith(
        "n.ipynb, cell 1, line 3, column 5: NB205 error: this cell does not parse: unmatched ')'"
    )
    assert rest == [
        "      2 | b = 2",
        "  >   3 | c = )",
        "      4 | d = 4",
        "",
        "1 error, 0 warnings in 1 notebook (`rasen lint --explain NB205` says why and what to do)",
    ]


def test_folders_are_searched_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.ipynb", "a/c.ipynb", ".ipynb_checkpoints/b-checkpoint.ipynb", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(notebook())
    found = find_notebooks([tmp_path, tmp_path / "b.ipynb"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/c.ipynb", "b.ipynb"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.ipynb", "there is no file or folder"),
        ("notes.md", "is no notebook"),
        ("empty", "there is no notebook"),
    ],
)
def test_path_without_notebook_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=said):
        find_notebooks([tmp_path / name])


def test_rules_are_chosen_by_code_or_its_beginning() -> None:
    def chosen(select: list[str], ignore: list[str]) -> list[str]:
        return [rule.code for rule in select_rules(RULES, select=select, ignore=ignore)]

    assert chosen([], []) == sorted(RULES)
    structure = [code for code in sorted(RULES) if code.startswith("NB1")]
    assert chosen(["NB1"], []) == structure
    assert chosen(["nb205", "NB11"], ["NB110"]) == ["NB111", "NB112", "NB113", "NB205"]
    with pytest.raises(InvalidInput, match="no rule is left"):
        chosen(["NB205"], ["NB2"])
    with pytest.raises(InvalidInput, match="there is no rule 'NB298'; did you mean 'NB20"):
        chosen([], ["NB298"])
    with pytest.raises(InvalidInput, match="there is no rule ''"):
        chosen([""], [])


def test_rule_is_found_whatever_its_case() -> None:
    assert find_rule(RULES, "nb110").code == "NB110"
    with pytest.raises(InvalidInput, match="known: 'NB101', 'NB102'"):
        find_rule(RULES, "unheard")
