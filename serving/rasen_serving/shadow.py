"""Shadows: versions that answer copies of the requests, compared and logged, never returned.

A shadow may be slow, wrong or stuck, and nobody who waits for an answer may notice. So copies are taken after the
answer was handed over, computed in a thread of their own, and only while no request is at work in this worker; whatever
waits longer than two seconds, or has no room, is dropped and counted. Copies gather, so one call computes many, and a
call of milliseconds is followed by a hundred times its length of rest: at most one request in a hundred meets one. And
meanwhile the interpreter changes threads fifty times as often, so that the event loop gets its turn within 0.1 ms.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from rasen_serving.assignment import SHADOW
from rasen_serving.batching import Outcome, Request, answer
from rasen_serving.comparison import Comparisons, compare
from rasen_serving.counts import Counts
from rasen_serving.live import Arm, Predicted
from rasen_serving.log import Entry, PredictionLog, inputs_of, is_sampled
from rasen_serving.messages import Compared, LogPolicy
from rasen_serving.segments import About

if TYPE_CHECKING:
    from rasen_serving.asked import Asked

WAITING_MAX_ROWS = 1000
_BATCH_MAX_ROWS = 200
_WAIT_SECONDS = 2.0
_LOOK_SECONDS = 0.002
_REST = 99.0
_REST_MAX_SECONDS = 1.0
"""After a call, so many times its length, or for a second, nothing is computed."""

_SWITCH_SECONDS = 0.0001


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A request that was answered, for a shadow.

    Args:
        arm: The shadow.
        revision: Number of the ledger record under which it was asked.
        asked: The request.
        predicted: What was returned.
        log_policy: What of it is logged.
        key_id: Whose key, or `""`.
        at: When it was answered, on the monotonic clock.
    """

    arm: Arm
    revision: int
    asked: Asked
    predicted: Predicted
    log_policy: LogPolicy
    key_id: str
    at: float = field(default_factory=time.monotonic)


class Shadows:
    """The copies of one worker; on the event loop, but for the computing."""

    def __init__(
        self,
        *,
        is_idle: Callable[[], bool],
        counts: Counts,
        log: Callable[[], PredictionLog | None],
        max_rows: int,
    ) -> None:
        self.comparisons = Comparisons()
        self._is_idle = is_idle
        self._counts = counts
        self._log = log
        self._max_rows = max_rows
        self._waiting: deque[Copy] = deque()
        self._waiting_rows = 0
        self._calls: queue.SimpleQueue[list[Copy]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None
        self._computing: Arm | None = None
        self._rests_until = 0.0
        self._closed = False

    @property
    def busy_seconds(self) -> float:
        """How long the present call has been running; 0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def computing(self) -> Arm | None:
        """The shadow that is computing, `None` when none is."""
        return self._computing

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop it."""
        if self._closed or self._waiting_rows + copy.predicted.rows > WAITING_MAX_ROWS:
            self._drop(copy)
            return
        self._waiting.append(copy)
        self._waiting_rows += copy.predicted.rows
        self._wake()

    def close(self) -> None:
        """Drop what waits and whatever comes; a call that runs is not waited for."""
        self._closed = True
        while self._waiting:
            self._drop(self._pop())
        if self._timer is not None:
            self._timer.cancel()

    def _drop(self, copy: Copy) -> None:
        self._sums(copy).dropped += 1

    def _pop(self) -> Copy:
        copy = self._waiting.popleft()
        self._waiting_rows -= copy.predicted.rows
        return copy

    def _sums(self, copy: Copy) -> Compared:
        return self.comparisons.of(copy.asked.endpoint, copy.arm.loaded.version.run, copy.revision)

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._waiting and now - self._waiting[0].at > _WAIT_SECONDS:
            self._drop(self._pop())
        if not self._waiting:
            return
        if self._since is None and now >= self._rests_until and self._is_idle():
            self._begin(now)
        self._wake()

    def _begin(self, now: float) -> None:
        batch = [self._pop()]
        first, rows = batch[0], batch[0].predicted.rows
        most = min(_BATCH_MAX_ROWS, first.arm.loaded.batch_rows)
        while self._waiting and first.arm.same_inputs:
            following = self._waiting[0]
            rows += following.predicted.rows
            if following.arm is not first.arm or rows > most:
                break
            batch.append(self._pop())
        self._since, self._computing = now, first.arm
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._compute, args=(loop,), name="shadow", daemon=True)
            self._thread.start()
        self._calls.put(batch)

    def _ended(
        self, batch: list[Copy], outcomes: list[Outcome], sums: list[Compared], seconds: float
    ) -> None:
        self._since, self._computing = None, None
        if self._closed:
            return
        self._rests_until = time.monotonic() + min(_REST * seconds, _REST_MAX_SECONDS)
        self.comparisons.merge(sums)
        for copy, outcome in zip(batch, outcomes, strict=True):
            self._record(copy, outcome, seconds)

    def _record(self, copy: Copy, outcome: Outcome, seconds: float) -> None:
        """Count and log what a shadow answered in a call of so many seconds."""
        predicted = outcome if isinstance(outcome, Predicted) and outcome.failure is None else None
        version = copy.arm.loaded.version
        batch_rows = copy.predicted.rows if predicted is None else predicted.batch_rows or predicted.rows
        status, source = (500, "") if predicted is None else (200, "model")
        self._counts.add(
            endpoint=copy.asked.endpoint,
            model=version.run,
            role=SHADOW,
            revision=copy.revision,
            status=status,
            source=source,
            reason="",
            rows=copy.predicted.rows,
            seconds=seconds,
        )
        log = self._log()
        if log is None:
            return
        if not is_sampled(copy.asked.request_id, copy.log_policy.sample):
            log.leave_out(copy.predicted.rows)
            return
        log.add(
            Entry(
                about=About(
                    endpoint=copy.asked.endpoint,
                    revision=copy.revision,
                    model=version.run,
                    engine=copy.arm.loaded.engines.for_rows(batch_rows).name,
                    variant=SHADOW,
                    reason=SHADOW,
                    source=source,
                    status=status,
                    data_version=version.trained_until or "",
                ),
                request_id=copy.asked.request_id,
                at=time.time() - (time.monotonic() - copy.at),
                latency_us=round(seconds * 1e6),
                rows=copy.predicted.rows,
                batch_rows=batch_rows,
                inputs=inputs_of(copy.asked, copy.predicted.columns, exclude=copy.log_policy.exclude),
                outputs=b""
                if predicted is None
                else msgspec.json.encode({"predictions": predicted.predictions}),
                key_id=copy.key_id,
                address=copy.asked.address,
                traceparent=copy.asked.traceparent,
            )
        )

    # What follows runs in the shadows' thread.

    def _compute(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            batch = self._calls.get()
            began = time.perf_counter()
            usual = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_SECONDS)
            try:
                outcomes = self._answer(batch)
            finally:
                sys.setswitchinterval(usual)
            seconds = time.perf_counter() - began
            sums = [_compared(copy, outcome) for copy, outcome in zip(batch, outcomes, strict=True)]
            try:
                loop.call_soon_threadsafe(self._ended, batch, outcomes, sums, seconds)
            except RuntimeError:
                return  # the loop is closed: the worker ends
            del batch, outcomes, sums  # nothing of a version is held while waiting

    def _answer(self, batch: list[Copy]) -> list[Outcome]:
        requests = [
            Request(
                loaded=copy.arm.loaded,
                asked=copy.asked,
                columns=copy.predicted.columns if copy.arm.same_inputs else None,
                rows=copy.predicted.rows if copy.arm.same_inputs else 0,
                done=_nobody_waits,
            )
            for copy in batch
        ]
        try:
            return answer(batch[0].arm.loaded, requests, max_rows=self._max_rows)
        except BaseException as error:  # noqa: BLE001  # SystemExit from a model must not end the thread
            return [RuntimeError(f"the shadow raised {error!r}")] * len(batch)


def _compared(copy: Copy, outcome: Outcome) -> Compared:
    sums = Compared(endpoint=copy.asked.endpoint, model=copy.arm.loaded.version.run, revision=copy.revision)
    if isinstance(outcome, Predicted) and outcome.failure is None:
        compare(copy.predicted.predictions, outcome.predictions, sums)
    return sums


def _nobody_waits(outcome: Outcome) -> None:
    """Hear that a copy was answered; whoever computed it knows."""
