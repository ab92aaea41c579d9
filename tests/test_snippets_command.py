"""`rasen snippets`: what is typed and what is answered."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.errors import InvalidInput, NotFound

SNIPPET = """# ---
# title: Read [orders]
# description: All of "them".
# tags: [team]
# placeholders:
#   day: {default: "2013-01-01", description: "the first, not later", choices: ["2013-01-01", "2013-02-01"]}
# ---
first = "__day__"  # [bold]
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "snippets"
    folder.mkdir()
    (folder / "read_orders.py").write_text(SNIPPET)
    (tmp_path / "pyproject.toml").write_text('[tool.rasen.snippets]\nsources = ["snippets", "gone"]\n')
    monkeypatch.chdir(tmp_path)
    return folder


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build_app(), ["snippets", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_words_are_searched_without_a_command(team: Path) -> None:
    code, said, told = run("orders")
    assert code == 0
    assert "read_orders  Read [orders]  team  snippets" in said
    assert "split_by_time" not in said
    assert "not read: gone: there is no folder" in told
    assert run("list", "orders")[1] == said
    assert "split_by_time" in run()[1]
    assert "no snippet has all of these words" in run("orders", "nonsense")[1]


def test_programs_get_everything(team: Path) -> None:
    _, said, _ = run("--tag", "team", "--json")
    answer = json.loads(said)
    (snippet,) = answer["snippets"]
    assert snippet["placeholders"] == [
        {
            "name": "day",
            "default": "2013-01-01",
            "type": "text",
            "description": "the first, not later",
            "choices": ["2013-01-01", "2013-02-01"],
        }
    ]
    assert (snippet["source"], snippet["cell"]) == ("snippets", {"type": "code", "tags": []})
    assert answer["problems"][0]["source"] == "gone"


def test_one_is_shown_and_rendered(team: Path) -> None:
    _, said, _ = run("show", "read_orders")
    assert 'All of "them".' in said
    assert 'first = "__day__"  # [bold]\n' in said
    assert "(2013-01-01 | 2013-02-01)" in said
    assert run("render", "read_orders", "-p", "day=2013-02-01") == (0, 'first = "2013-02-01"  # [bold]\n', "")
    answer = json.loads(run("render", "read_orders", "--json")[1])
    assert answer["spans"] == [{"name": "day", "start": 9, "end": 19}]
    with pytest.raises(InvalidInput, match="must be NAME=VALUE"):
        run("render", "read_orders", "-p", "day")
    with pytest.raises(NotFound, match="did you mean 'read_orders'"):
        run("show", "read_order")


def test_a_team_begins_checks_and_is_told(team: Path) -> None:
    assert run("new", "count_orders") == (0, "snippets/count_orders.py\n", "")
    code, said, _ = run("check")
    assert code == 0
    assert said.startswith("2 snippets: no problem")
    (team / "count_orders.py").write_text(SNIPPET.replace("day:", "days:"))
    code, said, _ = run("check", "snippets")
    assert code == 2
    assert said.startswith("snippets/count_orders.py:6: placeholder 'days' is never used")
    answer = json.loads(run("check", "--json")[1])
    assert (answer["checked"], answer["problems"][0]["line"]) == (2, 6)
    assert "broken: " in run()[1]


def test_update_says_what_became_of_each_repository(team: Path, tmp_path: Path) -> None:
    assert run("update") == (
        0,
        "no repository is named; pyproject.toml: [tool.rasen.snippets] sources = […]\n",
        "",
    )
    source = f"file://{tmp_path}/nowhere.git"
    (tmp_path / "pyproject.toml").write_text(f'[tool.rasen.snippets]\nsources = ["{source}"]\n')
    code, said, _ = run("update")
    assert code == 75
    assert said.startswith(f"{source}: '{source}' could not be fetched: fatal:")
    answer = json.loads(run("update", "--json")[1])
    assert (answer["repositories"][0]["commit"], answer["repositories"][0]["changed"]) == (None, False)
    (tmp_path / "pyproject.toml").write_text('[tool.rasen.snippets]\nsources = ["ext::sh"]\n')
    assert run("update")[0] == 2
