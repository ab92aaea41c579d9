"""The server side of the findings in a real Jupyter server: who may ask, what is refused, and in which words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # JSON

import httpx
import pytest

from stand.jupyter import Jupyter, notebook_text, running_jupyter


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with running_jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="module")
def client(jupyter: Jupyter) -> Iterator[httpx.Client]:
    with jupyter.client() as client:
        yield client


def lint(client: httpx.Client, content: object, *, path: object = "one.ipynb") -> httpx.Response:
    return client.post("/rasen/lint", json={"path": path, "content": content})


def problem(answer: httpx.Response) -> str:
    """Return the sentence of a refusal, which has one form everywhere."""
    error: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message"}
    return str(error["message"])


def test_a_notebook_that_is_nowhere_saved_is_checked(client: httpx.Client) -> None:
    answer = lint(client, notebook_text("# Title", "x = (", "y == None"), path="new/one.ipynb")
    assert answer.status_code == 200
    found = [(one["code"], one["cell"], one["cell_id"], one["line"]) for one in answer.json()["findings"]]
    assert found == [("NB205", 1, "cell1", 1), ("ST001", 2, "cell2", 1)]
    assert answer.json()["problem"] is None


def test_text_that_is_no_notebook_is_an_answer_and_not_a_failure(client: httpx.Client) -> None:
    for content in ("", "{", "[]", '{"nbformat": 3, "worksheets": []}', "\ud800"):
        answer = client.post("/rasen/lint", content=json.dumps({"path": "one.ipynb", "content": content}))
        assert answer.status_code == 200, content
        assert answer.json()["problem"], content


def test_fixing_returns_the_notebook_and_writes_nothing(client: httpx.Client, jupyter: Jupyter) -> None:
    content = notebook_text("# Title", "x == None", "", "x == None")
    answer = client.post(
        "/rasen/fix", json={"path": "one.ipynb", "content": content, "codes": ["ST001"], "cell": 1}
    )
    cells = json.loads(answer.json()["content"])["cells"]
    assert [cell["source"] for cell in cells] == ["# Title", "x is None", "", "x == None"]
    answer = client.post("/rasen/fix", json={"path": "one.ipynb", "content": content})
    cells = json.loads(answer.json()["content"])["cells"]
    assert [(cell["id"], cell["source"]) for cell in cells] == [
        ("cell0", "# Title"),
        ("cell1", "x is None"),
        ("cell3", "x is None"),
    ]
    assert list(jupyter.root.iterdir()) == []


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"codes": "ST001"}, "codes must be a list"),
        ({"codes": [1]}, "codes must be a list"),
        ({"cell": -1}, "cell must be the number"),
        ({"cell": True}, "cell must be the number"),
        ({"cell": "1"}, "cell must be the number"),
        ({"cell": float("nan")}, "cell must be the number"),
        ({"content": "no notebook"}, "is no notebook"),
        ({"content": None}, "content must be the notebook as a text"),
        ({"path": ""}, "must be the path of a file"),
        ({"path": ["one.ipynb"]}, "must be the path of a file"),
        ({"path": "a\0b"}, "must be the path of a file"),
    ],
    ids=str,
)
def test_a_wish_that_cannot_be_meant_is_refused(
    client: httpx.Client, wish: dict[str, object], said: str
) -> None:
    body = {"path": "one.ipynb", "content": notebook_text("x = 1")} | wish
    answer = client.post("/rasen/fix", content=json.dumps(body))
    assert answer.status_code == 422
    assert said in problem(answer)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b"NaN"], ids=lambda body: str(body[:9])
)
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    for route in ("lint", "fix"):
        answer = client.post(f"/rasen/{route}", content=body)
        assert answer.status_code == 422
        assert "JSON" in problem(answer)


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    answer = client.post("/rasen/lint", content=b" " * (128 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert "clear its outputs" in problem(answer)


def test_no_path_leads_out_of_the_folder_also_by_links(
    client: httpx.Client, jupyter: Jupyter, tmp_path: Path
) -> None:
    (jupyter.root / "away").symlink_to(tmp_path)
    (jupyter.root / "circle").symlink_to(jupyter.root / "circle")
    try:
        for path in ("../one.ipynb", "a/../../one.ipynb", "/../../etc/passwd", "away/one.ipynb"):
            answer = lint(client, notebook_text("x = 1"), path=path)
            assert (answer.status_code, "leads out of" in problem(answer)) == (422, True), path
        answer = lint(client, notebook_text("x = 1"), path="circle/one.ipynb")
        assert answer.status_code in (200, 422)  # Python 3.13 gives the circle back, the others refuse it
        assert lint(client, notebook_text("x = 1"), path="//one.ipynb").status_code == 200
    finally:
        (jupyter.root / "away").unlink()
        (jupyter.root / "circle").unlink()


def test_a_rule_is_explained_and_an_unknown_one_refused(client: httpx.Client) -> None:
    answer = client.get("/rasen/explain", params={"code": "ST001"})
    assert answer.json()["text"].startswith("ST001 (warning)")
    for code in ("ST999", "", "../../etc/passwd"):
        answer = client.get("/rasen/explain", params={"code": code})
        assert answer.status_code == 422
        assert "there is no rule" in problem(answer)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_who_is_not_logged_in_gets_nothing(jupyter: Jupyter, token: str | None) -> None:
    with jupyter.client(token=token) as stranger:
        for method, route in (
            ("POST", "lint"),
            ("POST", "fix"),
            ("GET", "explain?code=ST001"),
            ("GET", "snippets"),
            ("POST", "snippets/render"),
        ):
            answer = stranger.request(method, f"/rasen/{route}", content=b"{}")
            assert answer.status_code == 403, route


def test_a_page_of_somebody_else_cannot_ask_with_the_cookie_of_a_user(jupyter: Jupyter) -> None:
    from stand.jupyter import TOKEN

    with jupyter.client(token=None) as browser:
        assert browser.get("/api/status", params={"token": TOKEN}).status_code == 200  # logs in: a cookie
        assert browser.get("/rasen/explain", params={"code": "ST001"}).status_code == 200
        answer = lint(browser, notebook_text("x = 1"))
        assert answer.status_code == 403
        assert "_xsrf" in problem(answer)


def test_what_takes_long_holds_up_nobody(client: httpx.Client, jupyter: Jupyter) -> None:
    from concurrent.futures import ThreadPoolExecutor

    slow = notebook_text("x = 1", metadata={"stand": {"seconds": 0.8}})
    with ThreadPoolExecutor() as pool, jupyter.client() as other:
        waiting = pool.submit(lint, other, slow)
        client.get("/api/status").raise_for_status()
        assert not waiting.done()
        assert waiting.result().status_code == 200
