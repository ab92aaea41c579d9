"""The Hub of `make hub` as a person meets it: log in, get a server, see the extension work: `make test-hub`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import httpx
import pytest

from rasen.local.processes import free_port, port_is_free
from rasen.settings import process_environment
from stand.browser import Faults, open_page, running_browser
from stand.pipelines import write_pipeline
from stand.platform_process import until
from stand.repository import ROOT

pytestmark = [pytest.mark.hub, pytest.mark.timeout(400)]

PROXY = ROOT / ".cache" / "hub-proxy" / "node_modules" / ".bin"
PATIENCE = 120_000


@dataclass(frozen=True)
class Hub:
    """A running Hub."""

    url: str
    home: Path

    @property
    def password(self) -> str:
        """What people log in with."""
        return (self.home / "hub" / "password").read_text().strip()


def three_free_ports() -> int:
    """Return the first of three ports in a row that nobody listens on."""
    while True:
        first = free_port("127.0.0.1")
        if first < 65_000 and all(port_is_free("127.0.0.1", first + more) for more in (1, 2)):
            return first


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    assert PROXY.exists(), "there is no configurable-http-proxy; `make test-hub` brings it"
    home = tmp_path_factory.mktemp("machine") / "home"
    port = three_free_ports()
    names = ("API", "SERVING", "ADMIN", "FUNCTION")
    ours = {f"RASEN_{name}_PORT": str(free_port("127.0.0.1")) for name in names}
    variables = process_environment() | ours
    variables |= {"RASEN_HOME": str(home), "RASEN_HUB_PORT": str(port)}
    variables["PATH"] = f"{PROXY}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    log = home.with_name("hub.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--config", str(ROOT / "helm/jupyterhub/one_machine.py")],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/hub/login").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers, seconds=120.0)
        yield Hub(f"http://127.0.0.1:{port}", home)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=90)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


def log_in(page: Any, hub: Hub, name: str, password: str) -> None:
    page.goto(f"{hub.url}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")


def test_a_wrong_password_and_a_name_that_is_a_path_get_no_server(browser: Any, hub: Hub) -> None:
    for name, password in (("mia", "guess"), ("../../etc", hub.password)):
        with open_page(browser, hub.url) as (page, _):
            log_in(page, hub, name, password)
            page.locator(".login_error").wait_for()
    assert not (hub.home / "hub" / "users").exists()
    assert (hub.home / "hub" / "password").stat().st_mode & 0o077 == 0


def test_log_in_spawn_and_run_a_notebook_in_the_platform(browser: Any, hub: Hub) -> None:
    with open_page(browser, hub.url, viewport={"width": 1280, "height": 800}) as (page, faults):
        page.set_default_timeout(PATIENCE)
        log_in(page, hub, "mia", hub.password)
        page.locator("#jp-main-dock-panel").wait_for()
        work = hub.home / "hub" / "users" / "mia" / "work"
        assert (work / "notebooks" / "flight_delay" / "pipeline.yaml").is_file()
        write_pipeline(work / "tiny", {"train": ["print('from the hub')"]})
        page.goto(f"{hub.url}/user/mia/lab/tree/tiny/train.ipynb")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.locator('.jp-SideBar [data-id="rasen-findings"]').wait_for()
        page.locator('.jp-SideBar [data-id="rasen-runs"]').click()
        page.get_by_role("button", name="Run as Batch").last.click()
        page.locator(".rasen-Runs-form").wait_for()
        page.locator(".jp-Dialog button.jp-mod-accept").click()
        ended = page.locator('.rasen-Runs-run[data-state="succeeded"]')
        ended.wait_for()
        ended.locator(".rasen-Runs-head").click()
        ended.locator(".rasen-Runs-log", has_text="from the hub").wait_for()
        keep_picture(page)
        check_faults(faults)
    # The run was asked for in the person's name, and its notebook saw no token of the Hub.
    [request] = (hub.home / "store" / "requests" / "tiny").glob("run-*.json")
    assert '"by":"mia"' in request.read_text().replace(" ", "")


def keep_picture(page: Any) -> None:
    folder = os.environ.get("BROWSER_PICTURES")
    if folder:
        page.screenshot(path=f"{folder}/hub.png")


def check_faults(faults: Faults) -> None:
    """Check that no page asked for anything elsewhere, and that none failed."""
    assert faults.foreign == []
    ours = [text for text in faults.said if "rasen" in text.lower()]
    assert ours == []
