"""What every request of the control API meets first, and what every answer gets.

Nobody unknown is answered by anything but health and the login, and nothing of his body is read. A route needs to do
nothing for that, so none can forget it. The log has a line a request: who, what, how it ended; never a header, a
cookie or what stands behind the `?`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from starlette.datastructures import URL
from starlette.responses import RedirectResponse, Response

from rasen.api.access import Credential, Door, Known, check_may, read_credential
from rasen.api.hub import STATE_COOKIE, TOKEN_COOKIE, HubAccess
from rasen.api.refusals import BodyTooLarge, MalformedBody, Unauthenticated, body_of, headers_of, status_of
from rasen.errors import RasenError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

HEALTH = "/v1/health"
CALLBACK = "/oauth_callback"
_BODY_SECONDS = 60.0
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}


class Edge:
    """The outermost layer of the app.

    Args:
        app: What lies behind it; kept, because it has the routes and their description.
        door: Lets requests in.
        hub: JupyterHub, where its users are let in.
        max_body_bytes: Largest body that is read.
    """

    def __init__(self, app: FastAPI, *, door: Door, hub: HubAccess | None, max_body_bytes: int) -> None:
        self.app = app
        self._door = door
        self._hub = hub
        self._prefix = hub.prefix.rstrip("/") if hub is not None else ""
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with who asks in the scope."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            scope = dict(scope, root_path=self._prefix)
            path = path[len(self._prefix) :] or "/"
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in _HEADERS.items() if name not in there),
                ]
            await send(message)

        scope["rasen_known"] = known = None
        try:
            try:
                known, credential = await self._admit(scope, path)
                scope["rasen_known"] = known
                scope["rasen_credential"] = credential
                if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                    receive = await self._read_body(scope, receive)
            except RasenError as error:
                await self._refuse(scope, path, error)(scope, receive, send_with_headers)
                return
            await self.app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("%s %s failed", scope["method"], _plain(path))
            if not status:
                failed = RuntimeError()
                await json_response(body_of(failed), status=500)(scope, receive, send_with_headers)
        finally:
            who = known.name if known is not None else "-"
            took = (time.perf_counter() - began) * 1000
            logger.info("%s %s %s %d %.0f ms", who, scope["method"], _plain(path), status, took)

    async def _admit(self, scope: Scope, path: str) -> tuple[Known | None, Credential | None]:
        if path == HEALTH or (path == CALLBACK and self._hub is not None):
            return None, None
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        cookie = read_cookie(headers.get("cookie", ""), TOKEN_COOKIE) if self._hub is not None else ""
        credential = read_credential(headers, cookie=cookie)
        known = self._door.recall(credential)
        if known is None:
            address = scope["client"][0] if scope.get("client") else "?"
            known = await asyncio.to_thread(self._door.identify, credential, address=address)
        check_may(known, credential, scope["method"])
        return known, credential

    async def _read_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body and return what hands it on; a body that is too large is not read to its end."""
        most = self._max_body_bytes
        said = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"")
        too_large = BodyTooLarge(
            f"the body has more than {most} bytes, the most that RASEN_API_MAX_BODY_BYTES allows"
        )
        if said.isdigit() and int(said) > most:
            raise too_large
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise MalformedBody("the connection was closed before the body was complete")
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > most:
                        raise too_large
                    more = message.get("more_body", False)
        except TimeoutError:
            raise MalformedBody(f"the body did not arrive within {_BODY_SECONDS:.0f} s") from None
        return _replay(b"".join(pieces), receive)

    def _refuse(self, scope: Scope, path: str, error: RasenError) -> Response:
        if self._hub is not None and isinstance(error, Unauthenticated) and path in ("/docs", "/"):
            begun = self._hub.begin_login(f"{self._prefix}/docs")
            answer = RedirectResponse(begun.address, status_code=302)
            set_cookie(answer, STATE_COOKIE, begun.cookie, scope, prefix=self._hub.prefix, seconds=600)
            return answer
        return json_response(body_of(error), status=status_of(error), headers=headers_of(error))


def json_response(body: Any, *, status: int, headers: dict[str, str] | None = None) -> Response:  # Any: JSON
    """Return an answer in JSON's own types."""
    return Response(
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode(),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def set_cookie(answer: Response, name: str, value: str, scope: Scope, *, prefix: str, seconds: int) -> None:
    """Leave something in the browser that no script reads and no other site sends with what changes anything."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=prefix,
        httponly=True,
        samesite="lax",
        secure=_is_https(scope),
    )


def read_cookie(header: str, name: str) -> str:
    """Return the value of a cookie, the empty text where there is none."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _is_https(scope: Scope) -> bool:
    """Return whether the browser came by HTTPS; the Hub's proxy says so in a header."""
    forwarded = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return URL(scope=scope).scheme == "https" or forwarded.split(b",")[0].strip() == b"https"


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _plain(path: str) -> str:
    return path[:200].encode("ascii", "backslashreplace").decode() if path.isprintable() else repr(path[:200])
