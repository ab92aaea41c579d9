"""The fast lane and the FastAPI route behind it: the same bytes for the same request, whatever the request is."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rasen.settings import load_settings
from rasen.store import MemoryStore, open_store
from rasen.tracking.access_keys import create_key
from rasen.tracking.signature import Role, open_signer
from rasen_serving.access import Access
from rasen_serving.access_watch import AccessWatch
from rasen_serving.app import create_app
from rasen_serving.connections import Guard, GuardedProtocol, guarded
from rasen_serving.fast_lane import FastLaneProtocol
from stand.app import App
from stand.versions import moody, publish_and_deploy

MAX_BODY = 3000
GOOD = json.dumps({"rows": [{"origin": "JFK", "hour": 7}]}).encode()
_DATE = re.compile(rb"date: [^\r]*\r\n")


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave the signals to pytest."""


@dataclass
class Both:
    """One service behind two servers; `lanes` counts what the fast lane took."""

    app: App
    with_lane: int
    without: int
    taken: list[bytes]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"), environment="dev", max_body_bytes=MAX_BODY, max_rows=20
    )
    store = open_store(home)
    publish_and_deploy(store, home, number=2)
    publish_and_deploy(store, home, number=1, pipeline="moody", model=moody())
    publish_and_deploy(
        store,
        home,
        number=1,
        pipeline="days",
        model=lambda frame: frame["day"].dt.day.to_numpy(),
        example=pd.DataFrame({"day": pd.to_datetime(["2013-01-31", "2013-02-01"])}),
    )
    app = App(store, home)
    app.bring_up()
    taken: list[bytes] = []

    class Counting(FastLaneProtocol):
        def _enter(self) -> object:
            lane = super()._enter()
            if lane is not None:
                taken.append(self.url)
            return lane

    guard = Guard(home, count=app.service.count_refusal)
    ports: list[int] = []
    ready = threading.Event()
    servers: list[_Server] = []

    async def serve() -> None:
        running = []
        for protocol in (guarded(Counting, guard, service=app.service), guarded(GuardedProtocol, guard)):
            listener = socket.create_server(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
            config = uvicorn.Config(
                create_app(app.service),
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
            server = _Server(config)
            servers.append(server)
            running.append(asyncio.create_task(server.serve(sockets=[listener])))
        while not all(server.started for server in servers):  # noqa: ASYNC110  # uvicorn sets a plain attribute
            await asyncio.sleep(0.01)
        ready.set()
        await asyncio.gather(*running)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    yield Both(app=app, with_lane=ports[0], without=ports[1], taken=taken)
    for server in servers:
        server.should_exit = True
    thread.join()


def exchange(port: int, parts: list[bytes], *, answers: int) -> bytes:
    """Send the parts one by one over a connection of its own; return what comes back, without the dates."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        while received.count(b"HTTP/1.1 ") < answers or not _whole(received):
            data = connection.recv(65536)
            if not data:
                break
            received += data
    return _DATE.sub(b"", received)


def _whole(received: bytes) -> bool:
    """Return whether the last answer is complete."""
    head, separator, body = received[received.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    return bool(separator) and (found is None or len(body) >= int(found[1]))


def request(
    body: bytes = GOOD,
    *,
    path: str = "/endpoints/demand/predict",
    method: str = "POST",
    version: str = "1.1",
    headers: tuple[str, ...] = ("content-type: application/json",),
    length: int | None = -1,
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: localhost", "x-request-id: same", *headers]
    if length is not None:
        lines.append(f"content-length: {len(body) if length < 0 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def same(both: Both, *parts: bytes, answers: int = 1) -> bytes:
    first = exchange(both.with_lane, list(parts), answers=answers)
    second = exchange(both.without, list(parts), answers=answers)
    assert first == second
    assert first.startswith(b"HTTP/1.1 ")
    return first


def test_a_plain_request_takes_the_lane_and_is_answered_as_by_the_route(both: Both) -> None:
    before = len(both.taken)
    answer = same(both, request())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nx-rasen-model: ")
    assert b'"source":"model"' in answer
    assert len(both.taken) == before + 1


ORDINARY = {
    "empty body": b"",
    "no json": b"nonsense",
    "truncated": GOOD[:-3],
    "nan": b'{"rows":[{"origin":"JFK","hour":NaN}]}',
    "infinity": b'{"rows":[{"origin":"JFK","hour":1e999}]}',
    "huge": b'{"rows":[{"origin":"JFK","hour":%s}]}' % (b"9" * 400),
    "deep": b"[" * 1000,
    "duplicate key": b'{"rows":[{"origin":"JFK","hour":7,"hour":8}]}',
    "latin-1": '{"rows":[{"origin":"é","hour":7}]}'.encode("latin-1"),
    "utf-16": '{"rows":[]}'.encode("utf-16"),
    "no rows": b'{"rows":[]}',
    "too many rows": json.dumps({"rows": [{"origin": "JFK", "hour": 7}] * 21}).encode(),
    "wrong type": b'{"rows":[{"origin":7,"hour":"x"}]}',
    "unknown field": b'{"rows":[{"origin":"JFK","hour":7,"x":1}]}',
    "columns": b'{"columns":{"origin":["JFK","LGA"],"hour":[7,8]}}',
    "null": b"null",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_whatever_the_body_holds_both_say_the_same(both: Both, name: str) -> None:
    same(both, request(ORDINARY[name]))


UNUSUAL = {
    "get": request(b"", method="GET", length=None),
    "put": request(method="PUT"),
    "query": request(path="/endpoints/demand/predict?x=1"),
    "encoded path": request(path="/endpoints/dem%61nd/predict"),
    "unknown endpoint": request(path="/endpoints/nowhere/predict"),
    "trailing slash": request(path="/endpoints/demand/predict/"),
    "other route": request(b"", path="/livez", method="GET", length=None),
    "http 1.0": request(version="1.0"),
    "close": request(headers=("content-type: application/json", "connection: close")),
    "charset": request(headers=("content-type: application/json; charset=utf-8",)),
    "text": request(headers=("content-type: text/plain",)),
    "no type": request(headers=()),
    "two types": request(headers=("content-type: application/json", "content-type: text/plain")),
    "no length": request(b"", length=None),
    "chunked": request(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD),
        headers=("content-type: application/json", "transfer-encoding: chunked"),
        length=None,
    ),
    "too long": request(b"x" * (MAX_BODY + 1)),
    "announces too much": request(b"", length=10**9),
    "negative length": request(headers=("content-type: application/json", "content-length: -5"), length=None),
    "no http": b"\x16\x03\x01 nonsense\r\n\r\n",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_whatever_is_unusual_is_answered_as_without_a_lane(both: Both, name: str) -> None:
    same(both, UNUSUAL[name])


def test_the_request_id_is_made_up_when_it_is_none(both: Both) -> None:
    for wanted in (b"", b"with space", b"x" * 129, "é".encode()):
        answer = exchange(
            both.with_lane, [request().replace(b"x-request-id: same", b"x-request-id: " + wanted)], answers=1
        )
        assert re.search(rb"x-request-id: [0-9a-f]{32}\r\n", answer)


def test_requests_in_one_packet_are_answered_in_their_order(both: Both) -> None:
    many = b"".join(
        request(json.dumps({"rows": [{"origin": "JFK", "hour": hour}]}).encode()).replace(
            b"same", b"r%d" % hour
        )
        for hour in range(5)
    )
    mixed = request().replace(b"same", b"a") + UNUSUAL["charset"] + request().replace(b"same", b"z")
    answer = same(both, many, answers=5)
    assert re.findall(rb"x-request-id: (\w+)", answer) == [b"r0", b"r1", b"r2", b"r3", b"r4"]
    assert re.findall(rb"x-request-id: (\w+)", same(both, mixed, answers=3)) == [b"a", b"same", b"z"]


def test_a_request_may_come_in_pieces(both: Both) -> None:
    whole = request()
    for cut in (1, 30, len(whole) - len(GOOD) - 2, len(whole) - 5):
        same(both, whole[:cut], whole[cut:])


def test_a_model_that_fails_says_nothing_of_why(both: Both) -> None:
    body = json.dumps({"rows": [{"origin": "ERR", "hour": 1}]}).encode()
    both.app.service.versions.take("moody")
    answer = same(both, request(body, path="/endpoints/moody/predict"))
    assert answer.startswith((b"HTTP/1.1 503", b"HTTP/1.1 200", b"HTTP/1.1 422"))


def test_a_value_that_only_the_conversion_refuses_hurts_its_own_request_alone(both: Both) -> None:
    good = json.dumps({"rows": [{"day": "2013-06-30"}]}).encode()
    bad = json.dumps({"rows": [{"day": "2013-06-31"}]}).encode()
    path = "/endpoints/days/predict"
    answer = same(
        both, request(good, path=path) + request(bad, path=path) + request(good, path=path), answers=3
    )
    assert [found[:3] for found in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"422", b"200"]


def test_whoever_hangs_up_is_not_waited_for(both: Both) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", both.with_lane), timeout=10) as connection:
            connection.sendall(request())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert same(both, request()).startswith(b"HTTP/1.1 200")


def test_while_draining_answers_say_goodbye(both: Both) -> None:
    both.app.service.draining = True
    try:
        assert b"connection: close\r\n" in same(both, request())
    finally:
        both.app.service.draining = False


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=80),
        st.sampled_from(list(ORDINARY.values())),
        st.builds(
            lambda rows: json.dumps({"rows": rows}).encode(),
            st.lists(
                st.fixed_dictionaries(
                    {"origin": st.one_of(st.none(), st.text(max_size=5), st.integers())},
                    optional={"hour": st.one_of(st.none(), st.integers(), st.floats(), st.booleans())},
                ),
                max_size=4,
            ),
        ),
    ),
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "DELETE", "OPTIONS"]),
    path=st.sampled_from(
        ["/endpoints/demand/predict"] * 4 + ["/endpoints/moody/predict", "/endpoints/x/predict"]
    ),
    headers=st.lists(
        st.sampled_from(
            [
                "content-type: application/json",
                "Content-Type: application/json",
                "content-type: APPLICATION/JSON",
                "content-type: text/csv",
                "x-request-id: other",
                "content-encoding: gzip",
                "connection: close",
                "connection: keep-alive",
                "accept: */*",
                "x: \u00e9",
            ]
        ),
        max_size=4,
    ),
    cut=st.integers(0, 400),
)
def test_the_two_ways_cannot_be_told_apart(
    both: Both, body: bytes, method: str, path: str, headers: list[str], cut: int
) -> None:
    whole = request(body, method=method, path=path, headers=tuple(headers))
    parts = [whole[:cut], whole[cut:]] if cut < len(whole) else [whole]
    same(both, *[part for part in parts if part])


def test_the_lane_is_a_protocol_of_the_pinned_uvicorn() -> None:
    assert issubclass(FastLaneProtocol, HttpToolsProtocol)


@pytest.fixture
def key(both: Both) -> Iterator[str]:
    """Have the service ask for keys for a while; return one that opens `demand` three times."""
    settings = load_settings(home=both.app.service.settings.home, access="keys", serving_workers=1)
    store = MemoryStore()
    _, text = create_key(
        store,
        open_signer(settings, Role.CONTROL),
        name="test",
        environment="dev",
        by="me",
        now=datetime.now(tz=UTC),
        endpoints=["demand"],
        rate="6/day",  # three over each way
    )
    before = both.app.service.access
    both.app.service.access = Access(settings)
    both.app.service.access.accept(AccessWatch(store, settings).look(thorough=True))
    yield text
    both.app.service.access = before


def test_who_is_let_in_is_the_same(both: Both, key: str) -> None:
    kind = "content-type: application/json"
    for header in (f"authorization: Bearer {key}", f"x-api-key: {key}"):
        assert b" 200 OK" in same(both, request(headers=(kind, header)))
    assert b" 401 " in same(both, request())
    assert b"www-authenticate: " in same(both, request(headers=(kind, "authorization: Basic !")))
    assert b" 401 " in same(
        both, request(headers=(kind, f"x-api-key: {key}x", f"authorization: Bearer {key}"))
    )
    assert b" 403 " in same(
        both, request(path="/endpoints/moody/predict", headers=(kind, f"x-api-key: {key}"))
    )
    for way in (both.with_lane, both.without):
        refused = exchange(way, [request(headers=(kind, f"x-api-key: {key}"))], answers=1)
        assert b" 429 " in refused
        assert b"retry-after: " in refused
