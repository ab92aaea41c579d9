"""Who may ask the control API: a token of this platform, or one of JupyterHub's.

A token comes in the header `Authorization` and nowhere else: never in an address, which logs and histories keep. What
a browser sends by itself (a cookie, or the password of its own dialogue) lets somebody look and never do, so that no
other page can act in his name.
"""

from __future__ import annotations

import base64
import binascii
import getpass
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rasen.api.refusals import Forbidden, TooManyFailures, Unauthenticated
from rasen.errors import NotFound, PlatformFailed, TrustError
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.access_keys import KEY_PREFIX
from rasen.tracking.api_tokens import is_token, read_api_token, read_token
from rasen.tracking.signature import load_trust

TOKEN_SECONDS = 2.0
"""For how long a token of this platform is believed without looking again: so long a revocation takes."""

_REMEMBERED_MOST = 1_000
_FAILURES_MOST = 30
_FAILURES_SECONDS = 60.0
_ADDRESSES_MOST = 10_000
_TOKEN_MOST = 4_096
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a request brought: a token, and whether a browser sends it by itself."""

    token: str
    by_itself: bool = False


@dataclass(frozen=True, kw_only=True)
class Known:
    """Somebody who has shown who he is; `name` becomes the `by` of what he asks for."""

    name: str
    read_only: bool = False


class Access(Protocol):
    """Tells who a token stands for. Called from threads."""

    def identify(self, token: str) -> Known:
        """Return who it is.

        Raises:
            Unauthenticated: Nobody that may ask here.
            Forbidden: Somebody who may not.
        """


class TokenAccess:
    """Tokens of this platform: the machine's own, and those of `rasen tokens`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def identify(self, token: str) -> Known:
        """Return who it is; see `Access`."""
        try:
            own = read_api_token(self._settings.api_token_file)
        except PlatformFailed:  # others can read it, so it proves nothing
            own = ""
        if own and hmac.compare_digest(own.encode(), token.encode(errors="replace")):
            return Known(name=getpass.getuser())
        settings = self._settings
        token_id = token.removeprefix(KEY_PREFIX).partition(".")[0]
        try:
            found = read_token(self._store, load_trust(settings), token_id, environment=settings.environment)
        except (NotFound, TrustError):
            raise Unauthenticated("this token is not known; `rasen tokens` lists those that are") from None
        if not is_token(found, token):
            raise Unauthenticated("this token is not known; `rasen tokens` lists those that are")
        state = found.state(datetime.now(tz=UTC))
        if state != "active":
            ended = "was revoked" if state == "revoked" else "has expired"
            raise Unauthenticated(f"token {found.token.id!r} {ended}; get a new one")
        return Known(name=found.token.name, read_only=found.token.read_only)


class Door:
    """Lets requests in: remembers for a moment whom it knows, and counts wrong tokens by address.

    Args:
        access: Tells who a token stands for.
        remembered_seconds: For how long that is believed without asking again.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        access: Access,
        *,
        remembered_seconds: float = TOKEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._seconds = remembered_seconds
        self._clock = clock
        self._known: dict[bytes, tuple[Known, float]] = {}
        self._failures: dict[str, tuple[int, float]] = {}

    def recall(self, credential: Credential) -> Known | None:
        """Return who this is if it was asked a moment ago; never waits."""
        found = self._known.get(_digest(credential.token))
        return found[0] if found is not None and self._clock() < found[1] else None

    def identify(self, credential: Credential, *, address: str) -> Known:
        """Return who this is; may wait for the store or the Hub, so it is called in a thread.

        Raises:
            Unauthenticated: Nobody that may ask here.
            TooManyFailures: From this address came too many such.
        """
        now = self._clock()
        count, until = self._failures.get(address, (0, 0.0))
        if now < until and count >= _FAILURES_MOST:
            raise TooManyFailures(f"{count} wrong tokens came from {address}; ask again in a minute")
        try:
            if not 0 < len(credential.token) <= _TOKEN_MOST:
                raise Unauthenticated(f"a token has 1 to {_TOKEN_MOST} characters")
            known = self._access.identify(credential.token)
        except (Unauthenticated, Forbidden):
            self._count_failure(address, now)
            raise
        if len(self._known) >= _REMEMBERED_MOST:
            self._known.pop(next(iter(self._known)), None)
        self._known[_digest(credential.token)] = (known, now + self._seconds)
        return known

    def _count_failure(self, address: str, now: float) -> None:
        count, until = self._failures.get(address, (0, 0.0))
        if now >= until:
            count, until = 0, now + _FAILURES_SECONDS
        if address not in self._failures and len(self._failures) >= _ADDRESSES_MOST:
            self._failures.pop(next(iter(self._failures)), None)
        self._failures[address] = (count + 1, until)


def read_credential(headers: Mapping[str, str], *, cookie: str = "") -> Credential:
    """Return what a request brought.

    Args:
        headers: Names in lower case.
        cookie: What the login left in the browser, if there is a login.

    Raises:
        Unauthenticated: Nothing that could be a token.
    """
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer" | "token" if rest.strip():
            return Credential(token=rest.strip())
        case "basic":
            try:
                password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                raise Unauthenticated("`Authorization: Basic` holds no base64 of user:token") from None
            return Credential(token=password, by_itself=True)
        case _ if cookie:
            return Credential(token=cookie, by_itself=True)
        case _:
            raise Unauthenticated(
                "send a token as `Authorization: Bearer rasen_…`; on this machine it lies in keys/api.token of "
                "RASEN_HOME, and `rasen tokens create NAME` makes others"
            )


def check_may(known: Known, credential: Credential, method: str) -> None:
    """Check that somebody may do what he asks for.

    Raises:
        Forbidden: He may only look.
    """
    if method in READING:
        return
    if known.read_only:
        raise Forbidden(f"the token of {known.name!r} only reads; it starts and cancels nothing")
    if credential.by_itself:
        raise Forbidden(
            "what a browser sends by itself starts and cancels nothing; send the token as `Authorization: Bearer …`"
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
