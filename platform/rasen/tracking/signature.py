"""Signed objects: provenance is what makes a pickle loadable, so it is proved before anything is read from one.

A signed object is one line of JSON (key id, role, signature), a newline, and the payload's exact bytes. Ed25519 signs
`rasen/1`, the role, the object's key and the payload, separated by NUL: a copy under another key does not verify, and
nothing is re-serialised between signing and checking. Whose signature counts says `trust.py`, who signs `signers.py`;
their names are offered here too, because whoever signs or checks needs them together.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Literal

from pydantic import ValidationError

from rasen.errors import KeyRefused, PreconditionFailed, SignatureInvalid
from rasen.store import Store
from rasen.tracking.records import Part
from rasen.tracking.signers import FileSigner, Signer, open_signer
from rasen.tracking.trust import PublicKey, Role, TrustStore, load_trust, read_trust

__all__ = [
    "FileSigner",
    "PublicKey",
    "Role",
    "SignedObject",
    "Signer",
    "TrustStore",
    "load_trust",
    "open_signed",
    "open_signer",
    "open_vouched",
    "parse_signed",
    "read_signed",
    "read_trust",
    "sign",
    "signed_message",
    "write_signed",
]

_HEADER_MAX_BYTES = 1024
_LARGE_BYTES = 32_768
"""Of a payload that is larger, the digest is signed."""


class SignedObject(Part):
    """The header line of a signed object.

    `digest` says that the signature is of the payload's SHA-256 and not of the payload itself, because a KMS signs at
    most 64 KiB. The two kinds of message begin differently, so a signature of one never fits the other.
    """

    key_id: str
    role: Role
    signature: str
    digest: Literal["sha256"] | None = None


def signed_message(role: Role, key: str, payload: bytes, *, digest: Literal["sha256"] | None = None) -> bytes:
    """Return the bytes that are signed for an object of `role` under `key`."""
    place = role.value.encode() + b"\0" + key.encode() + b"\0"
    if digest is None:
        return b"rasen/1\0" + place + payload
    return b"rasen/1-sha256\0" + place + hashlib.sha256(payload).digest()


def sign(key: str, payload: bytes, signer: Signer) -> bytes:
    """Return the bytes of the signed object that will lie under `key`."""
    digest: Literal["sha256"] | None = "sha256" if len(payload) > _LARGE_BYTES else None
    message = signed_message(signer.role, key, payload, digest=digest)
    while True:
        key_id = signer.key_id
        signature = signer.sign(message)
        if signer.key_id == key_id:  # the key may be rotated in between, and never comes back
            break
    header = {
        "key_id": key_id,
        "role": signer.role.value,
        "signature": base64.b64encode(signature).decode(),
    } | ({"digest": digest} if digest else {})
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + payload


def write_signed(store: Store, key: str, payload: bytes, signer: Signer) -> str:
    """Create a signed object and return its payload's SHA-256, in hexadecimal.

    Writing the same payload twice succeeds, because after a time-out nobody knows whether the first try arrived.

    Raises:
        PreconditionFailed: There is another payload under `key`.
    """
    data = sign(key, payload, signer)
    try:
        store.write(key, data, if_generation=0)
    except PreconditionFailed:
        if store.read(key).partition(b"\n")[2] != payload:
            raise
    return hashlib.sha256(payload).hexdigest()


def read_signed(store: Store, key: str, *, trust: TrustStore, role: Role, environment: str) -> bytes:
    """Return the payload of the object under `key` after its signature has been checked.

    Raises:
        ObjectNotFound: There is none.
        SignatureInvalid, KeyRefused: It cannot be trusted.
    """
    return open_signed(store.read(key), key, trust=trust, role=role, environment=environment)


def open_signed(data: bytes, key: str, *, trust: TrustStore, role: Role, environment: str) -> bytes:
    """Return the payload of a signed object that was read from `key`, after its signature has been checked.

    Raises:
        SignatureInvalid: There is no signature, or it does not fit these bytes under this key.
        KeyRefused: The key may not sign this.
    """
    return open_vouched(data, key, trust=trust, role=role, environment=environment)[0]


def open_vouched(
    data: bytes, key: str, *, trust: TrustStore, role: Role, environment: str
) -> tuple[bytes, PublicKey]:
    """Return what `open_signed` does, and the key that vouches for it.

    Raises:
        SignatureInvalid, KeyRefused: As `open_signed`.
    """
    header, payload = parse_signed(data, key)
    if header.role is not role:
        raise KeyRefused(f"object {key!r} is signed as {header.role.value!r}; {role.value!r} must sign it")
    message = signed_message(role, key, payload, digest=header.digest)
    signature = base64.b64decode(header.signature)
    try:
        vouching = trust.verify(message, signature, key_id=header.key_id, role=role, environment=environment)
    except SignatureInvalid as error:
        raise SignatureInvalid(f"object {key!r}: {error}") from None
    except KeyRefused as error:
        raise KeyRefused(f"object {key!r}: {error}") from None
    return payload, vouching


def parse_signed(data: bytes, key: str) -> tuple[SignedObject, bytes]:
    """Return the header and the payload of a signed object; nothing of it is verified.

    Raises:
        SignatureInvalid: It has no header.
    """
    line, newline, payload = data.partition(b"\n")
    try:
        if not newline or len(line) > _HEADER_MAX_BYTES:
            raise ValueError("no header line")
        header = SignedObject.model_validate_json(line)
        base64.b64decode(header.signature, validate=True)
    except (ValidationError, ValueError):
        raise SignatureInvalid(
            f"object {key!r} is not signed: its first line is no signature header"
        ) from None
    return header, payload
