"""Who signs: a key file of one machine by default, a key of a KMS in a cluster.

Which it is, a setting of each role says (`RASEN_SIGNER_CONTROL`, …). Whatever it is, a key signs only while the trust
file calls it active: the file is read again before each signature, because a process that was started before a key was
rotated or revoked must not go on with it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, assert_never

from filelock import FileLock

from rasen.errors import KeyRefused
from rasen.tracking.trust import (
    PublicKey,
    Role,
    TrustStore,
    change_trust,
    key_id_of,
    load_trust,
    replace_file,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from rasen.settings import Settings

FILE = "file"
"""The value of a signer's setting that means a key file of this machine."""


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


class FileSigner:
    """A private key in a file that only its owner may read.

    The file is read for every signature and every question, so a rotation counts from the moment it is done.
    """

    def __init__(self, path: Path, role: Role) -> None:
        self._path = path
        self._role = role

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal digits of the public key's SHA-256."""
        return key_id_of(read_private_key(self._path).public_key().public_bytes_raw())

    @property
    def role(self) -> Role:
        """What its signatures stand for."""
        return self._role

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`."""
        return read_private_key(self._path).sign(message)


class ActiveSigner:
    """Another signer, asked only while its key is active in the trust file."""

    def __init__(self, signer: Signer, settings: Settings) -> None:
        self._signer = signer
        self._settings = settings

    @property
    def key_id(self) -> str:
        """Name of the key in the list of trusted keys."""
        return self._signer.key_id

    @property
    def role(self) -> Role:
        """What its signatures stand for."""
        return self._signer.role

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`.

        Raises:
            KeyRefused: The key may not sign, or not any more.
        """
        self.check()
        return self._signer.sign(message)

    def check(self) -> None:
        """Check that the key may sign now.

        Raises:
            KeyRefused: It may not.
        """
        role, environment = self._signer.role, self._settings.environment
        key_id = self._signer.key_id
        known = load_trust(self._settings).find(key_id)
        if (known is None or known.state != "active") and self._signer.key_id != key_id:
            return self.check()  # it was rotated between the two looks
        if known is None:
            raise KeyRefused(
                f"key {key_id!r} is not among the trusted keys of {str(self._settings.trust_file)!r}; "
                f"`rasen trust rotate {role.value}` makes the {role.value}'s key known there"
            )
        match known.state:
            case "active":
                refusal = known.refusal(role, environment)
            case "verify_only":
                refusal = f"key {known.key_id!r} signs nothing new: it was rotated out"
            case "revoked":
                refusal = f"key {known.key_id!r} is revoked"
            case never:
                assert_never(never)
        if refusal:
            raise KeyRefused(f"{refusal}; `rasen trust rotate {role.value}` brings in a new one")
        return None


def signer_address(settings: Settings, role: Role) -> str:
    """Return what the settings say of a role's signer: `file`, or the address of a KMS key version."""
    match role:
        case Role.REGISTRAR:
            return settings.signer_registrar
        case Role.CONTROL:
            return settings.signer_control
        case Role.DECIDER:
            return settings.signer_decider
        case Role.OPERATOR:
            return settings.signer_operator
        case never:
            assert_never(never)


def open_signer(settings: Settings, role: Role) -> Signer:
    """Return the signer for `role`; a key file and its entry in the trust file are made on first use.

    A key of one machine lies beside what it signs, so it is trusted in this environment only, and never in `prod`.

    Raises:
        KeyRefused: The environment is `prod` and no KMS key is named, or the key may not sign.
    """
    address = signer_address(settings, role)
    if address != FILE:
        return ActiveSigner(open_kms_signer(settings, role), settings)
    check_key_files(settings, role)
    path = key_path(settings, role)
    if not path.exists():
        settings.keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with lock_keys(settings):
            if not path.exists():
                _make_key(path, role, settings)
    signer = ActiveSigner(FileSigner(path, role), settings)
    signer.check()
    return signer


def open_kms_signer(settings: Settings, role: Role) -> Signer:
    """Return the signer that the role's setting names in a KMS, whatever the trust file says of its key."""
    from rasen.tracking.kms_signer import KmsSigner

    return KmsSigner(
        signer_address(settings, role),
        role,
        endpoint=settings.kms_endpoint,
        patience_seconds=settings.store_patience_seconds,
    )


def check_key_files(settings: Settings, role: Role) -> None:
    """Check that a key file may sign in this environment.

    Raises:
        KeyRefused: It may not.
    """
    if settings.environment == "prod":
        raise KeyRefused(
            "a key file of one machine is never trusted in 'prod'; name a KMS key there, in "
            f"RASEN_SIGNER_{role.name}"
        )


def key_path(settings: Settings, role: Role) -> Path:
    """Return where a role's private key lies on this machine."""
    return settings.keys_dir / f"{role.value}.key"


def lock_keys(settings: Settings) -> FileLock:
    """Return the lock that whoever makes or changes a key file holds."""
    return FileLock(settings.keys_dir / ".lock")


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file.

    Raises:
        KeyRefused: Others may read it, or it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.stat().st_mode & 0o077:
        raise KeyRefused(f"key file {str(path)!r} may be read by others; `chmod 600` it, or make a new one")
    data = path.read_bytes()
    if len(data) != 32:
        raise KeyRefused(f"key file {str(path)!r} holds {len(data)} bytes; a private key has 32")
    return Ed25519PrivateKey.from_private_bytes(data)


def file_key(private: Ed25519PrivateKey, role: Role, settings: Settings) -> PublicKey:
    """Return the entry of the trust file for a key file of this machine."""
    public = private.public_key().public_bytes_raw()
    return PublicKey(
        key_id=key_id_of(public),
        role=role,
        public_key=base64.b64encode(public).decode(),
        environments=[settings.environment],
    )


def _make_key(path: Path, role: Role, settings: Settings) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    entry = file_key(private, role, settings)
    # Trust first: a kill in between leaves an entry that nobody can sign for, not a key that nobody trusts.
    change_trust(settings, lambda trust: TrustStore(keys=[*trust.keys, entry], changes=trust.changes))
    replace_file(path, private.private_bytes_raw(), mode=0o600)
