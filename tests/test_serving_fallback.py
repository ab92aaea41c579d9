"""The profile stands in: for a model that raises, answers NaN, is late or is stale, in the same schema, and marked."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from rasen.model.profile import Profile
from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.deadlines import Deadlines
from rasen_serving.live import load
from rasen_serving.messages import FallbackPolicy
from rasen_serving.revisions import Revisions
from stand.app import App
from stand.versions import publish_and_deploy

EXAMPLE = pd.DataFrame({"origin": ["JFK", "EWR"], "hour": [7, 18]})
PROFILE = Profile(by=("origin",), levels={("JFK",): (31.25, 4)}, default=9.5)
GATE = threading.Event()


class Model:
    """Answers the hour; raises for 101, answers NaN for 102, waits for 103, is too short for 104."""

    def predict(self, frame: pd.DataFrame) -> Any:
        hour = frame["hour"].astype("float64")
        if (hour == 101).any():
            raise ValueError("secret")
        if (hour == 103).any():
            GATE.wait(10)
        return hour.where(hour != 102).to_numpy()[: -1 if (hour == 104).any() else None]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    for name, profile in (("covered", PROFILE), ("bare", None)):
        publish_and_deploy(
            store, settings, number=1, pipeline=name, model=Model(), example=EXAMPLE, profile=profile
        )
    app = App(store, settings)
    app.bring_up()
    yield app
    GATE.set()


def set_policy(app: App, endpoint: str, **policy: Any) -> None:
    """Switch the endpoint to another policy, as a ledger record that changes it would."""
    live = app.service.versions.take(endpoint)
    revision = msgspec.structs.replace(live.revision, fallback=FallbackPolicy(**policy))
    app.service.versions.keep(load(revision, live.loaded))
    app.service.versions.switch(endpoint, revision.number)


@pytest.fixture(autouse=True)
def _policies(app: App) -> Iterator[None]:
    yield
    for name in ("covered", "bare"):
        set_policy(app, name)


def count(app: App, **labels: str | int) -> int:
    return sum(
        series.requests
        for series in app.service.counts.series()
        if all(getattr(series, name) == value for name, value in labels.items())
    )


@pytest.mark.parametrize(("hour", "reason"), [(101, "error"), (102, "nan"), (104, "error")])
def test_where_the_model_fails_the_profile_answers_in_the_same_schema(
    app: App, hour: int, reason: str
) -> None:
    before = count(app, endpoint="covered", source="profile", reason=reason)
    rows = [{"origin": "JFK", "hour": hour}, {"origin": "LGA", "hour": 7}]
    answer = app.predict("covered", {"rows": rows})
    assert answer.status_code == 200
    body = answer.json()
    assert body["predictions"] == [31.25, 9.5]
    assert body["source"] == answer.headers["x-rasen-source"] == "profile"
    assert body["model"] == answer.headers["x-rasen-model"]
    assert count(app, endpoint="covered", source="profile", reason=reason) == before + 1
    again = app.predict("covered", {"rows": [{"origin": "JFK", "hour": 7}]})
    assert (again.json()["predictions"], again.json()["source"]) == ([7.0], "model")
    assert "x-rasen-source" not in again.headers


@pytest.mark.parametrize("hour", [101, 102, 104])
def test_without_a_profile_the_caller_is_told_that_nothing_can_answer(app: App, hour: int) -> None:
    answer = app.predict("bare", {"rows": [{"origin": "JFK", "hour": hour}]})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_failed"
    assert "secret" not in answer.text


def test_the_caller_s_own_mistakes_are_not_covered_up(app: App) -> None:
    answer = app.predict("covered", {"rows": [{"origin": "JFK", "hour": "seven"}]})
    assert answer.status_code == 422


def test_a_reason_that_is_not_declared_is_not_covered(app: App) -> None:
    set_policy(app, "covered", on=("timeout",))
    assert app.predict("covered", {"rows": [{"origin": "JFK", "hour": 101}]}).status_code == 503


def test_a_model_that_is_late_is_answered_for_and_its_late_answer_is_dropped(app: App) -> None:
    set_policy(app, "covered", timeout_seconds=0.05)
    set_policy(app, "bare", timeout_seconds=0.05)
    GATE.clear()
    request = {"rows": [{"origin": "JFK", "hour": 103}]}
    assert app.predict("covered", request).json()["predictions"] == [31.25]
    refused = app.predict("bare", request)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "timeout")
    GATE.set()
    assert app.predict("covered", {"rows": [{"origin": "JFK", "hour": 8}]}).json()["source"] == "model"


def test_a_request_that_is_read_slowly_is_answered_for_as_well(app: App) -> None:
    set_policy(app, "covered", timeout_seconds=0.05)
    GATE.clear()
    content = b'{"rows": [{"origin": "JFK\\u003a", "hour": 103}]}'  # an escaped colon takes the slow way
    answer = app.call(
        "POST", "/endpoints/covered/predict", content=content, headers={"content-type": "application/json"}
    )
    assert answer.json()["predictions"] == [9.5]
    GATE.set()


@pytest.mark.parametrize(("trained_until", "source"), [("2013-06-30", "profile"), ("2999-01-01", "model")])
def test_a_stale_model_is_answered_for_until_a_fresh_one_is_live(
    tmp_path: Path, trained_until: str, source: str
) -> None:
    settings = load_settings(home=tmp_path / "home", environment="dev")
    store = open_store(settings)
    publish_and_deploy(store, settings, number=1, model=Model(), example=EXAMPLE, profile=PROFILE)
    app = App(store, settings)
    revision = Revisions(store, settings).resolve("demand", 1).revision
    version = msgspec.structs.replace(revision.champion, trained_until=trained_until)
    policy = FallbackPolicy(on=("stale",), stale_after_seconds=8 * 86400.0)
    variants = [msgspec.structs.replace(revision.variants[0], version=version)]
    app.service.versions.keep(load(msgspec.structs.replace(revision, variants=variants, fallback=policy)))
    app.service.versions.switch("demand", 1)
    assert app.predict("demand", {"rows": [{"origin": "JFK", "hour": 7}]}).json()["source"] == source


def test_deadlines_expire_the_open_ones_only_and_let_all_go() -> None:
    class Waiting:
        def __init__(self, *, answered: bool) -> None:
            self.started = time.perf_counter()
            self.answered = answered
            self.expired = 0

        def expire(self) -> None:
            self.answered = True
            self.expired += 1

    async def watch() -> None:
        deadlines = Deadlines()
        waiting = [Waiting(answered=False), Waiting(answered=True), Waiting(answered=False)]
        late = Waiting(answered=False)
        for one in waiting:
            deadlines.add(one, budget_seconds=0.01)
        deadlines.add(late, budget_seconds=60.0)
        while not waiting[2].expired:  # noqa: ASYNC110  # a callback of the loop does it
            await asyncio.sleep(0.01)
        assert [one.expired for one in waiting] == [1, 0, 1]
        assert not late.expired
        late.answered = True

    asyncio.run(watch())


def test_the_error_s_text_stays_with_the_operator(app: App, caplog: pytest.LogCaptureFixture) -> None:
    answer = app.predict("covered", {"rows": [{"origin": "JFK", "hour": 101}]})
    assert "secret" not in answer.text
    assert "secret" in caplog.text
    assert json.loads(answer.text)["source"] == "profile"
