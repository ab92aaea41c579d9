"""`rasen up` working on requests that were filed for it, each in a process of its own.

Runs that somebody asked for are worked on in the order in which they were asked for, so many at once as a setting says;
besides, one qualification, so that a held version does not wait behind a long training. A process that this platform
started dies with it, uncatchably: a run that is told to stop ends as cancelled, one whose process is gone is gone on
with at the next start.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rasen.batch.cancellation import finish_unattended, is_attended
from rasen.batch.platform_runs import Place, cancel_waiting, has_ended, open_runs, refuse_platform_run
from rasen.batch.requested import waiting_requests
from rasen.errors import InvalidInput, RasenError, StoreError, TrustError
from rasen.settings import Settings, platform_environment
from rasen.store import Store
from rasen.store.folder_stamps import Stamping
from rasen.tracking.index import Index
from rasen.tracking.keys import CANCEL_PREFIX, RUN_REQUEST_PREFIX, start_key

_PR_SET_PDEATHSIG = 1
_RETRIABLE = (70, 75)
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 600.0
_LAST_LINE_BYTES = 65_536
_LEFT_SECONDS = 1.0  # a worker may just begin or end between two looks


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
        self._processes: dict[Place, subprocess.Popen[bytes]] = {}
        self._stamps: dict[str, str | None] = {}
        self._left: dict[Place, float] = {}

    @property
    def log(self) -> str:
        """The file that the processes print to."""
        return str(self._settings.logs_dir / "requests.log")

    def is_rung(self) -> bool:
        """Return whether a request may have come in since the last call, where the store can tell without listing."""
        if not isinstance(self._store, Stamping):
            return False
        prefixes = [f"requests/{pipeline}/" for pipeline in self._store.children("requests/")]
        stamps = {prefix: self._store.folder_stamp(prefix) for prefix in prefixes}
        known, self._stamps = self._stamps, stamps
        return any(stamp is None or known.get(prefix) != stamp for prefix, stamp in stamps.items())

    def look(self) -> None:
        """Begin to work on what waits, as far as there is room, and end what was cancelled before it began.

        Raises:
            StoreError: The store failed; what was not begun waits on.
        """
        self.poll()
        if not any(not _is_run(place) for place in self._processes):
            for place in waiting_requests(self._settings, self._store, settled=self._settled):
                if self._is_due(place):
                    self._begin(place)
                    break
        for run in open_runs(self._store, settled=self._settled, answered=self._answered):
            place = (run.pipeline, RUN_REQUEST_PREFIX + run.request)
            if place in self._processes or not self._is_due(place):
                continue
            if run.cancelling and run.place is not None:
                try:
                    if cancel_waiting(self._settings, self._store, run) is not None:
                        self._tell(f"run {run.run} of {run.pipeline} was cancelled before it began")
                except (InvalidInput, TrustError) as error:
                    refuse_platform_run(self._store, *place, f"it cannot be run: {error}")
            elif sum(map(_is_run, self._processes)) < self._settings.requested_runs and not is_attended(
                self._settings, self._store, run.pipeline, run.run
            ):
                self._begin(place)
        self._end_left_runs()

    def poll(self) -> bool:
        """See which processes have ended, and how; return whether any has, so that there is room."""
        ended = [
            (place, code)
            for place, process in self._processes.items()
            if (code := process.poll()) is not None
        ]
        for place, code in ended:
            del self._processes[place]
            self._settle(place, code)
        return bool(ended)

    def stop(self) -> None:
        """End the processes; what they were at is gone on with at the next start."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _settle(self, place: Place, code: int) -> None:
        pipeline, name = place
        if code == 0:
            self._failures.pop(place, None)
            self._tell(self._last_line(place))
        elif code > 0 and code not in _RETRIABLE:
            self._settled.add(place)  # trying again does not help; a new start of the platform looks again
            self._tell(f"{self._last_line(place)}; its log: {self.log}")
        else:
            tries = self._failures[place].tries + 1 if place in self._failures else 1
            pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (tries - 1))
            self._failures[place] = _Failure(tries=tries, due=time.monotonic() + pause)
            problem = f"request {name} of {pipeline} ended with {code}"
            self._tell(f"{problem} and is tried again in {pause:.0f} s; its log: {self.log}")

    def _is_due(self, place: Place) -> bool:
        failure = self._failures.get(place)
        return failure is None or time.monotonic() >= failure.due

    def _answered(self) -> set[Place]:
        path = self._settings.index_file
        return Index(path).answered_requests(RUN_REQUEST_PREFIX) if path.exists() else set()

    def _end_left_runs(self) -> None:
        """Bring to their end the runs that were cancelled and that nobody has worked on for a while."""
        left = {}
        now = time.monotonic()
        for pipeline in self._store.children("requests/"):
            for key in self._store.children(f"requests/{pipeline}/"):
                place = (pipeline, key.removesuffix(".json"))
                run = place[1].removeprefix(CANCEL_PREFIX)
                if not key.startswith(CANCEL_PREFIX) or place in self._settled:
                    continue
                if has_ended(self._store, pipeline, run):
                    self._settled.add(place)
                elif self._store.stat(start_key(pipeline, run)) is not None and not self._is_worked_on(
                    pipeline, run
                ):
                    left[place] = self._left.get(place, now)
                    if now - left[place] >= _LEFT_SECONDS:
                        self._end_left_run(pipeline, run, place)
        self._left = left

    def _is_worked_on(self, pipeline: str, run: str) -> bool:
        return is_attended(self._settings, self._store, pipeline, run)

    def _end_left_run(self, pipeline: str, run: str, place: Place) -> None:
        try:
            if finish_unattended(self._settings, self._store, pipeline, run) is not None:
                self._tell(f"run {run} of {pipeline} was cancelled; nobody worked on it any more")
        except StoreError:
            raise
        except RasenError as error:
            self._settled.add(place)
            self._tell(f"run {run} of {pipeline} was cancelled and cannot be ended: {error}")

    def _begin(self, place: Place) -> None:
        self._settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as output:  # noqa: PTH123  # a text, for messages
            self._processes[place] = subprocess.Popen(
                [sys.executable, "-m", "rasen.batch.requested", *place],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=platform_environment(self._settings),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread when it spawns
            )
        self._tell(f"working on request {place[1]} of {place[0]}; its log: {self.log}")

    def _last_line(self, place: Place) -> str:
        """Return the last word of the process about its request; several processes print to the log."""
        with open(self.log, "rb") as log:  # noqa: PTH123  # a text, for messages
            log.seek(0, 2)
            log.seek(max(0, log.tell() - _LAST_LINE_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        subject = f"request {place[1]} of {place[0]}"
        return next((line for line in reversed(lines) if line.startswith(subject)), f"{subject} left no word")


def _is_run(place: Place) -> bool:
    return place[1].startswith(RUN_REQUEST_PREFIX)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
