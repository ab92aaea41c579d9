"""A breaker: a variant that fails half of its requests gets none for a while, long before the ledger says so.

The function aborts a rollout from reports that are ten seconds old; the breaker acts within the process at once. One
request in ten seconds goes through to see whether the variant has come back. The champion has no breaker: there would
be nobody to take its share but the profile, which answers for it anyway.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW = 20
"""So many of the last outcomes count; fewer say nothing."""

FAILING = 10
"""So many failures among them open the breaker."""

PAUSE_SECONDS = 10.0


class Breaker:
    """The outcomes of one version in one worker; on the event loop."""

    __slots__ = ("_clock", "_failures", "_outcomes", "_retry_at", "_trying")

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._failures = 0
        self._retry_at: float | None = None
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether the variant gets no requests but one now and then."""
        return self._retry_at is not None

    def lets_pass(self) -> bool:
        """Return whether the variant may answer a request; if it is open, the one that may is a trial."""
        if self._retry_at is None:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._retry_at = now + PAUSE_SECONDS
        self._trying = True
        return True

    def note(self, *, failed: bool) -> None:
        """Take in what became of a request."""
        if self._retry_at is not None:
            if self._trying:
                self._trying = False
                if not failed:
                    self._close()
            return  # what was in flight when it opened proves nothing
        if len(self._outcomes) == WINDOW:
            self._failures -= self._outcomes[0]
        self._outcomes.append(failed)
        self._failures += failed
        if len(self._outcomes) == WINDOW and self._failures >= FAILING:
            self._retry_at = self._clock() + PAUSE_SECONDS

    def _close(self) -> None:
        self._retry_at = None
        self._outcomes.clear()
        self._failures = 0
