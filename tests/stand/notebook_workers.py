"""Processes that execute notebooks, ours and papermill's (`notebook_worker.py`), asked over pipes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_SCRIPT = Path(__file__).with_name("notebook_worker.py")


@dataclass(frozen=True, kw_only=True)
class Executed:
    """What became of one notebook and what it cost; the words are those of `notebook_worker.py`."""

    verdict: str
    error: str
    message: str
    seconds: float
    wchar: int
    write_bytes: int


class WorkerLost(Exception):
    """A worker died or did not answer in time; the text says which."""


class NotebookWorker:
    """One process that executes notebooks one after another; started when it is first asked.

    Args:
        runner: One of the runners of `notebook_worker.py`.
        python: The interpreter, and so the environment.
        environment: The whole environment of the process.
        log: Where it and its kernels write their standard error.
    """

    def __init__(self, runner: str, *, python: Path, environment: Mapping[str, str], log: Path) -> None:
        self._command = [str(python), "-P", str(_SCRIPT), runner]  # -P: nothing beside the script is imported
        self._runner = runner
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        source: Path,
        target: Path,
        *,
        kernel: str | None = None,
        folder: Path | None = None,
        cell_timeout_seconds: int | None = None,
        timeout_seconds: float = 3600.0,
    ) -> Executed:
        """Execute a notebook and return what became of it.

        Raises:
            WorkerLost: There is no answer; the next request gets a new process.
        """
        request: dict[str, Any] = {
            "source": str(source),
            "target": str(target),
            "kernel": kernel,
        }  # Any: JSON
        request |= {
            "folder": str(folder) if folder else None,
            "cell_timeout_seconds": cell_timeout_seconds,
        }
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        # One answer a request, so nothing is ever left over in the buffer.
        ready, _, _ = select.select([process.stdout], [], [], timeout_seconds)
        line = process.stdout.readline() if ready else ""
        if not line:
            why = "ended" if ready else f"did not answer within {timeout_seconds:.0f} s"
            self.close()
            raise WorkerLost(f"the worker {self._runner!r} {why} at {source.name!r}; see {self._log}")
        return Executed(**json.loads(line))

    def close(self) -> None:
        """End the process and what it started in its session."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self._process
