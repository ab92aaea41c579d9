"""The admin port: four routes for the operator, the scraper and the deploy function, apart from the callers' port.

Answered by the supervisor itself, without a web framework: it must answer when no worker does, and FastAPI would
double its memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0
_HEAD_MAX_BYTES = 8192
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
_REASONS |= {500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response."""

    status: int
    body: bytes
    content_type: str = "application/json"


Route = Callable[[], Reply]


def as_json(status: int, document: dict[str, object]) -> Reply:
    """Return a JSON response."""
    return Reply(status=status, body=json.dumps(document).encode() + b"\n")


async def start_admin(listener: socket.socket, routes: dict[tuple[str, str], Route]) -> asyncio.Server:
    """Answer `routes`, by method and path, on a bound socket."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                reply = await _reply(reader, routes)
                head = (
                    f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}\r\ncontent-type: {reply.content_type}\r\n"
                    f"content-length: {len(reply.body)}\r\nconnection: close\r\n\r\n"
                )
                writer.write(head.encode() + reply.body)
                await writer.drain()
        except (TimeoutError, OSError):
            pass  # slow or gone: nobody to tell
        finally:
            writer.close()

    return await asyncio.start_server(answer, sock=listener, limit=_HEAD_MAX_BYTES)


async def _reply(reader: asyncio.StreamReader, routes: dict[tuple[str, str], Route]) -> Reply:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        return as_json(400, {"error": {"code": "malformed", "message": "not an HTTP request", "fields": []}})
    path = target.partition("?")[0]
    route = routes.get((method, path))
    if route is None:
        allowed = sorted(known for known, its_path in routes if its_path == path)
        known = ", ".join(f"{known} {its_path}" for known, its_path in routes)
        message = f"{method} {path[:200]!r} is not a route here; known: {known}"
        code = "method_not_allowed" if allowed else "not_found"
        return as_json(405 if allowed else 404, {"error": {"code": code, "message": message, "fields": []}})
    try:
        return route()
    except Exception:
        logger.exception("%s %s failed", method, path)
        return as_json(500, {"error": {"code": "internal", "message": "see the log", "fields": []}})
