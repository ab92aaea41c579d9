"""`# noqa`: where it counts, what it takes away, and what is said about the ones that take nothing away."""

from pathlib import Path
from typing import Any

import pytest

from rasen_lint import Finding
from rasen_lint.document import read_document
from rasen_lint.fixing import mend
from rasen_lint.linting import Linting, Wishes
from rasen_lint.noqa_comments import read_comments
from rasen_lint.suppression import UNUSED_NOQA
from stand.lint_notebooks import NoCallOfBad, NoEmptyCell, NoTitle, notebook_bytes, text_cell

OWN = {rule.code: rule for rule in (UNUSED_NOQA, NoCallOfBad(), NoTitle(), NoEmptyCell())}
LINTING = Linting(Wishes(ruff=False, ignore=("NB903", "NB902")), rules=OWN)
TITLED = Linting(Wishes(ruff=False), rules=OWN)


def find(*cells: Any, linting: Linting = LINTING) -> list[Finding]:
    checked = linting.check_bytes(notebook_bytes(*cells), path=Path("n.ipynb")).results[0]
    assert checked.problem is None
    assert checked.faults == ()
    return list(checked.findings)


def codes(*cells: Any, linting: Linting = LINTING) -> list[str]:
    return [finding.code for finding in find(*cells, linting=linting)]


@pytest.mark.parametrize(
    "source",
    [
        "bad()  # noqa: NB901",
        "bad()  #noqa:NB901",
        "bad()  # NoQA: nb901, F401",
        "bad()  # noqa: F401 NB901 because the paper says so",
        "x = bad() + '''\ntext\n'''  # noqa: NB901",
        "x = f'''{bad()}\n{1}\n'''  # noqa: NB901",
        "  x = bad()  # noqa: NB901\n  y = 1",
        "text = '#'; bad()  # noqa: NB901",
    ],
)
def test_named_finding_of_the_line_goes(source: str) -> None:
    assert codes(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "bad('# noqa: NB901')",
        "bad('''\n# noqa: NB901\n''')",
        "bad()\n# noqa: NB901",
        "bad()  # noqa: NB902, F401",
        "bad()  # nonoqa: NB901",
    ],
)
def test_what_is_no_comment_of_that_line_and_rule_changes_nothing(source: str) -> None:
    assert "NB901" in codes(source)


def test_bare_noqa_hides_no_finding_of_ours_and_is_told_what_to_write() -> None:
    hint, bad = find("bad()  # noqa")
    assert (bad.code, hint.code) == ("NB901", "NB001")
    assert "`# noqa: NB901`" in hint.message
    assert codes("import os  # noqa") == []


def test_whole_cell_is_covered_by_its_first_line_and_whole_notebook_by_one_comment() -> None:
    assert codes("x = 1", linting=TITLED) == ["NB903"]
    assert codes("x = 1  # rasen: noqa: NB903", linting=TITLED) == []
    assert codes(text_cell("text <!-- rasen: noqa: NB903 -->"), linting=TITLED) == []
    assert codes("bad()", "bad()", "# rasen: noqa: NB901,NB903", linting=TITLED) == []


def test_lines_that_are_no_python_have_comments_too() -> None:
    cells = notebook_bytes(
        "!pip list  # noqa: NB202", "%%bigquery\nSELECT *  -- noqa: NB401\n", "%%bash\nls # noqa: NB203"
    )
    found = read_comments(read_document(cells, name="n"))
    assert [(each.cell, each.line, each.codes) for each in found] == [
        (1, 1, ("NB202",)),
        (2, 2, ("NB401",)),
        (3, 2, ("NB203",)),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1  # noqa: NB901", "x = 1"),
        ("x = 1  # noqa: NB901, F401", "x = 1  # noqa: F401"),
        ("x = 1  # noqa: NB901 because of the paper", "x = 1  # because of the paper"),
        ("x = 1  # noqa: NB901  # type: ignore", "x = 1  # type: ignore"),
        ("x = 1\n# rasen: noqa: NB901", "x = 1"),
        ("x = 1\n# noqa: NB901\ny = 2", "x = 1\ny = 2"),
        ("  x = 1  # noqa: NB901\n  y = 1", "  x = 1\n  y = 1"),
    ],
)
def test_unused_noqa_is_reported_and_removed_by_its_fix(before: str, after: str) -> None:
    (finding,) = find(before)
    assert (finding.code, finding.cell) == ("NB001", 1)
    assert "NB901" in finding.message

    def check(data: bytes) -> Any:
        return LINTING.check_bytes(data, path=Path("n.ipynb")).results[0]

    mended = mend(notebook_bytes(before), check)
    assert mended.checked.findings == ()
    assert mended.data == notebook_bytes(after)


def test_unused_noqa_in_markdown_loses_its_code() -> None:
    (finding,) = find(text_cell("Text\nmore <!-- noqa: NB901 -->"))
    assert finding.fix is not None
    assert finding.fix.sources == {1: "Text\nmore"}


def test_rule_that_did_not_run_calls_no_comment_unused() -> None:
    assert codes("x = 1  # noqa: NB902") == []  # NB902 is ignored there
    assert codes("x = 1  # noqa: F401, E501") == []  # ruff's own business


def test_unknown_code_of_ours_is_told_with_the_nearest() -> None:
    (finding,) = find("x = 1  # noqa: NB910")
    assert "there is no rule 'NB910'; did you mean 'NB90" in finding.message
    assert finding.fix is None


def test_cell_that_does_not_parse_and_hostile_comments_harm_nothing() -> None:
    assert codes("x = (\n# noqa: NB901") == ["NB001"]
    assert codes("'''\n# noqa: NB901") == []
    assert codes("#" * 20_000 + " noqa: " + "A1," * 5_000) == []
