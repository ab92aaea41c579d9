"""One process that executes somebody's model, within limits of time, memory and what it prints.

A model may hang, end its process, take all memory, start others, or print without end. All of it ends here: the process
is killed, nothing that it has started stays behind, and whoever asked is told how it ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.usage import Usage
from rasen.batch.zygote_client import start_module
from rasen.settings import Settings, child_environment

MOST_PRINTED_BYTES = 50_000_000
_CHUNK_BYTES = 1 << 16
_LAST_BYTES = 4000
_SWEEP_SECONDS = 15.0  # for a killed process's supervisor to end all that it had started
_DRAIN_SECONDS = 2.0

How = Literal["by itself", "too long", "too much memory", "printed too much"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a process may take; memory is its own and that of all that it starts, together."""

    timeout_seconds: float
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended.

    Args:
        how: By itself, or for which limit it was killed.
        code: Its exit code, negative for a signal.
        memory_problem: Why its death was one of memory, empty when nothing says so.
        left_behind: How many processes it had started that were still there when it had ended.
        peak_bytes: The most memory that it took.
        cpu_seconds: Its time on processors, with all that it started.
    """

    how: How
    code: int
    memory_problem: str
    left_behind: int
    peak_bytes: int
    cpu_seconds: float


def run_model_process(
    settings: Settings, module: str, arguments: Sequence[str], *, folder: Path, limits: Limits
) -> Ended:
    """Run a module's `main(arguments)` without a context, in a process of its own, and return how it ended.

    What it prints goes to this process's standard output.

    Raises:
        PlatformFailed: It could be started neither warm nor cold.
    """
    read, write = os.pipe()
    try:
        process = start_module(
            settings,
            module,
            arguments,
            environment=child_environment(),
            cwd=folder,
            stdout=write,
            stderr=subprocess.STDOUT,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    usage = Usage(process.pid, memory_limit_bytes=limits.memory_bytes)
    printed = _Printed(read, process.pid)
    timed_out = False
    try:
        try:
            code = process.wait(limits.timeout_seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
            code = _kill(process)
    finally:
        usage.close()
        process.close()
        printed.close()
    problem = usage.died_of_memory(-code if code < 0 else None, printed.last_words)
    return Ended(
        how=_how(timed_out=timed_out, printed=printed, usage=usage),
        code=code,
        memory_problem=problem or "",
        left_behind=process.usage.swept if process.usage is not None else 0,
        peak_bytes=usage.peak_bytes,
        cpu_seconds=process.usage.cpu_seconds if process.usage is not None else 0.0,
    )


def _how(*, timed_out: bool, printed: _Printed, usage: Usage) -> How:
    if usage.over_limit:
        return "too much memory"
    if printed.flooded:
        return "printed too much"
    return "too long" if timed_out else "by itself"


def _kill(process: SupervisedProcess) -> int:
    """Kill the process and wait until its supervisor has ended what it had started; return the exit code."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_SWEEP_SECONDS)
    return -signal.SIGKILL


class _Printed:
    """Hands on what a process prints, up to a limit; beyond it the process is killed."""

    def __init__(self, descriptor: int, process_id: int) -> None:
        self._descriptor = descriptor
        self._process_id = process_id
        self._last = b""
        self.flooded = False
        self._thread = threading.Thread(target=self._copy, name="rasen-printed", daemon=True)
        self._thread.start()

    @property
    def last_words(self) -> str:
        """The end of what was printed."""
        return self._last.decode(errors="replace")

    def close(self) -> None:
        """Hear out what was printed before the end."""
        self._thread.join(_DRAIN_SECONDS)  # the end of the pipe comes with the end of all who hold it

    def _copy(self) -> None:
        left = MOST_PRINTED_BYTES
        with open(self._descriptor, "rb", buffering=0) as pipe:  # noqa: PTH123  # a descriptor, not a path
            while data := pipe.read(_CHUNK_BYTES):
                self._last = (self._last + data)[-_LAST_BYTES:]
                kept = data[: max(0, left)]
                left -= len(data)
                with suppress(OSError):  # a full disk loses the log, not the verdict
                    os.write(1, kept)
                if left < 0 and not self.flooded:
                    self.flooded = True
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(self._process_id, signal.SIGKILL)
