"""What a connection may cost: how long a request may take to arrive, an answer to be taken, and how many there may be.

uvicorn has a limit for none of these, so both its protocol and the fast lane derive from the class here. One sweep a
second looks after all connections of a worker. A request that arrives in one piece, as nearly all do, is never put on
the sweep's lists; a connection between two requests is looked at only when its time may have run out. A caller who is
turned away gets to read why: what he still sends is thrown away for a moment before the connection is cut, because a
reset would take the answer along.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rasen.settings_model import Settings
from rasen_serving.access import OPEN_PATHS
from rasen_serving.refusals import (
    HeadTooLarge,
    MalformedRequest,
    Overloaded,
    TooSlow,
    body_of,
    headers_of,
    status_of,
)

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 75.0
"""Longer than the minute after which most load balancers give up a connection: it is they who hang up, not we."""

HEAD_MAX_BYTES = 65_536
_LINGER_SECONDS = 2.0
_SPARE = 128
"""Connections beyond the limit that are still read from, so that health is answered whatever happens."""

_OTHER_FILES = 256
_OPEN_URLS = frozenset(path.encode() for path in OPEN_PATHS)


class Guard:
    """The limits of one worker, and the connections that the sweep looks after.

    Args:
        settings: How many connections, and how long what may take.
        count: Told of each connection that was turned away.
        keep_alive_seconds: For the next request to begin.
        sweep_seconds: Between two looks.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        count: Callable[[Exception], None],
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self.max_connections = settings.max_connections
        self.header_seconds = settings.header_seconds
        self.body_seconds = settings.body_seconds
        self.keep_alive_seconds = keep_alive_seconds
        self.sweep_seconds = sweep_seconds
        self.count = count
        # Each with the instant (the loop's clock) at which it is looked at, or cut.
        self.quiet: dict[GuardedProtocol, float] = {}
        self.receiving: dict[GuardedProtocol, float] = {}
        self.unread: dict[GuardedProtocol, float] = {}
        self.leaving: dict[GuardedProtocol, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep from now on, until there is nobody left."""
        if self._timer is None:
            self._timer = loop.call_later(self.sweep_seconds, self._sweep, loop)

    def forget(self, connection: GuardedProtocol) -> None:
        """Stop looking after a connection that is gone."""
        for watched in (self.quiet, self.receiving, self.unread, self.leaving):
            watched.pop(connection, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for watched, act in (
            (self.receiving, GuardedProtocol.cut_off),
            (self.unread, GuardedProtocol.abort),
            (self.leaving, GuardedProtocol.abort),
        ):
            for connection in [one for one, at in watched.items() if at <= now]:
                act(connection)
        # In the order of their instants: all of them were entered with the same patience.
        while self.quiet:
            connection = next(iter(self.quiet))
            if self.quiet[connection] > now:
                break
            del self.quiet[connection]
            connection.end_silence(now)
        self._timer = None
        if self.quiet or self.receiving or self.unread or self.leaving:
            self.watch(loop)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; `guarded` makes the class of one worker."""

    guard: ClassVar[Guard]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Take a connection on, or turn it away."""
        guard = self.guard
        # Each of these is the list of headers of a request, which uvicorn makes anew for each: the newest whose head
        # is complete, the newest that is complete, and the one that the sweep waits for.
        self.headed: object = None
        self.whole: object = None
        self.awaited: object = None
        self.awaits_body = False
        self.head_bytes = 0
        self.owed = 0
        self.turned_away = False
        self.is_spare = len(self.connections) >= guard.max_connections
        self.quiet_since = self.loop.time()
        super().connection_made(transport)
        guard.quiet[self] = self.quiet_since + guard.keep_alive_seconds
        guard.watch(self.loop)
        if len(self.connections) > guard.max_connections + _SPARE:
            self.turn_away(_full(guard))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self.guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; whatever they leave unfinished is waited for, not for ever."""
        if self.turned_away:
            return
        size = len(data)
        try:
            while data:
                try:
                    if self.owed:
                        data = self._take_owed(data)
                    else:
                        self.parser.feed_data(data)
                        data = b""
                except httptools.HttpParserUpgrade as upgrade:
                    data = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.turn_away(MalformedRequest("these bytes are no HTTP request"))
            return
        if self.whole is not self.headers:
            self._await_rest(size)
        elif self.awaited is not None:
            self.awaited = None
            self.guard.receiving.pop(self, None)

    def _take_owed(self, data: bytes) -> bytes:
        """Take what belongs to a body that the parser has left to us; return the rest."""
        part, rest = data[: self.owed], data[self.owed :]
        self.owed -= len(part)
        self.on_body(part)
        if not self.owed:
            self.on_message_complete()
        return rest

    def _await_rest(self, size: int) -> None:
        """Note that a request has begun to arrive; what trickles in moves no deadline."""
        guard, in_body = self.guard, self.headed is self.headers
        if self.awaited is not self.headers or in_body is not self.awaits_body:
            self.awaited, self.awaits_body, self.head_bytes = self.headers, in_body, 0
            patience = guard.body_seconds if in_body else guard.header_seconds
            guard.receiving[self] = self.loop.time() + patience
        if not in_body:
            self.head_bytes += size
            if self.head_bytes > HEAD_MAX_BYTES:
                self.turn_away(HeadTooLarge(f"the head of a request may have {HEAD_MAX_BYTES} bytes"))

    def on_headers_complete(self) -> None:
        """Begin a request, unless this connection is one too many and asks for more than health."""
        self.headed = self.headers
        if self.is_spare and self.url not in _OPEN_URLS:
            self.turn_away(_full(self.guard))
            return
        if self.parser.should_upgrade():
            # No other protocol is spoken here, and the request is answered in this one. (Java's client wishes for
            # HTTP/2 with each first request.) But the parser takes whatever follows the head for that other protocol.
            self.owed = _length_of(self.headers)
        super().on_headers_complete()
        if self.is_spare:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, unless nobody wants it any more."""
        if not self.turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request has arrived."""
        if self.owed:
            return
        self.whole = self.headers
        if not self.turned_away:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one; as uvicorn's, but without a timer a connection."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.quiet_since = self.loop.time()
        if not self.flow.write_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's: whether the transport stays open
        """Answer what has arrived whole from a caller who will send no more, then hang up."""
        cycle: Any = self.pipeline[0][0] if self.pipeline else self.cycle  # Any: as below
        if self.turned_away or cycle is None or cycle.response_complete or self.whole is not self.headers:
            return False
        cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Read nothing more from a caller who does not take his answers, and wait for him, not for ever."""
        super().pause_writing()
        self.flow.pause_reading()
        self.guard.unread[self] = self.loop.time() + self.guard.body_seconds

    def resume_writing(self) -> None:
        """Go on with a caller who has taken his answers."""
        self.guard.unread.pop(self, None)
        super().resume_writing()
        self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer uvicorn's complaints in the one shape of errors."""
        self.turn_away(MalformedRequest(msg))

    def end_silence(self, now: float) -> None:
        """Hang up on a caller who has nothing to ask; who has asked meanwhile is looked at again later."""
        guard = self.guard
        cycle: Any = self.cycle  # Any: as below
        at_work = cycle is not None and not cycle.response_complete
        until = self.quiet_since + guard.keep_alive_seconds
        if at_work or self.awaited is not None or until > now:
            guard.quiet[self] = max(until, now + guard.sweep_seconds)
        elif not self.transport.is_closing():
            self.transport.close()

    def cut_off(self) -> None:
        """Turn away a caller whose request does not arrive."""
        if self.flow.read_paused:  # by us
            self.guard.receiving[self] = self.loop.time() + self.guard.sweep_seconds
            return
        part, setting = ("body", "body_seconds") if self.awaits_body else ("head", "header_seconds")
        self.turn_away(
            TooSlow(f"the {part} of a request must have arrived after {getattr(self.guard, setting):g} s")
        )

    def abort(self) -> None:
        """Cut a connection, whatever is still on its way."""
        self.guard.forget(self)
        self.transport.abort()

    def turn_away(self, error: Exception) -> None:
        """Answer with an error, unless an answer is on its way already, and hang up."""
        if self.turned_away or self.transport.is_closing():
            return
        self.turned_away = True
        guard = self.guard
        guard.count(error)
        guard.receiving.pop(self, None)
        guard.quiet.pop(self, None)
        cycle: Any = self.cycle  # Any: uvicorn's own or the fast lane's
        is_idle = cycle is None or cycle.response_complete
        if is_idle or not (self.pipeline or getattr(cycle, "response_started", False)):
            self.transport.write(_answer(error))
        if not is_idle:
            cycle.disconnected = True  # nobody waits for that answer any more
            cycle.message_event.set()
        self.pipeline.clear()
        guard.leaving[self] = self.loop.time() + _LINGER_SECONDS
        self.flow.resume_reading()
        self.transport.write_eof()


def guarded(base: type[GuardedProtocol], guard: Guard, **attributes: object) -> type[GuardedProtocol]:
    """Return a protocol class with the limits of one worker."""
    return type(base.__name__, (base,), {"guard": guard, **attributes})


def allow_connections(wanted: int) -> int:
    """Raise this process's limit of open files as far as it goes; return how many connections it has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, wanted + _SPARE + _OTHER_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    possible = max(1, hard - _SPARE - _OTHER_FILES)
    if possible < wanted:
        logger.warning(
            "RASEN_MAX_CONNECTIONS=%d needs more open files than this process may have (%d); at most %d connections",
            wanted,
            hard,
            possible,
        )
    return min(wanted, possible)


def _length_of(headers: list[tuple[bytes, bytes]]) -> int:
    return next((int(value) for name, value in headers if name == b"content-length" and value.isdigit()), 0)


def _full(guard: Guard) -> Overloaded:
    return Overloaded(f"there are {guard.max_connections} connections already; try again in a moment")


def _answer(error: Exception) -> bytes:
    body = body_of(error, request_id="")
    head = [STATUS_LINE[status_of(error)]]
    head += [f"{name.lower()}: {value}\r\n".encode() for name, value in headers_of(error).items()]
    head.append(
        b"content-length: %d\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" % len(body)
    )
    return b"".join((*head, body))
