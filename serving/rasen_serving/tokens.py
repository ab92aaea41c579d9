"""Tokens of people and services that an identity provider vouches for: OIDC, or Google's Identity-Aware Proxy.

What a token says about itself is believed in one thing only, the name of its key, and that is looked up among the keys
of the settings: a token brings no key and no address of one. The algorithm follows from the kind of that key, so a
public key can never be taken for a shared secret.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from rasen_serving.refusals import Unauthenticated

_LEEWAY_SECONDS = 30.0
_TOKEN_MAX_LENGTH = 8192
_SUBJECT_MAX_LENGTH = 200
_ALGORITHMS: dict[tuple[str, str | None], str] = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
_RSA_LEAST_BITS = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a checked token says: whom it stands for, and until when (seconds since 1970)."""

    subject: str
    expires_at: float


class TokenCheck:
    """Checks tokens of one issuer, for one audience.

    Args:
        jwks: A JWKS document. Keys that cannot be used here are left out.
        issuer: What `iss` must say.
        audience: What `aud` must say, or be a list with.

    Raises:
        ValueError: It is no JWKS document.
    """

    def __init__(self, jwks: str, *, issuer: str, audience: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = _usable_keys(jwks)

    def verify(self, token: str) -> Verified:
        """Return what a token says once its signature, issuer, audience and times were checked.

        Raises:
            Unauthenticated: It is not to be believed, or not any more.
        """
        import jwt

        if len(token) > _TOKEN_MAX_LENGTH:
            raise Unauthenticated(
                f"the token has {len(token)} characters; at most {_TOKEN_MAX_LENGTH} are read"
            )
        try:
            name = jwt.get_unverified_header(token).get("kid")
            found = self._keys.get(name) if isinstance(name, str) else None
            if found is None:
                known = ", ".join(map(repr, sorted(self._keys))) or "none"
                raise Unauthenticated(f"the token is signed with key {str(name)[:80]!r}; known are: {known}")
            algorithm, key = found
            claims = jwt.decode(
                token,
                key=key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired; get a new one") from None
        except jwt.PyJWTError as error:
            raise Unauthenticated(
                f"the token is not valid here: {error}; it must be of issuer {self._issuer!r} "
                f"for audience {self._audience!r}"
            ) from None
        subject, expires_at = claims["sub"], float(claims["exp"])
        if not 0 < len(subject) <= _SUBJECT_MAX_LENGTH or not math.isfinite(expires_at):
            raise Unauthenticated("the token names no usable subject or no usable end")
        return Verified(subject=subject, expires_at=expires_at + _LEEWAY_SECONDS)


def _usable_keys(jwks: str) -> dict[str, tuple[str, Any]]:
    """Return algorithm and key by name. `Any`: the key classes of `cryptography`, which only pyjwt looks into."""
    import jwt

    document = json.loads(jwks)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError(  # noqa: TRY004  # what JSON raises, too
            "it is no JWKS document: it has no list 'keys'"
        )
    keys: dict[str, tuple[str, Any]] = {}
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            continue
        algorithm = _ALGORITHMS.get((str(entry.get("kty")), entry.get("crv")))
        if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm=algorithm).key
        except (jwt.PyJWTError, ValueError):
            continue
        if algorithm == "RS256" and key.key_size < _RSA_LEAST_BITS:
            continue
        keys[entry["kid"]] = (algorithm, key)
    return keys
