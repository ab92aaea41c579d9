"""Tombstones: records that a run is going to be removed, and what became of each.

Nothing is removed at once. The tombstone comes first, and from then on nothing may go back to the run: restore, resume
and rollback refuse. A day later its *fate* is written, create-only under a key that the tombstone's digest names, so
exactly one of two racing processes decides whether the run is removed or the tombstone was taken back. After that
either may be killed at any line: whoever comes next finishes what the fate says.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rasen.errors import InvalidInput, ObjectNotFound, PreconditionFailed
from rasen.store import Store
from rasen.tracking.keys import tombstone_fate_key, tombstone_key
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, read_signed, write_signed


class Tombstone(Record):
    """A run is going to be removed. `nonce` makes the digests of two tombstones of one run differ."""

    run: str
    pipeline: str
    reason: str
    by: str
    nonce: str


class Fate(Record):
    """What became of a tombstone."""

    run: str
    pipeline: str
    tombstone_sha256: str
    fate: Literal["removed", "undone"]
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Buried:
    """A verified tombstone; `at` is when it was written, by the store's clock."""

    tombstone: Tombstone
    sha256: str
    at: datetime
    fate: Fate | None


def write_tombstone(store: Store, signer: Signer, *, pipeline: str, run: str, reason: str, by: str) -> bool:
    """Write a run's tombstone and return whether it is this one; `False` says that it had one already."""
    record = Tombstone(run=run, pipeline=pipeline, reason=reason, by=by, nonce=secrets.token_hex(8))
    try:
        write_signed(store, tombstone_key(pipeline, run), record.to_bytes(), signer)
    except PreconditionFailed:
        return False
    return True


def read_tombstone(
    store: Store, trust: TrustStore, pipeline: str, run: str, *, environment: str
) -> Buried | None:
    """Return a run's tombstone after its signature was checked, `None` when it has none.

    Raises:
        SignatureInvalid, KeyRefused: It, or its fate, cannot be trusted: nothing may be removed because of it.
    """
    key = tombstone_key(pipeline, run)
    stat = store.stat(key)
    try:
        data = store.read(key)
    except ObjectNotFound:
        return None
    payload = open_signed(data, key, trust=trust, role=Role.CONTROL, environment=environment)
    sha256 = hashlib.sha256(payload).hexdigest()
    fate_key = tombstone_fate_key(pipeline, run, sha256)
    fate: Fate | None = None
    try:
        said = read_signed(store, fate_key, trust=trust, role=Role.CONTROL, environment=environment)
        fate = Fate.from_bytes(said, source=fate_key)
    except ObjectNotFound:
        pass
    if stat is None:  # it came between two looks
        stat = store.stat(key)
    if stat is None:
        return None
    return Buried(
        tombstone=Tombstone.from_bytes(payload, source=key), sha256=sha256, at=stat.updated_at, fate=fate
    )


def decide_fate(
    store: Store,
    signer: Signer,
    buried: Buried,
    fate: Literal["removed", "undone"],
    *,
    reason: str,
    by: str,
) -> Literal["removed", "undone"]:
    """Say what becomes of a tombstone, and return what became of it: of two who say something, the first one counts."""
    tombstone = buried.tombstone
    record = Fate(
        run=tombstone.run,
        pipeline=tombstone.pipeline,
        tombstone_sha256=buried.sha256,
        fate=fate,
        reason=reason,
        by=by,
    )
    key = tombstone_fate_key(tombstone.pipeline, tombstone.run, buried.sha256)
    try:
        write_signed(store, key, record.to_bytes(), signer)
    except PreconditionFailed:
        return Fate.from_bytes(store.read(key).partition(b"\n")[2], source=key).fate
    return fate


def take_back(store: Store, signer: Signer, buried: Buried, *, reason: str, by: str) -> bool:
    """Take a tombstone back and return whether that came in time. Calling it again finishes what was begun."""
    if decide_fate(store, signer, buried, "undone", reason=reason, by=by) == "removed":
        return False
    store.delete(tombstone_key(buried.tombstone.pipeline, buried.tombstone.run))
    return True


def list_tombstones(store: Store, pipeline: str) -> Iterator[str]:
    """Yield the runs of a pipeline that have a tombstone."""
    for name in store.children(f"tombstones/{pipeline}/"):
        if name.endswith(".json"):
            yield name.removesuffix(".json")


def describe_burial(store: Store, pipeline: str, run: str) -> str:
    """Return why nothing may go back to a run, `""` when something may.

    Signatures are not asked for: what cannot be trusted is no reason to go back to a run that may be half gone.
    """
    key = tombstone_key(pipeline, run)
    stat = store.stat(key)
    if stat is None:
        return ""
    try:
        payload = store.read(key).partition(b"\n")[2]
    except ObjectNotFound:  # taken back between the two looks
        return ""
    fate_key = tombstone_fate_key(pipeline, run, hashlib.sha256(payload).hexdigest())
    said = store.stat(fate_key)
    if said is None:
        return (
            f"run {run!r} of {pipeline!r} is to be removed since {stat.updated_at:%Y-%m-%d %H:%M} UTC; "
            f"`rasen gc --undo {run}` takes that back"
        )
    fate = Fate.from_bytes(store.read(fate_key).partition(b"\n")[2], source=fate_key)
    if fate.fate == "undone":
        return ""
    return (
        f"run {run!r} of {pipeline!r} was removed on {said.updated_at:%Y-%m-%d %H:%M} UTC by `rasen gc`; its start, "
        "end and manifest are kept, its files are gone"
    )


def refuse_removed(store: Store, pipeline: str, run: str) -> None:
    """Refuse a run that was removed or is going to be.

    Raises:
        InvalidInput: It has a tombstone; the message says what can still be done.
    """
    problem = describe_burial(store, pipeline, run)
    if problem:
        raise InvalidInput(problem)
