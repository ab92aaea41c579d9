"""Warm processes for tests: in a runtime folder of their own, with few imports, and gone when the test is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.zygote_client import start_module, warm_up
from rasen.settings import Settings, child_environment, load_settings

TESTS = Path(__file__).parents[1]
PRELOAD = ("numpy", "multiprocessing.process", "threadpoolctl", "stand.forked")
WAIT_SECONDS = 30.0


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """Give the warm processes of this process and its children a folder, and end them afterwards."""
    with tempfile.TemporaryDirectory(prefix="rz") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        try:
            yield Path(folder, "rasen")
        finally:
            for pid in zygotes(Path(folder)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            until(lambda: not zygotes(Path(folder)))


def zygotes(folder: Path) -> list[int]:
    """Return the processes that were started as warm processes of a folder, their forks included."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):
                command = (place / "cmdline").read_bytes()
                if b"rasen.batch.zygote" in command and str(folder).encode() in command:
                    found.append(int(place.name))
    return found


class Warm:
    """Settings and an environment for forks, with what a test asks of them."""

    def __init__(self, home: Path, **overrides: Any) -> None:  # Any: fields of the settings
        self.settings: Settings = load_settings(home=home, **{"zygote_preload": PRELOAD, **overrides})
        self.environment = child_environment(PYTHONPATH=str(TESTS))

    def start(
        self, code: str, *arguments: object, cwd: Path | None = None, **streams: Any
    ) -> SupervisedProcess:
        """Start a process that runs `code`."""
        texts = [code, *map(str, arguments)]
        return start_module(
            self.settings, "stand.forked", texts, environment=self.environment, cwd=cwd, **streams
        )

    def run(self, code: str, *arguments: object, cwd: Path | None = None, cold: bool = False) -> str:
        """Run `code` to its end and return what it printed; it must end well, and warm unless `cold`."""
        with tempfile.TemporaryFile() as output:
            process = self.start(code, *arguments, cwd=cwd, stdout=output, stderr=subprocess.STDOUT)
            status = process.wait(WAIT_SECONDS)
            output.seek(0)
            text = output.read().decode()
        assert (process.cold_reason is not None) is cold, process.cold_reason
        assert status == 0, text
        return text

    def warm_up(self) -> None:
        """Wait until the warm process has imported everything."""
        assert warm_up(self.settings, environment=self.environment)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that is to become true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return False


def python(code: str, **changes: str) -> subprocess.Popen[str]:
    """Start a Python of its own, a client of the warm process, whose standard output is a pipe."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), **changes}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
