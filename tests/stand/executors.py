"""An executor without notebooks: each attempt ends as a script says, at once or when it is told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from rasen.batch.claims import create_claim
from rasen.batch.executor import StepProcess
from rasen.store import Store
from rasen.tracking.keys import result_key
from rasen.tracking.records import ErrorRecord, Start, StepResult, Verdict

LOST = "lost"  # the process ends without a result
HANGS = "hangs"  # it runs until it is told to stop, and then ends as cancelled
DEAF = "deaf"  # it runs until it is killed

Ends = Mapping[str, Sequence[Verdict | str]]


class ScriptedProcess:
    """An attempt that has no process: it is over when its end of a pipe is closed."""

    def __init__(self, end: Callable[[str], None], how: str) -> None:
        self._read, self._write = os.pipe()
        self._end = end
        self._how = how
        self._code: int | None = None
        self.signals: list[int] = []
        if how not in (HANGS, DEAF):
            self.finish()

    def fileno(self) -> int:
        """Return a descriptor that is ready when it is over."""
        return self._read

    def poll(self) -> int | None:
        """Return 0 when it is over."""
        if self._code is not None and self._read >= 0:
            os.close(self._read)
            self._read = -1
        return self._code

    def send_signal(self, number: int) -> None:
        """End as cancelled, unless it is deaf."""
        self.signals.append(number)
        if self._how == HANGS and number == signal.SIGINT:
            self._how = Verdict.CANCELLED
            self.finish()

    def kill(self) -> None:
        """End without a result."""
        self.signals.append(signal.SIGKILL)
        self._how = LOST
        self.finish()

    def close(self) -> None:
        """Let go of it."""
        for descriptor in (self._read, self._write):
            with suppress(OSError):
                os.close(descriptor)
        self._read = self._write = -1

    def finish(self) -> None:
        """Be over."""
        if self._code is None:
            self._end(self._how)
            os.close(self._write)
            self._write = -1
            self._code = 0


class ScriptedExecutor:
    """Runs nothing; `ends` says how each attempt of a step ends, the last for all that follow; else it succeeds."""

    def __init__(self, store: Store, ends: Ends | None = None) -> None:
        self._store = store
        self._ends = ends or {}
        self.launched: list[tuple[str, int]] = []
        self.processes: list[ScriptedProcess] = []

    def launch(self, start: Start, step: str, attempt: int) -> StepProcess:
        """Begin an attempt."""
        self.launched.append((step, attempt))
        script = self._ends.get(step, (Verdict.SUCCEEDED,))
        how = script[min(attempt, len(script)) - 1]

        def end(how: str) -> None:
            if how == LOST:
                return
            verdict = Verdict(how)
            good = verdict is Verdict.SUCCEEDED
            result = StepResult(
                attempt=attempt,
                verdict=verdict,
                error=None if good else ErrorRecord(name="Scripted", message=f"{step} was to end so"),
                seconds=0.0,
            )
            create_claim(self._store, start.pipeline, start.run, step, attempt)
            key = result_key(start.pipeline, start.run, step, attempt)
            self._store.write(key, result.to_bytes(), if_generation=0)

        process = ScriptedProcess(end, how)
        self.processes.append(process)
        return process
