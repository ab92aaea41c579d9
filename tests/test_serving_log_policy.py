"""What of an endpoint is logged: its share of the requests, and never a column that is excluded."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from rasen.settings import load_settings
from rasen.store import MemoryStore, open_store
from rasen_serving.asked import Asked
from rasen_serving.board import Board, LogRows, make_board
from rasen_serving.live import Live
from rasen_serving.log import PredictionLog, inputs_of
from rasen_serving.messages import LogPolicy
from rasen_serving.segments import Tick, read_ticks
from rasen_serving.shipping import Report, ship
from rasen_serving.sinks import StoreSink
from rasen_serving.wire_own import OWN
from stand.app import App
from stand.versions import publish_and_deploy

CANARY = "canary-4711"
PROFILE = {"by": ["name"], "levels": [[["nobody"], 1.0, 3]], "default": 9.5}


def picky() -> Callable[[pd.DataFrame], Any]:
    """Return a model that answers x, and fails for x = 13."""

    def predict(frame: pd.DataFrame) -> Any:
        if (frame["x"] == 13).any():
            raise ValueError("thirteen")
        return frame["x"].to_numpy()

    return predict


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    example = pd.DataFrame({"x": [1.0, 2.0], "name": ["a", "b"]})
    publish_and_deploy(store, settings, number=1, model=picky(), example=example, profile=PROFILE)
    app = App(store, settings)
    app.bring_up()
    return app


def body(x: object, *, name: str = CANARY, form: str = "rows") -> bytes:
    document = (
        {"rows": [{"x": x, "name": name}]} if form == "rows" else {"columns": {"x": [x], "name": [name]}}
    )
    return json.dumps(document).encode()


def log_answers(app: App, folder: Path, policy: LogPolicy, *bodies: bytes) -> LogRows:
    """Ask for all in one turn under a policy, and return what was counted."""
    live = app.service.versions.live["demand"]
    live.revision = msgspec.structs.replace(live.revision, log=policy)
    descriptor = make_board()
    board = Board(descriptor)
    os.close(descriptor)

    async def ask() -> None:
        log = app.service.log = PredictionLog(folder, board)
        waiting = [asyncio.get_running_loop().create_future() for _ in bodies]
        for place, content in enumerate(bodies):
            asked = Asked(
                endpoint="demand",
                request_id=f"r{place}",
                content_type="application/json",
                body=content,
                wire=OWN,
                address="10.1.2.3",
                traceparent="00-ab",
            )
            app.service.ask(asked, partial(waiting[place].set_result))
        await asyncio.gather(*waiting)
        app.service.log = None
        await log.close()

    asyncio.run(ask())
    return board.read()


def ticks(folder: Path) -> list[Tick]:
    return [found for path in folder.iterdir() for found in read_ticks(path) if isinstance(found, Tick)]


def test_bodies_and_answers_are_logged_as_they_are(app: App, tmp_path: Path) -> None:
    bodies = [body(1), body(2, form="columns"), body("no number"), body(13)]
    log_answers(app, tmp_path, LogPolicy(), *bodies)
    (tick,) = ticks(tmp_path)
    found = dict(zip(tick.request_id, zip(tick.inputs, tick.outputs, tick.about, strict=True), strict=True))
    assert set(found) == {"r0", "r1", "r3"}  # what is refused is counted, not logged
    assert [found[name][0] for name in ("r0", "r1", "r3")] == [bodies[0], bodies[1], bodies[3]]
    assert json.loads(found["r0"][1])["predictions"] == [1.0]
    assert json.loads(found["r3"][1])["predictions"] == [9.5]
    assert tick.abouts[found["r3"][2]].source == "profile"
    assert tick.abouts[found["r3"][2]].reason == "fallback: error"
    assert set(tick.address) == {"10.1.2.3"}
    assert set(tick.traceparent) == {"00-ab"}


def test_the_rows_of_the_call_are_logged_with_each_of_its_requests(app: App, tmp_path: Path) -> None:
    log_answers(app, tmp_path, LogPolicy(), body(1), body(2), body(3, form="columns"))
    (tick,) = ticks(tmp_path)
    assert tick.batch_rows == [3, 3, 3]


@pytest.mark.parametrize("exclude", [("name",), ("name", "x"), ("name", "gone")])
def test_an_excluded_column_never_reaches_the_disk(
    app: App, tmp_path: Path, exclude: tuple[str, ...]
) -> None:
    spool = tmp_path / "spool"
    bodies = [body(1), body(2, form="columns"), body(13), body(3).replace(b"canary", rb"\u0063anary")]
    counted = log_answers(app, spool, LogPolicy(exclude=exclude), *bodies)
    assert counted.written == 4
    assert all(CANARY.encode() not in path.read_bytes() for path in spool.iterdir())
    assert all(b"u0063anary" not in path.read_bytes() for path in spool.iterdir())
    expected = {} if "x" in exclude else {"x": 1.0}
    records = [json.loads(text) for tick in ticks(spool) for text in tick.inputs]
    assert {"rows": [{}]} in records if not expected else {"columns": {"x": [1]}} in records
    said: list[Report] = []
    assert ship(spool, StoreSink(MemoryStore(), replica="here"), replica="here", say=said.append) is None
    assert [(one.outcome, one.rows) for one in said] == [("shipped", 4)]


def test_a_sampled_endpoint_logs_its_share_and_counts_the_rest(app: App, tmp_path: Path) -> None:
    counted = log_answers(app, tmp_path, LogPolicy(sample=0.25), *[body(1)] * 200)
    assert counted.answered == 200
    assert counted.sampled_out + counted.written == 200
    assert 20 < counted.written < 80
    assert sum(sum(tick.rows) for tick in ticks(tmp_path)) == counted.written


def test_arrays_that_a_wire_format_brings_are_logged_as_lists() -> None:
    class Other:
        name = "other"

    asked = Asked(endpoint="demand", request_id="r", content_type="", body=b"", wire=Other())  # type: ignore[arg-type]  # only its name is asked for
    columns: Any = {"x": np.array([1.5, np.nan]), "n": np.array([1, 2]), "t": ["a", "b"]}
    assert json.loads(inputs_of(asked, columns, exclude=())) == {
        "columns": {"x": [1.5, None], "n": [1, 2], "t": ["a", "b"]}
    }


def test_a_name_that_no_column_has_is_warned_of(app: App, caplog: pytest.LogCaptureFixture) -> None:
    live = app.service.versions.live["demand"]
    revision = msgspec.structs.replace(live.revision, log=LogPolicy(exclude=("nmae",)))
    with caplog.at_level(logging.WARNING):
        Live(revision, live.loaded)
    assert "'nmae'" in caplog.text
    assert "'name'" in caplog.text
