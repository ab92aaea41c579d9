"""What happens in a run, for those who follow it from outside: read from the store alone, again and again.

So it works wherever the run is worked on, and after either side was started anew. Nothing is decided from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from rasen.batch.cancellation import is_attended, is_cancel_requested
from rasen.batch.finish import Finished, read_finished
from rasen.batch.live import read_live
from rasen.batch.log_reading import LogReader
from rasen.batch.plain_text import without_colours
from rasen.batch.platform_runs import Place, open_runs
from rasen.batch.queries import attempts_of, steps_of, trusted_release
from rasen.batch.start import read_start
from rasen.errors import ObjectNotFound
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.json_form import json_form
from rasen.tracking.records import LiveStep, Start, StepResult, Verdict

Kind = Literal["state", "step", "progress", "log", "verdict"]
_TEXT_MOST = 4_000
_ATTENDED_LOOKS = 6  # looks between two questions whether anybody works on the run


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One thing that happened; `data` is JSON."""

    kind: Kind
    data: dict[str, Any]  # Any: JSON


@dataclass(kw_only=True)
class RunWatch:
    """Says what is new in a run each time it is asked; `over` when nothing will follow."""

    settings: Settings
    store: Store
    pipeline: str
    run: str
    settled: set[Place] = field(default_factory=set)
    over: bool = False
    _state: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    _steps: dict[str, tuple[int, str]] = field(default_factory=dict)
    _live: dict[str, LiveStep] = field(default_factory=dict)
    _reader: LogReader | None = None
    _needs: dict[str, list[str]] = field(default_factory=dict)
    _looks: int = 0
    _attended: bool = True

    def look(self) -> list[Happening]:
        """Return what has happened since the last time, in order.

        Raises:
            StoreError: The store failed; nothing is lost by it.
        """
        if self.over:
            return []
        # The end is looked for first: what was before it is then there to be read.
        finished = read_finished(self.settings, self.store, self.pipeline, self.run)
        try:
            start = read_start(self.store, self.pipeline, self.run).start
        except ObjectNotFound:
            return [*self._waiting(finished), *self._end(finished, None)]
        return [
            *self._started(start, finished),
            *self._look_at_steps(start, finished),
            *self._look_at_logs(start),
            *self._end(finished, start),
        ]

    def _waiting(self, finished: Finished | None) -> Iterator[Happening]:
        if finished is not None:
            return
        for one in open_runs(self.store, self.pipeline, settled=self.settled):
            if one.run == self.run:
                state = "cancelling" if one.cancelling else "waiting"
                yield from self._say_state(state, place=one.place, attended=None)

    def _started(self, start: Start, finished: Finished | None) -> Iterator[Happening]:
        if finished is not None and self._state.get("needs"):
            return
        if finished is None and self._looks % _ATTENDED_LOOKS == 0:
            self._attended = is_attended(self.settings, self.store, self.pipeline, self.run)
        self._looks += 1
        cancelling = is_cancel_requested(self.store, self.pipeline, self.run)
        state = "cancelling" if cancelling else "running"
        if finished is not None:
            state = finished.verdict.value
        if not self._state.get("needs"):
            release = trusted_release(self.settings, self.store, start)
            self._needs = (
                {} if release is None else {name: list(one.needs) for name, one in release.spec.steps.items()}
            )
        attended = self._attended if finished is None else None
        yield from self._say_state(state, place=None, attended=attended)

    def _say_state(self, state: str, *, place: int | None, attended: bool | None) -> Iterator[Happening]:
        now = {
            "pipeline": self.pipeline,
            "run": self.run,
            "state": state,
            "place": place,
            "attended": attended,
            "needs": self._needs,
        }
        if now != self._state:
            self._state = now
            yield Happening(kind="state", data=now)

    def _look_at_steps(self, start: Start, finished: Finished | None) -> Iterator[Happening]:
        release = trusted_release(self.settings, self.store, start)
        live = {one.step: one for one in read_live(self.store, self.pipeline, self.run)}
        for name in steps_of(self.store, start, release):
            attempts = attempts_of(self.store, start, name)
            last = attempts[-1] if attempts else None
            if last is None:
                state = "skipped" if finished is not None else "waiting"
                yield from self._say_step(name, 0, state, None, start)
                continue
            state = last.result.verdict.value if last.result is not None else "running"
            yield from self._say_step(name, last.number, state, last.result, start)
            now = live.get(name)
            if now is not None and last.result is None and now != self._live.get(name):
                self._live[name] = now
                yield Happening(
                    kind="progress",
                    data=json_form(now.model_dump(mode="json", exclude={"format", "run", "pipeline"})),
                )

    def _say_step(
        self, step: str, attempt: int, state: str, result: StepResult | None, start: Start
    ) -> Iterator[Happening]:
        if self._steps.get(step) == (attempt, state):
            return
        self._steps[step] = (attempt, state)
        error = result.error if result is not None else None
        yield Happening(
            kind="step",
            data=json_form(
                {
                    "step": step,
                    "attempt": attempt,
                    "state": state,
                    "seconds": result.seconds if result is not None else None,
                    "cell": result.cell if result is not None else None,
                    "error": {"name": error.name, "message": error.message[:_TEXT_MOST]}
                    if error is not None
                    else None,
                    "metrics": {one.name: one.value for one in result.metrics if not one.slice}
                    if result is not None
                    else {},
                    "reused_from": start.reuses.get(step),
                }
            ),
        )

    def _look_at_logs(self, start: Start) -> Iterator[Happening]:
        if self._reader is None:
            self._reader = LogReader(
                settings=self.settings, store=self.store, start=start, step=None, attempt=None
            )
        for one in self._reader.read_new():
            line = one.line
            yield Happening(
                kind="log",
                data={
                    "step": one.step,
                    "attempt": one.attempt,
                    "cell": line.cell,
                    "kind": line.kind,
                    "text": without_colours(line.text)[:_TEXT_MOST],
                },
            )

    def _end(self, finished: Finished | None, start: Start | None) -> Iterator[Happening]:
        if finished is None:
            return
        self.over = True
        end = finished.end
        model = finished.manifest is not None and finished.manifest.model is not None
        yield Happening(
            kind="verdict",
            data={
                "pipeline": self.pipeline,
                "run": self.run,
                "verdict": finished.verdict.value,
                "step": end.step if end is not None else None,
                "error": end.error if end is not None else None,
                "published_model": model,
                "deploy": start.deploy
                if start is not None and finished.verdict is Verdict.SUCCEEDED
                else None,
            },
        )
