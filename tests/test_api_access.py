"""Who may ask the control API, and what nobody learns from it."""

from __future__ import annotations

import base64
import getpass
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from rasen.api.access import Credential, Door, Known
from rasen.api.refusals import TooManyFailures, Unauthenticated
from rasen.errors import PlatformFailed
from rasen.tracking.api_tokens import create_token, make_api_token, read_api_token, read_tokens, revoke_token
from rasen.tracking.keys import api_token_key
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.control import ControlHome, encode, write_shop

_OPEN = {"/v1/health"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ControlHome:
    return ControlHome(tmp_path_factory.mktemp("access") / "home")


def make_token(
    home: ControlHome, name: str = "ci", *, read_only: bool = False, lifetime: timedelta | None = None
) -> tuple[str, str]:
    token, text = create_token(
        home.store,
        open_signer(home.settings, Role.CONTROL),
        name=name,
        environment="dev",
        by="tests",
        now=datetime.now(tz=UTC) - timedelta(hours=1),
        read_only=read_only,
        lifetime=lifetime,
    )
    return token.id, text


def paths(routes: list[BaseRoute]) -> list[tuple[str, str]]:
    found = []
    for route in routes:
        if isinstance(route, Route | APIRoute):
            found += [(method, route.path) for method in (route.methods or ()) if method != "HEAD"]
        elif (inner := getattr(route, "original_router", None)) is not None:  # a router that was included
            found += paths(inner.routes)
    return found


def test_every_route_but_health_asks_who_is_there(home: ControlHome) -> None:
    inventory = paths(home.app.app.routes)
    assert ("POST", "/v1/runs") in inventory
    assert len(inventory) > 15
    for method, path in inventory:
        filled = path.replace("{", "").replace("}", "").replace(":path", "")
        answer = home.ask(method, filled, token="")
        assert answer.status_code == (200 if path in _OPEN else 401), (method, path)
        if path not in _OPEN:
            assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert home.ask("GET", "/v1/nowhere", token="").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer rasen_0123456789ab.guessed"},
        {"Authorization": "Bearer ../../keys"},
        {"Authorization": f"Bearer {'x' * 5000}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Digest abc"},
        {"Cookie": "rasen-hub=abc"},
    ],
)
def test_what_is_no_token_opens_nothing(home: ControlHome, headers: dict[str, str]) -> None:
    assert home.ask("GET", "/v1/runs", token="", headers=headers).status_code == 401


def test_a_token_in_the_address_is_none(home: ControlHome) -> None:
    for query in ("token", "access_token", "api_key", "authorization"):
        assert home.ask("GET", f"/v1/runs?{query}={home.token}", token="").status_code == 401


def test_names_of_tokens_become_by_and_read_only_ones_start_nothing(
    home: ControlHome, tmp_path: Path
) -> None:
    body = {"folder": "shop", "files": encode(write_shop(tmp_path))}
    _, writer = make_token(home, "ci")
    _, reader = make_token(home, "watcher", read_only=True)
    assert home.ask("POST", "/v1/runs", json=body | {"request": "by-ci"}, token=writer).status_code == 202
    assert home.ask("POST", "/v1/runs", json=body | {"request": "by-me"}).status_code == 202
    refused = home.ask("POST", "/v1/runs", json=body, token=reader)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    waiting = home.ask("GET", "/v1/runs", token=reader).json()["waiting"]
    assert {one["request"]: one["by"] for one in waiting} == {"by-ci": "ci", "by-me": getpass.getuser()}
    run = waiting[0]["run"]
    assert home.ask("POST", f"/v1/runs/{run}/cancel", token=reader).status_code == 403


def test_what_a_browser_sends_by_itself_only_looks(home: ControlHome) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(f"me:{home.token}".encode()).decode()}
    assert home.ask("GET", "/docs", token="", headers=basic).status_code == 200
    assert home.ask("GET", "/v1/runs", token="", headers=basic).status_code == 200
    refused = home.ask("POST", "/v1/runs", token="", headers=basic, json={"pipeline": "shop"})
    assert refused.status_code == 403


def test_expired_revoked_and_forged_tokens_are_refused(home: ControlHome) -> None:
    _, expired = make_token(home, lifetime=timedelta(minutes=30))
    answer = home.ask("GET", "/v1/runs", token=expired)
    assert (answer.status_code, "has expired" in answer.text) == (401, True)
    token_id, revoked = make_token(home)
    signer = open_signer(home.settings, Role.CONTROL)
    assert revoke_token(home.store, signer, token_id, by="tests", now=datetime.now(tz=UTC))
    assert not revoke_token(home.store, signer, token_id, by="tests", now=datetime.now(tz=UTC))
    assert "was revoked" in home.ask("GET", "/v1/runs", token=revoked).text
    forged_id, forged = make_token(home)
    key = api_token_key(forged_id)
    home.store.write(key, home.store.read(key).replace(b'"read_only":false', b'"read_only":null'))
    assert home.ask("GET", "/v1/runs", token=forged).status_code == 401
    _, refused = read_tokens(home.store, load_trust(home.settings), environment="dev")
    assert list(refused) == [forged_id]
    home.store.delete(key)


def test_a_revocation_is_heard_after_two_seconds_and_a_flood_of_guesses_is_stopped() -> None:
    now = [0.0]
    asked: list[str] = []

    class Accounts:
        known = True

        def identify(self, token: str) -> Known:
            asked.append(token)
            if token == "good" and self.known:
                return Known(name="ann")
            raise Unauthenticated("no")

    accounts = Accounts()
    door = Door(accounts, clock=lambda: now[0])
    good = Credential(token="good")
    assert door.recall(good) is None
    assert door.identify(good, address="a").name == "ann"
    accounts.known = False
    now[0] = 1.9
    assert door.recall(good) == Known(name="ann")
    now[0] = 2.1
    assert door.recall(good) is None
    for number in range(30):
        with pytest.raises(Unauthenticated):
            door.identify(Credential(token=f"guess {number}"), address="b")
    heard = len(asked)
    with pytest.raises(TooManyFailures):
        door.identify(Credential(token="guess"), address="b")
    assert len(asked) == heard, "nobody was asked about it"
    accounts.known = True
    assert door.identify(good, address="a").name == "ann"
    now[0] = 65.0
    assert door.identify(good, address="b").name == "ann"


def test_the_machines_own_token_lies_in_a_file_for_its_owner_only(home: ControlHome) -> None:
    path = home.settings.api_token_file
    assert path.stat().st_mode & 0o777 == 0o600
    make_api_token(home.settings)
    assert read_api_token(path) == home.token, "it stays the same over starts"
    path.chmod(0o644)
    try:
        with pytest.raises(PlatformFailed, match="may be read by others"):
            read_api_token(path)
    finally:
        path.chmod(0o600)


def test_answers_let_no_page_use_them(home: ControlHome) -> None:
    for path in ("/v1/health", "/v1/runs", "/v1/nothing", "/docs", "/docs/docs.js"):
        headers = home.ask("GET", path, headers={"Origin": "https://elsewhere.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control-")], "CORS is closed"
    preflight = home.ask("OPTIONS", "/v1/runs", token="", headers={"Origin": "https://elsewhere.example"})
    assert preflight.status_code == 401


def test_no_secret_reaches_the_log_when_the_api_fails(
    home: ControlHome, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = {"Cookie": "session=canary-cookie", "X-Token": "canary-header"}
    monkeypatch.setattr(type(home.store), "children", _fail)
    failed = home.ask("GET", "/v1/runs?token=canary-query&search=x", headers=canaries)
    assert failed.status_code == 500
    assert failed.json()["error"] == {
        "code": "internal",
        "message": "the control API failed; its log has the reason",
        "fields": [],
    }
    logged = "\n".join(
        [*(record.getMessage() for record in caplog.records if record.name != "httpx"), *_tracebacks(caplog)]
    )
    assert "GET /v1/runs 500" in logged
    assert "a fault of ours" in logged
    assert "canary" not in logged
    assert home.token not in logged


def _fail(*_given: object) -> None:
    raise RuntimeError("a fault of ours")


def _tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    show: Callable[..., str] = logging.Formatter().formatException
    return [show(record.exc_info) for record in caplog.records if record.exc_info]
