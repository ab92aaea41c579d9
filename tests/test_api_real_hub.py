"""The control API as a service of a real JupyterHub, through its real proxy: tokens, scopes, a browser's login."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from rasen.local.processes import free_port
from rasen.settings import process_environment
from stand.platform_process import until
from stand.repository import ROOT

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]
PROXY = ROOT / ".cache" / "hub-proxy" / "node_modules" / ".bin"
CONFIGURATION = """
import os
port = {port}
c.JupyterHub.bind_url = f"http://127.0.0.1:{{port}}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "right"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = [
    {{
        "name": "rasen",
        "url": "http://127.0.0.1:{api_port}",
        "command": {command!r},
        "environment": dict(os.environ, RASEN_HOME={home!r}, RASEN_API_ACCESS="hub", RASEN_API_PORT="{api_port}"),
        "oauth_no_confirm": True,
    }},
    {{"name": "tests", "api_token": "token-of-the-tests"}},
]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", "access:services!service=rasen"]}},
    {{"name": "tests", "scopes": ["admin:users", "tokens"], "services": ["tests"]}},
]
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not PROXY.exists() and shutil.which("configurable-http-proxy") is None:
        pytest.fail("there is no configurable-http-proxy; `make test-hub` brings it")
    folder = tmp_path_factory.mktemp("hub")
    ports = {name: free_port("127.0.0.1") for name in ("port", "hub_port", "proxy_port", "api_port")}
    command = [sys.executable, "-m", "rasen.api"]
    text = CONFIGURATION.format(**ports, command=command, home=str(folder / "home"))
    (folder / "config.py").write_text(text)
    environment = process_environment()
    environment["PATH"] = f"{PROXY}{os.pathsep}{environment.get('PATH', '')}"
    with (folder / "hub.log").open("wb") as log:
        hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", str(folder / "config.py")],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{ports['port']}"

    def answers() -> bool:
        assert hub.poll() is None, (folder / "hub.log").read_text()
        try:
            return httpx.get(f"{address}/services/rasen/v1/health").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers, seconds=120.0)
        yield address
    finally:
        hub.send_signal(signal.SIGTERM)
        hub.wait(timeout=60)


def token_of(address: str, user: str, scopes: list[str]) -> str:
    """Return a new token of a user, who is made if there is none."""
    ours = {"Authorization": "token token-of-the-tests"}
    users = f"{address}/hub/api/users/{user}"
    assert httpx.post(users, headers=ours).status_code in {201, 409}
    made = httpx.post(f"{users}/tokens", headers=ours, json={"note": "tests", "scopes": scopes})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def test_users_ask_with_their_tokens_if_their_scopes_allow_it(address: str) -> None:
    service = f"{address}/services/rasen/v1"
    allowed = token_of(address, "ann", ["access:services!service=rasen"])
    for scheme in ("Bearer", "token"):
        answer = httpx.get(f"{service}/runs", headers={"Authorization": f"{scheme} {allowed}"})
        assert (answer.status_code, answer.json()["runs"]) == (200, [])
    narrow = token_of(address, "ann", ["read:users:name!user"])
    refused = httpx.get(f"{service}/runs", headers={"Authorization": f"Bearer {narrow}"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    for headers in ({}, {"Authorization": "Bearer guess"}):
        assert httpx.get(f"{service}/runs", headers=headers).status_code == 401


def test_a_browser_logs_in_at_the_hub_and_sees_the_docs(address: str) -> None:
    with httpx.Client(follow_redirects=True) as browser:
        login = browser.get(f"{address}/services/rasen/docs")
        assert "/hub/login" in str(login.url)
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', login.text)
        assert xsrf is not None
        form = {"username": "bob", "password": "right", "_xsrf": xsrf[1]}
        docs = browser.post(str(login.url), data=form)
        assert str(docs.url) == f"{address}/services/rasen/docs", docs.text[:2000]
        assert "swagger-ui" in docs.text
        assert browser.get(f"{address}/services/rasen/openapi.json").json()["paths"]
        assert browser.get(f"{address}/services/rasen/v1/runs").status_code == 200
        order = browser.post(f"{address}/services/rasen/v1/runs", json={"pipeline": "shop"})
        assert order.status_code == 403
