"""Which public keys are believed here, and for what: the trust file.

It comes from the settings (a file of this machine, a ConfigMap in a cluster), never from the store: whoever can write
objects must not be able to say whose objects count. A key is `active` (signs and is believed), `verify_only` (what it
signed is believed, it signs nothing new) or `revoked` (nothing it signed is believed any more). Who changed that, when
and why stands beside the keys for people to read; no decision looks at those dates.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock
from pydantic import Field

from rasen.errors import KeyRefused, PlatformFailed, SignatureInvalid
from rasen.tracking.records import Part, Record

if TYPE_CHECKING:
    from rasen.settings import Settings

KeyState = Literal["active", "verify_only", "revoked"]


class Role(StrEnum):
    """What a signature stands for.

    An operator's signs commands about endpoints (roll back, approve), and nothing that lies in the store: who may undo
    a deployment need not be able to publish a model.
    """

    REGISTRAR = "registrar"
    CONTROL = "control"
    DECIDER = "decider"
    OPERATOR = "operator"


class PublicKey(Part):
    """One trusted key."""

    key_id: str
    role: Role
    public_key: str = Field(description="32 raw bytes in base64")
    environments: list[str]
    state: KeyState = "active"
    holder: str = Field(default="", description="the person that it signs for; empty: a part of the platform")
    kept_in: Literal["file", "kms"] = Field(
        default="file", description="where the private half is; a key file is never trusted in prod"
    )
    address: str = Field(default="", description="the KMS key version that holds the private half")

    def refusal(self, role: Role, environment: str) -> str:
        """Return why it cannot vouch for an object of `role` in `environment`, `""` when it can."""
        if self.state == "revoked":
            return f"key {self.key_id!r} is revoked"
        if self.role is not role:
            return f"key {self.key_id!r} signs as {self.role.value!r}, not as {role.value!r}"
        if environment not in self.environments:
            return f"key {self.key_id!r} is trusted in {self.environments}, not in {environment!r}"
        if environment == "prod" and self.kept_in == "file":
            return (
                f"key {self.key_id!r} is the key file of a machine, and such keys are never trusted in 'prod'"
            )
        return ""


class TrustChange(Part):
    """What somebody did to a key."""

    at: datetime
    by: str
    key_id: str
    what: str
    reason: str = ""


class TrustStore(Record):
    """The public keys that are trusted here."""

    keys: list[PublicKey] = Field(default_factory=list)
    changes: list[TrustChange] = Field(default_factory=list)

    def find(self, key_id: str) -> PublicKey | None:
        """Return the key with this id, `None` when it is not listed."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def verify(
        self, message: bytes, signature: bytes, *, key_id: str, role: Role, environment: str
    ) -> PublicKey:
        """Check one signature and return the key that made it.

        Raises:
            KeyRefused: The key is unknown, revoked, or trusted for another role or environment only.
            SignatureInvalid: The signature does not fit the message.
        """
        known = self.find(key_id)
        if known is None:
            raise KeyRefused(f"key {key_id!r} is not among the trusted keys")
        if refusal := known.refusal(role, environment):
            raise KeyRefused(refusal)
        check_signature(known, message, signature)
        return known

    def changed(self, change: TrustChange, *keys: PublicKey) -> TrustStore:
        """Return the same with `keys` put in the place of those with their ids, or added, and the change noted."""
        new = {key.key_id: key for key in keys}
        kept = [new.pop(key.key_id, key) for key in self.keys]
        return TrustStore(keys=[*kept, *new.values()], changes=[*self.changes, change])


def check_signature(key: PublicKey, message: bytes, signature: bytes) -> None:
    """Check a signature against a public key, whatever the key may do.

    Raises:
        SignatureInvalid: It does not fit.
        KeyRefused: The public key of the trust file is none.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key, validate=True))
    except ValueError:
        raise KeyRefused(
            f"key {key.key_id!r} of the trust file has no usable public key; it must be 32 bytes in base64"
        ) from None
    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise SignatureInvalid(f"the signature by key {key.key_id!r} does not fit the bytes") from None


def key_id_of(public_key: bytes) -> str:
    """Return the id of a key: the first 16 hexadecimal digits of the SHA-256 of its 32 public bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def load_trust(settings: Settings) -> TrustStore:
    """Return the trusted public keys; none when the file is not there yet."""
    return read_trust(settings.trust_file)


def read_trust(path: Path) -> TrustStore:
    """Return the trusted public keys of a file; none when it is not there."""
    try:
        return TrustStore.from_bytes(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        return TrustStore()


def change_trust(settings: Settings, change: Callable[[TrustStore], TrustStore]) -> TrustStore:
    """Change the trust file; readers see it as it was or as it is now, and two who change it do so in turn.

    Raises:
        PlatformFailed: The file cannot be written here, as a mounted ConfigMap cannot.
    """
    path = settings.trust_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            trust = change(read_trust(path))
            replace_file(path, trust.model_dump_json(by_alias=True, indent=1).encode() + b"\n", mode=0o644)
    except OSError as error:
        raise PlatformFailed(
            f"the trust file {str(path)!r} could not be written: {error}; where it is mounted from a ConfigMap, "
            "change a copy (RASEN_TRUST_FILE=copy.json) and apply that"
        ) from error
    return trust


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Put a file in the place of another, by one step that a power cut leaves done or not done."""
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
