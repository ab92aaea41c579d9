"""Processes of the service that die, hang or are hit, and models that take them along."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest

from rasen.model.profile import Profile
from rasen.store import open_store
from stand.serving import ROW, Server, bring_up, new_settings, running_server, under_load, wait_until
from stand.versions import moody, publish_and_deploy, repeat_deployment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(tmp_path_factory.mktemp("serving"), environment="dev", reconcile_seconds=1.0)
    with running_server(settings) as server:
        yield server


def test_a_killed_worker_is_replaced_and_the_other_answers(server: Server) -> None:
    version = bring_up(server, "robust")
    killed, kept = sorted(one.pid for one in server.workers())
    restarts = server.metric("rasen_serving_worker_restarts_total")
    with under_load(server, "robust") as load:
        load.wait_for(20)
        next(one for one in server.workers() if one.pid == killed).kill()
        wait_until(lambda: server.metric("rasen_serving_worker_restarts_total") > restarts)
        wait_until(lambda: len(server.state()["workers"]) == 2)
        load.wait_for(50)
    # Lost is what that worker had in flight: at most one request a caller.
    assert len(load.failures) <= 4
    assert load.models() == {version.run}
    pids = {one.pid for one in server.workers()}
    assert kept in pids
    assert killed not in pids
    assert "killed by SIGKILL" in server.log()


def test_a_new_worker_that_finds_the_cached_model_damaged_gets_a_fresh_copy(server: Server) -> None:
    version = bring_up(server, "damaged")
    cached = server.settings.cache_dir / "files" / version.files["model"].sha256
    wait_until(lambda: len(server.state()["workers"]) == 2)
    cached.write_bytes(b"damaged")
    killed = server.workers()[0]
    killed.kill()
    # Asked once for both conditions: between two questions the killed one goes.
    wait_until(lambda: len(set(server.state()["workers"]) - {killed.pid}) == 2)
    assert cached.read_bytes() == server.store.read(version.files["model"].key)
    for _ in range(10):  # a connection of its own each time, so that both workers are asked
        answer = httpx.post(f"{server.url}/endpoints/damaged/predict", json={"rows": [ROW]})
        assert answer.headers["x-rasen-model"] == version.run


def test_a_killed_nursery_takes_nobody_along_and_is_replaced(server: Server) -> None:
    bring_up(server, "orphaned", number=1)
    workers = {one.pid for one in server.workers()}
    with under_load(server, "orphaned", callers=2, pause_seconds=0.02) as load:
        server.nursery().kill()
        version = bring_up(server, "orphaned", number=2)
    assert load.failures == []
    assert server.predict("orphaned").headers["x-rasen-model"] == version.run
    assert workers <= {one.pid for one in server.family()}


def test_a_model_that_ends_its_process_costs_that_request(server: Server) -> None:
    bring_up(server, "suicidal", model=moody())
    restarts = server.metric("rasen_serving_worker_restarts_total")
    with pytest.raises(httpx.TransportError):
        server.predict("suicidal", hour=104)
    wait_until(lambda: server.metric("rasen_serving_worker_restarts_total") > restarts)
    wait_until(lambda: len(server.state()["workers"]) == 2)
    assert server.predict("suicidal").json()["predictions"] == [1.0]


def test_a_model_that_never_returns_is_ended_and_health_stays_live(server: Server) -> None:
    bring_up(server, "hanging", model=moody())
    restarts = server.metric("rasen_serving_worker_restarts_total")
    outcome: list[httpx.Response] = []

    def ask() -> None:
        url = f"{server.url}/endpoints/hanging/predict"
        outcome.append(httpx.post(url, json={"rows": [ROW | {"hour": 105}]}, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        # A connection of its own each time, so that both workers are asked.
        assert httpx.get(f"{server.url}/livez").status_code == 200
        asking.join(0.2)
    assert [answer.status_code for answer in outcome] == [503]
    assert outcome[0].json()["error"]["code"] == "timeout"
    wait_until(lambda: server.metric("rasen_serving_worker_restarts_total") > restarts)
    wait_until(lambda: len(server.state()["workers"]) == 2)
    assert "a prediction has been running for" in server.log()
    assert server.predict("hanging").json()["predictions"] == [1.0]


def test_signals_to_workers_alone_stop_nobody(server: Server) -> None:
    workers = server.workers()
    for one in workers:
        one.send_signal(signal.SIGINT)
        one.send_signal(signal.SIGTERM)
    assert server.client.get(f"{server.url}/livez").status_code == 200
    assert {one.pid for one in server.workers()} == {one.pid for one in workers}


def end_a_worker(server: Server, endpoint: str) -> None:
    """Ask for the row at which the model ends its process, and wait for the replacement."""
    before = server.metric("rasen_serving_worker_restarts_total")
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{server.url}/endpoints/{endpoint}/predict", json={"rows": [ROW | {"hour": 104}]})
    wait_until(lambda: server.metric("rasen_serving_worker_restarts_total") > before)
    wait_until(lambda: len(server.state()["workers"]) == 2)


def test_a_model_that_ends_its_process_again_makes_room_for_the_last_good_one(server: Server) -> None:
    good = bring_up(server, "relapsing", number=1)
    bad = bring_up(server, "relapsing", number=2, model=moody())
    end_a_worker(server, "relapsing")
    assert server.predict("relapsing").headers["x-rasen-model"] == bad.run
    end_a_worker(server, "relapsing")
    wait_until(lambda: server.state()["endpoints"]["relapsing"]["model"] == good.run)
    answer = server.predict("relapsing", hour=104)
    assert (answer.json()["predictions"], answer.headers["x-rasen-model"]) == ([104.0], good.run)
    assert "in quarantine" in server.state()["endpoints"]["relapsing"]["refused"]["2"]
    assert server.metric("rasen_serving_quarantined") >= 1
    # A record that names it once more, as a refusal of a later version does, does not bring it back.
    number = repeat_deployment(server.store, server.settings, bad)
    assert "in quarantine" in server.wait_refusal("relapsing", number)
    assert server.predict("relapsing").headers["x-rasen-model"] == good.run
    # A new version does.
    assert bring_up(server, "relapsing", number=3).run


def test_where_there_was_no_good_one_the_profile_answers_or_nothing_does(server: Server) -> None:
    profile = Profile(by=("origin",), levels={("JFK",): (31.25, 4)}, default=9.5)
    version = bring_up(server, "only", model=moody(), profile=profile)
    bring_up(server, "lonely", model=moody())
    for _ in range(2):
        end_a_worker(server, "only")
        end_a_worker(server, "lonely")

    def sources() -> set[str]:
        return {server.predict("only").json()["source"] for _ in range(5)}

    wait_until(lambda: sources() == {"profile"})
    answer = server.predict("only", hour=104)
    assert answer.json()["predictions"] == [31.25]
    assert answer.headers["x-rasen-model"] == version.run
    wait_until(lambda: server.predict("lonely").status_code == 503)
    assert server.predict("lonely").json()["error"]["code"] == "quarantined"


def _leaking() -> object:
    """Return a model that keeps 48 MB of every call."""
    kept: list[bytearray] = []

    def predict(frame: pd.DataFrame) -> object:
        kept.append(bytearray(b"x") * (48 << 20))
        return frame["hour"] * 1.0

    return predict


@pytest.mark.endurance
def test_a_model_that_leaks_costs_its_worker_and_no_request(tmp_path: Path) -> None:
    settings = new_settings(
        tmp_path / "home", environment="dev", serving_workers=1, worker_max_bytes=600 << 20
    )
    publish_and_deploy(open_store(settings), settings, number=1, model=_leaking())
    with running_server(settings) as server:
        first = server.workers()[0].pid
        statuses = []

        def replaced() -> bool:
            answer = httpx.post(f"{server.url}/endpoints/demand/predict", json={"rows": [ROW]}, timeout=20)
            statuses.append(answer.status_code)
            return [one.pid for one in server.workers()] not in ([], [first])

        wait_until(replaced)
        assert set(statuses) == {200}
        assert "RASEN_WORKER_MAX_BYTES" in server.log()
