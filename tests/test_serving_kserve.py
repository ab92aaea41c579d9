"""KServe's first protocol: instances as objects, lists or bare values."""

import json
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.messages import Situation
from stand.app import App
from stand.protocol_models import deploy_protocol_models
from stand.versions import publish_and_deploy

ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 18}]
LISTS = [["JFK", 7], ["EWR", 18]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"), environment="dev", max_body_bytes=100_000, max_rows=3000
    )
    store = open_store(home)
    deploy_protocol_models(store, home, "demand", "moody")
    publish_and_deploy(
        store,
        home,
        number=1,
        pipeline="single",
        model=lambda frame: frame["x"] * 2,
        example=pd.DataFrame({"x": [1.5]}),
    )
    app = App(store, home)
    app.bring_up()
    return app


def predict(app: App, document: object, endpoint: str = "demand") -> httpx.Response:
    return app.call("POST", f"/v1/models/{endpoint}:predict", json=document)


def error_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"error"}
    error: str = document["error"]
    return error


@pytest.mark.parametrize("instances", [ROWS, LISTS], ids=["objects", "lists"])
@pytest.mark.parametrize("indent", [None, 1])
def test_instances_are_objects_or_lists(app: App, instances: list[Any], indent: int | None) -> None:
    body = json.dumps({"instances": instances}, indent=indent).encode()
    headers = {"content-type": "application/json"}
    answer = app.call("POST", "/v1/models/demand:predict", content=body, headers=headers)
    assert answer.json() == {"predictions": [14.0, 36.0]}
    assert answer.headers["x-rasen-model"]


def test_one_input_takes_bare_values(app: App) -> None:
    for instances in ([1.5, 2], [[1.5], [2]], [{"x": 1.5}, {"x": 2}]):
        assert predict(app, {"instances": instances}, "single").json() == {"predictions": [3.0, 4.0]}


@pytest.mark.parametrize("rows", [2000, 2990], ids=["objects", "lists"])
def test_a_large_request_is_read_in_the_thread(app: App, rows: int) -> None:
    instances = ROWS[:1] * rows if rows == 2000 else LISTS[:1] * rows
    assert predict(app, {"instances": instances}).json() == {"predictions": [14.0] * rows}


def test_models(app: App) -> None:
    assert app.call("GET", "/v1/models").json() == {"models": ["demand", "moody", "single"]}
    assert app.call("GET", "/v1/models/demand").json() == {"name": "demand", "ready": True}
    assert "there is no endpoint 'nobody'" in error_of(app.call("GET", "/v1/models/nobody"), 404)
    assert "there is no endpoint 'nobody'" in error_of(predict(app, {"instances": ROWS}, "nobody"), 404)
    app.service.accept_situation(
        Situation(ready=True, reason="", waiting={"young": "it is being loaded"}, log_open=True)
    )
    assert "it is being loaded" in error_of(app.call("GET", "/v1/models/young"), 503)
    app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "body: must be an object"),
        ({}, "instances: missing"),
        ({"instances": []}, "instances: must hold at least one row"),
        ({"instances": None}, "instances: must be a list of objects"),
        ({"instances": ROWS, "signature": "x"}, "signature: unknown key"),
        ({"instances": ROWS, "parameters": {"x": 1}}, "parameters: this model takes none"),
        ({"instances": [ROWS[0], {"origin": "JFK"}]}, "instances[1].hour: missing"),
        ({"instances": [ROWS[0] | {"hours": 1}]}, "unknown field; did you mean 'hour'?"),
        ({"instances": [ROWS[0], LISTS[0]]}, "instances[1]: must be an object"),
        (
            {"instances": [LISTS[0], ROWS[0]]},
            "instances[1]: is {'origin': 'JFK', 'hour': 7}; a row is a list of 2",
        ),
        (
            {"instances": [["JFK"]]},
            "instances[0]: has 1 values; a row is a list of 2 values: 'origin', 'hour'",
        ),
        ({"instances": [7]}, "instances[0]: is 7; a row is a list of 2 values"),
        ({"instances": [["JFK", 7], ["EWR", "x"]]}, "instances[1][1]: 'x' is not a whole number"),
        ({"instances": [["JFK", None]]}, "instances[0][1]: null is not accepted"),
    ],
)
def test_what_does_not_fit_is_named(app: App, document: object, told: str) -> None:
    assert told in error_of(predict(app, document), 422)


def test_many_faults_are_counted(app: App) -> None:
    assert "; and 30 more" in error_of(predict(app, {"instances": [{}] * 20}), 422)


def test_strict_json(app: App) -> None:
    for content in (b"", b"{", b'{"instances":[{"origin":"JFK","hour":7,"hour":8}]}', b'{"instances":[NaN]}'):
        answer = app.call(
            "POST",
            "/v1/models/demand:predict",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert error_of(answer, 400)
    answer = app.call("POST", "/v1/models/demand:predict", content=b"{}")
    assert "Content-Type: application/json" in error_of(answer, 415)


def test_too_many_rows(app: App) -> None:
    assert "3001 rows; at most 3000" in error_of(predict(app, {"instances": [["", 7]] * 3001}), 413)
    assert "3001 rows; at most 3000" in error_of(predict(app, {"instances": [7] * 3001}, "single"), 413)


def test_a_failing_model(app: App) -> None:
    assert "secret" not in error_of(predict(app, {"instances": [["JFK", 101]]}, "moody"), 503)


_VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
_ROW = st.one_of(
    _VALUE,
    st.lists(_VALUE, max_size=3),
    st.fixed_dictionaries({}, optional={"origin": _VALUE, "hour": _VALUE, "x": _VALUE}),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.one_of(
        _VALUE,
        st.fixed_dictionaries(
            {"instances": st.one_of(_ROW, st.lists(_ROW, max_size=4))}, optional={"parameters": _VALUE}
        ),
    ),
    endpoint=st.sampled_from(["demand", "single"]),
)
def test_no_request_is_answered_with_a_5xx(app: App, document: object, endpoint: str) -> None:
    answer = app.call(
        "POST",
        f"/v1/models/{endpoint}:predict",
        content=json.dumps(document).encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert error_of(answer, answer.status_code)
