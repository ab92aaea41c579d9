"""What one caller does with its connections costs the others nothing: slow, silent, lying, too many, gone."""

from __future__ import annotations

import asyncio
import json
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
import uvloop

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.app import create_app
from rasen_serving.connections import HEAD_MAX_BYTES, Guard, GuardedProtocol, allow_connections, guarded
from rasen_serving.fast_lane import FastLaneProtocol
from stand.app import App
from stand.serving import wait_until
from stand.versions import publish_and_deploy

BODY = json.dumps({"rows": [{"origin": "JFK", "hour": 7}]}).encode()
HEAD = b"POST /endpoints/demand/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GOOD = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
PATIENCE = 0.6
"""Seconds for a head and for a body here; the sweep looks every 20 ms."""


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave the signals to pytest."""


@dataclass
class Running:
    """A server in a thread of this process."""

    port: int
    guard: Guard
    server: _Server
    app: App

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, data: bytes = GOOD) -> tuple[int, dict[str, str], Any]:
        with closing(self.connect()) as connection:
            connection.sendall(data)
            return read_answer(connection)

    def connections(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(
        home=tmp_path_factory.mktemp("home"),
        environment="dev",
        max_body_bytes=3000,
        header_seconds=PATIENCE,
        body_seconds=PATIENCE,
        max_connections=300,
    )
    store = open_store(settings)
    publish_and_deploy(store, settings, number=1, pipeline="demand")
    app = App(store, settings)
    app.bring_up()
    return app


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "route"])
def running(request: pytest.FixtureRequest, app: App) -> Iterator[Running]:
    guard = Guard(app.service.settings, count=app.service.count_refusal, sweep_seconds=0.02)
    protocol = (
        guarded(FastLaneProtocol, guard, service=app.service)
        if request.param
        else guarded(GuardedProtocol, guard)
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
    )  # handed down: answers do not hide in the kernel
    config = uvicorn.Config(
        create_app(app.service), http=protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = _Server(config)

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.Loop) as runner:
            runner.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    wait_until(lambda: server.started)
    yield Running(port=port, guard=guard, server=server, app=app)
    server.should_exit = True
    thread.join()


@pytest.fixture(autouse=True)
def _nothing_is_left(running: Running) -> Iterator[None]:
    """Check after each test that no connection is kept or looked after that is gone."""
    yield
    wait_until(lambda: running.connections() == 0)
    guard = running.guard
    wait_until(lambda: not (guard.quiet or guard.receiving or guard.unread or guard.leaving))


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and JSON of one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, f"hung up after {head!r}"
        head += byte
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    body = b""
    while len(body) < int(headers["content-length"]):
        more = connection.recv(int(headers["content-length"]) - len(body))
        assert more, "hung up in the middle of an answer"
        body += more
    return int(first.split()[1]), headers, json.loads(body)


def is_cut(connection: socket.socket) -> bool:
    """Return whether the other side has hung up; waits for it for a while."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def code_of(answer: tuple[int, dict[str, str], Any]) -> tuple[int, str]:
    status, headers, document = answer
    assert headers["content-type"] == "application/json"
    return status, document["error"]["code"]


# --- slow ones --------------------------------------------------------------------------------------------------------


def test_slow_senders_are_cut_and_the_others_are_answered_meanwhile(running: Running) -> None:
    beginnings = [b"", b"\r\n", b"P", HEAD, HEAD + b"content-length: 40\r\n\r\n", GOOD[:-1]]
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(running.connect())) for _ in range(200)]
        for number, connection in enumerate(slow):
            connection.sendall(beginnings[2 + number % 4])
        good = stack.enter_context(closing(running.connect()))
        answered = 0
        left = set(slow)
        deadline = time.monotonic() + 20
        while left:
            assert time.monotonic() < deadline, f"{len(left)} of 200 slow senders are still there"
            good.sendall(GOOD)
            assert read_answer(good)[0] == 200
            answered += 1
            readable, _, _ = select.select(list(left), [], [], 0)
            for connection in readable:
                assert code_of(read_answer(connection)) == (408, "too_slow")
                assert is_cut(connection)
                left.discard(connection)
        assert answered > 10


@pytest.mark.parametrize("beginning", [b"P", HEAD + b"x: ", HEAD + b"content-length: 999\r\n\r\n"])
def test_a_trickle_moves_no_deadline(running: Running, beginning: bytes) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(beginning)
        began = time.monotonic()
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"O" if beginning == b"P" and began else b" ")
            assert time.monotonic() - began < 20
        status, _, document = read_answer(connection)
        # A trickled method is no method at some point; anything else is waited for.
        assert status in (408, 400) if beginning == b"P" else status == 408
        assert document["error"]["message"]


def test_a_head_and_a_body_have_their_time_each(running: Running) -> None:
    with closing(running.connect()) as connection:
        for part in (HEAD[:30], HEAD[30:] + b"content-length: %d\r\n\r\n" % len(BODY)):
            connection.sendall(part)
            wait_until(lambda: bool(running.guard.receiving))
            assert not select.select([connection], [], [], PATIENCE * 0.6)[0]
        connection.sendall(BODY)
        assert read_answer(connection)[0] == 200
        connection.sendall(GOOD)  # and a kept-alive connection begins anew
        assert read_answer(connection)[0] == 200


def test_a_body_that_never_ends_in_chunks_is_refused_for_its_size(running: Running) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        connection.sendall((b"3e8\r\n" + b" " * 1000 + b"\r\n") * 4)
        assert code_of(read_answer(connection)) == (413, "body_too_large")
        assert is_cut(connection)  # what follows is not waited for, either


def test_chunks_that_trickle_are_cut(running: Running) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"1\r\n \r\n")
        assert code_of(read_answer(connection)) == (408, "too_slow")


def test_who_does_not_take_his_answers_is_cut(running: Running) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(request * 30)
        wait_until(lambda: bool(running.guard.unread))
        assert running.ask()[0] == 200
        wait_until(lambda: running.connections() == 0)


def test_predictions_that_nobody_takes_are_made_only_so_far(running: Running) -> None:
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.setblocking(False)

        def flood() -> bool:
            try:
                while True:
                    connection.send(GOOD)
            except BlockingIOError:
                return bool(running.guard.unread)
            except ConnectionError:
                return True

        wait_until(flood)
        assert running.ask()[0] == 200
        wait_until(lambda: running.connections() == 0)


# --- silent ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beginning", [b"", b"\r\n", GOOD, LIVE])
def test_a_quiet_connection_is_kept_for_its_time_and_no_longer(running: Running, beginning: bytes) -> None:
    guard = running.guard
    guard.keep_alive_seconds = 0.3
    try:
        with closing(running.connect()) as connection:
            connection.sendall(beginning)
            if beginning.strip():
                assert read_answer(connection)[0] == 200
            began = time.monotonic()
            while not select.select([connection], [], [], 0.05)[0]:
                if not beginning.strip():
                    connection.sendall(b"\r\n")  # says nothing, and so wins no time
                assert time.monotonic() - began < 20
            assert is_cut(connection)
            assert time.monotonic() - began > 0.2
    finally:
        guard.keep_alive_seconds = 75.0


def test_many_quiet_connections_cost_nobody_anything(running: Running) -> None:
    with ExitStack() as stack:
        quiet = [stack.enter_context(closing(running.connect())) for _ in range(250)]
        for connection in quiet:
            connection.sendall(GOOD)
        for connection in quiet:
            assert read_answer(connection)[0] == 200
        assert not running.guard.receiving
        assert running.ask()[0] == 200
        quiet[17].sendall(GOOD)
        assert read_answer(quiet[17])[0] == 200


# --- liars ------------------------------------------------------------------------------------------------------------


def test_a_length_that_promises_more_is_waited_for_and_cut(running: Running) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (len(BODY) + 1) + BODY)
        assert code_of(read_answer(connection)) == (408, "too_slow")


def test_a_length_that_promises_less_makes_the_rest_a_bad_request(running: Running) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(HEAD + b"content-length: 2\r\n\r\n" + b"{}" + BODY)
        statuses = [read_answer(connection)[0]]
        if statuses != [400]:
            statuses.append(read_answer(connection)[0])
        assert statuses[-1] == 400
        assert is_cut(connection)


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        HEAD + b"content-length: -2\r\n\r\n{}",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_in_our_shape(running: Running, request_: bytes) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(request_)
        assert code_of(read_answer(connection)) == (400, "malformed")
        assert is_cut(connection)


def test_a_head_without_end_is_a_431(running: Running) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(HEAD)
        for _ in range(HEAD_MAX_BYTES // 1000 + 3):
            connection.sendall(b"x-more: %b\r\n" % (b"y" * 990))
        assert code_of(read_answer(connection)) == (431, "head_too_large")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate, gzip"])
def test_a_compressed_body_is_a_415(running: Running, encoding: bytes) -> None:
    request = HEAD + b"content-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (encoding, len(BODY)) + BODY
    assert code_of(running.ask(request)) == (415, "unsupported_content_type")


def test_a_body_of_ten_times_the_limit_is_a_413_that_arrives(running: Running) -> None:
    size = 30_000
    answer = running.ask(HEAD + b"content-length: %d\r\n\r\n" % size + b" " * size)
    assert code_of(answer) == (413, "body_too_large")


# --- unusual ones -----------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    with closing(running.connect()) as connection:
        requests = [GOOD.replace(b"host: x", b"host: x\r\nx-request-id: %d" % number) for number in range(30)]
        connection.sendall(b"".join(requests[:20]) + requests[20][:60])
        answers = [read_answer(connection) for _ in range(20)]
        connection.sendall(requests[20][60:] + b"".join(requests[21:]))
        answers += [read_answer(connection) for _ in range(10)]
    assert [headers["x-request-id"] for _, headers, _ in answers] == [str(number) for number in range(30)]
    assert {status for status, _, _ in answers} == {200}


@pytest.mark.parametrize("count", [1, 3])
def test_who_says_that_he_sends_no_more_still_gets_his_answers(running: Running, count: int) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(GOOD * count)
        connection.shutdown(socket.SHUT_WR)
        assert [read_answer(connection)[0] for _ in range(count)] == [200] * count
        assert is_cut(connection)


@pytest.mark.parametrize("part", [HEAD, GOOD[:-3], HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab"])
def test_who_hangs_up_in_the_middle_gets_none(running: Running, part: bytes) -> None:
    with closing(running.connect()) as connection:
        connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""


def test_a_wish_for_another_protocol_is_answered_in_this_one(running: Running) -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    wish = GOOD.replace(b"host: x\r\n", b"host: x\r\n" + upgrade)
    for parts in ([wish + GOOD + LIVE], [wish[:-20], wish[-20:-3], wish[-3:], GOOD + LIVE]):
        with closing(running.connect()) as connection:
            for part in parts:
                connection.sendall(part)
            for _ in range(2):
                status, _, document = read_answer(connection)
                assert (status, document["predictions"]) == (200, [7.0])
            assert read_answer(connection)[0] == 200


# --- too many ---------------------------------------------------------------------------------------------------------


def test_over_the_limit_there_is_a_503_and_health_all_the_same(running: Running) -> None:
    most = running.guard.max_connections
    with ExitStack() as stack:
        held = [stack.enter_context(closing(running.connect())) for _ in range(most)]
        held[-1].sendall(GOOD)
        assert read_answer(held[-1])[0] == 200
        refused = running.ask()
        assert code_of(refused) == (503, "overloaded")
        assert refused[1]["retry-after"] == "1"
        assert refused[1]["connection"] == "close"
        assert f"{most} connections" in refused[2]["error"]["message"]
        status, headers, _ = running.ask(LIVE)
        assert (status, headers["connection"]) == (200, "close")
        # Far over it not even health is answered: nothing is read any more.
        spare = [stack.enter_context(closing(running.connect())) for _ in range(140)]
        assert code_of(read_answer(spare[-1])) == (503, "overloaded")
    wait_until(lambda: running.connections() == 0)
    assert running.ask()[0] == 200


def test_who_was_turned_away_is_counted(running: Running) -> None:
    series = running.app.service.counts.series

    def count() -> int:
        return sum(one.requests for one in series() if one.status == 400)

    before = count()
    running.ask(b"nonsense\r\n\r\n")
    assert count() == before + 1


@pytest.fixture
def _file_limit() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("_file_limit")
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    assert allow_connections(100) == 100
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 100
    if hard != resource.RLIM_INFINITY:
        possible = allow_connections(hard)
        assert 0 < possible < hard
        assert f"at most {possible} connections" in caplog.text
