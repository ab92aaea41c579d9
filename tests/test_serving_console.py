"""Pages for people, as files and headers; and the OpenAPI document, read as a generator of clients would read it.

What the pages do in a browser is tested in `tests/browser/`.
"""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pandas as pd
import pytest

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.console import FILES
from rasen_serving.docs import OWN
from rasen_serving.messages import Situation
from rasen_serving.openapi import build_openapi
from stand.app import App
from stand.repository import PACKAGES
from stand.versions import publish_and_deploy

STATIC = PACKAGES["rasen_serving"] / "static"
HOSTILE = "<script>alert(1)</script> | `x`"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    publish_and_deploy(store, settings, number=2, description=HOSTILE)
    publish_and_deploy(store, settings, number=1, pipeline="quoted", model=_first_length, example=_quoted())
    app = App(store, settings)
    app.bring_up()
    return app


@pytest.fixture
def wanted(app: App) -> Iterator[list[str]]:
    """Put an endpoint to sleep, and note what is woken."""
    wanted: list[str] = []
    app.service.want = wanted.append
    app.service.accept_situation(
        Situation(
            ready=True,
            reason="",
            waiting={"broken": "refused: no"},
            log_open=True,
            asleep=frozenset({"dozing"}),
        )
    )
    yield wanted
    app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


def _first_length(frame: pd.DataFrame) -> "pd.Series[int]":
    return frame.iloc[:, 0].str.len().astype("int64")


def _quoted() -> pd.DataFrame:
    return pd.DataFrame({"it's": ["o'clock", "<script>"], '"$HOME\\': [1, 2]})


def test_each_static_file_belongs_to_a_page() -> None:
    assert {path.name for path in STATIC.iterdir()} == {"console.html", "docs.html", *FILES, *OWN}


@pytest.mark.parametrize("path", ["/console", "/docs"])
def test_a_page_loads_and_runs_only_what_this_service_gives(app: App, path: str) -> None:
    page = app.call("GET", path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "://" not in page.text
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert loaded
    for target in loaded:
        assert app.call("GET", f"/{target}").status_code in (200, 307), target


def test_the_console_may_not_even_style_inline_nor_make_html(app: App) -> None:
    policy = app.call("GET", "/console").headers["content-security-policy"]
    assert "style-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_consoles_files_come_with_their_type(app: App, name: str) -> None:
    answer = app.call("GET", f"/console/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == FILES[name]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == (STATIC / name).read_bytes()


def test_scripts_import_what_is_served_and_keep_nothing() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(FILES), path
        assert re.findall(r"innerHTML|outerHTML|insertAdjacent|eval\(|https?://", text) == [], path
        assert re.findall(r"localStorage|sessionStorage|indexedDB|cookie", text) == [], path


def test_there_is_no_other_file(app: App) -> None:
    for path in (
        "/console/pages.py",
        "/console/console.html",
        "/console/..%2f..%2fapp.py",
        "/docs/docs.html",
    ):
        assert app.call("GET", path).status_code == 404, path


def test_the_list_tells_live_from_asleep_from_broken(app: App, wanted: list[str]) -> None:
    found = {one["endpoint"]: one for one in app.call("GET", "/endpoints").json()["endpoints"]}
    assert {name: one["state"] for name, one in found.items()} == {
        "broken": "waiting",
        "demand": "live",
        "dozing": "asleep",
        "quoted": "live",
    }
    assert found["broken"]["waiting"] == "refused: no"
    assert wanted == []


def test_asking_about_a_sleeping_endpoint_wakes_it(app: App, wanted: list[str]) -> None:
    answer = app.call("GET", "/endpoints/dozing")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "loading"
    assert answer.headers["retry-after"] == "1"
    assert wanted == ["dozing"]


def test_the_document_names_sleeping_endpoints_and_wakes_none(app: App, wanted: list[str]) -> None:
    document = app.call("GET", "/openapi.json").json()
    assert "asked for: `dozing`" in document["info"]["description"]
    assert "`broken`" in document["info"]["description"]
    assert "/endpoints/dozing/predict" not in document["paths"]
    assert wanted == []


def references(part: Any) -> Iterator[str]:
    """Yield every `$ref`."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


@pytest.fixture(params=[True, False], ids=["open", "closed"])
def document(request: pytest.FixtureRequest, app: App) -> Any:
    """Return what an open service says, and what one with keys says to somebody who may ask everything."""
    return build_openapi(app.asgi, app.service.versions, may_ask=lambda endpoint: True, is_open=request.param)


def test_the_document_is_whole(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    known = {f"#/components/schemas/{name}" for name in schemas}
    assert set(references(document)) <= known
    operations = [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for path, operation in operations:
        assert set(operation["tags"]) <= tags, path
        given = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert given == set(re.findall(r"\{(\w+)\}", path)), path


def test_examples_fit_their_schemas(document: Any) -> None:
    checked = 0
    for item in document["paths"].values():
        for operation in item.values():
            for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in holder.get("content", {}).values():
                    schema = content.get("schema", {}) | {"components": document["components"]}
                    values = [one["value"] for one in content.get("examples", {}).values()]
                    for value in [*values, *([content["example"]] if "example" in content else [])]:
                        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
                        checked += 1
    assert checked > 10


def test_a_description_tells_example_and_curl_line(app: App) -> None:
    document = app.call("GET", "/openapi.json").json()
    described = document["paths"]["/endpoints/demand/predict"]["post"]["description"]
    assert described.startswith("&lt;script>alert(1)&lt;/script>")
    assert "<script>" not in document["tags"][0]["description"]
    assert 'curl -sS "$RASEN_URL/endpoints/demand/predict"' in described
    assert "RASEN_API_KEY" not in described
    quoted = document["paths"]["/endpoints/quoted/predict"]["post"]["description"]
    assert """{"it'"'"'s":"o'"'"'clock","\\"$HOME\\\\":1}""" in quoted


def test_a_column_may_be_called_anything(app: App) -> None:
    rows = app.call("GET", "/endpoints/quoted").json()["example"]["rows"]
    assert app.predict("quoted", {"rows": rows}).json()["predictions"] == [7, 8]
    refused = app.predict("quoted", {"rows": [{"it's": 1}]})
    assert {one["path"][2] for one in refused.json()["error"]["fields"]} == {"it's", '"$HOME\\'}


def test_only_a_closed_service_speaks_of_keys(document: Any) -> None:
    operation = document["paths"]["/endpoints/demand/predict"]["post"]
    is_closed = "security" in document
    assert is_closed == ("securitySchemes" in document["components"])
    assert is_closed == ({"401", "403", "429"} <= set(operation["responses"]))
    assert is_closed == ("$RASEN_API_KEY" in operation["description"])
    assert is_closed == ("`unauthenticated`" in document["info"]["description"])
