"""Who may ask, as the supervisor tells it to the workers."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One API key, verified.

    Args:
        id: What the prediction log names.
        sha256: Of the whole key, in hexadecimal.
        endpoints: What it may ask; empty means every endpoint.
        rate: Most requests, such as `1000/minute`, over all workers; empty means no limit.
        expires_at: Seconds since 1970 from which on it is refused; `None` means never.
        revoked: It is refused.
    """

    id: str
    sha256: str
    endpoints: list[str]
    rate: str
    expires_at: float | None
    revoked: bool


class Callers(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everybody who may ask; replaces what was said before.

    Args:
        keys: The API keys, those that are refused too, so that their owners can be told why.
        jwks: The public keys that tokens are checked with, a JWKS document; empty when there are none.
        unread: Why the keys or the JWKS are not known yet, `""` when they are.
    """

    keys: list[Caller]
    jwks: str
    unread: str
