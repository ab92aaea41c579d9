"""A run in plain lines, one for each event: for a pipe, a log, a terminal that can only print."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Self, assert_never

from rich.console import Console
from rich.text import Text

from rasen.batch.live import read_live
from rasen.batch.plain_text import clean_line
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
from rasen.cli.output import COLOURS, show_bytes, show_duration
from rasen.cli.run_board import RunBoard, StepState
from rasen.errors import RasenError
from rasen.store import Store
from rasen.tracking.records import StepResult, Verdict

_PROGRESS_SECONDS = 30.0


class PlainView:
    """One line for each event, with the time; of a long step one line every half minute.

    Args:
        store: Where the steps say how far they are.
        out: Where the lines go.
        progress_seconds: How long a step is silent before it is said where it is.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        store: Store,
        out: Console,
        *,
        progress_seconds: float = _PROGRESS_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.board = RunBoard(clock=clock)
        self._store = store
        self._out = out
        self._progress_seconds = progress_seconds
        self._told: dict[str, float] = {}
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, name="rasen-view", daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._reader.join(1.0)

    def observe(self, event: RunEvent) -> None:
        """Say what happened."""
        with self.board.lock:
            self.board.observe(event)
            if isinstance(event, StepBegan):
                self._told[event.step] = self.board.clock()
            line = tell(event, self.board)
        if line is not None:
            self._say(line)

    def _read(self) -> None:
        while not self._stop.wait(min(1.0, self._progress_seconds / 2)):
            now = self.board.clock()
            due = [
                state
                for state in self.board.running()
                if now - self._told.get(state.step, now) >= self._progress_seconds
            ]
            if not due:
                continue
            with suppress(RasenError, OSError):  # what cannot be read now is read the next time
                self.board.refresh(read_live(self._store, self.board.pipeline, self.board.run))
            for state in due:
                self._told[state.step] = now
                self._say(_progress(state, now))

    def _say(self, line: Text) -> None:
        at = f"{datetime.now().astimezone():%H:%M:%S} "
        self._out.print(Text(at, style="dim").append_text(line), soft_wrap=True)


def tell(event: RunEvent, board: RunBoard, *, only_notable: bool = False) -> Text | None:
    """Return an event as a line; with `only_notable`, `None` for what a picture of the DAG shows anyway."""
    match event:
        case RunWarned():
            where = f"{event.step}: " if event.step else ""
            return Text(f"warning: {where}{clean_line(event.message, most=1000)}", style="yellow")
        case StepLost():
            return Text(
                f"{event.step}: the process of attempt {event.attempt} is gone and left no result",
                style="yellow",
            )
        case StepRetried():
            result = event.result
            return (
                Text(f"{event.step}: attempt {result.attempt} ")
                .append_text(_verdict(result.verdict))
                .append(f"{_reason(result)}; tried again in {show_duration(event.wait_seconds)}")
            )
        case RunStopping():
            return Text(f"stopping: {clean_line(event.reason)}", style="yellow")
        case _ if only_notable:
            return None
        case RunBegan():
            count = len(event.needs)
            return Text(f"{event.pipeline} {event.run}: {count} step{'s' if count != 1 else ''}")
        case StepReused():
            return Text(f"{event.step}: reused from run {event.run}")
        case StepBegan():
            again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            return Text(f"{event.step}: begins{again}")
        case StepSkipped():
            failed = [
                need
                for need in board.steps[event.step].needs
                if board.steps[need].verdict not in (None, Verdict.SUCCEEDED)
            ]
            because = f", because of {', '.join(failed)}" if failed else ""
            return Text(f"{event.step}: ").append_text(_verdict(Verdict.SKIPPED)).append(because)
        case StepEnded():
            return _ended(event.step, event.result)
        case _:
            assert_never(event)


def _ended(step: str, result: StepResult) -> Text:
    line = Text(f"{step}: ").append_text(_verdict(result.verdict))
    line.append(f" in {show_duration(result.seconds)}")
    if result.peak_bytes:
        line.append(f", peak {show_bytes(result.peak_bytes)}")
    metrics = [f"{metric.name} {metric.value:.4g}" for metric in result.metrics if not metric.slice]
    return line.append(", " + "  ".join(metrics[:6]) if metrics else "").append(_reason(result))


def _reason(result: StepResult) -> str:
    if result.error is None:
        return ""
    where = f" in cell {result.cell}" if result.cell is not None else ""
    return f"{where}: " + clean_line(f"{result.error.name}: {result.error.message}", most=300)


def _verdict(verdict: Verdict) -> Text:
    return Text(verdict.value, style=COLOURS.get(verdict, "red"))


def _progress(state: StepState, now: float) -> Text:
    took = show_duration(now - state.began) if state.began is not None else ""
    live = state.live
    if live is None or live.cell is None:
        return Text(f"{state.step}: {live.phase if live is not None else 'running'} for {took}")
    line = Text(f"{state.step}: cell {live.cell + 1} of {live.cells}, {took}")
    if live.memory_bytes:
        line.append(f", {show_bytes(live.memory_bytes)}")
    return line.append(f"  {clean_line(live.last_line)}" if live.last_line else "", style="dim")
