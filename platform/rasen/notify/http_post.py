"""Posting JSON to an address of the operator's file, and what the answer means.

The standard library does it, because the notifier waits for ever and should weigh little. Only http and https,
no redirects (an answer could point anywhere), and no link-local addresses, where clouds keep their credentials. The
proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is honoured. No message of ours repeats the address: its path may
be the password.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message as Headers
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import urlsplit

from rasen.batch.plain_text import clean_line
from rasen.notify.answers import Answer, Postponed, Refused, Taken

_MOST_ANSWER_BYTES = 4096
_MOST_SAID = 120
_NOT_THIS_MESSAGE = frozenset({400, 413, 415, 422})
"""What says that the message is wrong, not the time, the address or the permission."""
_LONGEST_PAUSE_SECONDS = 3600.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Headers, newurl: str
    ) -> None:
        """Return no further request: the answer that redirects is the answer."""
        return


def post_json(address: str, body: bytes, *, headers: Mapping[str, str], timeout_seconds: float) -> Answer:
    """Post a body and return what the receiver answered; it raises nothing."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        if problem := _forbidden(host, parts.port or (443 if parts.scheme == "https" else 80)):
            return Postponed(problem=problem)
        request = urllib.request.Request(  # noqa: S310 - the address was checked to be http or https
            address, data=body, method="POST", headers={"Content-Type": "application/json"} | dict(headers)
        )
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(request, timeout=timeout_seconds) as response:
            return Taken(said=f"{response.status} {_said(response)}".strip())
    except urllib.error.HTTPError as error:
        with error:
            return _refusal(error)
    except urllib.error.URLError as error:
        return Postponed(problem=f"{host} cannot be reached: {_reason(error.reason)}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Postponed(problem=f"{host} cannot be reached: {_reason(error)}")


def _refusal(error: urllib.error.HTTPError) -> Answer:
    said = f"answered {error.code} {_said(error)}".strip()
    if error.code in _NOT_THIS_MESSAGE:
        return Refused(problem=said)
    if 300 <= error.code < 400:
        return Postponed(problem=f"{said}; redirects are not followed, write the address that it leads to")
    return Postponed(problem=said, after_seconds=_retry_after(error.headers))


def _retry_after(headers: Headers) -> float | None:
    """Return the pause that an answer asks for; a date is compared with the answer's own date, never with our clock."""
    asked = headers.get("Retry-After", "").strip()
    try:
        if asked.isdecimal():
            seconds = float(asked)
        elif asked and headers.get("Date"):
            until, now = (parsedate_to_datetime(each) for each in (asked, headers["Date"]))
            seconds = (until - now).total_seconds()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE_SECONDS)


def _forbidden(host: str, port: int) -> str:
    """Return why nothing is sent to a host, `""` when it may be.

    Raises:
        OSError: Nobody knows the host.
    """
    if urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return ""  # the proxy looks the name up, and decides
    found = {
        str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    }
    if any(_is_link_local(address) for address in found):
        return f"{host} is a link-local address; nothing is sent there, clouds keep their credentials at one"
    return ""


def _is_link_local(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(address.is_link_local or (mapped is not None and mapped.is_link_local))


def _said(response: IO[bytes]) -> str:
    try:
        return clean_line(response.read(_MOST_ANSWER_BYTES).decode(errors="replace"), most=_MOST_SAID)
    except (OSError, http.client.HTTPException):
        return ""


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    text = getattr(error, "strerror", None) or str(error)
    return clean_line(str(text) or type(error).__name__, most=_MOST_SAID)
