"""Every snippet has the form that its README promises, and a test that executes it."""

import ast
import re
from pathlib import Path

import pytest

from stand.snippets import FOLDER, PLACEHOLDER, read_snippet

NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_front_matter_is_complete(name: str) -> None:
    front_matter = read_snippet(name).front_matter
    assert set(front_matter) == {"title", "description", "tags", "placeholders"}
    assert all(front_matter.values())
    assert front_matter["tags"] == sorted(set(front_matter["tags"]))
    for entry in front_matter["placeholders"].values():
        assert set(entry) == {"default", "description"}
        assert all(entry.values())


@pytest.mark.parametrize("name", NAMES)
def test_placeholders_are_those_that_the_front_matter_names(name: str) -> None:
    snippet = read_snippet(name)
    assert set(PLACEHOLDER.findall(snippet.code)) == set(snippet.front_matter["placeholders"])


@pytest.mark.parametrize("name", NAMES)
def test_snippet_is_python_with_and_without_its_defaults(name: str) -> None:
    snippet = read_snippet(name)
    ast.parse(snippet.code)
    filled = snippet.fill()
    ast.parse(filled)
    assert PLACEHOLDER.search(filled) is None


@pytest.mark.parametrize("name", NAMES)
def test_snippet_is_named_tested_and_listed(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert Path(__file__).with_name(f"test_snippets_{name}.py").exists()
    assert f"`{name}.py`" in (FOLDER / "README.md").read_text()


def test_there_are_snippets() -> None:
    assert len(NAMES) >= 2
