"""The control API beside the platform: whichever of the two is killed, runs go on, wait, and are told of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rasen.api.client import ControlClient
from rasen.local.processes import free_port
from rasen.local.requested_runs import RequestedRuns
from rasen.settings import Settings, load_settings, platform_environment
from rasen.store import open_store
from rasen.tracking.api_tokens import make_api_token, read_api_token
from stand.control import ControlHome, Worker, write_shop
from stand.platform_process import until

# It goes on when the test says so: the file named by the parameter is there.
SLOW = "import pathlib, time\nprint('for', title)\nwhile not pathlib.Path(title).exists(): time.sleep(0.05)"


class ApiProcess:
    """`python -m rasen.api` as a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self.port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rasen.api"],
            env=platform_environment(settings, RASEN_API_PORT=str(self.port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def answers(self) -> bool:
        """Return whether it answers."""
        assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
        try:
            return httpx.get(f"{self.url}/v1/health").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(home=tmp_path / "home")
    make_api_token(settings)
    return settings


@pytest.fixture
def apis(settings: Settings) -> Iterator[list[ApiProcess]]:
    started = [ApiProcess(settings), ApiProcess(settings)]
    until(lambda: all(one.answers() for one in started), seconds=60.0)
    yield started
    for one in started:
        one.stop()


@pytest.mark.endurance
def test_neither_a_killed_api_nor_a_platform_started_anew_hurts_a_run(
    settings: Settings, apis: list[ApiProcess], tmp_path: Path
) -> None:
    token = read_api_token(settings.api_token_file)
    go = [tmp_path / "go-1", tmp_path / "go-2"]
    shop = write_shop(tmp_path, SLOW)
    one, two = (ControlClient(api.url, token) for api in apis)
    with one, two:
        first = one.order_folder(shop, parameters={"title": str(go[0])}, request="first")
        # The other process knows of it at once, and takes the same wish for the same run.
        assert two.run(first["run"])["state"] == "waiting"
        assert two.order_folder(shop, parameters={"title": "other"}, request="first")["run"] == first["run"]
        second = two.order_folder(shop, parameters={"title": str(go[1])}, request="second")
        with Worker(settings) as worker:
            until(lambda: one.run(first["run"])["state"] == "running", seconds=60.0)
            assert two.run(second["run"])["place"] == 1, "one at a time, the other waits"
            events = one.events(first["run"])
            assert next(events).kind == "state"
            assert apis[0].stop(signal.SIGKILL) == -signal.SIGKILL
            until(lambda: two.run(first["run"])["attended"] is True, seconds=60.0)
        # The platform was stopped in the middle of it; what was asked for is still there.
        assert two.run(first["run"])["verdict"] is None
        assert worker.told[0].startswith("working on request run-first of shop")
        heard = two.follow(first["run"])
        go[0].touch()
        with Worker(settings):
            kinds = [event.kind for event in heard]
            assert kinds[-1] == "verdict"
            assert two.run(first["run"])["state"] == "succeeded"
            until(lambda: two.run(second["run"])["state"] == "running", seconds=60.0)
            assert two.cancel(second["run"])["first"] is True
            last = list(two.follow(second["run"]))[-1]
            assert last.data["verdict"] == "cancelled"
    assert apis[1].stop() in {0, -signal.SIGTERM}, "it ends when it is told to"


def test_several_run_at_once_where_the_setting_says_so(settings: Settings, tmp_path: Path) -> None:
    several = settings.model_copy(update={"requested_runs": 2})
    store = open_store(several)
    home = ControlHome(settings.home)
    shop = write_shop(tmp_path, SLOW)
    for number in range(3):
        home.order(shop, parameters={"title": str(tmp_path / "never")}, request=f"n{number}")
    told: list[str] = []
    requested = RequestedRuns(several, store, tell=told.append)
    try:
        requested.look()
        requested.look()
        assert [line.split()[3] for line in told] == ["run-n0", "run-n1"]
    finally:
        requested.stop()
