"""API keys: who may ask the prediction service, as signed records; the secret itself is never written down.

A key is shown once, as `rasen_<id>.<secret>` (32 random bytes). Only the SHA-256 of the whole text is kept: that much
randomness cannot be guessed from its digest, so a slow hash would protect nothing and cost every request. A record is
create-only and signed by `control`, so whoever may merely write into the bucket cannot let himself in. Revoking adds a
second signed record beside the first: nothing is ever changed, and readers never take a revocation back.

An expiry is compared with the reader's own clock; nothing else here depends on clocks.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from rasen.errors import (
    InvalidInput,
    NotFound,
    ObjectNotFound,
    PreconditionFailed,
    RasenError,
    SignatureInvalid,
)
from rasen.store import Store
from rasen.tracking.ids import check_name
from rasen.tracking.keys import ACCESS_HINT_KEY, ACCESS_PREFIX, access_key, revocation_key
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, write_signed

KEY_PREFIX = "rasen_"
"""What every key begins with, so that people and secret scanners recognise one."""

_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_FILE = re.compile(r"([0-9a-f]{12})(\.revoked)?\.json", re.ASCII)
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)", re.ASCII)
_PERIOD_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


class AccessKey(Record):
    """One API key: everything but its secret.

    Args:
        id: 12 hexadecimal digits; what a key begins with and what the prediction log names.
        name: Who or what uses it, for people; several keys may have the same name while one replaces the other.
        sha256: Of the whole key.
        environment: Where it is valid.
        endpoints: What it may ask; empty means every endpoint.
        rate: Most requests, such as `1000/minute`; empty means no limit.
        created_at: When it was made.
        created_by: The account that made it.
        expires_at: From then on it is refused; `None` means never.
    """

    id: str
    name: str
    sha256: str
    environment: str
    endpoints: list[str] = Field(default_factory=list)
    rate: str = ""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None


class Revocation(Record):
    """That a key is not accepted any more."""

    id: str
    revoked_at: datetime
    revoked_by: str


@dataclass(frozen=True, kw_only=True)
class KeyState:
    """A key, and its revocation if it has one."""

    key: AccessKey
    revocation: Revocation | None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Return what becomes of a request with this key at `now`."""
        if self.revocation is not None:
            return "revoked"
        if self.key.expires_at is not None and now >= self.key.expires_at:
            return "expired"
        return "active"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


def parse_rate(text: str) -> Rate:
    """Return the rate that a text such as `1000/minute` stands for.

    Raises:
        InvalidInput: It is none.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{text[:40]!r} is not a rate; write a whole number and a period: 20/second, 1000/minute, 5000/hour, 9/day"
        )
    return Rate(requests=int(match[1]), seconds=_PERIOD_SECONDS[match[2]])


def digest_of(text: str) -> str:
    """Return the digest under which a key is known, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def create_key(
    store: Store,
    signer: Signer,
    *,
    name: str,
    environment: str,
    by: str,
    now: datetime,
    endpoints: list[str] | None = None,
    lifetime: timedelta | None = None,
    rate: str = "",
) -> tuple[AccessKey, str]:
    """Make a key; return its record and the text that is given to whoever shall use it, and to nobody else.

    Raises:
        InvalidInput: The name, an endpoint or the rate is not usable.
    """
    check_name("key", name)
    for endpoint in endpoints or []:
        check_name("endpoint", endpoint)
    if rate:
        parse_rate(rate)
    key_id = secrets.token_hex(6)
    text = f"{KEY_PREFIX}{key_id}.{secrets.token_urlsafe(32)}"
    key = AccessKey(
        id=key_id,
        name=name,
        sha256=digest_of(text),
        environment=environment,
        endpoints=sorted(set(endpoints or [])),
        rate=rate,
        created_at=now,
        created_by=by,
        expires_at=None if lifetime is None else now + lifetime,
    )
    write_signed(store, access_key(key_id), key.to_bytes(), signer)
    _ring(store)
    return key, text


def revoke_key(store: Store, signer: Signer, key_id: str, *, by: str, now: datetime) -> bool:
    """Have a key refused from now on; return whether it was not already.

    Raises:
        NotFound: There is no such key.
    """
    if not _ID.fullmatch(key_id) or store.stat(access_key(key_id)) is None:
        known = ", ".join(sorted(key_ids(store))) or "none"
        raise NotFound(f"there is no key with id {key_id[:40]!r}; there are: {known}")
    revocation = Revocation(id=key_id, revoked_at=now, revoked_by=by)
    try:
        write_signed(store, revocation_key(key_id), revocation.to_bytes(), signer)
        first = True
    except PreconditionFailed:
        first = False
    _ring(store)
    return first


def key_ids(store: Store) -> dict[str, bool]:
    """Return the ids of all keys, with whether there is a revocation; nothing of it is verified."""
    found: dict[str, bool] = {}
    for name in store.children(ACCESS_PREFIX):
        if match := _FILE.fullmatch(name):
            found[match[1]] = found.get(match[1], False) or match[2] is not None
    return found


def open_key(data: bytes, key_id: str, *, trust: TrustStore, environment: str) -> AccessKey:
    """Return the record of a key from the bytes that were read under it.

    Raises:
        SignatureInvalid, KeyRefused: It cannot be trusted, or speaks of another key or environment.
        UnreadableRecord: It is signed, but of a format that this version does not read.
    """
    place = access_key(key_id)
    payload = open_signed(data, place, trust=trust, role=Role.CONTROL, environment=environment)
    key = AccessKey.from_bytes(payload, source=place)
    if (key.id, key.environment) != (key_id, environment):
        raise SignatureInvalid(
            f"{place!r} speaks of key {key.id!r} in {key.environment!r}, not in {environment!r}"
        )
    return key


def open_revocation(data: bytes, key_id: str, *, trust: TrustStore, environment: str) -> Revocation:
    """Return the revocation of a key from the bytes that were read.

    Raises:
        SignatureInvalid, KeyRefused: It cannot be trusted, or speaks of another key.
        UnreadableRecord: It is signed, but of a format that this version does not read.
    """
    place = revocation_key(key_id)
    payload = open_signed(data, place, trust=trust, role=Role.CONTROL, environment=environment)
    revocation = Revocation.from_bytes(payload, source=place)
    if revocation.id != key_id:
        raise SignatureInvalid(f"{place!r} speaks of key {revocation.id!r}")
    return revocation


def read_keys(store: Store, trust: TrustStore, *, environment: str) -> tuple[list[KeyState], dict[str, str]]:
    """Return all keys, oldest first, and why others could not be believed, by id.

    A key whose revocation cannot be believed counts as refused: somebody meant to close that door.
    """
    keys: list[KeyState] = []
    refused: dict[str, str] = {}
    for key_id, revoked in sorted(key_ids(store).items()):
        try:
            key = open_key(store.read(access_key(key_id)), key_id, trust=trust, environment=environment)
            revocation = (
                open_revocation(
                    store.read(revocation_key(key_id)), key_id, trust=trust, environment=environment
                )
                if revoked
                else None
            )
        except ObjectNotFound:
            refused[key_id] = "it has a revocation and no record"
        except RasenError as error:
            refused[key_id] = str(error)
        else:
            keys.append(KeyState(key=key, revocation=revocation))
    return sorted(keys, key=lambda one: (one.key.created_at, one.key.id)), refused


def _ring(store: Store) -> None:
    """Change the object whose generation servers look at, so that they look at the keys before their next round."""
    store.write(ACCESS_HINT_KEY, secrets.token_bytes(8))
