"""`rasen` as real processes: the platform in the background, and commands against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from rasen.local.processes import free_port
from rasen.settings import Settings, load_settings, platform_environment

RASEN = (sys.executable, "-c", "from rasen.cli import main; main()")


def settings_with_free_ports(home: Path) -> Settings:
    """Return settings of a platform that clashes with no other."""
    ports = {
        name: free_port("127.0.0.1") for name in ("serving_port", "admin_port", "function_port", "api_port")
    }
    return load_settings(home=home, **ports)


def rasen(
    settings: Settings, *arguments: str | Path, folder: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a `rasen` command to its end."""
    return subprocess.run(
        [*RASEN, *map(str, arguments)],
        env=platform_environment(settings),
        cwd=folder,
        capture_output=True,
        text=True,
        check=check,
    )


def start_rasen(settings: Settings, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a `rasen` command in a process group of its own."""
    return subprocess.Popen(
        [*RASEN, *map(str, arguments)],
        env=platform_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class Platform:
    """`rasen up` in the background."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process = subprocess.Popen(
            [*RASEN, "up"],
            env=platform_environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.told = ""
        for line in self.process.stdout:
            self.told += line
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(f"the platform did not come up:\n{self.told}")

    def process_ids(self) -> dict[str, int]:
        """Return the programs' process ids as they were at the start."""
        line = next(line for line in self.told.splitlines() if line.strip().startswith("processes"))
        pairs = line.split(maxsplit=1)[1].split(", ")
        return {name: int(process) for name, process in (pair.split() for pair in pairs)}

    def children(self) -> dict[int, str]:
        """Return process id and command line of the supervisor's direct children, as they are now."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == self.process.pid:
                        found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
                except OSError:
                    continue
        return found

    def address(self, path: str) -> str:
        """Return the address of a path of the prediction API."""
        return f"http://{self.settings.host}:{self.settings.serving_port}{path}"

    def predict(self, endpoint: str, *rows: dict[str, Any]) -> httpx.Response:  # Any: JSON
        """Ask for predictions."""
        return httpx.post(
            self.address(f"/endpoints/{endpoint}/predict"), json={"rows": list(rows)}, timeout=10.0
        )

    def await_model(
        self, endpoint: str, run: str, *rows: dict[str, Any], seconds: float = 40.0
    ) -> dict[str, Any]:
        """Wait until the endpoint answers with the model of `run`; return the answer."""
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            try:
                response = self.predict(endpoint, *rows)
            except httpx.HTTPError:
                return False
            if response.headers.get("X-Rasen-Model") == run:
                answers.append(response.json())
            return bool(answers)

        until(answered, seconds=seconds)
        return answers[0]

    def stop(self) -> None:
        """Stop it as Ctrl-C would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise


def until(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait until `condition` holds.

    Raises:
        AssertionError: It does not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def answer_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:  # Any: JSON
    """Return what a command with `--json` said."""
    loaded: dict[str, Any] = json.loads(finished.stdout)
    return loaded
