"""A courier: the thread that brings one receiver its messages, in order, and waits when it is away.

One receiver that is slow or gone delays nobody else, and the watching not at all. What an answer means: taken, and the
message goes; not now (no connection, 429, 5xx, a wrong address), and the whole queue waits, twice as long each time or
as long as asked; not this message (400, 413), and after three times it is set aside and the next one has its turn.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import assert_never

from rasen.errors import PlatformFailed
from rasen.notify.answers import Channel, Postponed, Refused, Taken
from rasen.notify.database import open_database
from rasen.notify.outbox import Outbox, Waiting, wait_seconds

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
_MOST_REFUSALS = 3
_IDLE_SECONDS = 5.0  # how long a message may lie there that nobody rang for
_BROKEN_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Courier:
    """Brings messages to one receiver until it is stopped.

    Args:
        name: The receiver's name.
        channel: The way to it.
        path: The notifier's file; the thread opens its own connection.
        mask: Takes secrets out of what receivers answer.
        first_pause_seconds: How long to wait after the first failure.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        path: Path,
        *,
        mask: Callable[[str], str],
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._name = name
        self._channel = channel
        self._path = path
        self._mask = mask
        self._first_pause_seconds = first_pause_seconds
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"courier {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ring(self) -> None:
        """Say that there may be something to bring."""
        self._wake.set()

    def stop(self) -> None:
        """Bring nothing more after what is on its way now; does not wait for that."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> None:
        """Wait until it has stopped."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(open_database(self._path)) as database:
                    self._work(Outbox(database))
            except (sqlite3.Error, PlatformFailed) as error:
                _log.error("the outbox cannot be used: %s; trying again", error)
                self._stop.wait(_BROKEN_SECONDS)

    def _work(self, outbox: Outbox) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            waiting = outbox.first(self._name)
            pause = _IDLE_SECONDS if waiting is None else wait_seconds(waiting, now=time.time())
            if waiting is None or pause > 0:
                self._wake.wait(pause)
                continue
            self._bring(outbox, waiting)

    def _bring(self, outbox: Outbox, waiting: Waiting) -> None:
        answer = self._channel.deliver(waiting.message, waiting.target.recipients)
        match answer:
            case Taken():
                outbox.taken(waiting)
            case Refused() if waiting.attempts + 1 >= _MOST_REFUSALS:
                problem = self._mask(answer.problem)
                _log.error("%s does not take message %s: %s", self._name, waiting.message.id, problem)
                outbox.set_aside(waiting, problem=problem)
            case Refused():
                self._postpone(outbox, waiting, answer.problem, None)
            case Postponed():
                self._postpone(outbox, waiting, answer.problem, answer.after_seconds)
            case _:
                assert_never(answer)

    def _postpone(self, outbox: Outbox, waiting: Waiting, problem: str, after_seconds: float | None) -> None:
        said = self._mask(problem)
        if waiting.problem != said:
            _log.warning("message %s waits for %s: %s", waiting.message.id, self._name, said)
        pause = min(self._first_pause_seconds * 2 ** min(waiting.attempts, 20), LONGEST_PAUSE_SECONDS)
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
        until = time.time() + max(pause * spread, after_seconds or 0.0)
        outbox.postpone(waiting, until=until, problem=said)
