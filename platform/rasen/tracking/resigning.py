"""Signing again, with a role's present key, what another key of that role signed: the way back after a revocation.

Not a byte of a payload changes, so every digest that somebody noted still fits; only the header line is another one.
The old signature must fit cryptographically, whatever the key's state. That proves who signed, not when: somebody who
stole the key may have signed the object too. So a person vouches, with a reason, and the list of what he vouched for
is written, signed, before the first object is touched, and never changed.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from rasen.errors import InvalidInput, KeyRefused, ObjectNotFound, PreconditionFailed, SignatureInvalid
from rasen.store import Store
from rasen.tracking.key_rotation import find_listed
from rasen.tracking.keys import RESIGNED_PREFIX, SIGNED_PREFIXES, resigning_key
from rasen.tracking.records import Part, Record
from rasen.tracking.signature import (
    open_signed,
    open_signer,
    parse_signed,
    sign,
    signed_message,
    write_signed,
)
from rasen.tracking.trust import PublicKey, TrustStore, check_signature, load_trust

if TYPE_CHECKING:
    from rasen.settings import Settings


class VouchedObject(Part):
    """An object that was signed again, by key, with the SHA-256 of its payload."""

    key: str
    sha256: str


class Resigning(Record):
    """Somebody's word for what a key had signed."""

    key_id: str
    successor: str
    environment: str
    by: str
    reason: str
    at: datetime
    objects: list[VouchedObject]


@dataclass(frozen=True, kw_only=True)
class SignedByKey:
    """What a key signed, as far as the store shows.

    Args:
        key: The key.
        objects: The objects whose signature fits.
        forged: Why others that name the key do not count, by key.
    """

    key: PublicKey
    objects: list[VouchedObject] = field(default_factory=list)
    forged: dict[str, str] = field(default_factory=dict)


def count_signed(store: Store) -> Counter[str]:
    """Return how many objects name each key in their header; nothing of it is verified."""
    return Counter(header_key for _, header_key, _ in _signed_objects(store, ""))


def find_signed(settings: Settings, store: Store, key_id: str, *, under: str = "") -> SignedByKey:
    """Return what a key signed.

    Args:
        settings: Whose trust file lists the key.
        store: Where to look.
        key_id: The key, or enough of its beginning.
        under: Only objects whose key begins like this.

    Raises:
        NotFound: The key is not listed.
    """
    key = find_listed(load_trust(settings), key_id)
    found = SignedByKey(key=key)
    for place, named, data in _signed_objects(store, under):
        if named != key.key_id:
            continue
        header, payload = parse_signed(data, place)
        try:
            if header.role is not key.role:
                raise KeyRefused(f"it is signed as {header.role.value!r}, the key is {key.role.value!r}'s")
            message = signed_message(key.role, place, payload, digest=header.digest)
            check_signature(key, message, base64.b64decode(header.signature))
        except (SignatureInvalid, KeyRefused) as error:
            found.forged[place] = str(error)
        else:
            found.objects.append(VouchedObject(key=place, sha256=hashlib.sha256(payload).hexdigest()))
    return found


def resign(
    settings: Settings, store: Store, signed: SignedByKey, *, by: str, now: datetime, reason: str
) -> str:
    """Sign again what `find_signed` found, with the present key of the role; return the key of the record of it.

    An object that has changed since it was found is left as it is; called again after a crash it does what is left.

    Raises:
        InvalidInput: There is nothing to sign, or no reason.
        KeyRefused: Nobody here may sign for the role, or only the very key that is to be replaced.
    """
    if not reason.strip():
        raise InvalidInput("a reason is needed: whoever signs again vouches for what the old key signed")
    if not signed.objects:
        raise InvalidInput(
            f"there is nothing to sign again: no object is signed by key {signed.key.key_id!r}"
        )
    signer = open_signer(settings, signed.key.role)
    if signer.key_id == signed.key.key_id:
        raise KeyRefused(
            f"key {signed.key.key_id!r} is the one that signs now; `rasen trust rotate {signed.key.role.value}` first"
        )
    record = Resigning(
        key_id=signed.key.key_id,
        successor=signer.key_id,
        environment=settings.environment,
        by=by,
        reason=reason,
        at=now,
        objects=signed.objects,
    )
    payload = record.to_bytes()
    place = resigning_key(signed.key.key_id, hashlib.sha256(payload).hexdigest()[:12])
    write_signed(store, place, payload, signer)
    for vouched in signed.objects:
        data, generation = store.read_versioned(vouched.key)
        header, body = parse_signed(data, vouched.key)
        if header.key_id != signed.key.key_id or hashlib.sha256(body).hexdigest() != vouched.sha256:
            continue
        try:
            store.write(vouched.key, sign(vouched.key, body, signer), if_generation=generation)
        except PreconditionFailed:
            continue  # somebody else has signed it again
    return place


def read_resignings(store: Store, trust: TrustStore, *, environment: str) -> list[Resigning]:
    """Return the records of what was signed again, oldest first.

    Raises:
        SignatureInvalid, KeyRefused: One of them cannot be believed.
    """
    records = []
    for stat in store.list(RESIGNED_PREFIX):
        data = store.read(stat.key)
        header, _ = parse_signed(data, stat.key)
        payload = open_signed(data, stat.key, trust=trust, role=header.role, environment=environment)
        records.append(Resigning.from_bytes(payload, source=stat.key))
    return sorted(records, key=lambda record: record.at)


def _signed_objects(store: Store, under: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield key, key id and bytes of every signed object whose key begins like `under`."""
    for prefix in SIGNED_PREFIXES:
        if not (prefix.startswith(under) or under.startswith(prefix)):
            continue
        for stat in store.list(max(prefix, under, key=len)):
            if not stat.key.endswith(".json"):
                continue  # bundles and hints
            try:
                data = store.read(stat.key)
                header, _ = parse_signed(data, stat.key)
            except (SignatureInvalid, ObjectNotFound):
                continue  # pointers are not signed
            yield stat.key, header.key_id, data
