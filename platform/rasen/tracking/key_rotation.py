"""Changing who is trusted: a role's key is rotated, a key is revoked, reinstated, or taken over from another machine.

A rotation of a key file passes through states each of which works: the new key is trusted, then it signs, then the old
one signs nothing new. The new private key waits in a file that names the old key until all is done; whoever comes next
after a crash (another rotation, or `rasen trust`) finds that file and finishes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from rasen.errors import InvalidInput, KeyRefused, NotFound
from rasen.tracking.records import Record
from rasen.tracking.signers import (
    FILE,
    check_key_files,
    file_key,
    key_path,
    lock_keys,
    open_kms_signer,
    open_signer,
    read_private_key,
    signer_address,
)
from rasen.tracking.trust import (
    KeyState,
    PublicKey,
    Role,
    TrustChange,
    TrustStore,
    change_trust,
    key_id_of,
    load_trust,
    replace_file,
)

if TYPE_CHECKING:
    from rasen.settings import Settings

_WAITING = ".next"


class PublicKeys(Record):
    """Public keys on their way to another machine."""

    keys: list[PublicKey] = Field(default_factory=list)


def rotate_key(settings: Settings, role: Role, *, by: str, now: datetime, reason: str = "") -> PublicKey:
    """Have a new key sign for `role` from now on, and the old one nothing new; return the new one.

    A key file is made here. A KMS makes its versions itself: the setting names the new one, and this makes it known.

    Raises:
        KeyRefused: Key files sign nothing in this environment, or the KMS key cannot be used.
        InvalidInput: The setting names the KMS key that is active already.
    """
    if signer_address(settings, role) != FILE:
        return _adopt_kms_key(settings, role, by=by, now=now, reason=reason)
    check_key_files(settings, role)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    finish_rotations(settings, by=by, now=now)
    path = key_path(settings, role)
    if not path.exists():
        open_signer(settings, role)
        entry = file_key(read_private_key(path), role, settings)
        change_trust(settings, lambda trust: trust.changed(_change(entry.key_id, "made", by, now, reason)))
        return entry
    with lock_keys(settings):
        old = file_key(read_private_key(path), role, settings).key_id
        private = Ed25519PrivateKey.generate()
        waiting = path.with_name(f"{role.value}.{old}{_WAITING}")
        replace_file(waiting, private.private_bytes_raw(), mode=0o600)
        return _finish(settings, waiting, role, by=by, now=now, reason=reason)


def finish_rotations(settings: Settings, *, by: str, now: datetime) -> list[PublicKey]:
    """Finish the rotations that a crash has interrupted; return the keys that sign now."""
    if not settings.keys_dir.is_dir() or not list(settings.keys_dir.glob(f"*{_WAITING}")):
        return []
    finished = []
    with lock_keys(settings):
        for waiting in sorted(settings.keys_dir.glob(f"*{_WAITING}")):
            role = Role(waiting.name.partition(".")[0])
            finished.append(
                _finish(settings, waiting, role, by=by, now=now, reason="finished after an interruption")
            )
    return finished


def _finish(
    settings: Settings, waiting: Path, role: Role, *, by: str, now: datetime, reason: str
) -> PublicKey:
    """Bring a rotation to its end from wherever it is."""
    private = read_private_key(waiting)
    entry = file_key(private, role, settings)
    old = waiting.name.removeprefix(f"{role.value}.").removesuffix(_WAITING)
    if load_trust(settings).find(entry.key_id) is None:
        made = _change(entry.key_id, f"rotated in for {old}", by, now, reason)
        change_trust(settings, lambda trust: trust.changed(made, entry))
    replace_file(key_path(settings, role), private.private_bytes_raw(), mode=0o600)
    change_trust(settings, lambda trust: _retire(trust, [old], entry.key_id, by=by, now=now))
    waiting.unlink()
    return entry


def _adopt_kms_key(settings: Settings, role: Role, *, by: str, now: datetime, reason: str) -> PublicKey:
    entry = fetch_kms_key(settings, role)
    known = load_trust(settings).find(entry.key_id)
    if known is not None and known.state == "revoked":
        raise KeyRefused(f"key {known.key_id!r} is revoked; have the KMS make another version")
    if known is not None and known.state == "active":
        raise InvalidInput(
            f"key {known.key_id!r} is active already; make another version of the KMS key and name it in "
            f"RASEN_SIGNER_{role.name}"
        )

    def change(trust: TrustStore) -> TrustStore:
        before = [
            key.key_id
            for key in trust.keys
            if key.role is role
            and key.state == "active"
            and not key.holder
            and settings.environment in key.environments
        ]
        what = f"rotated in for {', '.join(before)}" if before else "made known"
        trust = trust.changed(_change(entry.key_id, what, by, now, reason), entry)
        return _retire(trust, before, entry.key_id, by=by, now=now)

    change_trust(settings, change)
    return entry


def fetch_kms_key(settings: Settings, role: Role) -> PublicKey:
    """Return the entry of the trust file for the KMS key that the role's setting names.

    Raises:
        KeyRefused: It is no key that can sign, or may not be read.
        SignerUnavailable: The KMS does not answer.
    """
    from rasen.tracking.kms_signer import KmsSigner

    signer = open_kms_signer(settings, role)
    assert isinstance(signer, KmsSigner)
    return PublicKey(
        key_id=signer.key_id,
        role=role,
        public_key=base64.b64encode(signer.public_key).decode(),
        environments=[settings.environment],
        kept_in="kms",
        address=signer_address(settings, role),
    )


def _retire(
    trust: TrustStore, key_ids: Sequence[str], successor: str, *, by: str, now: datetime
) -> TrustStore:
    """Return the same with keys that were active verifying only."""
    for key_id in key_ids:
        key = trust.find(key_id)
        if key is not None and key.state == "active" and key_id != successor:
            retired = key.model_copy(update={"state": "verify_only"})
            trust = trust.changed(
                _change(key_id, f"verify_only: {successor} signs now", by, now, ""), retired
            )
    return trust


def revoke_key(settings: Settings, key_id: str, *, by: str, now: datetime, reason: str) -> PublicKey:
    """Have nothing that a key signed believed any more; return it as it was.

    Raises:
        NotFound: It is not listed.
        InvalidInput: It is revoked already, or there is no reason.
    """
    return _set_state(settings, key_id, "revoked", by=by, now=now, reason=reason)


def reinstate_key(settings: Settings, key_id: str, *, by: str, now: datetime, reason: str) -> PublicKey:
    """Undo a revocation: what the key signed is believed again, but it signs nothing new; return it as it was.

    Raises:
        NotFound: It is not listed.
        InvalidInput: It is not revoked, or there is no reason.
    """
    return _set_state(settings, key_id, "verify_only", by=by, now=now, reason=reason)


def _set_state(
    settings: Settings, key_id: str, state: KeyState, *, by: str, now: datetime, reason: str
) -> PublicKey:
    if not reason.strip():
        raise InvalidInput("a reason is needed, and stands in the trust file for whoever wonders later")
    found: list[PublicKey] = []

    def change(trust: TrustStore) -> TrustStore:
        key = find_listed(trust, key_id)
        if key.state == "revoked" and state == "revoked":
            raise InvalidInput(f"key {key.key_id!r} is revoked already")
        if key.state != "revoked" and state != "revoked":
            raise InvalidInput(f"key {key.key_id!r} is {key.state}, not revoked: there is nothing to undo")
        found.append(key)
        return trust.changed(
            _change(key.key_id, state, by, now, reason), key.model_copy(update={"state": state})
        )

    change_trust(settings, change)
    return found[-1]


def find_listed(trust: TrustStore, key_id: str) -> PublicKey:
    """Return the one key whose id begins like this.

    Raises:
        NotFound: None does.
        InvalidInput: Several do.
    """
    found = [key for key in trust.keys if key_id and key.key_id.startswith(key_id)]
    if not found:
        known = ", ".join(key.key_id for key in trust.keys) or "none"
        raise NotFound(f"there is no key {key_id[:64]!r} in the trust file; there are: {known}")
    if len(found) > 1:
        raise InvalidInput(f"{key_id!r} could be any of {', '.join(key.key_id for key in found)}")
    return found[0]


def export_keys(settings: Settings, roles: Sequence[Role] = ()) -> PublicKeys:
    """Return the public keys that are not revoked here, for `add_keys` on another machine; nothing in it is secret."""
    keys = [key for key in load_trust(settings).keys if key.state != "revoked"]
    return PublicKeys(keys=[key for key in keys if not roles or key.role in roles])


def parse_keys(data: bytes, *, source: str) -> list[PublicKey]:
    """Return the keys of an exported file, or the single entry that somebody wrote by hand.

    Raises:
        UnreadableRecord: It is neither.
        InvalidInput: An id is not the one of its public key.
    """
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if isinstance(document, dict) and "public_key" in document:
        data = json.dumps({"format": 1, "keys": [document]}).encode()
    keys = PublicKeys.from_bytes(data, source=source).keys
    for key in keys:
        try:
            public = base64.b64decode(key.public_key, validate=True)
        except ValueError:
            public = b""
        if len(public) != 32 or key_id_of(public) != key.key_id:
            raise InvalidInput(
                f"{source}: key {key.key_id!r} does not belong to its public key; export it again"
            )
        if not key.environments:
            raise InvalidInput(
                f"{source}: key {key.key_id!r} is for no environment; name them: dev, staging, prod"
            )
    if not keys:
        raise InvalidInput(
            f"{source} names no key; `rasen trust export` on the other machine writes such a file"
        )
    return keys


def add_keys(
    settings: Settings, keys: Sequence[PublicKey], *, by: str, now: datetime, reason: str = ""
) -> list[PublicKey]:
    """Trust the public keys of another machine or of a person; return those that are new.

    Raises:
        KeyRefused: The environment is `prod` and one is a key file.
        InvalidInput: One is listed already and says something else.
    """
    added: list[PublicKey] = []

    def change(trust: TrustStore) -> TrustStore:
        added.clear()
        for key in keys:
            known = trust.find(key.key_id)
            if settings.environment == "prod" and key.kept_in == "file":
                raise KeyRefused(
                    f"key {key.key_id!r} is the key file of a machine, and such keys are never trusted in 'prod'; "
                    "have a KMS hold it"
                )
            if known is not None and known.model_copy(update={"state": key.state}) != key:
                raise InvalidInput(
                    f"key {key.key_id!r} is listed already, as {known.role.value} and with other words"
                )
            if known is not None and known.state == "revoked":
                raise InvalidInput(f"key {key.key_id!r} is revoked here; `rasen trust reinstate` undoes that")
            if known is None:
                added.append(key)
                what = f"added as {key.state} {key.role.value}" + (f" of {key.holder}" if key.holder else "")
                trust = trust.changed(_change(key.key_id, what, by, now, reason), key)
            elif known.state == "active" and key.state == "verify_only":  # it was rotated out over there
                trust = trust.changed(_change(key.key_id, "verify_only", by, now, reason), key)
        return trust

    change_trust(settings, change)
    return added


def _change(key_id: str, what: str, by: str, now: datetime, reason: str) -> TrustChange:
    return TrustChange(at=now, by=by, key_id=key_id, what=what, reason=reason)
