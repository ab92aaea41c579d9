"""The platform on one machine: it comes up, heals, refuses what would clash, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rasen.errors import PlatformFailed
from rasen.local.processes import Group, Program, check_ports, find_function, free_port
from rasen.local.up import platform_is_running
from rasen.settings import Settings, load_settings, platform_environment
from stand.platform_process import until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home",
        serving_port=free_port("127.0.0.1"),
        admin_port=free_port("127.0.0.1"),
        function_port=free_port("127.0.0.1"),
        api_port=free_port("127.0.0.1"),
    )


@pytest.fixture
def group(settings: Settings) -> Iterator[Callable[..., Group]]:
    started: list[Group] = []

    def start(*programs: Program) -> Group:
        new = Group(settings, programs)
        started.append(new)
        new.start()
        return new

    yield start
    for one in started:
        one.stop()


def sleeper(name: str, script: str = "import time; time.sleep(600)") -> Program:
    return Program(name=name, command=(sys.executable, "-c", script))


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_killed_process_is_started_again_and_a_stop_ends_all(group: Callable[..., Group]) -> None:
    running = group(sleeper("one"), sleeper("two"))
    before = running.process_ids
    assert set(before) == {"one", "two"}
    os.kill(before["one"], signal.SIGKILL)
    until(lambda: running.supervise() == ["one"])
    after = running.process_ids
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]
    running.stop()
    assert not any(is_running(process) for process in after.values())


def test_a_process_that_ignores_the_stop_is_killed(group: Callable[..., Group], tmp_path: Path) -> None:
    ready = tmp_path / "deaf"
    script = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    script += f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    running = group(sleeper("deaf", script))
    until(ready.exists)
    process = running.process_ids["deaf"]
    running.stop(timeout_seconds=0.5)
    assert not is_running(process)


def test_what_does_not_come_up_is_told_with_the_end_of_its_log(
    group: Callable[..., Group], settings: Settings
) -> None:
    address = f"http://127.0.0.1:{settings.serving_port}/livez"
    running = group(
        Program(name="broken", command=(sys.executable, "-c", "raise SystemExit('no disk')"), health=address)
    )
    with pytest.raises(PlatformFailed, match=r"(?s)broken did not answer at .*no disk"):
        running.wait_until_healthy(timeout_seconds=1.0)


def test_a_port_in_use_is_named_with_the_variable_that_changes_it(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.admin_port))
        other.listen()
        with pytest.raises(PlatformFailed, match=rf"port {settings.admin_port} .*RASEN_ADMIN_PORT"):
            check_ports(settings)
    check_ports(settings)


def test_the_deploy_function_is_found_where_it_is_installed() -> None:
    assert find_function("deploy_model").name == "main.py"
    with pytest.raises(PlatformFailed, match="'nothing' is not installed"):
        find_function("nothing")


def test_up_serves_heals_and_stops_without_a_trace(settings: Settings) -> None:
    environment = platform_environment(settings)
    command = [sys.executable, "-c", "from rasen.cli import main; main()", "up"]
    up = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert up.stdout is not None
        lines = []
        for line in up.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        told = "".join(lines)
        assert f"http://127.0.0.1:{settings.serving_port}/docs" in told
        assert httpx.get(f"http://127.0.0.1:{settings.serving_port}/livez").status_code == 200
        assert platform_is_running(settings)

        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert second.returncode == PlatformFailed.exit_code
        assert "already running" in second.stderr

        processes = line_of_processes(told)
        assert set(processes) == {"serving", "function", "api", "bridge", "notifier"}
        for process in processes.values():
            os.kill(process, signal.SIGKILL)
        until(lambda: answers(settings))
        assert platform_is_running(settings)
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=30)
    assert up.returncode == 0
    assert not platform_is_running(settings)
    until(lambda: not left_behind(settings))


def answers(settings: Settings) -> bool:
    addresses = [
        f"http://127.0.0.1:{settings.serving_port}/livez",
        f"http://127.0.0.1:{settings.function_port}/health",
        f"http://127.0.0.1:{settings.api_port}/v1/health",
    ]
    try:
        return all(httpx.get(address, timeout=2).status_code < 500 for address in addresses)
    except httpx.HTTPError:
        return False


def line_of_processes(told: str) -> dict[str, int]:
    line = next(line for line in told.splitlines() if line.strip().startswith("processes"))
    pairs = line.split(maxsplit=1)[1].split(", ")
    return {name: int(process) for name, process in (pair.split() for pair in pairs)}


def left_behind(settings: Settings) -> list[int]:
    """Return the processes that still carry this test's home in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if f"RASEN_HOME={settings.home}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
