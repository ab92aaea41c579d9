"""MLflow's scoring protocol: four JSON forms and CSV, and which endpoint answers where none is named."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.messages import Situation
from stand.app import App
from stand.protocol_models import deploy_protocol_models

SPLIT = {"index": [0, 1], "columns": ["hour", "origin"], "data": [[7, "JFK"], [18, "EWR"]]}
ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 18}]
LISTS = [["JFK", 7], ["EWR", 18]]
COLUMNS = {"origin": ["JFK", "EWR"], "hour": [7, 18]}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"),
        environment="dev",
        max_body_bytes=100_000,
        max_rows=3000,
        default_endpoint="demand",
    )
    store = open_store(home)
    deploy_protocol_models(store, home, "demand", "wide")
    app = App(store, home)
    app.bring_up()
    return app


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> App:
    """Return an app of one endpoint that declares no default."""
    home = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(home)
    deploy_protocol_models(store, home, "demand")
    app = App(store, home)
    app.bring_up()
    return app


@pytest.fixture(autouse=True)
def _situation(app: App, undecided: App) -> Iterator[None]:
    yield
    for one in (app, undecided):
        one.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


def invoke(app: App, document: object, path: str = "/invocations") -> httpx.Response:
    return app.call("POST", path, json=document)


def send_csv(
    app: App, text: str | bytes, kind: str = "text/csv", path: str = "/invocations"
) -> httpx.Response:
    return app.call("POST", path, content=text, headers={"content-type": kind})


def error_of(answer: httpx.Response, status: int, code: str = "BAD_REQUEST") -> str:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"error_code", "message"}
    assert document["error_code"] == code
    message: str = document["message"]
    return message


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": SPLIT, "params": {}},
        {"dataframe_records": ROWS},
        {"dataframe_records": ROWS, "params": None},
        {"instances": ROWS},
        {"instances": LISTS},
        {"inputs": COLUMNS},
        {"inputs": ROWS},
        {"inputs": LISTS},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("path", ["/invocations", "/endpoints/demand/invocations"])
def test_each_form(app: App, document: object, path: str) -> None:
    assert invoke(app, document, path).json() == {"predictions": [14.0, 36.0]}


def test_a_large_request_is_read_in_the_thread(app: App) -> None:
    split = SPLIT | {"data": [[7, "JFK"]] * 2900, "index": list(range(2900))}
    assert invoke(app, {"dataframe_split": split}).json() == {"predictions": [14.0] * 2900}
    lines = "origin,hour\n" + "JFK,7\n" * 2900
    assert send_csv(app, lines + " " * 33_000).status_code == 422
    assert send_csv(app, "origin,hour\n" + f"{'x' * 20},7\n" * 2900).json() == {"predictions": [14.0] * 2900}


@pytest.mark.parametrize(
    "text",
    [
        "origin,hour\nJFK,7\nEWR,18\n",
        'hour,origin\r\n7,"JFK"\r\n+18,EWR',
        "\ufefforigin,hour\nJFK,7\n\nEWR,18\n",
    ],
)
@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", "Text/CSV;header=present"])
def test_csv(app: App, text: str, kind: str) -> None:
    assert send_csv(app, text.encode(), kind).json() == {"predictions": [14.0, 36.0]}


def test_csv_of_every_type(app: App) -> None:
    path = "/endpoints/wide/invocations"
    text = (
        "kind,delay,seats,day,at,first\n"
        "short,20.5,180,2013-01-31,2013-01-31T06:00:00Z,True\n"
        '"long, longer",,70,2013-02-01,2013-02-01T06:00:00Z,false\n'
    )
    answer = send_csv(app, text, path=path)
    assert answer.status_code == 200, answer.text
    assert [row["late"] for row in answer.json()["predictions"]] == [True, False]
    bad = "kind,delay,seats,day,at,first\n,x,7.5,31.1.2013,,yes\n"
    error = error_of(send_csv(app, bad, path=path), 422)
    for told in (
        "csv.delay[0]: 'x' is not a finite number",
        "csv.seats[0]: '7.5' is not a whole number",
        "csv.day[0]: '31.1.2013' is not a date",
        "csv.at[0]: null is not accepted",
        "csv.first[0]: 'yes' is not true or false",
    ):
        assert told in error
    assert "csv.kind" not in error  # a text may be empty


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        (b"", 400, "the body is empty"),
        (b"\xff", 400, "not UTF-8"),
        (b'origin,hour\n"JFK,7', 400, "not CSV"),
        (b'origin,hour\n"JFK"x,7', 400, "not CSV"),
        (b"origin,hour", 422, "must hold at least one row"),
        (b"origin\nJFK", 422, "csv.hour: missing"),
        (b"origin,hours\nJFK,7", 422, "did you mean 'hour'?"),
        (b"origin,hour\nJFK", 422, "csv[0]: has 1 fields; the header has 2"),
        (b"origin,hour,hour\nJFK,7,7", 422, "the column 'hour' is there twice"),
        (b"JFK,7\nEWR,18", 422, "unknown field"),
        (b"origin,hour\nJFK,1e3", 422, "'1e3' is not a whole number"),
        (b"origin,hour\n" + b"x" * 20_000 + b",7", 200, ""),
    ],
)
def test_csv_that_does_not_fit(app: App, text: bytes, status: int, told: str) -> None:
    answer = send_csv(app, text)
    if status == 200:
        assert answer.status_code == 200
    else:
        assert told in error_of(answer, status)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (ROWS, "must be an object with one of 'dataframe_split'"),
        ({}, "it has none of them"),
        ({"instances": ROWS, "inputs": ROWS}, "it has instances, inputs"),
        ({"inputs": ROWS, "params": {"a": 1}}, "params: this model takes none"),
        ({"inputs": ROWS, "input": 1}, "input: unknown key"),
        ({"inputs": None}, "inputs: must be a list"),
        ({"inputs": {"origin": ["JFK"], "hour": [7, 8]}}, "inputs.origin: has 1 values, the longest has 2"),
        ({"dataframe_records": LISTS}, "dataframe_records[0]: must be an object"),
        ({"dataframe_split": LISTS}, "dataframe_split: must be an object"),
        ({"dataframe_split": SPLIT | {"columns": ["hour", 1]}}, "dataframe_split.columns: must be a list of"),
        ({"dataframe_split": SPLIT | {"columns": ["hour", "hour"]}}, "'hour' is there twice"),
        ({"dataframe_split": SPLIT | {"columns": ["hour", "origins"]}}, "did you mean 'origin'?"),
        ({"dataframe_split": SPLIT | {"data": None}}, "dataframe_split.data: must be a list of rows"),
        ({"dataframe_split": SPLIT | {"data": []}}, "must hold at least one row"),
        ({"dataframe_split": SPLIT | {"data": [[7]]}}, "dataframe_split.data[0]: has 1 values"),
        ({"dataframe_split": SPLIT | {"data": [[7, "JFK"], ["x", 1]]}}, "data[1][0]: 'x' is not a whole"),
        ({"dataframe_split": SPLIT | {"dtypes": []}}, "dataframe_split.dtypes: unknown key"),
    ],
)
def test_what_does_not_fit_is_named(app: App, document: object, told: str) -> None:
    assert told in error_of(invoke(app, document), 422)


def test_strict_json_and_content_types(app: App) -> None:
    for content in (b"", b"{", b'{"inputs":[],"inputs":[]}', b'{"inputs":[[NaN]]}'):
        answer = app.call(
            "POST", "/invocations", content=content, headers={"content-type": "application/json"}
        )
        assert error_of(answer, 400)
    for kind in ("", "application/vnd.apache.parquet", "text/csv; charset=latin-1"):
        assert error_of(send_csv(app, "origin,hour\nJFK,7", kind), 415)
    packed = app.call("GET", "/invocations")
    assert "takes POST" in error_of(packed, 405)


def test_too_many_rows(app: App) -> None:
    assert "3001 rows" in error_of(invoke(app, {"inputs": {"origin": ["a"] * 3001, "hour": [1] * 3001}}), 413)
    assert "3001 rows" in error_of(send_csv(app, "origin,hour\n" + "JFK,7\n" * 3001), 413)


def test_health(app: App) -> None:
    for path in ("/ping", "/health"):
        assert (app.call("GET", path).status_code, app.call("GET", path).text) == (200, "\n")
    assert app.call("GET", "/version").text[0].isdigit()
    app.service.accept_situation(Situation(ready=False, reason="x", waiting={}, log_open=True))
    assert app.call("GET", "/ping").status_code == 503


def test_the_only_endpoint_answers_where_none_is_named(undecided: App) -> None:
    assert invoke(undecided, {"inputs": ROWS}).json() == {"predictions": [14.0, 36.0]}
    undecided.service.accept_situation(
        Situation(ready=True, reason="", waiting={"young": "it is being loaded"}, log_open=True)
    )
    error = error_of(invoke(undecided, {"inputs": ROWS}), 404, "RESOURCE_DOES_NOT_EXIST")
    assert "set RASEN_DEFAULT_ENDPOINT to one of 'demand', 'young'" in error
    undecided.service.versions.live, live = {}, undecided.service.versions.live
    error = error_of(invoke(undecided, {"inputs": ROWS}), 503, "TEMPORARILY_UNAVAILABLE")
    assert "it is being loaded" in error
    undecided.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))
    error_of(invoke(undecided, {"inputs": ROWS}), 404, "RESOURCE_DOES_NOT_EXIST")
    undecided.service.versions.live = live


_VALUE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))
_LIST = st.lists(_VALUE, max_size=3)
_RECORD = st.fixed_dictionaries(
    {}, optional={"origin": _VALUE, "hour": _VALUE, "columns": _LIST, "data": st.lists(_LIST, max_size=3)}
)
_FORM = st.one_of(_VALUE, _RECORD, st.lists(st.one_of(_VALUE, _LIST, _RECORD), max_size=3))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.one_of(
        _FORM,
        st.dictionaries(
            st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "params"]),
            _FORM,
            max_size=2,
        ),
    )
)
def test_no_json_is_answered_with_a_5xx(app: App, document: Any) -> None:
    content = json.dumps(document).encode()
    answer = app.call("POST", "/invocations", content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert error_of(answer, answer.status_code)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=40),
        st.text(alphabet='origin,hu7"\n\r;é\0 -.', max_size=60).map(str.encode),
        st.lists(st.text(alphabet='JFK7-."\n,', max_size=6), max_size=5).map(
            lambda fields: ("origin,hour\n" + ",".join(fields)).encode()
        ),
    )
)
def test_no_csv_is_answered_with_a_5xx(app: App, body: bytes) -> None:
    answer = send_csv(app, body)
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert error_of(answer, answer.status_code)
