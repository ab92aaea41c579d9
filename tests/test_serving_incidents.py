"""What has happened to other servers, tried on this one (facts/reliability.md, section 4): N1, N2, N4, N6 and N7.

N3, N5, N8 and N9 are held elsewhere: links by the store's contract, unpickling by the architecture, access and the
inventory of routes by `test_serving_access.py`.
"""

import socket
import threading
from collections.abc import Iterator

import httpx
import pandas as pd
import pytest

from rasen.settings import load_settings
from rasen.store import open_store
from stand.app import App
from stand.versions import publish_and_deploy

ROWS = {"rows": [{"text": "a"}]}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    publish_and_deploy(
        store,
        settings,
        number=1,
        model=lambda frame: frame["text"].str.len(),
        example=pd.DataFrame({"text": ["a", "bb"]}),
    )
    app = App(store, settings)
    app.bring_up()
    return app


@pytest.mark.parametrize(
    "name",
    [
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fkeys",
        "..\\..\\keys",
        "..%5c..%5ckeys",
        "%252e%252e%252fkeys",
        "file:%2f%2f%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "%2f%2fhost%2fshare",
        "demand%00",
        "demand%0d%0aX-Evil:%201",
        "con",
        "dem\u0430nd",  # a Cyrillic letter
        "DEMAND",
        "demand ",
        "a" * 5000,
    ],
)
@pytest.mark.parametrize(
    "path", ["/endpoints/{}", "/endpoints/{}/predict", "/v2/models/{}/infer", "/docs/{}"]
)
def test_no_name_is_a_path(app: App, path: str, name: str) -> None:
    method = "POST" if path.endswith(("predict", "infer")) else "GET"
    answer = app.call(method, path.format(name), json=ROWS if method == "POST" else None)
    assert answer.status_code in (400, 404, 405, 414), answer.text
    assert "root:" not in answer.text
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize(
    "kind",
    [
        "application/pickle",
        "application/x-pickle",
        "application/python-pickle",
        "application/vnd.bentoml+pickle",
        "application/x-python-serialize",
        "application/octet-stream",
        "application/msgpack",
        "application/yaml",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=" + "-" * 2000,
        "multipart/form-data",
        "text/plain",
    ],
)
@pytest.mark.parametrize(
    "path",
    ["/endpoints/demand/predict", "/v1/models/demand:predict", "/invocations", "/endpoints/demand/rewards"],
)
def test_no_content_type_makes_the_body_anything_but_json(app: App, path: str, kind: str) -> None:
    trap = b"cos\nsystem\n(S'touch /tmp/rasen-was-here'\ntR."
    answer = app.call("POST", path, content=trap, headers={"content-type": kind})
    assert answer.status_code == 415, answer.text


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Listen on loopback; give the address and what has come to it."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    came.append(str(server.accept()[1]))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/latest/meta-data", came
        stop.set()
        thread.join()


def test_no_value_is_fetched(app: App, listener: tuple[str, list[str]]) -> None:
    address, came = listener
    assert httpx.URL(address).port
    for document in (
        {"rows": [{"text": address}]},
        {"rows": [{"text": address, "url": address}]},
        {"url": address},
    ):
        app.predict("demand", document, headers={"X-Rasen-Routing-Key": address, "X-Forwarded-Host": address})
    answer = app.predict("demand", {"rows": [{"text": address}]})
    assert answer.json()["predictions"] == [len(address)]
    assert came == []
