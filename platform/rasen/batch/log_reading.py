"""Reading what a run's steps have printed, again and again while it runs, from the store alone.

So it works from any machine: what has ended is read from `runs/`, what runs from `live/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rasen.batch.cancellation import is_attended
from rasen.batch.live import read_live
from rasen.batch.printed import Follower, Line, read_log, read_step_notebook
from rasen.batch.queries import attempts_of, steps_of, trusted_release
from rasen.errors import NotFound
from rasen.settings import Settings
from rasen.store import Store
from rasen.suggestion import suggest
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import LiveStep, Start, Verdict
from rasen.tracking.results import Attempt


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One line of an attempt of a step."""

    step: str
    attempt: int
    line: Line


@dataclass(kw_only=True)
class LogReader:
    """A run's prints as far as they were read; without `step` those of all steps, without `attempt` of the last one."""

    settings: Settings
    store: Store
    start: Start
    step: str | None
    attempt: int | None
    _followers: dict[tuple[str, int], Follower] = field(default_factory=dict)
    _over: set[tuple[str, int]] = field(default_factory=set)
    _steps_over: set[str] = field(default_factory=set)  # nothing will follow, so they are not asked for again

    def __post_init__(self) -> None:
        self._release = trusted_release(self.settings, self.store, self.start)

    def steps(self) -> list[str]:
        """Return the steps to be read.

        Raises:
            NotFound: The run has no such step.
        """
        known = steps_of(self.store, self.start, self._release)
        if self.step is None:
            return known
        if self.step not in known and self.step != QUALIFY_STEP:
            raise NotFound(f"run {self.start.run!r} has no step {self.step!r}: {suggest(self.step, known)}")
        return [self.step]

    def read_new(self) -> Iterator[StepLine]:
        """Yield what is new since the last time.

        Raises:
            NotFound: The step has no such attempt.
        """
        live = {one.step: one for one in read_live(self.store, self.start.pipeline, self.start.run)}
        found = False
        for name in self.steps():
            if name in self._steps_over:
                continue
            reused = self.start.reuses.get(name)
            if reused is not None and self.step is None:
                self._steps_over.add(name)
                text = f"reused from run {reused}; `rasen logs {reused} {name}` shows what it printed"
                yield StepLine(step=name, attempt=0, line=Line(kind="note", text=text))
                continue
            for one in attempts_of(self.store, self.start, name)[-1 if self.attempt is None else 0 :]:
                if self.attempt is None or one.number == self.attempt:
                    found = True
                    for line in self._read_attempt(name, one, live.get(name)):
                        yield StepLine(step=name, attempt=one.number, line=line)
                    if one.result is not None and one.result.verdict is Verdict.SUCCEEDED:
                        self._steps_over.add(name)
        if self.attempt is not None and not found:
            where = f"step {self.step!r}" if self.step else "no step"
            raise NotFound(
                f"{where} of run {self.start.run!r} has {'no ' if self.step else ''}attempt {self.attempt}"
            )

    def is_attended(self) -> bool:
        """Return whether somebody still works on the run."""
        return is_attended(self.settings, self.store, self.start.pipeline, self.start.run)

    def _read_attempt(self, step: str, attempt: Attempt, live: LiveStep | None) -> Iterator[Line]:
        place = (step, attempt.number)
        if place in self._over:
            return
        pipeline, run = self.start.pipeline, self.start.reuses.get(step, self.start.run)
        follower = self._followers.get(place)
        if follower is None:
            follower = self._followers[place] = Follower()
            if attempt.number > 1:
                yield Line(
                    kind="note",
                    text=f"attempt {attempt.number}; --attempt 1 to {attempt.number - 1} show those before",
                )
        notebook = read_step_notebook(self.store, pipeline, run, step, attempt.number, live=live)
        if notebook is not None:
            yield from follower.take(notebook)
        result = attempt.result
        log = read_log(self.store, pipeline, run, step, attempt.number)
        if result is None and not log:
            return  # it runs; of an attempt that was lost the runner keeps the log
        self._over.add(place)
        yield from log
        if result is None:
            yield Line(kind="note", text="left no result: its process is gone")
            return
        if result.error is not None and not follower.has_shown("error"):
            yield Line(kind="error", text=f"{result.error.name}: {result.error.message}", cell=result.cell)
        yield Line(kind="note", text=result.verdict.value)
