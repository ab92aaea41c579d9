"""The console and `/docs` in the real Chromium, against a real server: `make test-browser`.

After each test the page must have asked nobody but its own service, and the browser must have had nothing to complain
of: no error, no warning, no violation of the page's policy.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import pandas as pd
import pytest

from rasen.model.profile import Profile
from rasen.store import open_store
from rasen.tracking.access_keys import create_key
from rasen.tracking.signature import Role, open_signer
from stand.browser import Faults, open_page, running_browser
from stand.serving import Server, new_settings, running_server, wait_until
from stand.versions import publish_and_deploy, publish_version, share_out

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

HOSTILE = "<img src=x onerror=alert(1)>"
QUOTED = "it's a \"\\$HOME`id`"
LARGE = 2**53 + 1  # JavaScript has no such number
Open = Callable[..., AbstractContextManager[Any]]


def _models() -> dict[str, Any]:  # Any: models
    """Return the models by endpoint; made in a function, so that they are pickled by value."""

    def doubled(frame: pd.DataFrame) -> "pd.Series[float]":
        if (frame["hour"] > 23).any():
            raise ValueError("there is no such hour")
        return frame["hour"].astype("float64") * 2

    def two_outputs(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[["kind"]].assign(late=frame["delay"].fillna(0) > 15)

    def same_number(frame: pd.DataFrame) -> "pd.Series[int]":
        return frame.iloc[:, 1]

    return {"demand": doubled, "wide": two_outputs, "hostile": same_number}


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


def _hostile_example() -> pd.DataFrame:
    return pd.DataFrame({HOSTILE: ["'; rm -rf / #", f"</script>{HOSTILE}"], QUOTED: [LARGE, -LARGE]})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(
        tmp_path_factory.mktemp("home"), environment="dev", serving_workers=1, variant_override=True
    )
    with running_server(settings) as server:
        models = _models()
        profile = Profile(by=("origin",), levels={("JFK",): (11.5, 40)}, default=9.0)
        options: dict[str, dict[str, Any]] = {
            "demand": {"profile": profile},
            "wide": {"example": _wide_example()},
            "hostile": {"example": _hostile_example(), "description": HOSTILE},
        }
        for endpoint, model in models.items():
            publish_and_deploy(
                server.store, settings, number=1, pipeline=endpoint, model=model, **options[endpoint]
            )
        versions = [publish_version(server.store, settings, number=n, pipeline="shared") for n in (1, 2)]
        roles: list[tuple[Any, float]] = [("champion", 0.75), ("challenger", 0.25)]
        share_out(server.store, settings, dict(zip(versions, roles, strict=True)), endpoint="shared")
        for endpoint in (*models, "shared"):
            server.wait_revision(endpoint, 1)
        yield server


@pytest.fixture
def faults() -> list[Faults]:
    return []


@pytest.fixture
def show(browser: Any, server: Server, faults: list[Faults]) -> Iterator[Callable[..., Any]]:
    """Open a page of the service; what it does wrong fails the test in the end."""
    contexts = []

    def show(path: str, **options: Any) -> Any:
        context = open_page(browser, server.url, **options)
        page, noted = context.__enter__()
        contexts.append(context)
        faults.append(noted)
        page.goto(server.url + path)
        return page

    yield show
    for context in contexts:
        context.__exit__(None, None, None)
    assert [(one.foreign, one.said) for one in faults if one.foreign or one.said] == []


def field(page: Any, name: str, *, row: int = 1) -> Any:
    """Return the input of a column."""
    return page.get_by_role("group", name=f"Row {row}").get_by_label(name, exact=False).first


def predict(page: Any) -> Any:
    """Press the button, and return the panel with the answer."""
    with page.expect_response(lambda response: response.url.endswith("/predict")):
        page.get_by_role("button", name="Predict").click()
    panel = page.locator(".answer")
    panel.wait_for()
    return panel


def test_an_endpoint_is_chosen_filled_in_and_answers(show: Callable[..., Any], server: Server) -> None:
    page = show("/")
    page.get_by_role("link", name="demand").click()
    page.get_by_role("heading", name="demand").wait_for()
    assert page.url.endswith("/console#demand")
    assert "Made for a test." in page.inner_text("main")
    assert field(page, "origin").input_value() == "JFK"
    field(page, "hour").fill("21")
    panel = predict(page)
    run = server.predict("demand").json()["model"]
    text = panel.inner_text()
    assert "The model answered." in text
    assert run in text
    assert panel.locator("li").all_inner_texts() == ["42", "36"]
    assert "42" in page.get_by_role("group", name="Row 1").locator("output").inner_text()
    request_id = panel.locator("div", has_text="request id").last.inner_text().split()[-1]
    assert len(request_id) == 32


def test_rows_are_added_and_removed_by_keyboard(show: Callable[..., Any]) -> None:
    page = show("/console#demand")
    add = page.get_by_role("button", name="Add a row")
    add.focus()
    page.keyboard.press("Enter")
    assert (
        page.locator(":focus").input_value() == "EWR"
    )  # the first field of the new row, which repeats the last
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("3")
    page.get_by_role("button", name="Remove row 1").press("Enter")
    with page.expect_response(lambda response: response.url.endswith("/predict")) as answered:
        field(page, "hour", row=2).press("Enter")
    assert answered.value.json()["predictions"] == [36.0, 6.0]


def test_a_bad_value_is_told_at_its_field(show: Callable[..., Any]) -> None:
    page = show("/console#wide")
    field(page, "delay", row=2).fill("soon")
    field(page, "day", row=1).fill("31.1.2013")
    panel = predict(page)
    assert "422 invalid_input" in panel.inner_text()
    for name, row in (("delay", 2), ("day", 1)):
        bad = field(page, name, row=row)
        assert bad.get_attribute("aria-invalid") == "true"
        told = page.locator(f"#{bad.get_attribute('aria-describedby')}").inner_text()
        assert bad.input_value() in told
    assert field(page, "delay", row=1).get_attribute("aria-invalid") != "true"
    assert page.locator(":focus").get_attribute("id") == field(page, "day", row=1).get_attribute("id")
    field(page, "delay", row=2).fill("3")
    assert field(page, "delay", row=2).get_attribute("aria-invalid") == "false"
    field(page, "day", row=1).fill("2013-01-31")
    assert "The model answered." in predict(page).inner_text()
    assert page.locator("[aria-invalid=true]").count() == 0


def test_null_is_sent_as_null(show: Callable[..., Any]) -> None:
    page = show("/console#wide")
    with page.expect_request(lambda request: request.url.endswith("/predict")) as sent:
        predict(page)
    rows = json.loads(sent.value.post_data)["rows"]
    assert [row["delay"] for row in rows] == [20.5, None]
    assert [row["first"] for row in rows] == [True, False]
    page.get_by_role("checkbox").nth(0).check()
    with page.expect_request(lambda request: request.url.endswith("/predict")) as sent:
        predict(page)
    assert json.loads(sent.value.post_data)["rows"][0]["delay"] is None


def test_variants_are_shown_and_chosen(show: Callable[..., Any]) -> None:
    page = show("/console#shared")
    page.get_by_role("heading", name="Variants").wait_for()
    table = page.locator("table", has_text="Share").first.inner_text()
    assert "75 %" in table
    assert "25 %" in table
    for role, answers in (("champion", ["7", "18"]), ("challenger", ["14", "36"])):
        page.get_by_label("Variant").fill(role)
        panel = predict(page)
        assert panel.locator("li").all_inner_texts() == answers
        assert role in panel.inner_text()
        assert "override" in panel.inner_text()


def test_an_answer_of_the_profile_is_marked(show: Callable[..., Any]) -> None:
    page = show("/console#demand")
    field(page, "hour").fill("99")
    panel = predict(page)
    assert "statistical profile" in panel.inner_text()
    assert "warn" in panel.get_attribute("class")
    assert panel.locator("li").first.inner_text() == "11.5"


def test_what_others_wrote_stays_text_and_whole_numbers_stay_whole(show: Callable[..., Any]) -> None:
    page = show("/console#hostile")
    page.get_by_text(HOSTILE, exact=True).first.wait_for()
    assert page.locator("main img, main script").count() == 0
    panel = predict(page)
    assert panel.locator("li").all_inner_texts() == [str(LARGE), str(-LARGE)]


def test_the_same_request_runs_from_a_shell_and_from_python(
    show: Callable[..., Any], server: Server, tmp_path: Path
) -> None:
    page = show("/console#hostile")
    page.get_by_label("Routing key").fill('it\'s $HOME & "you"')
    answered = predict(page).locator("li").all_inner_texts()
    curl, python = page.locator(".snippet code").all_inner_texts()
    assert "X-Rasen-Routing-Key: it'\\''s $HOME" in curl
    done = subprocess.run(["bash", "-c", curl], check=True, capture_output=True, text=True)
    assert list(map(str, json.loads(done.stdout)["predictions"])) == answered
    script = tmp_path / "asked.py"
    script.write_text(python)
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert done.stdout == f"[{', '.join(answered)}] model\n"


def test_a_line_is_copied(show: Callable[..., Any], server: Server) -> None:
    page = show("/console#demand", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the curl line").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".snippet code").first.text_content()
    assert copied.startswith(f"curl -sS '{server.url}/endpoints/demand/predict'")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_the_page_fits_and_can_be_read(show: Callable[..., Any], scheme: str, width: int) -> None:
    page = show("/console#wide", viewport={"width": width, "height": 800}, color_scheme=scheme)
    predict(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128")
    assert is_dark == (scheme == "dark")
    folder = os.environ.get("BROWSER_PICTURES")
    if folder:
        page.screenshot(path=f"{folder}/console-{scheme}-{width}.png", full_page=True)


def test_the_docs_show_each_endpoint_and_execute_its_example(show: Callable[..., Any]) -> None:
    page = show("/docs")
    page.locator("#operations-demand-predict_demand").click()
    page.get_by_text("Made for a test.").first.wait_for()
    assert 'curl -sS "$RASEN_URL/endpoints/demand/predict"' in page.inner_text(
        "#operations-demand-predict_demand"
    )
    with page.expect_response(lambda response: response.url.endswith("/demand/predict")) as answered:
        page.get_by_role("button", name="Execute").click()
    assert answered.value.json()["predictions"] == [14.0, 36.0]
    page.locator("#operations-hostile-predict_hostile").click()
    page.locator("#operations-hostile-predict_hostile .opblock-body").wait_for()
    assert page.locator("#swagger-ui img[onerror], #swagger-ui script").count() == 0


def test_a_key_is_used_and_kept_nowhere_and_what_sleeps_is_woken(browser: Any, tmp_path: Path) -> None:
    settings = new_settings(tmp_path, environment="dev", serving_workers=1, access="keys", eager_endpoints=0)
    publish_and_deploy(open_store(settings), settings, number=2)
    with running_server(settings) as server:
        signer = open_signer(settings, Role.CONTROL)
        now = datetime.now(tz=UTC)
        options: dict[str, Any] = {"environment": "dev", "by": "me", "now": now}
        _, whole = create_key(server.store, signer, name="whole", **options)
        _, other = create_key(server.store, signer, name="other", endpoints=["another"], **options)
        server.reload()
        # A browser asks for the key as a password; what stands in the field goes before that.
        with open_page(browser, server.url, http_credentials={"username": "me", "password": other}) as (
            page,
            faults,
        ):
            _wait_for_key(server, other)
            page.goto(f"{server.url}/console")
            page.get_by_text("None yet").wait_for()
            page.get_by_label("API key").fill(whole)
            page.get_by_label("API key").press("Enter")
            page.get_by_role("link", name="demand asleep").click()
            page.get_by_role("heading", name="demand").wait_for()
            page.get_by_role("link", name="demand live").wait_for()
            with page.expect_request(lambda request: request.url.endswith("/predict")) as sent:
                assert "The model answered." in predict(page).inner_text()
            assert sent.value.headers["authorization"] == f"Bearer {whole}"
            kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
            assert whole not in page.url + kept + "".join(page.locator("code").all_inner_texts())
            curl = page.locator(".snippet code").first.inner_text()
            environment = {**os.environ, "RASEN_API_KEY": whole}
            done = subprocess.run(["bash", "-c", curl], check=True, capture_output=True, env=environment)
            assert json.loads(done.stdout)["predictions"] == [14.0, 36.0]
            assert (faults.foreign, faults.said) == ([], [])


def _wait_for_key(server: Server, key: str) -> None:
    url = f"{server.url}/endpoints"
    wait_until(lambda: server.client.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200)
