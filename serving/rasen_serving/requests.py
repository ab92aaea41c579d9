"""From a request that FastAPI has to an answer of the service, and back; the way of everything but the fast lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from rasen.errors import RasenError
from rasen_serving.asked import Asked, make_asked, note_headers
from rasen_serving.refusals import BodyTooLarge, CallerGone, WrongContentType

if TYPE_CHECKING:
    from rasen_serving.access import Known
    from rasen_serving.service import Service
    from rasen_serving.wire import WireFormat


def caller_of(request: Request) -> Known:
    """Return who asks, and count the request.

    Raises:
        RateExceeded: He asks too often.
    """
    caller: Known = request.scope["rasen_caller"]
    caller.take()
    return caller


async def answer_request(
    service: Service,
    request: Request,
    wire: WireFormat,
    *,
    endpoint: str,
    about: object = None,
    direct: Callable[[Asked], Asked] | None = None,
) -> Response:
    """Read a request, have the service answer it, and return the response.

    Args:
        service: The worker's.
        request: As FastAPI has it.
        wire: How body and answer are written.
        endpoint: Which model is asked.
        about: What the wire format noted from the path.
        direct: Says, once the body is there, for which endpoint and variant the request is, or refuses it.
    """
    noted = note_headers(request.headers.raw)
    error: Exception | None = None
    body = b""
    try:
        check_encoding(request.headers.get("content-encoding", ""))
        body = await read_body(request, service.settings.max_body_bytes)
    except (BodyTooLarge, CallerGone, WrongContentType) as refusal:
        error = refusal
    asked = make_asked(
        noted,
        endpoint=endpoint,
        request_id=request.scope["rasen_request_id"],
        body=body,
        wire=wire,
        address=service.address_of(request.client.host if request.client else ""),
        about=about,
    )
    if error is None and direct is not None:
        try:
            asked = direct(asked)
        except RasenError as refusal:
            error = refusal
    answer = wire.refuse(error, asked) if error is not None else await service.answer(asked)
    return Response(answer.body, answer.status, answer.headers, media_type=answer.media_type)


def check_encoding(content_encoding: str) -> None:
    """Accept bodies as they are only: a few compressed kilobytes may be gigabytes.

    Raises:
        WrongContentType: The body is compressed.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        raise WrongContentType(
            f"the content encoding {content_encoding[:100]!r} is not read here; send the body uncompressed"
        )


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body; a declared length is believed only when it is too large.

    Raises:
        BodyTooLarge: More bytes than accepted were announced or have arrived.
        CallerGone: The caller hung up.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(f"the body has {announced} bytes; at most {max_bytes} are accepted")
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge(f"the body has more than the {max_bytes} bytes that are accepted")
            chunks.append(chunk)
    except ClientDisconnect:
        raise CallerGone("the caller hung up") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
