"""Where the processes of steps run: on this machine, each a fork of the warm process where there is one.

`Executor` is what a runner needs of a place; a cluster's pods are another one.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rasen.batch.step_logs import log_path
from rasen.batch.zygote_client import start_module
from rasen.settings import Settings, platform_environment
from rasen.tracking.records import Start


class StepProcess(Protocol):
    """The process of one attempt. It ends with its handle, and nothing that it has started outlives it."""

    def fileno(self) -> int:
        """Return a descriptor that is ready to be read when the process has ended."""

    def poll(self) -> int | None:
        """Return the exit code, or `None` while it runs."""

    def send_signal(self, number: int) -> None:
        """Send a signal to the process and its group."""

    def kill(self) -> None:
        """End it at once, with all that it has started."""

    def close(self) -> None:
        """Let go of it; what still runs is ended."""


class Executor(Protocol):
    """A place where steps run."""

    def launch(self, start: Start, step: str, attempt: int) -> StepProcess:
        """Start `step RUN STEP ATTEMPT` and return its process.

        Raises:
            PlatformFailed: It cannot be started here.
        """


class LocalExecutor:
    """This machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = platform_environment(settings)

    def launch(self, start: Start, step: str, attempt: int) -> StepProcess:
        """Start the attempt with its prints going to its log."""
        log = log_path(self._settings, start.pipeline, start.run, step, attempt)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return start_module(
                self._settings,
                "rasen.batch.step",
                [start.pipeline, start.run, step, str(attempt)],
                environment=self._environment,
                cwd=self._settings.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def machine_cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def machine_memory_bytes() -> int:
    """Return how much memory there is for us: the machine's, or the limit of our cgroup (version 2) if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        group = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        limit = (Path("/sys/fs/cgroup") / group / "memory.max").read_text(encoding="ascii").strip()
        return min(total, int(limit))  # "max" is no number: there is no limit
    return total
