"""What is known of a run that is being worked on: events of the runner and live records of the steps, in one place.

The views draw it, each in its way; it is the same for a terminal and for a log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from rasen.batch.run_events import (
    RunBegan,
    RunEvent,
    RunStopping,
    RunWarned,
    StepBegan,
    StepEnded,
    StepLost,
    StepRetried,
    StepReused,
    StepSkipped,
)
from rasen.tracking.records import LiveStep, StepResult, Verdict

State = Literal["waiting", "running", "pausing", "ended", "skipped", "reused"]

_DEEPEST = 6  # further levels are drawn like this one


@dataclass(kw_only=True)
class StepState:
    """One step as it is now; `depth` is the length of the longest chain of steps that it needs."""

    step: str
    needs: tuple[str, ...] = ()
    depth: int = 0
    state: State = "waiting"
    attempt: int = 0
    began: float | None = None
    live: LiveStep | None = None
    result: StepResult | None = None
    reused_from: str | None = None

    @property
    def verdict(self) -> Verdict | None:
        """How the step ended, or `None`."""
        if self.state == "skipped":
            return Verdict.SKIPPED
        return self.result.verdict if self.result is not None and self.state in ("ended", "reused") else None


@dataclass(kw_only=True)
class RunBoard:
    """The steps of a run in the order in which they are shown: each behind what it needs."""

    pipeline: str = ""
    run: str = ""
    steps: dict[str, StepState] = field(default_factory=dict)
    stopping: str | None = None
    clock: Callable[[], float] = time.monotonic
    began: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def observe(self, event: RunEvent) -> None:
        """Take in what happened."""
        with self.lock:
            match event:
                case RunBegan():
                    self.pipeline, self.run, self.began = event.pipeline, event.run, self.clock()
                    for step in tree_order(event.needs):
                        state = self._step(step)
                        state.needs = event.needs[step]
                        depths = [self.steps[need].depth for need in state.needs if need in self.steps]
                        state.depth = min(_DEEPEST, 1 + max(depths, default=-1))
                case StepReused():
                    state = self._step(event.step)
                    state.state, state.result, state.reused_from = "reused", event.result, event.run
                case StepBegan():
                    state = self._step(event.step)
                    state.state, state.attempt, state.live = "running", event.attempt, None
                    state.began = self.clock()
                case StepLost():
                    self._step(event.step).state = "waiting"
                case StepRetried():
                    state = self._step(event.step)
                    state.state, state.result, state.live = "pausing", event.result, None
                case StepSkipped():
                    self._step(event.step).state = "skipped"
                case StepEnded():
                    state = self._step(event.step)
                    state.state, state.result, state.live = "ended", event.result, None
                case RunStopping():
                    self.stopping = event.reason
                case RunWarned():
                    pass  # the views tell it at once
                case _:
                    assert_never(event)

    def refresh(self, live: Iterable[LiveStep]) -> None:
        """Take in what the steps say of themselves; of an attempt that is over, nothing."""
        with self.lock:
            for record in live:
                state = self.steps.get(record.step)
                if state is not None and state.state == "running" and state.attempt == record.attempt:
                    state.live = record

    def running(self) -> list[StepState]:
        """Return the steps that run now."""
        with self.lock:
            return [state for state in self.steps.values() if state.state == "running"]

    def totals(self) -> dict[str, int]:
        """Return how many steps there are of each verdict or state, in the order of the steps."""
        counts: dict[str, int] = {}
        with self.lock:
            for state in self.steps.values():
                name = "reused" if state.state == "reused" else str(state.verdict or state.state)
                counts[name] = counts.get(name, 0) + 1
        return counts

    def _step(self, name: str) -> StepState:
        return self.steps.setdefault(name, StepState(step=name))


def tree_order(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the steps so that each stands behind all that it needs, and as near to the last of them as it can."""
    left = {step: set(needed) & set(needs) for step, needed in needs.items()}
    needed_by: dict[str, list[str]] = {step: [] for step in needs}
    for step, needed in left.items():
        for need in needed:
            needed_by[need].append(step)
    order: list[str] = []
    ready = [step for step in reversed(list(needs)) if not left[step]]
    while ready:
        step = ready.pop()
        order.append(step)
        for other in reversed(needed_by[step]):
            left[other].discard(step)
            if not left[other]:
                ready.append(other)
    return order
