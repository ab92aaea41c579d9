"""The routes of a worker: answers, errors in one shape, and a description that is that of the live model."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.messages import Situation
from stand.app import App
from stand.versions import DESCRIPTION, PublishedVersion, moody, publish_and_deploy

ROW = {"origin": "JFK", "hour": 7}
VERSIONS: dict[str, PublishedVersion] = {}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(
        home=tmp_path_factory.mktemp("home"), environment="dev", max_body_bytes=2000, max_rows=20
    )
    store = open_store(settings)
    VERSIONS["demand"] = publish_and_deploy(store, settings, number=2)
    VERSIONS["moody"] = publish_and_deploy(store, settings, number=1, pipeline="moody", model=moody())
    VERSIONS["wide"] = publish_and_deploy(
        store, settings, number=1, pipeline="wide", model=_two_columns, example=_wide_example()
    )
    app = App(store, settings)
    app.bring_up()
    return app


@pytest.fixture(autouse=True)
def _situation(app: App) -> Iterator[None]:
    yield
    app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))
    app.service.draining = False


def _two_columns(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["kind"]].assign(late=frame["delay"].fillna(0) > 15)


def _wide_example() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": pd.Categorical(["short", "long"]),
            "delay": [20.5, None],
            "day": pd.to_datetime(["2013-01-31", "2013-02-01"]),
            "at": pd.to_datetime(["2013-01-31T06:00:00Z", "2013-02-01T06:00:00Z"]),
            "first": [True, False],
        }
    )


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check the one shape of an error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    document = answer.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "fields"}
    assert error["message"]
    for field in error["fields"]:
        assert set(field) == {"path", "problem"}
    return error


def test_an_answer_names_its_model(app: App) -> None:
    answer = app.predict("demand", {"rows": [ROW, ROW | {"hour": 18}]})
    assert answer.status_code == 200
    run = VERSIONS["demand"].run
    request_id = answer.headers["x-request-id"]
    assert answer.json() == {
        "predictions": [14.0, 36.0],
        "source": "model",
        "model": run,
        "request_id": request_id,
    }
    assert answer.headers["x-rasen-model"] == run
    assert answer.headers["x-rasen-revision"] == "1"


def test_columns_are_answered_like_rows(app: App) -> None:
    answer = app.predict("demand", {"columns": {"hour": [7, 18], "origin": ["JFK", "EWR"]}})
    assert answer.json()["predictions"] == [14.0, 36.0]


def test_several_values_a_row_are_objects(app: App) -> None:
    rows = app.call("GET", "/endpoints/wide").json()["example"]["rows"]
    assert rows[1] == {
        "kind": "long",
        "delay": None,
        "day": "2013-02-01",
        "at": "2013-02-01T06:00:00Z",
        "first": False,
    }
    answer = app.predict("wide", {"rows": rows})
    assert answer.json()["predictions"] == [{"kind": "short", "late": True}, {"kind": "long", "late": False}]


@pytest.mark.parametrize("given", ["abc-1.2:3", "a" * 128])
def test_a_sane_request_id_passes_through(app: App, given: str) -> None:
    answer = app.predict("demand", {"rows": [ROW]}, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", 'quote"', "ü"])
def test_another_request_id_is_replaced(app: App, given: str) -> None:
    answer = app.predict("demand", {"rows": [ROW]}, headers={"X-Request-Id": given.encode()})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_bad_fields_are_a_422_with_their_paths(app: App) -> None:
    answer = app.predict("demand", {"rows": [ROW, {"origin": None, "hours": 7}]})
    error = error_of(answer, 422)
    assert error["code"] == "invalid_input"
    assert {tuple(field["path"]) for field in error["fields"]} == {
        ("rows", 1, "origin"),
        ("rows", 1, "hour"),
        ("rows", 1, "hours"),
    }
    assert "did you mean 'hour'?" in answer.text
    assert answer.headers["x-rasen-model"] == VERSIONS["demand"].run


def test_an_unknown_endpoint_is_a_404_that_lists_the_endpoints(app: App) -> None:
    for answer in (
        app.predict("demands", {"rows": [ROW]}),
        app.call("GET", "/endpoints/demands"),
        app.call("GET", "/endpoints/..%2f..%2fetc"),
    ):
        error = error_of(answer, 404)
        if "demands" in error["message"]:
            assert "'demand', 'moody', 'wide'" in error["message"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"rows":[{"hour":NaN}]}', b"\xff", b"[" * 1500])
def test_what_is_not_json_is_a_400(app: App, content: bytes) -> None:
    answer = app.call(
        "POST",
        "/endpoints/demand/predict",
        content=content,
        headers={"content-type": "application/json"},
    )
    assert error_of(answer, 400)["code"] == "malformed"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "application/x-pickle",
        "application/vnd.bentoml+pickle",
        "application/msgpack",
        "application/yaml",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
    ],
)
def test_another_content_type_is_a_415(app: App, kind: str) -> None:
    content = json.dumps({"rows": [ROW]}).encode()
    answer = app.call("POST", "/endpoints/demand/predict", content=content, headers={"content-type": kind})
    assert "Content-Type: application/json" in error_of(answer, 415)["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_in_utf8_is_read(app: App, kind: str) -> None:
    content = json.dumps({"rows": [ROW]}).encode()
    answer = app.call("POST", "/endpoints/demand/predict", content=content, headers={"content-type": kind})
    assert answer.status_code == 200


async def _chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 500


def test_a_body_that_is_too_large_is_a_413(app: App) -> None:
    announced = app.call(
        "POST",
        "/endpoints/demand/predict",
        content=b" " * 2001,
        headers={"content-type": "application/json"},
    )
    assert "2001 bytes; at most 2000" in error_of(announced, 413)["message"]
    chunked = app.call(
        "POST",
        "/endpoints/demand/predict",
        content=_chunks(5),
        headers={"content-type": "application/json"},
    )
    assert error_of(chunked, 413)["code"] == "body_too_large"


def test_the_bytes_count_and_not_what_was_announced(app: App) -> None:
    answer = app.call(
        "POST",
        "/endpoints/demand/predict",
        content=_chunks(5),
        headers={"content-type": "application/json", "content-length": "10"},
    )
    assert error_of(answer, 413)["code"] == "body_too_large"


def test_too_many_rows_are_a_413(app: App) -> None:
    answer = app.predict("demand", {"columns": {"origin": ["JFK"] * 21, "hour": [7] * 21}})
    assert "21 rows; at most 20" in error_of(answer, 413)["message"]


@pytest.mark.parametrize(
    "hour", [101, 102, 103, 106, 107, 108], ids=["raises", "nan", "length", "exit", "interrupt", "text"]
)
def test_a_failing_model_without_a_profile_is_a_503_that_tells_nothing_of_it(
    app: App, hour: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = app.predict("moody", {"rows": [ROW | {"hour": hour}]}, headers={"X-Request-Id": "id-1"})
    error = error_of(answer, 503)
    assert error["code"] == "model_failed"
    assert "'id-1'" in error["message"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "id-1" in caplog.text
    assert app.predict("moody", {"rows": [ROW]}).json()["predictions"] == [1.0]


def test_failures_are_counted_by_model(app: App) -> None:
    before = _count(app, "moody", 503)
    app.predict("moody", {"rows": [ROW | {"hour": 101}]})
    assert _count(app, "moody", 503) == before + 1


def _count(app: App, endpoint: str, status: int) -> int:
    series = app.service.counts.series()
    return sum(one.requests for one in series if (one.endpoint, one.status) == (endpoint, status))


def test_unknown_endpoints_are_counted_under_one_name(app: App) -> None:
    for name in ("one", "two"):
        app.predict(name, {"rows": [ROW]})
    assert {one.endpoint for one in app.service.counts.series() if one.status == 404} == {""}


def test_a_known_endpoint_with_nothing_live_is_a_503_with_the_reason(app: App) -> None:
    app.service.accept_situation(
        Situation(ready=True, reason="", waiting={"young": "revision 1 is being loaded"}, log_open=True)
    )
    error = error_of(app.predict("young", {"rows": [ROW]}), 503)
    assert "revision 1 is being loaded" in error["message"]
    listed = app.call("GET", "/endpoints").json()["endpoints"]
    assert [one["endpoint"] for one in listed if not one["live"]] == ["young"]


def test_health(app: App) -> None:
    assert app.call("GET", "/livez").json() == {"ready": True, "reason": ""}
    assert app.call("GET", "/readyz").json() == {"ready": True, "reason": ""}
    app.service.accept_situation(
        Situation(ready=False, reason="no worker is serving yet", waiting={}, log_open=True)
    )
    answer = app.call("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reason": "no worker is serving yet"}
    assert app.call("GET", "/livez").status_code == 200


def test_while_draining_the_caller_is_told_to_reconnect(app: App) -> None:
    app.service.draining = True
    answer = app.predict("demand", {"rows": [ROW]})
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert app.call("GET", "/readyz").json() == {"ready": False, "reason": "draining"}


def test_an_endpoint_tells_what_a_client_needs(app: App) -> None:
    detail = app.call("GET", "/endpoints/demand").json()
    assert detail["model"] == VERSIONS["demand"].run
    assert detail["revision"] == 1
    assert detail["description"] == DESCRIPTION
    assert detail["metrics"] == {"rmse": 3.1, "profile_rmse": 4.0}
    assert [column["name"] for column in detail["schema"]["inputs"]] == ["origin", "hour"]
    answer = app.predict("demand", detail["example"])
    assert answer.json()["predictions"] == detail["example_predictions"]


def test_errors_of_other_routes_have_the_same_shape(app: App) -> None:
    assert "/docs" in error_of(app.call("GET", "/nothing"), 404)["message"]
    refused = app.call("GET", "/endpoints/demand/predict")
    assert "takes POST" in error_of(refused, 405)["message"]
    assert refused.headers["allow"] == "POST"
    assert error_of(app.call("GET", "/docs/..%2f..%2fapp.py"), 404)


def test_each_endpoint_is_described_with_its_own_types(app: App) -> None:
    document = app.call("GET", "/openapi.json").json()
    operation = document["paths"]["/endpoints/wide/predict"]["post"]
    assert DESCRIPTION in operation["description"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == {"rows", "columns"}
    for example in examples.values():
        assert app.predict("wide", example["value"]).status_code == 200
    row = document["components"]["schemas"]["wide.row"]
    assert row["properties"]["delay"] == {"type": ["number", "null"], "format": "double"}
    assert row["properties"]["day"] == {"type": "string", "format": "date"}
    assert row["properties"]["kind"]["description"] == "seen in training: long, short"
    assert row["required"] == ["kind", "day", "at", "first"]
    prediction = document["components"]["schemas"]["wide.response"]["properties"]["predictions"]["items"]
    assert set(prediction["properties"]) == {"kind", "late"}
    assert "/endpoints/{endpoint}/predict" not in document["paths"]
    assert "/endpoints/demand/predict" in document["paths"]


def test_the_description_is_valid_for_what_it_describes(app: App) -> None:
    import jsonschema

    document = app.call("GET", "/openapi.json").json()
    schema = {"$ref": "#/components/schemas/wide.request", "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    rows = app.call("GET", "/endpoints/wide").json()["example"]["rows"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert validator.is_valid({"rows": rows})
    assert validator.is_valid({"columns": columns})
    assert not validator.is_valid({"rows": rows, "columns": columns})
    assert not validator.is_valid({"rows": [rows[0] | {"first": 1}]})
    answered = {"$ref": "#/components/schemas/wide.response", "components": document["components"]}
    jsonschema.validate(app.predict("wide", {"rows": rows}).json(), answered)
    error = {"$ref": "#/components/schemas/Error", "components": document["components"]}
    jsonschema.validate(app.predict("wide", {}).json(), error)


def test_the_front_door_leads_to_the_console(app: App) -> None:
    answer = app.call("GET", "/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/console")


def test_the_docs_page_asks_nobody_else_for_anything(app: App) -> None:
    page = app.call("GET", "/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for asset, kind in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
        assert f"docs/{asset}" in page.text
        loaded = app.call("GET", f"/docs/{asset}")
        assert loaded.status_code == 200
        assert loaded.headers["content-type"].startswith(kind)
        assert len(loaded.content) > 10_000


def test_the_models_files_are_not_served(app: App, tmp_path: Path) -> None:
    for path in (
        "/model.cloudpickle",
        "/endpoints/demand/model",
        "/docs/resources/swagger-ui.css",
        "/metrics",
    ):
        assert app.call("GET", path).status_code == 404
