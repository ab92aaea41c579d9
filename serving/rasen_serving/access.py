"""Who may ask: API keys and tokens, checked before a request's body means anything.

Checking costs more than it may for each request, so what has been checked is remembered under the digest of the header
until it ends: then a request costs one SHA-256 and one look into a dictionary, and no secret lies in memory as text.
Whatever the supervisor says anew (a key revoked, the issuer's keys changed) empties that memory.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from rasen.settings_model import Settings
from rasen.tracking.access_keys import KEY_PREFIX
from rasen_serving.callers import Caller, Callers
from rasen_serving.rates import Bucket
from rasen_serving.refusals import AccessUnknown, Forbidden, RateExceeded, Unauthenticated
from rasen_serving.tokens import TokenCheck

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping", "/health"})
"""The routes that anybody may ask: health, for a load balancer that has no key."""

_REMEMBERED_MOST = 10_000
_WAYS = {
    "keys": "an API key as `Authorization: Bearer rasen_…` or `X-Api-Key: rasen_…`",
    "jwt": "a token of the identity provider as `Authorization: Bearer …`",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """Somebody who has shown who he is.

    Args:
        id: What the prediction log names.
        endpoints: What he may ask; `None` means every endpoint.
        expires_at: Seconds since 1970.
        bucket: How often he may ask, `None` without limit.
    """

    id: str
    endpoints: frozenset[str] | None = None
    expires_at: float = math.inf
    bucket: Bucket | None = None

    def may_ask(self, endpoint: str) -> bool:
        """Return whether the endpoint is his."""
        return self.endpoints is None or endpoint in self.endpoints

    def take(self) -> None:
        """Count a request.

        Raises:
            RateExceeded: He asks too often.
        """
        if self.bucket is not None and (seconds := self.bucket.take()):
            raise RateExceeded(f"more than {self.bucket.rate}; ask again in {seconds:.3g} s", seconds)

    def check_may_ask(self, endpoint: str) -> None:
        """Check that the endpoint is his.

        Raises:
            Forbidden: It is not.
        """
        if not self.may_ask(endpoint):
            allowed = ", ".join(map(repr, sorted(self.endpoints or ())))
            raise Forbidden(f"key {self.id!r} may not ask endpoint {endpoint[:100]!r}; it may ask: {allowed}")


ANYBODY = Known(id="")


class Access:
    """Lets callers in, or not; one of each worker.

    Args:
        settings: Which ways in there are, and of which issuer tokens must be.
        clock: Seconds since 1970.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._open = "open" in settings.access
        self._keys: dict[str, Caller] = {}
        self._tokens: TokenCheck | None = None
        self._jwks = ""
        self._unread = "the API keys have not been read yet"
        self._remembered: dict[bytes, Known] = {}
        self._buckets: dict[str, Bucket] = {}
        if "jwt" in settings.access:
            import jwt  # noqa: F401  # here, so that forks share it and none imports it between two requests

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return self._open

    def accept(self, callers: Callers) -> None:
        """Take over what the supervisor says."""
        self._remembered = {}
        self._keys = {caller.id: caller for caller in callers.keys}
        self._unread = callers.unread
        if callers.jwks != self._jwks:
            settings = self._settings
            try:
                self._tokens = TokenCheck(
                    callers.jwks, issuer=settings.jwt_issuer, audience=settings.jwt_audience
                )
                self._jwks = callers.jwks
            except ValueError as error:
                logger.warning("the JWKS cannot be used, the one before still is: %s", error)

    def admit(self, endpoint: str, authorization: str) -> str:
        """Return the id of a caller who may ask this endpoint now, `""` when everybody may.

        Raises:
            Unauthenticated: He has not shown who he is, or his key or token has ended.
            RateExceeded: He asks too often.
            Forbidden: The endpoint is not his.
            AccessUnknown: Nobody can be let in yet.
        """
        if self._open:
            return ""
        known = self._remembered.get(sha256(authorization.encode()).digest())
        if known is None or self._clock() >= known.expires_at:
            known = self.identify(authorization)
        if known.bucket is not None:
            known.take()
        if known.endpoints is not None:
            known.check_may_ask(endpoint)
        return known.id

    def identify(self, authorization: str) -> Known:
        """Return who a caller is.

        Args:
            authorization: The header `Authorization`, or what `asked.authorization_of` made of another.

        Raises:
            Unauthenticated: He has not shown it, or his key or token has ended.
            AccessUnknown: Nobody can be let in yet.
        """
        if self._open:
            return ANYBODY
        digest = sha256(authorization.encode()).digest()
        known = self._remembered.get(digest)
        if known is None:
            known = self._check(authorization)
            if len(self._remembered) >= _REMEMBERED_MOST:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = known
        if self._clock() >= known.expires_at:
            del self._remembered[digest]
            raise Unauthenticated("the key or token has expired; get a new one")
        return known

    def _check(self, authorization: str) -> Known:
        scheme, _, credential = authorization.partition(" ")
        credential = credential.strip()
        match scheme.lower():
            case "basic":
                credential = _password(credential)  # what a browser can send; the user's name says nothing
            case "bearer" | "apikey" if credential:
                pass
            case _:
                raise Unauthenticated(f"send {self._ways()}")
        is_key = credential.startswith(KEY_PREFIX)
        if is_key and "keys" in self._settings.access:
            return self._check_key(credential)
        if not is_key and "jwt" in self._settings.access and scheme.lower() == "bearer":
            return self._check_token(credential)
        raise Unauthenticated(f"this is nothing that is asked for here; send {self._ways()}")

    def _check_key(self, text: str) -> Known:
        key_id = text.removeprefix(KEY_PREFIX).partition(".")[0]
        caller = self._keys.get(key_id)
        if caller is None and self._unread:
            raise AccessUnknown(self._unread)
        digest = sha256(text.encode()).hexdigest()
        # Compared also when there is no such key: the time taken does not tell which ids exist.
        if (
            not hmac.compare_digest(digest, caller.sha256 if caller is not None else "0" * 64)
            or caller is None
        ):
            raise Unauthenticated("this API key is not known; `rasen keys` lists those that are")
        if caller.revoked:
            raise Unauthenticated(f"API key {caller.id!r} was revoked; get a new one")
        if caller.expires_at is not None and self._clock() >= caller.expires_at:
            raise Unauthenticated(f"API key {caller.id!r} has expired; get a new one")
        return Known(
            id=caller.id,
            endpoints=frozenset(caller.endpoints) or None,
            expires_at=math.inf if caller.expires_at is None else caller.expires_at,
            bucket=self._bucket(caller.id, caller.rate),
        )

    def _check_token(self, token: str) -> Known:
        if self._tokens is None:
            raise AccessUnknown(self._unread or "the issuer's keys have not been read yet")
        verified = self._tokens.verify(token)
        caller = f"jwt:{verified.subject}"
        return Known(
            id=caller,
            expires_at=verified.expires_at,
            bucket=self._bucket(caller, self._settings.jwt_rate),
        )

    def _bucket(self, caller: str, rate: str) -> Bucket | None:
        """Return the caller's one bucket, however many of his tokens there are."""
        if not rate:
            return None
        bucket = self._buckets.get(caller)
        if bucket is None or bucket.rate != rate:
            if len(self._buckets) >= _REMEMBERED_MOST:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[caller] = Bucket(rate, shares=self._settings.serving_workers)
        return bucket

    def _ways(self) -> str:
        return " or ".join(text for way, text in _WAYS.items() if way in self._settings.access)


def _password(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("`Authorization: Basic` holds no base64 of user:key") from None
