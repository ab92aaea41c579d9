"""The ledger: the numbered, signed, create-only records that say what an endpoint's state is and why.

A record is the commit. Numbers have no gap because number + 1 is created only by somebody who has read number, and
create-only picks one winner. `heads.json` merely says where to begin looking: it may be stale, wrong or gone, and is
then made again from the records, so nothing is ever decided from it alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from rasen.errors import ObjectNotFound, PreconditionFailed, SignatureInvalid
from rasen.store import Store
from rasen.tracking.ids import NAME_PATTERN
from rasen.tracking.keys import HEADS_KEY, deployment_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, write_signed

_NAME = re.compile(NAME_PATTERN, re.ASCII)
_RECORD_NAME = re.compile(r"(\d{8,})\.json", re.ASCII)


def list_endpoints(store: Store) -> list[str]:
    """Return the names of all endpoints that have a ledger, sorted."""
    return [name for name in store.children("endpoints/") if _NAME.fullmatch(name)]


def read_heads(store: Store) -> dict[str, int]:
    """Return what `heads.json` says: the number of each endpoint's newest record. A hint; empty when unreadable."""
    try:
        return _parse_heads(store.read(HEADS_KEY))
    except ObjectNotFound:
        return {}


def find_head(store: Store, endpoint: str, *, hint: int = 0) -> int:
    """Return the number of the endpoint's newest record, 0 when it has none.

    Args:
        store: Where the ledger lies.
        endpoint: Whose ledger.
        hint: Where to begin, from `read_heads` or an earlier answer. It costs time when it is wrong, nothing else.
    """
    number = hint if hint > 0 and _exists(store, endpoint, hint) else 0
    if number == 0:
        number = max(_numbers(store, endpoint), default=0)
    while _exists(store, endpoint, number + 1):
        number += 1
    return number


def read_record(
    store: Store, trust: TrustStore, endpoint: str, number: int, *, environment: str
) -> LedgerRecord:
    """Return one record after its signature has been checked.

    Raises:
        ObjectNotFound: There is no such record.
        SignatureInvalid, KeyRefused: It cannot be trusted.
        UnreadableRecord: It is signed, but of a format that this version does not read.
    """
    key = deployment_key(endpoint, number)
    payload = open_signed(store.read(key), key, trust=trust, role=Role.DECIDER, environment=environment)
    record = LedgerRecord.from_bytes(payload, source=key)
    if (record.endpoint, record.number) != (endpoint, number):
        raise SignatureInvalid(
            f"ledger record {key!r} speaks of number {record.number} of {record.endpoint!r}"
        )
    return record


def latest(
    store: Store, trust: TrustStore, endpoint: str, *, environment: str, hint: int = 0
) -> LedgerRecord | None:
    """Return the endpoint's newest record, `None` when nothing was decided yet.

    A newest record that does not verify is an error and never skipped: the one before it may name a version that
    somebody has rolled back.

    Raises:
        SignatureInvalid, KeyRefused, UnreadableRecord: The newest record cannot be trusted or read.
    """
    number = find_head(store, endpoint, hint=hint)
    if number == 0:
        return None
    return read_record(store, trust, endpoint, number, environment=environment)


def list_records(
    store: Store, trust: TrustStore, endpoint: str, *, environment: str, after: int = 0
) -> Iterator[LedgerRecord]:
    """Yield the endpoint's records with numbers above `after`, oldest first.

    Raises:
        SignatureInvalid, KeyRefused, UnreadableRecord: A record cannot be trusted or read.
    """
    for number in sorted(number for number in _numbers(store, endpoint) if number > after):
        yield read_record(store, trust, endpoint, number, environment=environment)


def append(store: Store, signer: Signer, record: LedgerRecord) -> bool:
    """Create the record and return whether it is there; `False` says that somebody else took its number."""
    key = deployment_key(record.endpoint, record.number)
    try:
        write_signed(store, key, record.to_bytes(), signer)
    except PreconditionFailed:
        return False
    return True


def write_heads(store: Store, heads: Mapping[str, int]) -> None:
    """Merge `heads` into `heads.json`, other endpoints and higher numbers of other writers included.

    Losing every one of a few races is no failure: whoever decides next writes the hint again.
    """
    for _ in range(20):
        try:
            data, generation = store.read_versioned(HEADS_KEY)
        except ObjectNotFound:
            data, generation = b"{}", 0
        present = _parse_heads(data)
        merged = present | {
            endpoint: number
            for endpoint, number in heads.items()
            if number > present.get(endpoint, 0) or not _exists(store, endpoint, present.get(endpoint, 0))
        }
        merged = {endpoint: number for endpoint, number in merged.items() if number}
        if merged == present and generation != 0:
            return
        try:
            store.write(
                HEADS_KEY, json.dumps(merged, sort_keys=True).encode() + b"\n", if_generation=generation
            )
        except PreconditionFailed:
            continue
        return


def rebuild_heads(store: Store) -> dict[str, int]:
    """Make `heads.json` again from the records, and return it."""
    heads = {endpoint: find_head(store, endpoint) for endpoint in list_endpoints(store)}
    heads = {endpoint: number for endpoint, number in heads.items() if number}
    write_heads(store, heads)
    return heads


def _numbers(store: Store, endpoint: str) -> list[int]:
    names = store.children(f"endpoints/{endpoint}/deployments/")
    return [int(match[1]) for name in names if (match := _RECORD_NAME.fullmatch(name))]


def _exists(store: Store, endpoint: str, number: int) -> bool:
    return store.stat(deployment_key(endpoint, number)) is not None


def _parse_heads(data: bytes) -> dict[str, int]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: number
        for name, number in found.items()
        if isinstance(name, str)
        and _NAME.fullmatch(name)
        and type(number) is int
        and 0 < number < 100_000_000
    }
