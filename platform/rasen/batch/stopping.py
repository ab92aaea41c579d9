"""Being told to stop: by a person at the terminal, by the system, or by `rasen cancel` from anywhere.

Two questions are kept apart. A run's process asks `StopWish` between two waits whether it should wind down. A step's
process, deep in somebody's notebook, is told by an exception that carries the verdict: SIGINT comes from the run and
says `cancelled`, SIGTERM comes from the system and says `interrupted`.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from rasen.tracking.records import Verdict

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """This process was told to stop; `verdict` says what that makes of what it was doing.

    A `KeyboardInterrupt`, so that no handler of ordinary errors swallows it.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict

    def __str__(self) -> str:
        return "it was cancelled" if self.verdict is Verdict.CANCELLED else "it was told to stop"


def raise_when_stopped() -> None:
    """Have SIGINT and SIGTERM raise `Stopped` in this process's main thread, once; later ones are ignored."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(Verdict.CANCELLED if number == signal.SIGINT else Verdict.INTERRUPTED)

    for each in _SIGNALS:
        signal.signal(each, stop)


class StopWish:
    """Notes SIGINT and SIGTERM while it is entered; readable as soon as one has come.

    Outside the main thread, where Python gives no signals, it is a wish that nobody can have.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        self._ready, self._write = os.pipe()
        for descriptor in (self._ready, self._write):
            os.set_blocking(descriptor, False)
        self._before: dict[int, object] = {}

    def fileno(self) -> int:
        """Return a descriptor that becomes ready to be read with each signal."""
        return self._ready

    def drain(self) -> None:
        """Wait for the next signal from here on."""
        try:
            while os.read(self._ready, 64):
                pass
        except BlockingIOError:
            pass

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)  # type: ignore[arg-type] # what signal.signal gave is what it takes
        os.close(self._ready)
        os.close(self._write)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.reason = "Ctrl-C" if number == signal.SIGINT else f"signal {signal.Signals(number).name}"
        os.write(self._write, b"x")
