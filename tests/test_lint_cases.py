"""Every rule has a passing and a failing case, and its docstring is a page of documentation."""

import json
from pathlib import Path

import pytest

from rasen_lint import RULES, check_notebook
from rasen_lint.rule import documentation
from stand.lint_cases import CASES, read_context

SECTIONS = ("What it does:", "Why it is bad:", "Example:", "Use instead:")


@pytest.mark.parametrize("path", sorted(CASES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_case_gives_exactly_the_findings_that_its_metadata_expect(path: Path) -> None:
    case = json.loads(path.read_text())["metadata"]["rasen_lint"]
    expected = case["expected"]
    checked = check_notebook(
        path.read_bytes(), name=case.get("name", path.name), rules=RULES.values(), context=read_context(case)
    )
    assert checked.problem is None
    assert checked.faults == ()
    assert [[finding.code, finding.cell, finding.line] for finding in checked.findings] == expected
    assert bool(expected) == ("_fail" in path.stem)


@pytest.mark.parametrize("code", RULES)
def test_rule_has_a_passing_and_a_failing_case(code: str) -> None:
    assert (CASES / f"{code.lower()}_pass.ipynb").exists()
    failing = json.loads((CASES / f"{code.lower()}_fail.ipynb").read_text())
    assert {found for found, _, _ in failing["metadata"]["rasen_lint"]["expected"]} == {code}


@pytest.mark.parametrize("code", RULES)
def test_rule_is_one_class_in_a_file_named_by_its_code(code: str) -> None:
    rule = RULES[code]
    assert rule.code == code
    assert type(rule).__module__.startswith(f"rasen_lint.rules.{code.lower()}_")


def test_every_rule_file_stands_in_the_table() -> None:
    files = Path(__file__).parents[1].joinpath("lint_rules/rasen_lint/rules").glob("nb*.py")
    assert sorted(path.name[:5].upper() for path in files) == sorted(RULES)


@pytest.mark.parametrize("code", RULES)
def test_docstring_has_the_four_sections_in_order(code: str) -> None:
    text = documentation(RULES[code])
    positions = [text.index(section) for section in SECTIONS]
    assert positions == sorted(positions)
    assert text.startswith(f"{code} ({RULES[code].severity})\n\nCheck that ")


def test_readme_lists_every_rule_with_its_severity() -> None:
    readme = Path(__file__).parents[1].joinpath("lint_rules/README.md").read_text()
    for code, rule in RULES.items():
        assert f"| {code} | {rule.severity} |" in readme
