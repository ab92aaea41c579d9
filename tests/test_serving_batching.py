"""Tick batching: what arrives in one turn is one call, and what goes wrong hurts its own request alone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.asked import Asked
from rasen_serving.service import Service
from rasen_serving.wire import Answer
from rasen_serving.wire_own import OWN
from stand.app import App
from stand.versions import publish_and_deploy

EXAMPLE = pd.DataFrame({"x": [1.0, 2.0], "day": pd.to_datetime(["2013-01-31", "2013-02-01"])})


class Model:
    """Answers x + 1, notes how many rows each call had, and fails for x = 13."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc] # what a pickle of it becomes

    def predict(self, frame: pd.DataFrame) -> Any:
        self.gate.wait(10)
        self.calls.append(len(frame))
        if (frame["x"] == 13).any():
            raise ValueError("thirteen")
        return frame["x"].to_numpy() + 1


@pytest.fixture
def app(tmp_path: Path) -> App:
    settings = load_settings(home=tmp_path / "home", environment="dev", max_rows=200, max_waiting_rows=40)
    store = open_store(settings)
    publish_and_deploy(store, settings, number=1, model=Model(), example=EXAMPLE)
    app = App(store, settings)
    app.bring_up()
    return app


def body(*values: float, day: str = "2013-06-30") -> bytes:
    return json.dumps({"rows": [{"x": value, "day": day} for value in values]}).encode()


def asked(request_id: str, content: bytes) -> Asked:
    return Asked(
        endpoint="demand", request_id=request_id, content_type="application/json", body=content, wire=OWN
    )


def ask_together(service: Service, *bodies: bytes, first: Callable[[], None] | None = None) -> list[Answer]:
    """Ask for all in one turn of the loop; return the answers in their order."""

    async def ask() -> list[Answer]:
        answers: dict[int, Answer] = {}
        loop = asyncio.get_running_loop()
        all_answered = loop.create_future()

        def keep(place: int, answer: Answer) -> None:
            answers[place] = answer
            if len(answers) == len(bodies):
                all_answered.set_result(None)

        for place, one in enumerate(bodies):
            service.ask(asked(f"r{place}", one), partial(keep, place))
        if first is not None:
            first()
        await all_answered
        return [answers[place] for place in range(len(bodies))]

    return asyncio.run(ask())


def calls(app: App) -> list[int]:
    model: Any = app.service.versions.take("demand").champion.loaded.model
    found = list(model.calls)
    model.calls.clear()
    return found


def predictions(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.body
    found: list[float] = json.loads(answer.body)["predictions"]
    return found


def test_requests_of_one_turn_are_one_call(app: App) -> None:
    calls(app)
    answers = ask_together(app.service, body(1), body(2, 3), body(4))
    assert [predictions(answer) for answer in answers] == [[2.0], [3.0, 4.0], [5.0]]
    assert [json.loads(answer.body)["request_id"] for answer in answers] == ["r0", "r1", "r2"]
    assert calls(app) == [4]


def test_a_request_that_is_alone_is_answered_alone(app: App) -> None:
    calls(app)
    assert predictions(ask_together(app.service, body(1))[0]) == [2.0]
    assert calls(app) == [1]


def test_a_row_that_breaks_the_model_breaks_its_own_request_only(app: App) -> None:
    calls(app)
    answers = ask_together(app.service, body(1), body(13), body(3), body(4))
    assert [answer.status for answer in answers] == [200, 503, 200, 200]
    assert calls(app) == [4, 2, 1, 1, 2], "the batch is halved, not repeated row by row"


def test_a_bad_value_that_only_the_conversion_sees_is_told_to_its_sender(app: App) -> None:
    answers = ask_together(app.service, body(1), body(2, day="2013-06-31"), b"{", body(3))
    assert [answer.status for answer in answers] == [200, 422, 400, 200]
    problem = json.loads(answers[1].body)["error"]["fields"][0]
    assert problem["path"] == ["rows", 0, "day"]


def test_while_a_call_runs_the_next_batch_gathers(app: App) -> None:
    model: Any = app.service.versions.take("demand").champion.loaded.model
    calls(app)

    async def ask() -> None:
        answers: list[Answer] = []
        model.gate.clear()
        app.service.ask(asked("a", body(1)), answers.append)
        await asyncio.sleep(0.05)
        for value in range(5):
            app.service.ask(asked(f"b{value}", body(value)), answers.append)
            await asyncio.sleep(0)
        model.gate.set()
        while len(answers) < 6:  # noqa: ASYNC110  # the answers come by callback
            await asyncio.sleep(0.01)
        assert [answer.status for answer in answers] == [200] * 6

    asyncio.run(ask())
    assert calls(app) == [1, 5]


def test_too_many_waiting_rows_are_refused_for_the_moment(app: App) -> None:
    model: Any = app.service.versions.take("demand").champion.loaded.model
    model.gate.clear()
    bodies = [body(*range(10)) for _ in range(6)]
    answers = ask_together(app.service, *bodies, first=model.gate.set)
    statuses = [answer.status for answer in answers]
    assert statuses.count(503) == 2
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["Retry-After"] == "1"
    assert json.loads(refused.body)["error"]["code"] == "overloaded"
    assert ask_together(app.service, body(1))[0].status == 200


def test_a_request_larger_than_the_queue_is_answered_when_nothing_waits(app: App) -> None:
    assert len(predictions(ask_together(app.service, body(*range(20, 120)))[0])) == 100


def test_a_model_whose_rows_influence_one_another_is_asked_for_each_request(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", environment="dev")
    store = open_store(settings)
    publish_and_deploy(
        store,
        settings,
        number=1,
        model=lambda frame: np.full(len(frame), float(len(frame))),
        example=EXAMPLE,
        row_wise=False,
    )
    app = App(store, settings)
    app.bring_up()
    answers = ask_together(app.service, body(1), body(2, 3))
    assert [predictions(answer) for answer in answers] == [[1.0], [2.0, 2.0]]


def test_a_version_is_free_when_its_last_request_is_answered(app: App) -> None:
    import gc
    import weakref

    ask_together(app.service, body(1), body(2))
    gone = weakref.ref(app.service.versions.live.pop("demand"))
    gc.collect()
    assert gone() is None
