"""Running a release: start, then each step in a process of its own, as many at once as fit, then finish.

The same three commands are what Airflow and Argo compose in a cluster. This runner keeps nothing in memory that counts:
killed at any instant and called again with the same trigger, it finds what was done and goes on. It is one loop around
`select`: what it waits for are ends of processes, pauses before another try, and a wish to stop.
"""

from __future__ import annotations

import random
import selectors
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rasen.batch.cancellation import is_cancel_requested
from rasen.batch.claims import is_alive, read_claim
from rasen.batch.dag import Capacity, Node, Schedule
from rasen.batch.executor import Executor, LocalExecutor, StepProcess, machine_cpus, machine_memory_bytes
from rasen.batch.finish import Finished, finish_run, read_finished
from rasen.batch.leftovers import keep_what_is_left
from rasen.batch.live import sweep_live
from rasen.batch.memory_trend import warn_of_memory
from rasen.batch.run_events import (
    Observer,
    RunBegan,
    RunStopping,
    RunWarned,
    StepBegan,
    StepEnded,
    StepLost,
    StepRetried,
    StepReused,
    StepSkipped,
)
from rasen.batch.runner_lock import work_on
from rasen.batch.step_logs import log_path
from rasen.batch.stopping import Stopped, StopWish
from rasen.batch.tables import publish_tables
from rasen.pipeline_graph import topological_order
from rasen.pipeline_schema import Step
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import Start, StepResult, Verdict
from rasen.tracking.results import Attempt, counted_attempt, newest_attempt, read_attempts

_LOST_MOST = 3  # times that a step's process is lost or interrupted before the step is given up
_STOP_SECONDS = 1.5  # for a step to save what there is; then it is killed, and all is over within 2 s
_CANCEL_LOOK_SECONDS = 0.5
_CLAIM_LOOK_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 300.0


def run_to_end(
    settings: Settings,
    store: Store,
    release: Release,
    start: Start,
    observe: Observer,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
) -> Finished:
    """Bring a started run to its end and return how it ended; told to stop, it ends as cancelled.

    Args:
        settings: Where everything lies.
        store: The store of the settings.
        release: The release of the start record.
        start: What to run.
        observe: Called with each event, in this thread.
        jobs: How many steps may run at once; the number of processors by default.
        executor: Where steps run; this machine by default.

    Raises:
        KeyboardInterrupt: Told to stop while another process works on the run; that one goes on.
    """
    done = read_finished(settings, store, start.pipeline, start.run)
    if done is not None:
        return done
    with _at_work(settings, start, observe) as wish:
        done = read_finished(settings, store, start.pipeline, start.run)
        if done is not None:
            return done
        runner = _Runner(settings, store, release, start, observe, wish, executor or LocalExecutor(settings))
        try:
            cancelled = runner.run(jobs or machine_cpus())
        finally:
            runner.close()
        finished = finish_run(settings, store, start.pipeline, start.run, cancelled=cancelled)
    publish_tables(settings, store, start.pipeline)
    sweep_live(store)
    return finished


def run_steps(
    settings: Settings,
    store: Store,
    release: Release,
    start: Start,
    observe: Observer,
    *,
    jobs: int | None = None,
) -> bool:
    """Bring every step of a started run to its end on this machine and leave it there: nothing is published.

    Returns:
        Whether the run was told to stop.
    """
    with _at_work(settings, start, observe) as wish:
        runner = _Runner(settings, store, release, start, observe, wish, LocalExecutor(settings))
        try:
            return runner.run(jobs or machine_cpus())
        finally:
            runner.close()


@contextmanager
def _at_work(settings: Settings, start: Start, observe: Observer) -> Iterator[StopWish]:
    """Hold the run, and hear wishes to stop; whoever holds it already is waited for."""
    with ExitStack() as stack:
        wish = stack.enter_context(StopWish())

        def wait(holder: str) -> None:
            if holder:
                observe(RunWarned(step=None, message=f"{holder} works on this run; waiting for it"))
            if wish.count:
                raise Stopped(Verdict.CANCELLED)

        stack.enter_context(work_on(settings, start.pipeline, start.run, on_wait=wait))
        yield wish


@dataclass(kw_only=True)
class _Active:
    """A step that has begun: exactly one of a process, a pause, and another worker's claim is being waited for."""

    attempt: int
    process: StepProcess | None = None
    again_at: float | None = None
    claimed: bool = False
    killed: bool = False


class _Runner:
    """One run at work."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        release: Release,
        start: Start,
        observe: Observer,
        wish: StopWish,
        executor: Executor,
    ) -> None:
        self._settings = settings
        self._store = store
        self._release = release
        self._start = start
        self._observe = observe
        self._wish = wish
        self._executor = executor
        self._active: dict[str, _Active] = {}
        self._stopping_since: float | None = None
        self._cancel_looked_at = -1e9
        self._published = False
        self._failed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(wish, selectors.EVENT_READ)

    def run(self, jobs: int) -> bool:
        """Bring every step to an end; return whether the run was told to stop."""
        spec, start = self._release.spec, self._start
        order = topological_order(spec)
        self._observe(
            RunBegan(
                pipeline=start.pipeline, run=start.run, needs={name: spec.steps[name].needs for name in order}
            )
        )
        for step in order:
            if step in start.reuses:
                self._reuse(step)
        nodes = {name: _node(spec.steps[name], start.reuses) for name in order if name not in start.reuses}
        self._work(nodes, jobs)
        if self._published and not self._failed and self._stopping_since is None:
            self._work({QUALIFY_STEP: Node()}, jobs)
        return self._stopping_since is not None

    def close(self) -> None:
        """End whatever still runs."""
        for active in self._active.values():
            if active.process is not None:
                active.process.close()
        self._selector.close()

    def _reuse(self, step: str) -> None:
        attempt = counted_attempt(self._store, self._start, step)
        assert attempt is not None
        assert (
            attempt.result is not None
        )  # it was looked at before the start was written, and is never deleted
        self._published = self._published or attempt.result.model is not None
        self._observe(StepReused(step=step, run=self._start.reuses[step], result=attempt.result))

    def _work(self, nodes: Mapping[str, Node], jobs: int) -> None:
        capacity = Capacity(jobs=jobs, cpu=max(machine_cpus(), jobs), memory_bytes=machine_memory_bytes())
        for name, node in nodes.items():
            if node.memory_bytes > capacity.memory_bytes:
                message = (
                    f"it asks for {node.memory_bytes:,} bytes of memory, this machine has "
                    f"{capacity.memory_bytes:,}; it runs alone"
                )
                self._observe(RunWarned(step=name, message=message))
        schedule = Schedule(nodes, capacity)
        while not schedule.done:
            self._look_for_stop(schedule)
            while self._stopping_since is None and (step := schedule.begin_next()) is not None:
                self._begin(step, schedule)
                self._look_for_stop(schedule)
            if self._active:
                self._wait(schedule)

    def _look_for_stop(self, schedule: Schedule) -> None:
        now = time.monotonic()
        if self._stopping_since is None:
            reason = self._wish.reason if self._wish.count else self._cancel_request(now)
            if not reason:
                return
            self._stopping_since = now
            self._failed = True
            self._observe(RunStopping(reason=reason))
            for step in schedule.stop():
                self._observe(StepSkipped(step=step))
            for step, active in list(self._active.items()):
                if active.process is not None:
                    active.process.send_signal(signal.SIGINT)
                else:
                    self._give_up(step, schedule)
        elif self._wish.count > 1 or now - self._stopping_since >= _STOP_SECONDS:
            for active in self._active.values():
                if active.process is not None and not active.killed:
                    active.killed = True
                    active.process.kill()

    def _cancel_request(self, now: float) -> str:
        if now - self._cancel_looked_at < _CANCEL_LOOK_SECONDS:
            return ""
        self._cancel_looked_at = now
        asked = is_cancel_requested(self._store, self._start.pipeline, self._start.run)
        return "cancelled on request" if asked else ""

    def _wait(self, schedule: Schedule) -> None:
        """Wait until something happens or is due, and see to it."""
        now = time.monotonic()
        until = now + _CANCEL_LOOK_SECONDS
        for active in self._active.values():
            if active.again_at is not None:
                until = min(until, active.again_at)
            if active.claimed:
                until = min(until, now + _CLAIM_LOOK_SECONDS)
        for key, _ in self._selector.select(max(0.0, until - now)):
            if key.data is None:
                self._wish.drain()
                continue
            step: str = key.data
            process = self._active[step].process
            if process is not None and process.poll() is not None:
                self._selector.unregister(key.fd)
                self._settle(step, schedule)
        now = time.monotonic()
        for step, active in list(self._active.items()):
            if active.again_at is not None and now >= active.again_at:
                self._launch(step, active.attempt + 1)
            elif active.claimed:
                self._settle(step, schedule)

    def _begin(self, step: str, schedule: Schedule) -> None:
        """Begin a step, or go on where an earlier runner of this run was."""
        attempt = newest_attempt(self._store, self._start.pipeline, self._start.run, step)
        if attempt is None:
            self._launch(step, 1)
            return
        self._active[step] = _Active(attempt=attempt.number)
        if attempt.result is None:
            self._observe(StepBegan(step=step, attempt=attempt.number))
        self._settle(step, schedule)

    def _launch(self, step: str, attempt: int) -> None:
        self._observe(StepBegan(step=step, attempt=attempt))
        process = self._executor.launch(self._start, step, attempt)
        self._active[step] = _Active(attempt=attempt, process=process)
        self._selector.register(process, selectors.EVENT_READ, step)

    def _settle(self, step: str, schedule: Schedule) -> None:
        """See what became of a step whose process has ended, or of which somebody else has a claim."""
        start, active = self._start, self._active[step]
        attempt = newest_attempt(self._store, start.pipeline, start.run, step)
        if attempt is not None and attempt.result is None:
            claim = read_claim(self._store, start.pipeline, start.run, step, attempt.number)
            if claim is not None and is_alive(claim):
                self._active[step] = _Active(attempt=attempt.number, claimed=True)
                return
            keep_what_is_left(self._settings, self._store, start.pipeline, start.run, step, attempt.number)
        if attempt is not None and attempt.result is not None:
            self._ended(step, attempt, attempt.result, schedule)
            return
        number = attempt.number if attempt is not None else active.attempt
        self._observe(StepLost(step=step, attempt=number))
        self._again_if_lost(step, number, schedule)

    def _ended(self, step: str, attempt: Attempt, result: StepResult, schedule: Schedule) -> None:
        start = self._start
        if result.verdict is not Verdict.SUCCEEDED and self._stopping_since is None:
            if result.verdict is Verdict.INTERRUPTED:
                self._observe(StepLost(step=step, attempt=attempt.number))
                if self._again_if_lost(step, attempt.number, schedule, result):
                    return
            spec = self._release.spec.steps.get(step)
            if spec is not None and result.verdict in spec.retry_on:
                ended = read_attempts(self._store, start.pipeline, start.run, step, attempt.number)
                tries = sum(one.result is not None and one.result.verdict in spec.retry_on for one in ended)
                if tries <= spec.retries:
                    wait = self._pause_seconds(tries)
                    self._observe(StepRetried(step=step, result=result, wait_seconds=wait))
                    self._active[step] = _Active(attempt=attempt.number, again_at=time.monotonic() + wait)
                    return
        del self._active[step]
        self._observe(StepEnded(step=step, result=result))
        self._published = self._published or result.model is not None
        spec = self._release.spec.steps.get(step)
        if spec is not None:
            message = warn_of_memory(self._store, start, step, spec, result)
            if message is not None:
                self._observe(RunWarned(step=step, message=message))
        self._end(step, schedule, succeeded=result.verdict is Verdict.SUCCEEDED)

    def _again_if_lost(
        self, step: str, number: int, schedule: Schedule, result: StepResult | None = None
    ) -> bool:
        """Begin the attempt after one that was lost, or give the step up; return whether it goes on."""
        start = self._start
        ended = read_attempts(self._store, start.pipeline, start.run, step, number)
        lost = sum(one.result is None or one.result.verdict is Verdict.INTERRUPTED for one in ended)
        if self._stopping_since is None and lost < _LOST_MOST:
            wait = 0.0 if lost < 2 else self._pause_seconds(lost - 1)
            self._active[step] = _Active(attempt=number, again_at=time.monotonic() + wait)
            return True
        if result is None:
            if self._stopping_since is None:
                log = log_path(self._settings, start.pipeline, start.run, step, number)
                message = f"its process was lost {lost} times without a result; its logs: {log.parent}"
                self._observe(RunWarned(step=step, message=message))
            self._give_up(step, schedule)
        return False

    def _give_up(self, step: str, schedule: Schedule) -> None:
        del self._active[step]
        self._end(step, schedule, succeeded=False)

    def _end(self, step: str, schedule: Schedule, *, succeeded: bool) -> None:
        self._failed = self._failed or not succeeded
        for skipped in schedule.end(step, succeeded=succeeded):
            self._observe(StepSkipped(step=skipped))

    def _pause_seconds(self, tries: int) -> float:
        """Return the pause after the nth try: doubled each time, and spread so that not all come back at once."""
        longest = min(_LONGEST_PAUSE_SECONDS, self._settings.retry_seconds * 2.0 ** (tries - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret hangs on it


def _node(spec: Step, reuses: Mapping[str, str]) -> Node:
    return Node(
        needs=tuple(need for need in spec.needs if need not in reuses),
        cpu=spec.resources.cpu,
        memory_bytes=spec.resources.memory_bytes or 0,
    )
