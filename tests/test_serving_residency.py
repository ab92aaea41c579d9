"""Many endpoints on one server: what is not in memory sleeps, and wakes when it is asked for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasen_serving.residency import Residency, size_of
from rasen_serving.revisions import Revisions
from stand.serving import ROW, Server, new_settings, running_server, wait_until
from stand.versions import publish_and_deploy, with_model_bytes

MANY = [f"endpoint_{number}" for number in range(8)]


def test_who_was_not_asked_for_longest_goes_first() -> None:
    residency = Residency(max_bytes=100, eager=2)
    sizes = {"a": 40, "b": 40, "c": 40}
    assert residency.surplus(sizes, keep="c") == ["a"]
    residency.note_use(["a"])
    assert residency.surplus(sizes, keep="c") == ["b"]
    assert residency.surplus(sizes | {"d": 300}, keep="d") == ["b", "c", "a"]
    assert residency.surplus({"a": 100}, keep="a") == []


def test_a_few_endpoints_are_loaded_at_the_start() -> None:
    assert Residency(max_bytes=1, eager=2).sleepers(["c", "a", "b"]) == {"c"}
    assert Residency(max_bytes=1, eager=0).sleepers(["a"]) == {"a"}
    assert Residency(max_bytes=1, eager=9).sleepers(["a"]) == set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from rasen.store import open_store

    settings = new_settings(
        tmp_path_factory.mktemp("serving"), environment="dev", serving_workers=1, eager_endpoints=2
    )
    store = open_store(settings)
    for number, name in enumerate(MANY, start=1):
        publish_and_deploy(store, settings, number=number, pipeline=name)
    size = size_of(Revisions(store, settings).resolve(MANY[0], 1).revision)
    with running_server(settings.model_copy(update={"models_max_bytes": 3 * size + size // 2})) as server:
        yield server


def live(server: Server) -> set[str]:
    endpoints = server.state()["endpoints"]
    return {name for name, one in endpoints.items() if one["revision"] is not None}


def test_all_endpoints_answer_though_only_some_fit(server: Server) -> None:
    assert live(server) == set(MANY[:2])
    assert server.client.get(f"{server.url}/readyz").status_code == 200
    for _ in range(2):
        for number, name in enumerate(MANY, start=1):
            answer = server.predict(name)
            assert answer.json()["predictions"] == [7.0 * number]
    assert len(live(server)) == 3
    assert MANY[-1] in live(server)
    # What was let go is gone: three endpoints, one model each.
    wait_until(lambda: server.metric("rasen_serving_models_in_memory") == 3)


def test_requests_that_come_together_wait_for_one_loading(server: Server) -> None:
    name = next(name for name in MANY if name not in live(server))
    loaded = server.log().count(f"{name} revision 1 is live")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: server.predict(name), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    # The supervisor hears of it after the worker has begun to answer.
    wait_until(lambda: server.log().count(f"{name} revision 1 is live") > loaded)
    assert server.log().count(f"{name} revision 1 is live") == loaded + 1


def test_one_that_sleeps_wakes_with_its_newest_revision(server: Server) -> None:
    name = next(name for name in MANY if name not in live(server))
    version = publish_and_deploy(server.store, server.settings, number=20, pipeline=name)
    server.reload()
    wait_until(lambda: server.state()["endpoints"][name]["ledger"] == 2)
    assert name not in live(server), "nobody has asked for it"
    assert server.predict(name).headers["x-rasen-model"] == version.run


def test_one_that_cannot_be_loaded_says_so(server: Server) -> None:
    name = next(name for name in MANY if name not in live(server))
    before = server.predict(name).headers["x-rasen-model"]
    for _ in range(3):
        for other in MANY:
            if other != name and name in live(server):
                server.predict(other)  # so that it sleeps again
    assert name not in live(server)
    publish_and_deploy(
        server.store,
        server.settings,
        number=30,
        pipeline=name,
        change=with_model_bytes(b"no"),
    )
    server.reload()
    wait_until(lambda: server.state()["endpoints"][name]["ledger"] >= 2)
    answer = server.client.post(f"{server.url}/endpoints/{name}/predict", json={"rows": [ROW]})
    assert answer.headers.get("x-rasen-model", before) == before
    assert answer.status_code in (200, 503), "the last good one from this disk, or nothing"
    wait_until(lambda: server.state()["endpoints"][name]["refused"] != {})
