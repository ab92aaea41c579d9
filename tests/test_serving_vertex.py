"""Vertex AI's contract for containers: its variables, its routes, its form; and what all protocols share.

That is what /docs says of them, and that a key opens of them what it opens of our own routes.
"""

from typing import Any

import pytest

from rasen.errors import InvalidInput
from rasen.settings import load_settings, platform_environment
from rasen.store import open_store
from rasen_serving.messages import Situation
from stand.app import App
from stand.protocol_models import deploy_protocol_models, only_caller

PREDICT = "/v1/endpoints/123/deployedModels/456:predict"
HEALTH = "/v1/endpoints/123/deployedModels/456"
KEY = "rasen_test.secret"
ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 18}]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"),
        environment="dev",
        vertex_health_route=HEALTH,
        vertex_predict_route=PREDICT,
    )
    store = open_store(home)
    deploy_protocol_models(store, home, "demand")
    app = App(store, home)
    app.bring_up()
    return app


def test_predictions(app: App) -> None:
    for document in ({"instances": ROWS}, {"instances": [["JFK", 7], ["EWR", 18]], "parameters": {}}):
        answer = app.call("POST", PREDICT, json=document)
        assert answer.json() == {"predictions": [14.0, 36.0]}
    refused = app.call("POST", PREDICT, json={"instances": ROWS, "parameters": {"a": 1}})
    assert refused.status_code == 422
    assert "parameters: this model takes none" in refused.json()["error"]


def test_health(app: App) -> None:
    assert app.call("GET", HEALTH).status_code == 200
    app.service.accept_situation(Situation(ready=False, reason="x", waiting={}, log_open=True))
    assert app.call("GET", HEALTH).status_code == 503
    app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


def test_without_its_variables_there_are_no_such_routes(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = load_settings(home=tmp_path_factory.mktemp("home"))
    assert (settings.vertex_health_route, settings.vertex_predict_route) == ("", "")
    assert App(open_store(settings), settings).call("POST", PREDICT, json={}).status_code == 404


def test_its_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_HTTP_PORT", "7080")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", HEALTH)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", PREDICT)
    settings = load_settings()
    assert settings.serving_port == 7080
    assert (settings.vertex_health_route, settings.vertex_predict_route) == (HEALTH, PREDICT)
    assert platform_environment(settings)["RASEN_SERVING_PORT"] == "7080"
    assert load_settings(serving_port=9000).serving_port == 9000
    monkeypatch.setenv("RASEN_SERVING_PORT", "8000")
    assert load_settings().serving_port == 8000  # ours is asked first


@pytest.mark.parametrize("route", ["predict", "/endpoints/demand/predict", "/{x}", "/a b", "/é"])
def test_a_route_must_be_a_path(route: str) -> None:
    with pytest.raises(InvalidInput, match="must be a path like"):
        load_settings(vertex_predict_route=route)


def test_the_default_endpoint_must_be_a_name() -> None:
    with pytest.raises(InvalidInput, match="RASEN_DEFAULT_ENDPOINT"):
        load_settings(default_endpoint="No Name")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> App:
    """Return an app that asks for a key; `KEY` opens the endpoint `matrix`."""
    home = load_settings(
        home=tmp_path_factory.mktemp("home"),
        environment="dev",
        access="keys",
        vertex_health_route=HEALTH,
        vertex_predict_route=PREDICT,
    )
    store = open_store(home)
    deploy_protocol_models(store, home, "demand", "matrix")
    app = App(store, home)
    app.bring_up()
    app.service.access.accept(only_caller(KEY, "matrix"))
    return app


MATRIX = [{"a": 1.0, "b": 2.0, "c": 3.0}]
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP64", "data": [1.0, 2.0, 3.0]}
PREDICTIONS: list[tuple[str, dict[str, Any]]] = [
    ("/v2/models/{}/infer", {"inputs": [TENSOR]}),
    ("/v2/models/{}/versions/1/infer", {"inputs": [TENSOR]}),
    ("/v2/models/{}/versions/7/infer", {"inputs": [TENSOR]}),
    ("/v1/models/{}:predict", {"instances": MATRIX}),
    ("/endpoints/{}/invocations", {"inputs": MATRIX}),
]
QUESTIONS = ["/v2/models/{}", "/v2/models/{}/ready", "/v2/models/{}/versions/1", "/v1/models/{}"]


@pytest.mark.parametrize(("path", "document"), PREDICTIONS)
def test_a_key_opens_its_own_endpoint_in_every_protocol(
    guarded: App, path: str, document: dict[str, Any]
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    mine = guarded.call("POST", path.format("matrix"), json=document, headers=headers)
    assert mine.status_code == (404 if "/7/" in path else 200), mine.text
    refused = guarded.call("POST", path.format("demand"), json=document, headers=headers)
    assert refused.status_code == 403
    assert "revision" not in refused.text  # nothing is said of an endpoint that is not his
    unknown = guarded.call("POST", path.format("matrix"), json=document)
    assert unknown.status_code == 401
    shape = {"error_code", "message"} if path.endswith("invocations") else {"error"}
    assert set(refused.json()) == set(unknown.json()) == shape


def test_a_key_sees_its_own_endpoint_only(guarded: App) -> None:
    headers = {"x-api-key": KEY}
    for path in QUESTIONS:
        assert guarded.call("GET", path.format("matrix"), headers=headers).status_code == 200
        assert guarded.call("GET", path.format("demand"), headers=headers).status_code == 403
        assert guarded.call("GET", path.format("matrix")).status_code == 401
    for path in ("/v1/models", "/v2/models"):
        assert guarded.call("GET", path, headers=headers).json() == {"models": ["matrix"]}
    for path in ("/invocations", PREDICT):
        refused = guarded.call("POST", path, json={}, headers=headers)
        assert refused.status_code == 404
        assert "one of 'matrix', or" in refused.text
    shown = guarded.call("GET", "/openapi.json", headers=headers).json()
    example = shown["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert set(example["instances"][0]) == {"a", "b", "c"}


def test_health_asks_for_no_key(guarded: App) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/health", HEALTH):
        assert guarded.call("GET", path).status_code == 200


CALLS = {
    "/v2/models/{endpoint}/infer": "/v2/models/demand/infer",
    "/v2/models/{endpoint}/versions/{version}/infer": "/v2/models/demand/versions/1/infer",
    "/v1/models/{endpoint}:predict": "/v1/models/demand:predict",
    "/endpoints/{endpoint}/invocations": "/endpoints/demand/invocations",
    "/invocations": "/invocations",
    PREDICT: PREDICT,
}


@pytest.mark.parametrize("path", CALLS)
def test_the_examples_of_the_docs_are_answered_as_they_say(app: App, path: str) -> None:
    import jsonschema

    document = app.call("GET", "/openapi.json").json()
    operation = document["paths"][path]["post"]
    assert operation["tags"]
    assert operation["description"]
    asked = operation["requestBody"]["content"]["application/json"]
    answered: dict[str, Any] = operation["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(asked["example"], asked["schema"])
    answer = app.call("POST", CALLS[path], json=asked["example"])
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), answered["schema"])
    assert answer.json() | answered["example"] == answer.json()
    refused = app.call("POST", CALLS[path], json={"nonsense": 1})
    jsonschema.validate(
        refused.json(),
        operation["responses"][str(refused.status_code)]["content"]["application/json"]["schema"],
    )


def test_the_docs_have_the_other_routes_and_each_operation_a_name_of_its_own(app: App) -> None:
    paths = app.call("GET", "/openapi.json").json()["paths"]
    for path in ("/v2", "/v2/health/ready", "/v2/models/{endpoint}/ready", "/v1/models", "/ping", HEALTH):
        assert paths[path]["get"]["summary"]
    names = [one["operationId"] for methods in paths.values() for one in methods.values()]
    assert len(names) == len(set(names))
