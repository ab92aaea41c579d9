"""Who may ask: keys and tokens are checked, kept, revoked; nobody is let in by accident."""

import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from rasen.errors import InvalidInput
from rasen.settings import platform_environment
from rasen.store import open_store
from rasen.tracking.access_keys import (
    KEY_PREFIX,
    parse_rate,
)
from rasen.tracking.keys import revocation_key
from rasen_serving import access
from rasen_serving.access import OPEN_PATHS, Access
from rasen_serving.access_watch import check_access
from rasen_serving.log import Entry, PredictionLog
from rasen_serving.rates import Bucket
from rasen_serving.refusals import Forbidden, RateExceeded, Unauthenticated, headers_of, status_of
from stand.app import App
from stand.door import ISSUER, JWT, ROW, Door, id_of, new_settings, of_headers
from stand.versions import publish_and_deploy


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(new_settings(tmp_path, access="keys"))


def test_a_known_key_is_let_in_by_each_header(door: Door) -> None:
    text = door.create()
    door.look()
    basic = base64.b64encode(f"anybody:{text}".encode()).decode()
    for headers in (
        [(b"authorization", f"Bearer {text}".encode())],
        [(b"authorization", f"bearer  {text}".encode())],
        [(b"authorization", f"Basic {basic}".encode())],
        [(b"x-api-key", text.encode())],
        [(b"authorization", b"Bearer of.something.else"), (b"x-api-key", text.encode())],
    ):
        assert door.access.admit("demand", of_headers(headers)) == id_of(text)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff").decode(),
        "Digest x",
        "Bearer rasen_",
        "Bearer rasen_000000000000.x",
        "Bearer a.b.c",
        "ApiKey \xff",
        "IAP x",
    ],
)
def test_everybody_else_is_a_401_that_says_what_to_send(door: Door, authorization: str) -> None:
    door.create()
    door.look()
    with pytest.raises(Unauthenticated) as caught:
        door.access.admit("demand", authorization)
    assert status_of(caught.value) == 401
    ways = headers_of(caught.value)["WWW-Authenticate"]
    assert ways.startswith('Basic realm="rasen"')  # a browser asks for the key only when this is the first
    assert "Bearer" in ways


def test_another_secret_of_a_known_key_is_refused(door: Door) -> None:
    text = door.create()
    door.look()
    for wrong in (text[:-1], text + "x", f"{KEY_PREFIX}{id_of(text)}.", text.upper()):
        with pytest.raises(Unauthenticated):
            door.access.admit("demand", f"Bearer {wrong}")


def test_no_message_tells_a_secret(door: Door) -> None:
    text = door.create(endpoints=["demand"], lifetime=timedelta(seconds=-1))
    door.look()
    secret = text.partition(".")[2]
    for wrong in (text, f"{KEY_PREFIX}{'0' * 12}.{secret}", f"no.{secret}"):
        with pytest.raises(Unauthenticated) as caught:
            door.access.admit("demand", f"Bearer {wrong}")
        assert secret not in str(caught.value)


def test_a_key_opens_only_its_endpoints(door: Door) -> None:
    text = door.create(endpoints=["demand", "delay"])
    door.look()
    assert door.access.admit("delay", f"Bearer {text}") == id_of(text)
    with pytest.raises(Forbidden, match=r"'price'.*'delay', 'demand'") as caught:
        door.access.admit("price", f"Bearer {text}")
    assert status_of(caught.value) == 403


def test_an_expired_key_is_told_so(door: Door) -> None:
    old = door.create(lifetime=timedelta(seconds=-1))
    soon = door.create(lifetime=timedelta(days=1))
    door.look()
    door.access.admit("demand", f"Bearer {soon}")
    with pytest.raises(Unauthenticated, match="expired"):
        door.access.admit("demand", f"Bearer {old}")
    door.now += 2 * 86400
    for _ in range(2):  # remembered, then looked up anew
        with pytest.raises(Unauthenticated, match="expired"):
            door.access.admit("demand", f"Bearer {soon}")


def test_a_revoked_key_is_refused_and_the_new_one_is_not(door: Door) -> None:
    old, new = door.create(), door.create()
    door.look()
    for text in (old, new):
        door.access.admit("demand", f"Bearer {text}")
    door.revoke(old)
    door.look()
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("demand", f"Bearer {old}")
    assert door.access.admit("demand", f"Bearer {new}") == id_of(new)


def test_a_revocation_that_is_not_believed_closes_the_door_all_the_same(door: Door) -> None:
    text = door.create()
    door.look()
    door.store.write(revocation_key(id_of(text)), b"junk")
    door.look(thorough=True)
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("demand", f"Bearer {text}")


def test_open_means_everybody(tmp_path: Path) -> None:
    door = Access(new_settings(tmp_path))
    assert door.is_open
    assert door.admit("demand", "") == ""
    assert door.identify("Bearer junk").may_ask("demand")


def test_what_is_remembered_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_REMEMBERED_MOST", 3)
    texts = [door.create(rate="5/second") for _ in range(6)]
    door.look()
    for text in [*texts, *texts]:
        door.access.admit("demand", f"Bearer {text}")


def test_who_asks_too_often_is_told_when_to_come_again(door: Door) -> None:
    text = door.create(rate="3/minute")
    door.look()
    for _ in range(3):
        door.access.admit("demand", f"Bearer {text}")
    with pytest.raises(RateExceeded, match="3/minute") as caught:
        door.access.admit("demand", f"ApiKey {text}")  # another header is not another caller
    assert status_of(caught.value) == 429
    assert 1 <= int(headers_of(caught.value)["Retry-After"]) <= 20
    door.look()  # news about other keys fill no bucket
    with pytest.raises(RateExceeded):
        door.access.admit("demand", f"Bearer {text}")


def test_a_bucket_fills_evenly_and_never_over() -> None:
    now = 100.0
    bucket = Bucket("120/minute", shares=2, clock=lambda: now)  # one a second
    assert [bucket.take() for _ in range(60)] == [0.0] * 60
    assert bucket.take() == pytest.approx(1.0)
    now += 2.0
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]
    now += 1e6
    assert sum(bucket.take() == 0 for _ in range(100)) == 60


def test_a_share_of_a_small_rate_still_lets_a_request_through() -> None:
    assert Bucket("1/day", shares=64).take() == 0.0


@pytest.mark.parametrize("text", ["20/second", "1000/minute", "5000/hour", "9/day"])
def test_rates_are_read(text: str) -> None:
    assert f"{parse_rate(text).requests}/" in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_nobody_serves_everybody_by_accident(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="RASEN_ACCESS"):
        check_access(new_settings(tmp_path, host=host))
    check_access(new_settings(tmp_path, host=host, access="keys"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_may_be_open(tmp_path: Path, host: str) -> None:
    check_access(new_settings(tmp_path, host=host))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access": "jwt"}, "RASEN_JWT_ISSUER"),
        ({"access": "jwt", "jwt_issuer": ISSUER}, "RASEN_JWT_AUDIENCE"),
        ({"access": "keys,jwt", **JWT}, "RASEN_JWT_KEYS"),
        ({"access": "jwt", **JWT, "jwt_keys": "http://issuer.example/keys"}, "https"),
        ({"access": "jwt", **JWT, "jwt_keys": "file:///etc/keys"}, "https"),
        ({"access": "jwt", **JWT, "jwt_keys": "/k", "jwt_rate": "often"}, "RASEN_JWT_RATE"),
    ],
)
def test_tokens_need_complete_settings(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_access(new_settings(tmp_path, **changes))


@pytest.mark.parametrize("access", ["", "open,keys", "keys,keys", "password"])
def test_access_is_one_of_four(tmp_path: Path, access: str) -> None:
    with pytest.raises(InvalidInput, match="RASEN_ACCESS"):
        new_settings(tmp_path, access=access)


def test_access_survives_the_way_to_a_child_process(tmp_path: Path) -> None:
    assert platform_environment(new_settings(tmp_path, access="keys, jwt"))["RASEN_ACCESS"] == "keys,jwt"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[App, Door]:
    """An app with two endpoints that asks for keys."""
    settings = new_settings(tmp_path_factory.mktemp("home"), access="keys")
    store = open_store(settings)
    for pipeline in ("demand", "delay"):
        publish_and_deploy(store, settings, number=1, pipeline=pipeline)
    app = App(store, settings)
    app.bring_up()
    door = Door(settings, store)
    door.access = app.service.access
    return app, door


def test_every_route_is_health_or_asks_for_a_key(guarded: tuple[App, Door]) -> None:
    app, _ = guarded
    paths = {route.path for route in app.asgi.routes if isinstance(route, Route)}
    assert {"/endpoints/{endpoint}/predict", "/endpoints", "/docs", "/openapi.json", "/livez"} <= paths
    assert {type(route) for route in app.asgi.routes} <= {Route, APIRoute}, (
        "a mount or a socket needs a look of its own"
    )
    open_to_all = set()
    for path in paths | {"/", "/nothing", "//livez", "/livez/", "/LIVEZ", "/livez/../endpoints"}:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            answer = app.call(
                method, path.replace("{endpoint}", "demand").replace("{name}", "swagger-ui.css")
            )
            if answer.status_code != 401:
                open_to_all.add(path)
            elif method != "HEAD":
                assert "X-Api-Key" in answer.text  # the shape is that of the path's protocol
                if path.startswith("/endpoints") and not path.endswith("/invocations"):
                    assert answer.json()["error"]["code"] == "unauthenticated"
                assert answer.headers["www-authenticate"]
                assert answer.headers["x-request-id"]
    assert open_to_all == OPEN_PATHS


def test_the_body_of_an_unknown_caller_is_not_read(guarded: tuple[App, Door]) -> None:
    app, _ = guarded
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    answer = app.call(
        "POST", "/endpoints/demand/predict", content=body(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 401
    assert read == []


def test_a_key_of_one_endpoint_sees_nothing_of_the_others(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    headers = {"x-api-key": door.create(endpoints=["demand"])}
    door.look()
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    assert app.call("GET", "/endpoints/demand", headers=headers).status_code == 200
    for answer in (
        app.predict("delay", {"rows": [ROW]}, headers=headers),
        app.predict("nothing", {"rows": [ROW]}, headers=headers),
        app.call("GET", "/endpoints/delay", headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"
    listed = app.call("GET", "/endpoints", headers=headers).json()["endpoints"]
    assert [one["endpoint"] for one in listed] == ["demand"]
    document = app.call("GET", "/openapi.json", headers=headers)
    assert "demand.request" in document.text
    assert "delay" not in document.text
    assert document.json()["security"] == [{"key": []}, {"bearer": []}]


def test_a_rate_counts_predictions_and_descriptions_once_each(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    headers = {"authorization": f"Bearer {door.create(rate='3/hour')}"}
    door.look()
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    assert app.call("GET", "/endpoints", headers=headers).status_code == 200
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    for answer in (
        app.predict("demand", {"rows": [ROW]}, headers=headers),
        app.call("GET", "/endpoints/demand", headers=headers),
    ):
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 1
        assert "3/hour" in answer.json()["error"]["message"]


class Recorder(PredictionLog):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)


def test_the_log_names_the_key(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    text = door.create()
    door.look()
    app.service.log = recorder = Recorder()
    try:
        app.predict("demand", {"rows": [ROW]}, headers={"x-api-key": text})
        app.predict("demand", {"rows": [ROW]})
    finally:
        app.service.log = None
    assert [entry.key_id for entry in recorder.entries] == [id_of(text)]


def test_refusals_are_counted(guarded: tuple[App, Door]) -> None:
    app, _ = guarded

    def count() -> int:
        return sum(one.requests for one in app.service.counts.series() if one.status == 401)

    before = count()
    app.predict("demand", {"rows": [ROW]})
    app.call("GET", "/endpoints")
    assert count() == before + 2


def test_the_service_does_not_start_open_to_other_machines(tmp_path: Path) -> None:
    settings = new_settings(tmp_path, host="0.0.0.0", serving_port=0, admin_port=0)
    done = subprocess.run(
        [sys.executable, "-m", "rasen_serving"],
        env=platform_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "RASEN_ACCESS" in done.stderr
