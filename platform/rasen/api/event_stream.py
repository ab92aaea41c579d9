"""An answer that goes on: server-sent events to one listener, who is let go when he does not take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from rasen.api.feeds import HEARTBEAT, Feed

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

_SEND_SECONDS = 30.0
HEARTBEAT_SECONDS = 15.0


class EventStream(Response):
    """The events of a feed.

    Args:
        feed: Whose.
        last_id: The id of the event that the listener had last.
        may_stay: Asked now and then whether the listener's token still counts.
        heartbeat_seconds: Seconds of silence after which a comment is sent.
        send_seconds: How long the listener may take for what is sent to him.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        last_id: str,
        may_stay: Callable[[], Awaitable[bool]],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        send_seconds: float = _SEND_SECONDS,
    ) -> None:
        super().__init__(
            None,
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
        )
        del self.headers["content-length"]
        self._feed = feed
        self._last_id = last_id
        self._may_stay = may_stay
        self._heartbeat_seconds = heartbeat_seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the run is over, the listener is gone, or too slow."""
        self._feed.listeners += 1
        try:
            sending = asyncio.create_task(self._send_all(send))
            leaving = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)
        finally:
            self._feed.listeners -= 1

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        checked_at = loop.time()
        try:
            async with aclosing(
                self._feed.follow(self._last_id, heartbeat_seconds=self._heartbeat_seconds)
            ) as events:
                async for data in events:
                    async with asyncio.timeout(self._send_seconds):
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                    if data is HEARTBEAT or loop.time() - checked_at > self._heartbeat_seconds:
                        checked_at = loop.time()
                        if not await self._may_stay():
                            break
        except TimeoutError:
            logger.info("a listener took nothing for %.0f s and was let go", self._send_seconds)
        async with asyncio.timeout(self._send_seconds):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
