"""The time budget of requests: who has waited too long is answered otherwise, and the call goes on.

A model's call cannot be stopped, only not waited for. Most requests are answered within a turn of the loop or two, so
none gets a timer of its own: they queue up by budget, and while any are open, one timer looks at the queues' heads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

_LOOK_SECONDS = 0.02


class Waiting(Protocol):
    """A request that waits for its answer."""

    started: float
    answered: bool

    def expire(self) -> None:
        """Be answered without waiting any longer."""


class Deadlines:
    """Expires requests; on the event loop."""

    def __init__(self) -> None:
        self._queues: dict[float, deque[Waiting]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiting: Waiting, *, budget_seconds: float) -> None:
        """Watch a request that was just taken; those of one budget are as old as they come."""
        queue = self._queues.get(budget_seconds)
        if queue is None:
            queue = self._queues[budget_seconds] = deque()
        queue.append(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.perf_counter()
        for budget_seconds, queue in list(self._queues.items()):
            while queue:
                waiting = queue[0]
                if not waiting.answered:
                    if now - waiting.started < budget_seconds:
                        break
                    waiting.expire()
                queue.popleft()
            if not queue:
                del self._queues[budget_seconds]
        if self._queues:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
