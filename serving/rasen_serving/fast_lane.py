"""The fast lane: a prediction request is answered where its bytes are read, without a task, a scope and a route.

A subclass of uvicorn's own protocol, and one file. It looks at each request when its headers are complete. A plain
prediction request (`POST /endpoints/<name>/predict`, a known length, JSON) goes to `Service.ask`, as the FastAPI route
does; whatever is unusual in any way falls through to that route, so nothing is decided here that it would decide
otherwise. `tests/test_serving_lane.py` holds the two to the same bytes. `RASEN_FAST_LANE=false` turns it off.

It rests on details of uvicorn that are nobody's interface, so the version is pinned: `cycle` is what uvicorn asks about
the request at work (a pipelined request behind ours then waits in uvicorn's own queue), and `on_response_complete` is
what it does between two requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rasen_serving.asked import NOTED, make_asked, request_id_of
from rasen_serving.connections import GuardedProtocol
from rasen_serving.service import Service
from rasen_serving.wire import Answer
from rasen_serving.wire_own import OWN

_PATH = re.compile(rb"/endpoints/([a-z][a-z0-9_]{0,39})/predict")
# A request with any of these is somebody else's affair.
_UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"content-encoding"})


class _NobodyWaits:
    """Stands for the event by which uvicorn wakes an application that waits for a body."""

    def set(self) -> None:
        """Wake nobody."""


class _Lane:
    """A request at work here, with the attributes that uvicorn asks a `RequestResponseCycle` for."""

    __slots__ = (
        "body",
        "disconnected",
        "endpoint",
        "keep_alive",
        "more_body",
        "noted",
        "request_id",
        "response_complete",
    )
    message_event = _NobodyWaits()

    def __init__(self, endpoint: str, noted: dict[bytes, bytes], *, keep_alive: bool) -> None:
        self.endpoint = endpoint
        self.noted = noted
        self.request_id = request_id_of(noted)
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.response_complete = False
        self.disconnected = False


class FastLaneProtocol(GuardedProtocol):
    """The guarded protocol with a shorter way for predictions; `fast_lane` makes the class of one service."""

    service: ClassVar[Service]

    def on_headers_complete(self) -> None:
        """Take a plain prediction request, unless another one of this connection is still at work."""
        cycle: Any = self.cycle  # Any: uvicorn's own, a _Lane, or None before the first request
        self.headed = self.headers
        if (cycle is None or cycle.response_complete) and not (self.service.draining or self.is_spare):
            lane = self._enter()
            if lane is not None:
                self.cycle = lane
                return
        super().on_headers_complete()

    def _enter(self) -> Any:  # Any: a _Lane, which uvicorn takes for its own cycle
        """Return the lane of a request that is plain in every way, or `None`."""
        path = _PATH.fullmatch(self.url)
        parser = self.parser
        if path is None or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            return None
        length = -1
        noted: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name == b"content-length":
                if length >= 0 or not value.isdigit():
                    return None
                length = int(value)
            elif name in NOTED:
                noted.setdefault(name, value)
            elif name in _UNUSUAL:
                return None
        most = min(self.service.settings.max_body_bytes, HIGH_WATER_LIMIT)
        if noted.get(b"content-type") != b"application/json" or not 0 < length <= most:
            return None
        return _Lane(path[1].decode(), noted, keep_alive=parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        lane: Any = self.cycle  # Any: as above
        if type(lane) is _Lane and not lane.response_complete:
            lane.body = lane.body + body if lane.body else bytes(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Have a complete request answered."""
        self.whole = self.headers
        lane: Any = self.cycle  # Any: as above
        if type(lane) is not _Lane or lane.response_complete or not lane.more_body or self.turned_away:
            super().on_message_complete()
            return
        lane.more_body = False
        asked = make_asked(
            lane.noted,
            endpoint=lane.endpoint,
            request_id=lane.request_id.decode(),
            body=lane.body,
            wire=OWN,
            address=self.service.address_of(self.client[0] if self.client else ""),
        )
        self.service.ask(asked, self._answerer(lane))

    def _answerer(self, lane: _Lane) -> Callable[[Answer], None]:
        def write(answer: Answer) -> None:
            if lane.disconnected or self.transport.is_closing():
                lane.response_complete = True
                return
            head = [STATUS_LINE[answer.status]]
            for name, value in self.server_state.default_headers:
                head += (name, b": ", value, b"\r\n")
            for text, content in answer.headers.items():
                head.append(f"{text.lower()}: {content}\r\n".encode("latin-1"))
            head.append(
                b"content-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n"
                % (len(answer.body), lane.request_id)
            )
            if self.service.draining:
                lane.keep_alive = False
            if not lane.keep_alive:
                head.append(b"connection: close\r\n")
            head += (b"\r\n", answer.body)
            self.transport.write(b"".join(head))
            lane.response_complete = True
            lane.body, lane.noted = b"", {}  # the connection may be quiet for a minute
            if not lane.keep_alive:
                self.transport.close()
            self.on_response_complete()

        return write
