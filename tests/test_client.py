"""The Python client against a real service, and against one that fails in all the ways a service can."""

import asyncio
import json
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rasen
from rasen.client_messages import Prediction, Retries, request_body, request_headers
from rasen.errors import (
    AccessRefused,
    InvalidInput,
    ModelFailed,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
)
from rasen.local.processes import free_port
from rasen.tracking.access_keys import create_key, revoke_key
from rasen.tracking.signature import Role, open_signer
from stand.serving import Server, new_settings, running_server, wait_until
from stand.versions import publish_and_deploy

ROW = {"origin": "JFK", "hour": 7}

# --- a real service ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(
        tmp_path_factory.mktemp("home"), environment="dev", serving_workers=1, access="keys"
    )
    with running_server(settings) as server:
        publish_and_deploy(server.store, settings, number=2)
        publish_and_deploy(server.store, settings, number=1, pipeline="delay")
        for endpoint in ("demand", "delay"):
            server.wait_revision(endpoint, 1)
        yield server


def new_key(server: Server, **options: Any) -> tuple[str, str]:
    """Return id and text of a key that the service knows by now."""
    key, text = create_key(
        server.store,
        open_signer(server.settings, Role.CONTROL),
        name="test",
        environment="dev",
        by="me",
        now=datetime.now(tz=UTC),
        **options,
    )

    def known() -> bool:
        with rasen.Client(server.url, api_key=text) as client, suppress(AccessRefused):
            client.endpoints()
            return True
        return False

    wait_until(known)
    return key.id, text


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[rasen.Client]:
    with rasen.Client(server.url, api_key=new_key(server)[1]) as client:
        yield client


@pytest.mark.parametrize(
    "rows",
    [
        [ROW, ROW | {"hour": 18}],
        (ROW, {"origin": "EWR", "hour": np.int64(18)}),
        {"origin": ["JFK", "EWR"], "hour": [7, 18]},
        {"origin": pd.Series(["JFK", "EWR"]), "hour": np.array([7, 18])},
        pd.DataFrame({"origin": ["JFK", "EWR"], "hour": [7, 18]}),
        pd.DataFrame({"hour": [7, 18], "origin": pd.Categorical(["JFK", "EWR"])}, index=[5, 9]),
    ],
    ids=["rows", "numpy-in-rows", "columns", "arrays", "frame", "categories"],
)
def test_rows_of_every_form_are_predicted(client: rasen.Client, rows: Any) -> None:
    answer = client.predict("demand", rows, request_id="mine-1")
    assert answer.predictions == [14.0, 36.0]
    assert (answer.source, answer.request_id, answer.revision, answer.variant) == ("model", "mine-1", 1, "")
    assert answer.model == client.describe("demand").model


def test_endpoints_are_listed_and_described(client: rasen.Client) -> None:
    assert [(one.endpoint, one.live) for one in client.endpoints()] == [("delay", True), ("demand", True)]
    told = client.describe("demand")
    assert told.schema.names == ("origin", "hour")
    assert client.predict("demand", told.example).predictions == told.example_predictions


def test_what_does_not_fit_is_named_field_by_field(client: rasen.Client) -> None:
    with pytest.raises(RequestRefused, match=r"rows\.0\.hour") as caught:
        client.predict("demand", [{"origin": None, "hour": "seven"}], request_id="mine-2")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.status, error.code, error.request_id) == (422, "invalid_input", "mine-2")
    assert {path for path, _ in error.fields} == {("rows", 0, "origin"), ("rows", 0, "hour")}


def test_an_unknown_endpoint_is_not_found(client: rasen.Client) -> None:
    with pytest.raises(NotFound, match="'delay', 'demand'"):
        client.predict("demands", [ROW])
    for name in ("../livez", "", "Demand"):
        with pytest.raises(InvalidInput, match="not usable"):
            client.predict(name, [ROW])


def test_keys_open_what_they_are_for_and_are_shut_out_while_it_serves(server: Server) -> None:
    key_id, text = new_key(server, endpoints=["demand"])
    with rasen.Client(server.url, api_key=text) as client:
        assert client.predict("demand", [ROW]).predictions == [14.0]
        with pytest.raises(AccessRefused, match="may not ask endpoint 'delay'") as caught:
            client.predict("delay", [ROW])
        assert (caught.value.status, caught.value.code) == (403, "forbidden")
        revoke_key(
            server.store,
            open_signer(server.settings, Role.CONTROL),
            key_id,
            by="me",
            now=datetime.now(tz=UTC),
        )

        def refused() -> bool:
            try:
                client.predict("demand", [ROW])
            except AccessRefused as error:
                return "revoked" in str(error)
            return False

        wait_until(refused)
    with rasen.Client(server.url) as nobody, pytest.raises(AccessRefused, match="API key"):
        nobody.predict("demand", [ROW])


def test_a_rate_is_waited_for_or_told(server: Server) -> None:
    _, text = new_key(server, rate="3/minute")  # one was taken to see that it is known
    with rasen.Client(server.url, api_key=text, retry_seconds=0.5) as client:
        client.predict("demand", [ROW])
        client.predict("demand", [ROW])
        with pytest.raises(ServiceUnavailable, match="3/minute"):
            client.predict("demand", [ROW])


def test_no_key_is_in_what_is_printed(server: Server, client: rasen.Client) -> None:
    assert "rasen_" not in repr(client)
    assert "rasen_" not in server.log()


def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    _, text = new_key(server)

    async def ask() -> tuple[list[list[Any]], list[str], str]:
        async with rasen.AsyncClient(server.url, token=lambda: text) as client:
            answers = await asyncio.gather(
                *(client.predict("demand", [ROW | {"hour": hour}]) for hour in range(20))
            )
            with pytest.raises(RequestRefused, match="hour"):
                await client.predict("demand", [{"origin": "JFK"}])
            listed = await client.endpoints()
            told = await client.describe("delay")
        return [one.predictions for one in answers], [one.endpoint for one in listed], told.endpoint

    answers, listed, told = asyncio.run(ask())
    assert answers == [[2.0 * hour] for hour in range(20)]
    assert listed == ["delay", "demand"]
    assert told == "delay"


# --- a service that fails ---------------------------------------------------------------------------------------------

Scripted = tuple[int, dict[str, str], Any]
GOOD: Scripted = (200, {}, {"predictions": [1.0], "source": "model", "model": "r", "request_id": "i"})


def failing(status: int, code: str, **headers: str) -> Scripted:
    return status, headers, {"error": {"code": code, "message": f"it is {code}", "fields": []}}


@dataclass
class Script:
    """Answers one request after the other as written down; `None` hangs up without an answer."""

    url: str = ""
    answers: list[Scripted | None] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            script.asked.append({name.lower(): value for name, value in self.headers.items()})
            script.connections.add(self.client_address[1])
            answer = script.answers.pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, headers, document = answer
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def ask_plainly(url: str, **options: Any) -> Prediction:
    with rasen.Client(url, **options) as client:
        return client.predict("demand", [ROW])


def ask_asynchronously(url: str, **options: Any) -> Prediction:
    async def ask() -> Prediction:
        async with rasen.AsyncClient(url, **options) as client:
            return await client.predict("demand", [ROW])

    return asyncio.run(ask())


Ask = Callable[..., Prediction]
both = pytest.mark.parametrize("ask", [ask_plainly, ask_asynchronously])


@both
@pytest.mark.parametrize(
    "passing",
    [
        None,
        failing(503, "overloaded", retry_after="0"),
        failing(429, "rate_exceeded", retry_after="0"),
        (503, {"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"<html>a proxy's</html>"),
    ],
    ids=["hung-up", "503", "429", "a-date"],
)
def test_what_passes_is_tried_again(script: Script, ask: Ask, passing: Scripted | None) -> None:
    script.answers = [passing, passing, GOOD]
    assert ask(script.url).predictions == [1.0]
    assert len(script.asked) == 3


@both
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failing(400, "malformed"), RequestRefused),
        (failing(401, "unauthenticated", retry_after="0"), AccessRefused),
        (failing(403, "forbidden"), AccessRefused),
        (failing(404, "not_found"), NotFound),
        (failing(413, "too_many_rows"), RequestRefused),
        (failing(422, "invalid_input"), RequestRefused),
        (failing(500, "internal", retry_after="0"), ServiceUnavailable),
        (failing(503, "model_failed"), ModelFailed),
        (failing(503, "not_ready"), ServiceUnavailable),
        ((502, {}, b"<html>bad gateway</html>"), ServiceUnavailable),
        ((302, {"location": "http://127.0.0.1:9/"}, b""), RequestRefused),
        ((200, {}, b"<html>welcome</html>"), ServiceUnavailable),
        ((200, {}, []), ServiceUnavailable),
        ((200, {}, {"predictions": [1.0]}), ServiceUnavailable),
        ((422, {}, {"error": {"code": 1}}), RequestRefused),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    script: Script, ask: Ask, answer: Scripted, kind: type[Exception]
) -> None:
    script.answers = [answer]
    with pytest.raises(kind) as caught:
        ask(script.url)
    assert type(caught.value) is kind
    assert len(script.asked) == 1


@both
def test_a_service_that_is_not_there_is_unavailable_with_its_address(ask: Ask) -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(ServiceUnavailable, match=url):
        ask(url, retry_seconds=0.3)


@both
def test_a_wait_that_is_too_long_is_not_begun(script: Script, ask: Ask) -> None:
    script.answers = [failing(503, "overloaded", retry_after="60")]
    with pytest.raises(ServiceUnavailable, match="overloaded"):
        ask(script.url, retry_seconds=5)
    assert len(script.asked) == 1


def test_an_answer_that_takes_too_long_is_not_asked_for_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
            ask_plainly(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.1)
        listener.accept()[0].close()
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):  # it came once
            listener.accept()


def test_connections_are_kept_and_headers_are_sent(script: Script) -> None:
    script.answers = [GOOD] * 3
    tokens = iter(["one", "two", "three"])
    with rasen.Client(script.url + "/", token=lambda: next(tokens)) as client:
        for number in range(3):
            client.predict("demand", [ROW], routing_key=f"user-{number}", variant="challenger")
    assert len(script.connections) == 1
    assert [one["authorization"] for one in script.asked] == ["Bearer one", "Bearer two", "Bearer three"]
    assert [one["x-rasen-routing-key"] for one in script.asked] == ["user-0", "user-1", "user-2"]
    assert {one["x-rasen-variant"] for one in script.asked} == {"challenger"}
    assert "x-request-id" not in script.asked[0]


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_pauses_grow_and_end() -> None:
    now = 0.0
    retries = Retries(10.0, clock=lambda: now, jitter=lambda: 1.0)
    pauses = []
    while (pause := retries.pause(0.0)) is not None:
        pauses.append(pause)
        now += pause
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert Retries(10.0, clock=lambda: now).pause(4.0) == 4.0
    assert Retries(10.0, clock=lambda: now).pause(11.0) is None
    assert Retries(0.0, clock=lambda: now).pause(0.0) is None


def test_a_frame_is_sent_as_json_has_it() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2013-01-31", "NaT"]),
            "at": pd.to_datetime(["2013-01-31T06:00:00Z", "NaT"]),
            "delay": [20.5, None],
            "kind": pd.Categorical(["short", None]),
            "first": pd.array([True, None], dtype="boolean"),
        }
    )
    assert json.loads(request_body(frame)) == {
        "columns": {
            "day": ["2013-01-31", None],
            "at": ["2013-01-31T06:00:00Z", None],
            "delay": [20.5, None],
            "kind": ["short", None],
            "first": [True, None],
        }
    }
    row = {"day": date(2013, 1, 31), "at": datetime(2013, 1, 31, 6, tzinfo=UTC), "n": np.float32(0.5)}
    assert json.loads(request_body([row])) == {
        "rows": [{"day": "2013-01-31", "at": "2013-01-31T06:00:00+00:00", "n": 0.5}]
    }


@pytest.mark.parametrize(
    "rows",
    [None, 7, "rows", b"rows", [{"hour": float("nan")}], [{"hour": float("inf")}], [{"hour": object()}]],
)
def test_what_json_has_no_word_for_is_not_sent(rows: Any) -> None:
    with pytest.raises(InvalidInput):
        request_body(rows)


@pytest.mark.parametrize("value", ["two\r\nlines", "müller", "x" * 300])
def test_what_cannot_stand_in_a_header_is_not_sent(value: str) -> None:
    with pytest.raises(InvalidInput, match="x-rasen-routing-key"):
        request_headers(credential="", routing_key=value)


@pytest.mark.parametrize("options", [{"url": "predictions"}, {"api_key": "a", "token": lambda: "b"}])
def test_a_client_that_cannot_work_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        rasen.Client(**({"url": "http://127.0.0.1"} | options))
