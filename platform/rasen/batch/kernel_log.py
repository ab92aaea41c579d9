"""What a kernel's process writes past its messages: to its own standard output and error.

Usually that is nothing. When a kernel cannot start, crashes, or runs a program that prints, it is all there is to know;
so it goes on to our standard error, masked and within a limit, and its end is kept for the error message.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from rasen.batch.output_mask import Mask, MaskedStream

_READ_BYTES = 65_536
_KEPT_CHARACTERS = 20_000
_PASSED_ON_CHARACTERS = 10_000_000


class KernelLog:
    """A pipe to hand to a kernel as its standard output and error."""

    def __init__(self, mask: Mask | None) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._masked = MaskedStream(mask) if mask is not None else None
        self._left = _PASSED_ON_CHARACTERS
        self._end = ""

    def fileno(self) -> int:
        """Return a descriptor that is ready when the kernel has written something."""
        return self._read_end

    def started(self) -> None:
        """Let go of the kernel's own end: what is left open of it is open in the kernel."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def read(self) -> bool:
        """Take some of what is there; return whether the kernel may write more."""
        try:
            data = os.read(self._read_end, _READ_BYTES)
        except BlockingIOError:
            return True
        self._take(data.decode(errors="replace"))
        return bool(data)

    def last_words(self) -> str:
        """Return the end of what was written."""
        for _ in range(64):  # a pipe holds no more
            try:
                data = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            self._take(data.decode(errors="replace"))
        if self._masked is not None:
            self._pass_on(self._masked.end())
        return self._end.strip()

    def close(self) -> None:
        """Pass on what is left, and close the pipe."""
        self.started()
        if self._read_end >= 0:
            self.last_words()
            os.close(self._read_end)
            self._read_end = -1

    def _take(self, text: str) -> None:
        self._pass_on(self._masked.add(text) if self._masked is not None else text)

    def _pass_on(self, text: str) -> None:
        self._end = (self._end + text)[-_KEPT_CHARACTERS:]
        passed, self._left = text[: max(0, self._left)], self._left - len(text)
        if passed:
            # Our own standard error may be closed, or a full disk: that is no reason to end.
            with suppress(OSError, ValueError):
                sys.stderr.write(passed)
                if self._left <= 0:
                    sys.stderr.write("\n[rasen] the kernel wrote more, which is left out here\n")
                sys.stderr.flush()
