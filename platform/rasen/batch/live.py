"""Live progress: what a running step says of itself, for whoever watches from another process or machine.

Written by a thread of the step's process, about once a second and never on the path of a cell: a store that is slow or
down costs the view, not the run. Nothing is decided from it, so failures are counted and otherwise ignored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rasen.batch.plain_text import clean_line
from rasen.errors import ObjectNotFound, RasenError
from rasen.store import Store
from rasen.tracking.keys import LIVE_SWEEP_KEY, live_key, live_notebook_key, live_prefix
from rasen.tracking.records import LivePhase, LiveStep, UnreadableRecord

if TYPE_CHECKING:
    from rasen.batch.execution import Progress

NOTEBOOK_MAX_BYTES = 4_000_000
"""An output notebook above this is not shown while it grows: it would be sent whole, every second."""

_FIRST_SECONDS = 0.4  # a step that takes less is over before anybody looks, and costs the store nothing
_PERIOD_SECONDS = 1.0
_MEMORY_STEP_BYTES = 8_000_000  # a smaller change is no news
_KEPT_FOR = timedelta(days=1)


class LiveWriter:
    """Writes where a step is, from a thread of its own, for as long as it is entered.

    Args:
        store: Where to.
        step: Who speaks: run, pipeline, step and attempt, and the phase to begin with.
        first_seconds: How long nothing is written at first.
        period_seconds: How long nothing is written after a write.
    """

    beat_seconds = 5.0
    """How often a step in which nothing changes says that it is still there."""

    close_seconds = 2.0
    """How long the end of a step waits for a store that does not answer."""

    def __init__(
        self,
        store: Store,
        step: LiveStep,
        *,
        first_seconds: float = _FIRST_SECONDS,
        period_seconds: float = _PERIOD_SECONDS,
    ) -> None:
        self.failures = 0
        self.mask: Callable[[str], str] | None = (
            None  # removes known secrets from a text, once they are known
        )
        self._store = store
        self._step = step
        self._first_seconds = first_seconds
        self._period_seconds = period_seconds
        self._phase: LivePhase = step.phase
        self._progress: Progress | None = None
        self._notebook: Path | None = None
        self._notebook_seen: tuple[int, int] | None = None
        self._withheld_bytes = 0
        self._shown: tuple[object, ...] = ()
        self._shown_at = 0.0
        self._begun = time.monotonic()
        self._beat = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rasen-live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(self.close_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread is still there, perhaps waiting for the store."""
        return self._thread.is_alive()

    def enter(self, phase: LivePhase) -> None:
        """Say that the step is in another phase now."""
        self._phase = phase

    def observe(self, progress: Progress) -> None:
        """Say where the notebook is now; it is only noted here."""
        self._progress = progress

    def watch(self, notebook: Path) -> None:
        """Show this output notebook as well, whenever its file changes."""
        self._notebook = notebook

    def _work(self) -> None:
        wait = self._first_seconds
        while not self._stop.wait(wait):
            self._try(self._write_notebook)
            self._try(self._write_record)
            wait = self._period_seconds
        if self._beat:
            step = self._step
            for key in (live_notebook_key, live_key):
                self._try(partial(self._store.delete, key(step.pipeline, step.run, step.step)))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (RasenError, OSError):
            self.failures += 1

    def _write_notebook(self) -> None:
        path = self._notebook
        if path is None:
            return
        try:
            found = path.stat()
        except FileNotFoundError:
            return
        seen = (found.st_mtime_ns, found.st_size)
        if seen == self._notebook_seen:
            return
        if found.st_size > NOTEBOOK_MAX_BYTES:
            self._withheld_bytes = found.st_size
        else:
            step = self._step
            self._store.write(live_notebook_key(step.pipeline, step.run, step.step), path.read_bytes())
        self._notebook_seen = seen

    def _write_record(self) -> None:
        progress, now = self._progress, time.monotonic()
        memory = progress.memory_bytes // _MEMORY_STEP_BYTES if progress is not None else 0
        shown = (self._phase, progress and (progress.cell, progress.last_line), memory, self._withheld_bytes)
        if self._beat and shown == self._shown and now - self._shown_at < self.beat_seconds:
            return
        step = self._step
        record = LiveStep(
            run=step.run,
            pipeline=step.pipeline,
            step=step.step,
            attempt=step.attempt,
            phase=self._phase,
            cell=progress.cell if progress is not None else None,
            cells=progress.cells if progress is not None else 0,
            memory_bytes=progress.memory_bytes if progress is not None else 0,
            seconds=round(now - self._begun, 3),
            last_line=self._line(progress.last_line) if progress is not None else "",
            beat=self._beat + 1,
            withheld_bytes=self._withheld_bytes,
            failures=self.failures,
        )
        self._beat += 1  # counted before: a write that failed may have happened
        self._store.write(live_key(step.pipeline, step.run, step.step), record.to_bytes())
        self._shown, self._shown_at = shown, now

    def _line(self, text: str) -> str:
        return clean_line(self.mask(text) if self.mask is not None else text)


def read_live(store: Store, pipeline: str, run: str) -> list[LiveStep]:
    """Return what the steps of a run say of themselves now, in the order of their names."""
    prefix = live_prefix(pipeline, run)
    found = []
    for name in store.children(prefix):
        if not name.endswith(".json"):
            continue
        try:
            found.append(LiveStep.from_bytes(store.read(prefix + name), source=prefix + name))
        except (ObjectNotFound, UnreadableRecord):
            continue  # it has just ended, or a newer version writes another format
    return found


def sweep_live(store: Store) -> int:
    """Remove what steps that were killed have left, after a day; return how many objects went.

    "A day" is the store's: the time of an object against that of one written now, so no clock of a machine counts.
    """
    store.write(LIVE_SWEEP_KEY, b"{}\n")
    now = store.stat(LIVE_SWEEP_KEY)
    if now is None:
        return 0
    old = [stat.key for stat in store.list("live/") if now.updated_at - stat.updated_at > _KEPT_FOR]
    for key in old:
        store.delete(key)
    return len(old)
