"""How far a long lint is: one line on a terminal that is written over, and gone at the end."""

from __future__ import annotations

import time
from typing import TextIO

_PATIENCE_SECONDS = 1.0
_EVERY_SECONDS = 0.1


class Progress:
    """Told after each notebook; says nothing in the first second."""

    def __init__(self, out: TextIO, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._out = out
        self._next = time.monotonic() + patience_seconds
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` notebooks are checked."""
        if done == total:
            if self._shown:
                self._out.write("\r\033[K")
                self._out.flush()
            return
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_SECONDS
            self._shown = True
            self._out.write(f"\r{done} of {total} notebooks\033[K")
            self._out.flush()
