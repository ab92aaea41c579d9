"""Runs from JupyterLab: a real Jupyter server, a real control API, and somebody who works on what was asked for."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any  # JSON

import httpx
import pytest

from rasen.local.processes import free_port
from rasen_labextension.platform_view import Platform
from stand.control import ControlHome, Worker, served, write_shop
from stand.jupyter import Jupyter, running_jupyter
from stand.pipelines import write_pipeline

NOTEBOOK = "shop/train.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def home(folder: Path) -> ControlHome:
    return ControlHome(folder / "home")


@pytest.fixture(scope="module")
def jupyter(folder: Path, home: ControlHome) -> Iterator[Jupyter]:
    with (
        served(home) as url,
        running_jupyter(folder, variables={"RASEN_SERVER": url, "RASEN_ENVIRONMENT": "dev"}) as server,
    ):
        write_shop(server.root)
        yield server


@pytest.fixture(scope="module")
def client(jupyter: Jupyter) -> Iterator[httpx.Client]:
    with jupyter.client() as client:
        yield client


def content(jupyter: Jupyter, *, edited: bool = False) -> str:
    text = (jupyter.root / NOTEBOOK).read_text()
    return text.replace("print('price', price)", "print('unsaved', price)") if edited else text


def desk(client: httpx.Client, **query: str) -> dict[str, Any]:
    answer = client.get("/rasen/desk", params={"pipeline": "shop", "path": NOTEBOOK, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def run(client: httpx.Client, jupyter: Jupyter, **more: Any) -> httpx.Response:
    body = {"path": NOTEBOOK, "content": content(jupyter, edited=True), "source": "working-copy"}
    return client.post("/rasen/runs", json={**body, **more})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def problem(answer: httpx.Response) -> str:
    error: dict[str, Any] = answer.json()["error"]
    return str(error["message"])


def test_a_run_of_unsaved_work_is_followed_to_its_end_and_its_notebook_comes_back(
    client: httpx.Client, jupyter: Jupyter, home: ControlHome
) -> None:
    assert desk(client)["platform"] == {"registered": False, "release": None, "commit": None, "live": None}
    begun = run(client, jupyter, typed={"price": "3.5"})
    assert begun.status_code == 202, begun.text
    identity = begun.json()["run"]
    waiting = desk(client)["runs"]
    assert [(one["run"], one["state"], one["place"]) for one in waiting] == [(identity, "waiting", 1)]
    with Worker(home.settings):
        until(lambda: desk(client, awaited=identity)["awaited"][0]["state"] == "succeeded")
    found = desk(client, opened=identity)
    [ended] = found["runs"]
    assert (ended["state"], ended["origin"], ended["error"]) == ("succeeded", "workspace", None)
    assert [step["has_notebook"] for step in ended["steps"] if step["step"] == "train"] == [True]
    assert any("unsaved 3.5" in line for line in found["log"]["lines"])
    assert desk(client, opened=identity, offset=str(found["log"]["offset"]))["log"]["lines"] == []
    path = client.post(f"/rasen/runs/{identity}/output", json={"step": "train"}).json()["path"]
    assert path == f"rasen-outputs/shop/{identity}/train.ipynb"
    assert "unsaved 3.5" in (jupyter.root / path).read_text()
    assert (jupyter.root / "rasen-outputs/.gitignore").read_text() == "*\n"


def test_a_run_that_waits_is_cancelled(client: httpx.Client, jupyter: Jupyter, home: ControlHome) -> None:
    identity = run(client, jupyter).json()["run"]
    assert client.post(f"/rasen/runs/{identity}/cancel", json={}).status_code == 200
    assert desk(client, awaited=identity)["awaited"][0]["state"] == "cancelling"
    with Worker(home.settings):
        until(lambda: desk(client, awaited=identity)["awaited"][0]["state"] == "cancelled")


def test_the_saved_file_is_not_touched_by_a_run_of_what_was_not_saved(jupyter: Jupyter) -> None:
    assert "unsaved" not in content(jupyter)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"typed": {"price": "dear"}}, "price"),
        ({"typed": {"prize": "3"}}, "did you mean 'price'"),
        ({"parameters": []}, "must be objects"),
        ({"source": "elsewhere"}, "'working-copy' or 'release'"),
        ({"source": "release"}, "no pipeline 'shop' is registered"),
        ({"content": 3}, "content must be the notebook as a text"),
        ({"content": "{"}, "not JSON"),
        ({"path": "../../etc/passwd"}, "leads out of the folder"),
        ({"path": "nowhere/x.ipynb"}, "belongs to no pipeline"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_wish_that_cannot_be_is_refused_in_a_sentence(
    client: httpx.Client, jupyter: Jupyter, change: dict[str, Any], said: str
) -> None:
    answer = run(client, jupyter, **change)
    assert answer.status_code in {404, 422}
    assert said in problem(answer)


def test_nobody_asks_without_logging_in(jupyter: Jupyter) -> None:
    with jupyter.client(token=None) as stranger:
        for method, route in (
            *(("POST", "about"), ("POST", "runs"), ("POST", "runs/abcd/cancel"), ("POST", "comparison")),
            *(
                ("GET", "desk?pipeline=shop&path=x"),
                ("POST", "interface-tests"),
                ("POST", "runs/abcd/output"),
            ),
        ):
            assert stranger.request(method, f"/rasen/{route}", json={}).status_code == 403, route


def test_a_step_or_a_run_that_is_no_name_writes_no_file(client: httpx.Client, jupyter: Jupyter) -> None:
    identity = desk(client)["runs"][0]["run"]
    for step in ("../../../evil", "nothing", ".."):
        assert client.post(f"/rasen/runs/{identity}/output", json={"step": step}).status_code in {404, 422}
    assert client.post("/rasen/runs/..%2f..%2fx/output", json={"step": "train"}).status_code in {403, 404}
    assert not list(jupyter.root.parent.glob("**/evil*"))


def test_a_pipeline_that_was_deleted_meanwhile_is_named(client: httpx.Client, jupyter: Jupyter) -> None:
    gone = write_pipeline(jupyter.root / "gone", {"train": ["1"]})
    text = (gone / "train.ipynb").read_text()
    (gone / "pipeline.yaml").unlink()
    for answer in (
        client.post(
            "/rasen/runs", json={"path": "gone/train.ipynb", "content": text, "source": "working-copy"}
        ),
        client.get("/rasen/desk", params={"pipeline": "gone", "path": "gone/train.ipynb"}),
        client.post("/rasen/interface-tests", json={"path": "gone/train.ipynb"}),
    ):
        assert answer.status_code in {404, 422}
        assert "pipeline.yaml" in problem(answer)


def test_a_platform_that_is_down_is_said_to_be_so(tmp_path: Path, home: ControlHome) -> None:
    nobody = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with running_jupyter(tmp_path, variables={"RASEN_SERVER": nobody, "RASEN_TOKEN": "some-token"}) as server:
        write_shop(server.root)
        with server.client() as client:
            answer = client.get("/rasen/desk", params={"pipeline": "shop", "path": NOTEBOOK})
            assert answer.status_code == 503
            assert nobody in problem(answer)
            about = client.post("/rasen/about", json={"path": NOTEBOOK, "content": content(server)})
            assert (about.status_code, about.json()["step"]) == (200, "train")


def test_a_notebook_of_which_nothing_is_live_has_nothing_to_be_compared_with(
    home: ControlHome, tmp_path: Path
) -> None:
    from rasen.errors import NotFound
    from rasen_labextension.notebook_about import describe_notebook

    file = write_shop(tmp_path) / "train.ipynb"
    about = describe_notebook(file, file.read_bytes(), root=tmp_path)
    with pytest.raises(NotFound, match="no live version yet"):
        Platform(home.client()).compare(about, "train.ipynb", json.dumps({}).encode())
