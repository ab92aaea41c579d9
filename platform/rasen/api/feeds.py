"""Events of runs for many listeners: one reader a run, a bounded past, and no memory for those who do not keep up.

A listener is a place in the past of its run. Who comes again names the event that he had last and goes on behind it; if
that is not kept any more, or another process kept it, he is told `reset` and gets what there is from the beginning. Who
falls so far behind that the past has gone on without him is let go, and may come again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import islice

from rasen.api.refusals import TooManyListeners
from rasen.api.run_watch import Happening, RunWatch
from rasen.errors import RasenError

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 5.0  # after the store has failed
_KEPT_BYTES = 4_000_000
_KEPT_MOST = 20_000
_IDLE_SECONDS = 20.0
_AT_ONCE = 100  # events that a listener holds although they may be forgotten meanwhile
_LISTENERS_MOST = 300
HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event as it is sent."""

    number: int
    data: bytes


class Feed:
    """The events of one run."""

    def __init__(
        self, watch: RunWatch, *, kept_bytes: int = _KEPT_BYTES, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self.epoch = secrets.token_hex(4)
        self.listeners = 0
        self._watch = watch
        self._kept_bytes = kept_bytes
        self._look_seconds = look_seconds
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._next = 1
        self._news = asyncio.Event()
        self.over = False

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept."""
        return self._events[0].number if self._events else self._next

    async def read(self) -> None:
        """Read the run until it is over, or nobody has listened for a while."""
        idle = 0.0
        try:
            while not self._watch.over and idle < _IDLE_SECONDS:
                pause = self._look_seconds
                try:
                    self.publish(await asyncio.to_thread(self._watch.look))
                except (RasenError, OSError) as error:
                    logger.warning("events of run %s wait: %s", self._watch.run, error)
                    pause = _PAUSE_SECONDS
                idle = 0.0 if self.listeners else idle + pause
                if not self._watch.over:
                    await asyncio.sleep(pause)
        finally:
            self.over = True
            self._ring()

    def publish(self, happenings: list[Happening]) -> None:
        """Add what has happened, and forget the oldest where it becomes too much."""
        for one in happenings:
            text = json.dumps(one.data, ensure_ascii=False, allow_nan=False)
            data = f"id: {self.epoch}-{self._next}\nevent: {one.kind}\ndata: {text}\n\n".encode()
            self._events.append(Event(number=self._next, data=data))
            self._bytes += len(data)
            self._next += 1
        while len(self._events) > 1 and (self._bytes > self._kept_bytes or len(self._events) > _KEPT_MOST):
            self._bytes -= len(self._events.popleft().data)
        if happenings:
            self._ring()

    async def follow(self, last_id: str, *, heartbeat_seconds: float) -> AsyncGenerator[bytes]:
        """Yield what to send to one listener, until the run is over or the listener is too slow.

        Args:
            last_id: The id of the event that it had last; empty for a new one.
            heartbeat_seconds: After so long without an event it gets a comment, so that nobody takes it for dead.
        """
        place, found = self._place_of(last_id)
        if not found:
            kept = json.dumps({"forgotten": self.first - 1})
            yield f"event: reset\ndata: {kept}\n\n".encode()
        while True:
            news = self._news
            if place < self.first:
                return  # it was too slow; it may come again with the id that it had last
            behind = place - self.first
            for event in list(islice(self._events, behind, behind + _AT_ONCE)):
                yield event.data
                place = event.number + 1
            if place < self._next:
                continue
            if self.over:
                return
            try:
                await asyncio.wait_for(news.wait(), heartbeat_seconds)
            except TimeoutError:
                yield HEARTBEAT

    def _place_of(self, last_id: str) -> tuple[int, bool]:
        epoch, _, number = last_id.partition("-")
        if epoch == self.epoch and number.isdigit() and self.first <= int(number) + 1 <= self._next:
            return int(number) + 1, True
        return self.first, not last_id and self.first == 1

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Feeds:
    """One feed for each run that somebody follows."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str], tuple[Feed, asyncio.Task[None]]] = {}

    def open(self, make: Callable[[], RunWatch], *, pipeline: str, run: str) -> Feed:
        """Return the feed of a run, a new one if nobody follows it yet.

        Raises:
            TooManyListeners: This process has enough of them.
        """
        for place in [
            place for place, (feed, task) in self._feeds.items() if task.done() and not feed.listeners
        ]:
            del self._feeds[place]
        if sum(feed.listeners for feed, _ in self._feeds.values()) >= _LISTENERS_MOST:
            raise TooManyListeners(f"{_LISTENERS_MOST} listeners are served already; try again later")
        found = self._feeds.get((pipeline, run))
        if found is None:
            feed = Feed(make())
            found = self._feeds[pipeline, run] = (feed, asyncio.create_task(feed.read()))
        return found[0]

    async def close(self) -> None:
        """End all reading."""
        tasks = [task for _, task in self._feeds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._feeds.clear()
