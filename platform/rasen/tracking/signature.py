"""Signed objects: provenance is what makes a pickle loadable, so it is proved before anything is read from one.

A signed object is one line of JSON (key id, role, signature), a newline, and the payload's exact bytes. Ed25519 signs
`rasen/1`, the role, the object's key and the payload, separated by NUL: a copy under another key does not verify, and
nothing is re-serialised between signing and checking. Public keys come from the settings, never from the store.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from filelock import FileLock
from pydantic import Field, ValidationError

from rasen.errors import KeyRefused, PreconditionFailed, SignatureInvalid
from rasen.store import Store
from rasen.tracking.records import Part, Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from rasen.settings import Settings

_HEADER_MAX_BYTES = 1024


class Role(StrEnum):
    """What a signature stands for.

    An operator's signs commands about endpoints (roll back, approve), and nothing that lies in the store: who may undo
    a deployment need not be able to publish a model.
    """

    REGISTRAR = "registrar"
    CONTROL = "control"
    DECIDER = "decider"
    OPERATOR = "operator"


class Signer(Protocol):
    """Somebody who may sign: a key file here, a KMS in a cluster."""

    @property
    def key_id(self) -> str:
        """Name of the key in the list of trusted keys."""

    @property
    def role(self) -> Role:
        """What its signatures stand for."""

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of `message`, 64 bytes."""


class PublicKey(Part):
    """One trusted key."""

    key_id: str
    role: Role
    public_key: str = Field(description="32 raw bytes in base64")
    environments: list[str]
    state: Literal["active", "verify_only", "revoked"] = "active"


class TrustStore(Record):
    """The public keys that are trusted here."""

    keys: list[PublicKey] = Field(default_factory=list)

    def verify(self, message: bytes, signature: bytes, *, key_id: str, role: Role, environment: str) -> None:
        """Check one signature.

        Raises:
            KeyRefused: The key is unknown, revoked, or trusted for another role or environment only.
            SignatureInvalid: The signature does not fit the message.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        known = next((key for key in self.keys if key.key_id == key_id), None)
        if known is None:
            raise KeyRefused(f"key {key_id!r} is not among the trusted keys")
        if known.state == "revoked":
            raise KeyRefused(f"key {key_id!r} is revoked")
        if known.role is not role:
            raise KeyRefused(f"key {key_id!r} signs as {known.role.value!r}, not as {role.value!r}")
        if environment not in known.environments:
            raise KeyRefused(f"key {key_id!r} is trusted in {known.environments}, not in {environment!r}")
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(known.public_key)).verify(signature, message)
        except InvalidSignature:
            raise SignatureInvalid(f"the signature by key {key_id!r} does not fit the bytes") from None


class FileSigner:
    """A private key in a file that only its owner may read."""

    def __init__(self, path: Path, role: Role) -> None:
        self._path = path
        self._role = role
        self._key_id: str | None = None

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal digits of the public key's SHA-256."""
        if self._key_id is None:
            self._key_id = _key_id(self._load())
        return self._key_id

    @property
    def role(self) -> Role:
        """What its signatures stand for."""
        return self._role

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`."""
        return self._load().sign(message)

    def _load(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if self._path.stat().st_mode & 0o077:
            raise KeyRefused(
                f"key file {str(self._path)!r} may be read by others; `chmod 600` it, or make a new one"
            )
        return Ed25519PrivateKey.from_private_bytes(self._path.read_bytes())


def open_signer(settings: Settings, role: Role) -> Signer:
    """Return this machine's signer for `role`; key and trust entry are made on first use.

    A key of one machine lies beside what it signs, so it is trusted in this environment only, and never in `prod`.

    Raises:
        KeyRefused: The environment is `prod`.
    """
    if settings.environment == "prod":
        raise KeyRefused("a key file of one machine is never trusted in 'prod'; name a KMS key there")
    path = settings.keys_dir / f"{role.value}.key"
    if not path.exists():
        settings.keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(settings.keys_dir / ".lock"):
            if not path.exists():
                _make_key(path, role, settings)
    return FileSigner(path, role)


def _make_key(path: Path, role: Role, settings: Settings) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    trust = load_trust(settings)
    entry = PublicKey(
        key_id=_key_id(private),
        role=role,
        public_key=base64.b64encode(private.public_key().public_bytes_raw()).decode(),
        environments=[settings.environment],
    )
    # Trust first: a kill in between leaves an entry that nobody can sign for, not a key that nobody trusts.
    _replace(settings.trust_file, TrustStore(keys=[*trust.keys, entry]).to_bytes(), mode=0o644)
    _replace(path, private.private_bytes_raw(), mode=0o600)


def _replace(path: Path, data: bytes, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _key_id(private: Ed25519PrivateKey) -> str:
    return hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()[:16]


def load_trust(settings: Settings) -> TrustStore:
    """Return the trusted public keys; none when the file is not there yet."""
    return read_trust(settings.trust_file)


def read_trust(path: Path) -> TrustStore:
    """Return the trusted public keys of a file; none when it is not there."""
    try:
        return TrustStore.from_bytes(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        return TrustStore()


def _message(role: Role, key: str, payload: bytes) -> bytes:
    return b"rasen/1\0" + role.value.encode() + b"\0" + key.encode() + b"\0" + payload


def sign(key: str, payload: bytes, signer: Signer) -> bytes:
    """Return the bytes of the signed object that will lie under `key`."""
    signature = signer.sign(_message(signer.role, key, payload))
    header = {
        "key_id": signer.key_id,
        "role": signer.role.value,
        "signature": base64.b64encode(signature).decode(),
    }
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
    line, newline, payload = data.partition(b"\n")
    try:
        if not newline or len(line) > _HEADER_MAX_BYTES:
            raise ValueError("no header line")
        header = _Header.model_validate_json(line)
        signature = base64.b64decode(header.signature, validate=True)
    except (ValidationError, ValueError):
        raise SignatureInvalid(
            f"object {key!r} is not signed: its first line is no signature header"
        ) from None
    if header.role is not role:
        raise KeyRefused(f"object {key!r} is signed as {header.role.value!r}; {role.value!r} must sign it")
    message = _message(role, key, payload)
    try:
        trust.verify(message, signature, key_id=header.key_id, role=role, environment=environment)
    except SignatureInvalid as error:
        raise SignatureInvalid(f"object {key!r}: {error}") from None
    except KeyRefused as error:
        raise KeyRefused(f"object {key!r}: {error}") from None
    return payload


class _Header(Part):
    key_id: str
    role: Role
    signature: str
