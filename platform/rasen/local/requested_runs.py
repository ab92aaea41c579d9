"""`rasen up` working on requests that were filed for it: one at a time, each in a process of its own.

A process that this platform started dies with it, uncatchably: a run that is told to stop ends as cancelled, one whose
process is gone is gone on with at the next start.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rasen.batch.requested import Place, waiting_requests
from rasen.settings import Settings, platform_environment
from rasen.store import Store

_PR_SET_PDEATHSIG = 1
_RETRIABLE = (70, 75)
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 600.0
_LAST_LINE_BYTES = 4096


@dataclass(kw_only=True)
class _Failure:
    tries: int
    due: float


class RequestedRuns:
    """Works on requests until it is stopped; call `poll` often and `look` now and then."""

    def __init__(self, settings: Settings, store: Store, *, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._store = store
        self._tell = tell
        self._settled: set[Place] = set()
        self._failures: dict[Place, _Failure] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._place: Place = ("", "")

    @property
    def log(self) -> str:
        """The file that the processes print to."""
        return str(self._settings.logs_dir / "requests.log")

    def look(self) -> None:
        """Begin to work on the first request that waits, unless one is being worked on.

        Raises:
            StoreError: The store failed; nothing was begun.
        """
        self.poll()
        if self._process is not None:
            return
        now = time.monotonic()
        for place in waiting_requests(self._settings, self._store, settled=self._settled):
            failure = self._failures.get(place)
            if failure is None or now >= failure.due:
                self._begin(place)
                return

    def poll(self) -> None:
        """See whether the process has ended, and how."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return
        self._process = None
        pipeline, name = self._place
        if code == 0:
            self._failures.pop(self._place, None)
            self._tell(self._last_line())
        elif code > 0 and code not in _RETRIABLE:
            self._settled.add(
                self._place
            )  # trying again does not help; a new start of the platform looks again
            self._tell(f"{self._last_line()}; its log: {self.log}")
        else:
            tries = self._failures[self._place].tries + 1 if self._place in self._failures else 1
            pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (tries - 1))
            self._failures[self._place] = _Failure(tries=tries, due=time.monotonic() + pause)
            problem = f"request {name} of {pipeline} ended with {code}"
            self._tell(f"{problem} and is tried again in {pause:.0f} s; its log: {self.log}")

    def stop(self) -> None:
        """End the process; what it was at is gone on with at the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _begin(self, place: Place) -> None:
        self._settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as output:  # noqa: PTH123  # a text, for messages
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rasen.batch.requested", *place],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=platform_environment(self._settings),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread when it spawns
            )
        self._place = place
        self._tell(f"working on request {place[1]} of {place[0]}; its log: {self.log}")

    def _last_line(self) -> str:
        with open(self.log, "rb") as log:  # noqa: PTH123  # a text, for messages
            log.seek(0, 2)
            log.seek(max(0, log.tell() - _LAST_LINE_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else f"request {self._place[1]} of {self._place[0]} left no word"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
