"""The server side of the snippets panel in a real Jupyter server."""

from collections.abc import Iterator
from typing import Any  # JSON

import httpx
import pytest

from stand.jupyter import Jupyter, running_jupyter

SNIPPET = """# ---
# title: Greet somebody
# description: Says a name twice, after an emoji.
# tags: [greeting]
# cell: {type: code, tags: [hello]}
# placeholders:
#   who: {default: world, description: whom to greet}
# ---
print("🌀 __who__")
print("again, __who__")
"""


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter")
    team = folder / "work" / "team"
    team.mkdir(parents=True)
    (team / "pyproject.toml").write_text('[tool.rasen.snippets]\nsources = ["own", "missing"]\n')
    (team / "own").mkdir()
    (team / "own" / "greet_somebody.py").write_text(SNIPPET)
    (team / "own" / "greet_nobody.py").write_text("print('no front matter')\n")
    with running_jupyter(folder) as server:
        yield server


@pytest.fixture
def client(jupyter: Jupyter) -> Iterator[httpx.Client]:
    with jupyter.client() as client:
        yield client


def listed(client: httpx.Client, path: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    answer = client.get("/rasen/snippets", params={"path": path})
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["snippets"]}, answer.json()["problems"]


def units(text: str, start: int, end: int) -> str:
    """Cut a text as a browser does, which counts UTF-16 units."""
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")


def test_snippets_come_filled_in_with_the_places_of_their_placeholders(client: httpx.Client) -> None:
    snippets, problems = listed(client, "")
    assert problems == []
    split = snippets["split_by_time"]
    assert split["problem"] is None
    assert split["source"] == "rasen"
    assert "__" not in split["text"]
    assert {units(split["text"], one["start"], one["end"]) for one in split["spans"]} == {
        "rows",
        "time_hour",
        "test_from",
    }


def test_the_folder_of_the_notebook_says_where_snippets_come_from(client: httpx.Client) -> None:
    snippets, problems = listed(client, "team")
    greet = snippets["greet_somebody"]
    assert (greet["cell_type"], greet["cell_tags"]) == ("code", ["hello"])
    assert [units(greet["text"], one["start"], one["end"]) for one in greet["spans"]] == ["world", "world"]
    assert "front matter" in snippets["greet_nobody"]["problem"]
    assert len(problems) == 1
    assert "missing" in problems[0]
    assert "greet_somebody" not in listed(client, "")[0]


def test_a_snippet_is_filled_in_with_values_or_says_what_is_wrong(client: httpx.Client) -> None:
    wish = {"name": "greet_somebody", "path": "team", "values": {"who": 'Ann "A"'}}
    answer = client.post("/rasen/snippets/render", json=wish)
    assert answer.status_code == 200, answer.text
    compile(answer.json()["text"], "cell", "exec")
    for change, status, said in (
        ({"name": "greet_sombody"}, 404, "greet_somebody"),
        ({"name": 1}, 422, "name must be"),
        ({"values": {"whom": "x"}}, 422, "no placeholder 'whom'"),
        ({"values": {"who": 1}}, 422, "values must be texts"),
        ({"values": []}, 422, "values must be texts"),
        ({"path": ".."}, 422, "leads out of"),
    ):
        answer = client.post("/rasen/snippets/render", json=wish | change)
        assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


def test_no_folder_outside_is_looked_into(client: httpx.Client) -> None:
    answer = client.get("/rasen/snippets", params={"path": "../.."})
    assert answer.status_code == 422
    assert "leads out of" in answer.json()["error"]["message"]
