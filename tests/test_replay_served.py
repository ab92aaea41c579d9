"""What a real service has answered comes out again: exactly, by the versions and engines that answered it."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rasen.replay.replaying import Replayed, replay_requests
from rasen.replay.request_log import Wanted
from rasen.settings_model import Settings
from stand.replayable import relative, shifted
from stand.serving import Server, bring_up, new_settings, running_server, wait_until
from stand.versions import deploy_version, publish_version, share_out

REQUESTS = 60


def frame(rows: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"delay": generator.normal(size=rows), "hour": generator.normal(size=rows)}
        | {"origin": generator.choice(["JFK", "EWR", "LGA"], size=rows)}
    )


def pipeline(strength: float) -> Pipeline:
    table = frame(200)
    late = (table["delay"] + table["hour"] > 0).map({True: "late", False: "early"})
    encode = ColumnTransformer(
        [
            ("scale", StandardScaler(), ["delay", "hour"]),
            ("hot", OneHotEncoder(handle_unknown="ignore"), ["origin"]),
        ]
    )
    return Pipeline([("encode", encode), ("fit", LogisticRegression(C=strength))]).fit(table, late)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return a home whose service has answered: two versions of classes, whole requests, a candidate and a shadow."""
    settings = new_settings(
        tmp_path_factory.mktemp("home"), serving_workers=1, prediction_log_seconds=1.0, zygote=False
    )
    with running_server(settings) as server:
        _ask_for_classes(server)
        _ask_whole_requests(server)
        _ask_two_and_a_shadow(server)
        answered, shipped = (
            f'rasen_serving_log_rows_total{{outcome="{outcome}"}}' for outcome in ("answered", "shipped")
        )
        wait_until(lambda: server.metric(answered) == server.metric(shipped))
    return settings


def _ask(server: Server, endpoint: str, rows: Sequence[Mapping[Any, object]]) -> None:
    answer = server.client.post(f"{server.url}/endpoints/{endpoint}/predict", json={"rows": list(rows)})
    assert answer.status_code == 200, answer.text


def _ask_for_classes(server: Server) -> None:
    asked = frame(REQUESTS * 2).to_dict("records")
    for number, strength in ((1, 0.05), (2, 5.0)):
        bring_up(
            server,
            "late",
            number=number,
            model=pipeline(strength),
            example=frame(5),
            engines=["folded", "onnx"],
        )
        for row in asked[(number - 1) * REQUESTS : number * REQUESTS]:
            _ask(server, "late", [row] * random.Random(str(row)).randint(1, 3))


def _ask_whole_requests(server: Server) -> None:
    bring_up(server, "relative", model=relative(), row_wise=False)
    for number in range(10):
        _ask(server, "relative", [{"origin": "JFK", "hour": number}, {"origin": "EWR", "hour": number**2}])


def _ask_two_and_a_shadow(server: Server) -> None:
    made = [
        publish_version(
            server.store, server.settings, number=number, pipeline="shared", model=shifted(number / 4)
        )
        for number in (1, 2)
    ]
    deploy_version(server.store, server.settings, made[0])
    number = share_out(
        server.store,
        server.settings,
        {made[0]: ("champion", 1.0), made[1]: ("shadow", 1.0)},
        endpoint="shared",
        kind="shadow",
    )
    server.wait_revision("shared", number)
    for hour in range(10):
        _ask(server, "shared", [{"origin": "JFK", "hour": hour}])
    wait_until(lambda: server.metric('rasen_serving_shadow_answers_total{endpoint="shared"') >= 10)


def replay(settings: Settings, endpoint: str, *versions: str) -> Replayed:
    now = datetime.now(tz=UTC)
    wanted = Wanted(first=now - timedelta(hours=1), last=now + timedelta(hours=1))
    return replay_requests(settings, endpoint, wanted, versions=versions)


def test_classes_come_out_again_by_whatever_answered_them(settings: Settings) -> None:
    found = replay(settings, "late")
    assert found.requests == 2 * REQUESTS
    assert found.left_out == {}
    assert found.comparison.compared == found.comparison.identical == len(found.rows)
    assert {row.engine for row in found.rows} == {engine for one in found.answered for engine in one.engines}
    assert {one.version.number for one in found.answered} == {1, 2}
    assert {pair[0] for pair in found.comparison.confusion[""]} == {"early", "late"}


def test_other_versions_answer_the_same_requests_otherwise(settings: Settings) -> None:
    found = replay(settings, "late", "1", "2")
    assert found.comparison.compared == len(found.rows)
    assert 0 < found.comparison.share_equal <= 1


def test_requests_to_a_model_that_looks_at_all_rows_come_out_again(settings: Settings) -> None:
    found = replay(settings, "relative")
    assert (found.requests, found.comparison.identical) == (10, 20)


def test_what_a_shadow_answered_is_asked_of_the_shadow(settings: Settings) -> None:
    found = replay(settings, "shared")
    assert (found.comparison.compared, found.comparison.identical) == (20, 20)
    assert len({one.version.run for one in found.answered}) == 2
    assert any("copies that a shadow answered" in note for note in found.notes)
