"""One prediction request as it came, and what it noted of its headers, whichever way it came.

The route (`app.py`) and the fast lane (`fast_lane.py`) both make an `Asked` here, so they cannot differ in what they
take from a request.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rasen_serving.wire import WireFormat

NOTED = frozenset(
    {
        b"authorization",
        b"content-type",
        b"traceparent",
        b"x-api-key",
        b"x-goog-iap-jwt-assertion",
        b"x-rasen-routing-key",
        b"x-rasen-variant",
        b"x-request-id",
    }
)
"""The headers that a prediction request is asked for; of several with one name the first counts."""

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IS_KEY = re.compile(rb"(?i:basic)|\S+ +rasen_")
_ROUTING_KEY_MAX_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prediction request.

    Args:
        endpoint: As it stands in the path.
        request_id: Given by the caller, or made up for it.
        content_type: The header's value, `""` when there is none.
        body: Its bytes.
        wire: How the body is read and the answer is written.
        authorization: The `Authorization` header; another header that carries a credential as `<Scheme> <value>`.
        address: The caller's, `""` unless it is to be kept.
        routing_key: By which variants are assigned, `""` when there is none.
        variant: The variant that a tester asks for, `""` when nobody does.
        traceparent: W3C trace context, `""` when there is none that is well formed.
        about: What the wire format noted from path and headers.
    """

    endpoint: str
    request_id: str
    content_type: str
    body: bytes
    wire: WireFormat
    authorization: str = ""
    address: str = ""
    routing_key: str = ""
    variant: str = ""
    traceparent: str = ""
    about: object = None


def note_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers that count, by lower-case name."""
    noted: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in NOTED:
            noted.setdefault(name, value)
    return noted


def request_id_of(noted: dict[bytes, bytes]) -> bytes:
    """Return the request's id: the caller's if it can stand in a header and a log, else a new one."""
    given = noted.get(b"x-request-id", b"")
    return given if _SANE_REQUEST_ID.fullmatch(given) else secrets.token_hex(16).encode()


def make_asked(
    noted: dict[bytes, bytes],
    *,
    endpoint: str,
    request_id: str,
    body: bytes,
    wire: WireFormat,
    address: str = "",
    about: object = None,
) -> Asked:
    """Return the request of these headers and this body."""
    if len(noted) == 1 and b"content-type" in noted:  # most requests
        return Asked(
            endpoint=endpoint,
            request_id=request_id,
            content_type=noted[b"content-type"].decode("latin-1"),
            body=body,
            wire=wire,
            address=address,
            about=about,
        )
    trace = noted.get(b"traceparent", b"")
    return Asked(
        endpoint=endpoint,
        request_id=request_id,
        content_type=noted.get(b"content-type", b"").decode("latin-1"),
        body=body,
        wire=wire,
        authorization=authorization_of(noted),
        address=address,
        routing_key=noted.get(b"x-rasen-routing-key", b"")[:_ROUTING_KEY_MAX_BYTES].decode("latin-1"),
        variant=noted.get(b"x-rasen-variant", b"").decode("latin-1"),
        traceparent=trace.decode() if _TRACEPARENT.fullmatch(trace) else "",
        about=about,
    )


def authorization_of(noted: dict[bytes, bytes]) -> str:
    """Return what the headers say about who asks, in the form of an `Authorization` header.

    Behind Google's Identity-Aware Proxy the assertion that it adds says who asks, unless there is an API key.
    """
    given = noted.get(b"authorization", b"")
    if b"x-api-key" in noted:
        given = b"ApiKey " + noted[b"x-api-key"]
    elif b"x-goog-iap-jwt-assertion" in noted and not _IS_KEY.match(given):
        given = b"Bearer " + noted[b"x-goog-iap-jwt-assertion"]
    return given.decode("latin-1")
