"""Every snippet of Rasen has the form that its README promises, is executed by a test, and passes the linters."""

import json
import re
from pathlib import Path

import pytest

from rasen.snippets import check_folder, render
from rasen.snippets.checking import OF_OTHER_CELLS
from rasen_lint import RULES, check_notebook
from stand.snippets import FOLDER, shipped

TESTS = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_snippets_*.py"))
README = (FOLDER / "README.md").read_text()


def test_all_files_are_snippets() -> None:
    assert {name: snippet.problem for name, snippet in shipped().items() if snippet.problem} == {}
    assert sorted(shipped()) == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert len(shipped()) >= 24


@pytest.mark.parametrize("name", sorted(shipped()))
def test_snippet_is_executed_by_a_test_and_listed(name: str) -> None:
    snippet = shipped()[name]
    assert re.search(rf'execute\(\s*"{name}"', TESTS) or snippet.cell_type == "markdown"
    row = re.search(rf"^\| `{name}` \| (.+) \| (.+) \|$", README, re.MULTILINE)
    assert row is not None
    assert (row[1], row[2]) == (snippet.title, ", ".join(snippet.tags))


def test_the_table_lists_nothing_else() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \| .+ \| .+ \|$", README, re.MULTILINE) == sorted(shipped())


def test_snippets_pass_their_own_check() -> None:
    check = check_folder(FOLDER)
    assert (check.checked, check.problems) == (len(shipped()), ())


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_cell_as_it_is_inserted_passes_the_rules(name: str) -> None:
    snippet = shipped()[name]
    cell: dict[str, object] = {"cell_type": snippet.cell_type, "id": "a", "source": render(snippet)}
    cell |= {"outputs": [], "execution_count": None} if snippet.cell_type == "code" else {}
    cell |= {"metadata": {"tags": list(snippet.cell_tags)}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    checked = check_notebook(json.dumps(notebook).encode(), name=f"{name}.ipynb", rules=RULES.values())
    assert (checked.problem, checked.faults) == (None, ())
    assert [
        f"{found.code}: {found.message}"
        for found in checked.findings
        if found.cell == 0 and not found.code.startswith(OF_OTHER_CELLS)
    ] == []


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_line_of_a_cell_is_too_long_to_read(name: str) -> None:
    longest = max(map(len, render(shipped()[name]).split("\n")))
    assert longest <= (120 if shipped()[name].cell_type == "code" else 200)
