"""A request on its way through a worker, from its bytes to its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rasen_serving.refusals import OutOfTime

if TYPE_CHECKING:
    from rasen_serving.asked import Asked
    from rasen_serving.batching import Outcome
    from rasen_serving.decode import Columns
    from rasen_serving.live import Arm, Live
    from rasen_serving.service import Service
    from rasen_serving.wire import Answer


class Pending:
    """A request on its way: answered, counted and logged once, by whoever comes first."""

    __slots__ = (
        "_service",
        "answered",
        "arm",
        "arrived",
        "asked",
        "columns",
        "done",
        "endpoint",
        "failed",
        "key_id",
        "live",
        "reason",
        "started",
    )

    def __init__(self, service: Service, asked: Asked, done: Callable[[Answer], None]) -> None:
        self.asked = asked
        self.endpoint = asked.endpoint
        self.done = done
        self.started = time.perf_counter()
        self.arrived = time.time()
        self.live: Live | None = None
        self.arm: Arm | None = None
        self.failed: Arm | None = None  # the candidate for which the champion answers
        self.columns: Columns | None = None
        self.reason = ""
        self.key_id = ""
        self.answered = False
        self._service = service

    def finish(self, outcome: Outcome) -> None:
        """Answer with an outcome; one that comes too late is not needed any more."""
        if not self.answered and not self._service.rescue(self, outcome):
            self.answered = True
            self._service.finish(self, outcome)
            # It may stay in a queue for a while.
            del self.asked, self.done, self.columns, self.arm, self.live, self.failed

    def expire(self) -> None:
        """Stop waiting for the model."""
        assert self.live is not None  # only such are given a budget
        self.finish(OutOfTime(f"the model did not answer within {self.live.budget_seconds:g} s"))
