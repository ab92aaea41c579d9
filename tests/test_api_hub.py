"""JupyterHub's users at the control API: whom the Hub knows may ask, and a browser logs in there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from rasen.api.hub import REMEMBERED_SECONDS, HubAccess, local_path
from rasen.errors import PlatformFailed
from stand.control import ControlHome, encode, write_shop
from stand.hub import SCOPE, Hub, running_hub

auth = pytest.importorskip("jupyterhub.services.auth")
PREFIX = "/services/rasen/"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def home(hub: Hub, tmp_path: Path) -> ControlHome:
    client = auth.HubOAuth(
        api_url=hub.url,
        api_token=hub.api_token,
        oauth_client_id=hub.client_id,
        base_url=PREFIX,
        access_scopes={SCOPE},
        cache_max_age=REMEMBERED_SECONDS,
    )
    return ControlHome(tmp_path / "home", hub=HubAccess(client), api_access="hub")


def test_whom_the_hub_knows_and_allows_may_ask(home: ControlHome, hub: Hub, tmp_path: Path) -> None:
    body = {"folder": "shop", "files": encode(write_shop(tmp_path)), "request": "hers"}
    assert home.ask("POST", "/v1/runs", json=body, token="token-of-ann").status_code == 202
    (waiting,) = home.ask("GET", "/v1/runs", token="token-of-ann").json()["waiting"]
    assert waiting["by"] == "ann"
    assert hub.asked == 1, "the Hub is asked once a minute"
    forbidden = home.ask("GET", "/v1/runs", token="token-of-bob")
    assert (forbidden.status_code, SCOPE in forbidden.text) == (403, True)
    assert home.ask("GET", "/v1/runs", token="guess").status_code == 401
    assert home.ask("GET", "/v1/runs").status_code == 401, "the machine's own token is not the Hub's"
    assert home.ask("GET", "/v1/runs", token="").status_code == 401
    assert home.ask("GET", "/v1/health", token="").status_code == 200
    form = home.ask("GET", "/v1/runs", token="", headers={"Authorization": "token token-of-ann"})
    assert form.status_code == 200, "the Hub's own form of the header"


def test_a_hub_that_is_down_is_no_refusal_of_the_user(home: ControlHome, hub: Hub) -> None:
    hub.down = True
    down = home.ask("GET", "/v1/runs", token="token-of-ann")
    assert (down.status_code, down.json()["error"]["code"]) == (503, "unavailable")
    hub.down = False
    assert home.ask("GET", "/v1/runs", token="token-of-ann").status_code == 200
    hub.down = True
    assert home.ask("GET", "/v1/runs", token="token-of-ann").status_code == 200, "remembered for a minute"


def test_a_browser_logs_in_and_may_look(home: ControlHome, hub: Hub) -> None:
    sent = home.ask("GET", f"{PREFIX}docs", token="")
    assert sent.status_code == 302
    query = parse_qs(urlsplit(sent.headers["Location"]).query)
    assert query["client_id"] == [hub.client_id]
    assert query["code_challenge_method"] == ["S256"]
    cookie = sent.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", f"Path={PREFIX}"))
    kept = cookie.partition(";")[0]
    (state,) = query["state"]
    hub.challenges["code-1"] = query["code_challenge"][0]

    back = f"{PREFIX}oauth_callback?code=code-1&state={state}"
    for wrong in (  # another browser, a state that somebody made up, none
        home.ask("GET", back, token=""),
        home.ask("GET", f"{PREFIX}oauth_callback?code=code-1&state=x", token="", headers={"Cookie": kept}),
        home.ask("GET", f"{PREFIX}oauth_callback?code=code-1", token="", headers={"Cookie": kept}),
        home.ask("GET", back, token="", headers={"Cookie": "rasen-login=abc"}),
    ):
        assert wrong.status_code == 401
        assert "rasen-hub" not in wrong.headers.get("Set-Cookie", "")
    done = home.ask("GET", back, token="", headers={"Cookie": kept})
    assert (done.status_code, done.headers["Location"]) == (302, f"{PREFIX}docs")
    session = next(
        one.partition(";")[0] for one in done.headers.get_list("Set-Cookie") if one.startswith("rasen-hub=")
    )
    assert home.ask("GET", back, token="", headers={"Cookie": kept}).status_code in {401, 503}, (
        "a code is good once"
    )

    for path in ("docs", "openapi.json", "v1/runs"):
        assert home.ask("GET", PREFIX + path, token="", headers={"Cookie": session}).status_code == 200
    # No other page can act in his name: what changes anything needs the header.
    refused = home.ask(
        "POST", f"{PREFIX}v1/runs", token="", headers={"Cookie": session}, json={"pipeline": "shop"}
    )
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example/", "//evil.example", "/services/rasen/../../hub", "/services/rasen/\\evil"),
        *("/services/rasen/\nSet-Cookie: x", "/elsewhere", ""),
    ],
)
def test_a_login_leads_back_to_this_service_only(path: str) -> None:
    assert local_path(path, PREFIX) == f"{PREFIX}docs"
    assert local_path(f"{PREFIX}docs", PREFIX) == f"{PREFIX}docs"


def test_without_a_hub_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PlatformFailed, match="needs what JupyterHub gives its services"):
        ControlHome(tmp_path / "home", api_access="hub")
