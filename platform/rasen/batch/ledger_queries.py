"""Questions about ledgers: the list of decisions, one of them in full, and what is or was live.

The index finds the records; what is shown in full is read from the store again, its signature checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from rasen.batch.queries import open_index
from rasen.deploy.ledger import latest, list_endpoints, read_record
from rasen.errors import InvalidInput, NotFound, ObjectNotFound, RasenError
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.suggestion import suggest
from rasen.tracking.ids import check_name
from rasen.tracking.index import Index
from rasen.tracking.index_rows import DeploymentRow, Problem
from rasen.tracking.keys import deployment_key
from rasen.tracking.ledger_records import Action, Freeze, Held, LedgerRecord, Variant
from rasen.tracking.manifest import read_manifest
from rasen.tracking.signature import TrustStore, load_trust


@dataclass(frozen=True, kw_only=True)
class DecisionDetails:
    """One ledger record in full.

    `before` are the variants of the record before it, `None` when that cannot be read; `sha256` is that of the payload
    that `key_id` signed.
    """

    record: LedgerRecord
    before: tuple[Variant, ...] | None
    key: str
    key_id: str
    role: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LiveVersion:
    """One version behind an endpoint; `problem` says why its origin could not be read."""

    run: str
    pipeline: str
    role: str
    weight: float
    release: str | None
    commit: str | None
    trained_until: str | None
    published_at: datetime | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class LiveEndpoint:
    """What an endpoint's ledger says for an instant.

    Args:
        endpoint: Its name.
        at: The instant that was asked for; `None` is now.
        number: The record in force, 0 before the first one.
        versions: What answers, the champion first; empty when nothing does.
        since: The record from which on these versions answer.
        since_at: When that was decided.
        action: What it decided.
        actor: Who decided.
        reason: Why.
        held: The version that waits.
        frozen: Who wants nothing to change.
        first_at: When the first record was decided.
    """

    endpoint: str
    at: datetime | None
    number: int
    versions: tuple[LiveVersion, ...] = ()
    since: int = 0
    since_at: datetime | None = None
    action: str = ""
    actor: str = ""
    reason: str = ""
    held: Held | None = None
    frozen: Freeze | None = None
    first_at: datetime | None = None


def newest_record(settings: Settings, endpoint: str) -> LedgerRecord:
    """Return the newest record of an endpoint's ledger, its signature checked.

    Raises:
        NotFound: Nothing was decided about it yet.
        TrustError: It cannot be trusted.
    """
    check_name("endpoint", endpoint)
    store = open_store(settings)
    record = latest(store, load_trust(settings), endpoint, environment=settings.environment)
    if record is None:
        raise _unknown(endpoint, list_endpoints(store))
    return record


def list_decisions(
    settings: Settings,
    endpoint: str | None,
    *,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> tuple[list[DeploymentRow], list[Problem]]:
    """Return what was decided, newest first, and what of the ledgers cannot be read.

    Raises:
        NotFound: Nothing was ever decided about `endpoint`, but about others.
        InvalidInput: There is no such action.
    """
    if action is not None and action not in get_args(Action):
        raise InvalidInput(f"--action {action!r} is none; choose from {', '.join(get_args(Action))}")
    index = open_index(settings)
    rows = index.deployments(endpoint, action=action, since=since, until=until, limit=limit)
    known = index.endpoints()
    if endpoint is not None and not rows and known and endpoint not in known:
        raise _unknown(endpoint, known)
    problems = index.problems(f"endpoints/{endpoint}/deployments/" if endpoint else "endpoints/")
    return rows, problems


def describe_decision(settings: Settings, endpoint: str, number: int) -> DecisionDetails:
    """Return one record of a ledger in full.

    Raises:
        NotFound: There is none of that number.
        TrustError: It cannot be trusted.
    """
    newest = newest_record(settings, endpoint)
    store, trust = open_store(settings), load_trust(settings)
    if not 0 < number <= newest.number:
        raise NotFound(f"endpoint {endpoint!r} has no record {number}; its records are 1 to {newest.number}")
    record = _read(settings, store, trust, endpoint, number)
    before: tuple[Variant, ...] | None = ()
    if number > 1:
        try:
            before = tuple(_read(settings, store, trust, endpoint, number - 1).state.variants)
        except RasenError:
            before = None
    key = deployment_key(endpoint, number)
    header, _, payload = store.read(key).partition(b"\n")
    signed = json.loads(header)  # it was read as a header when the signature was checked
    return DecisionDetails(
        record=record,
        before=before,
        key=key,
        key_id=signed["key_id"],
        role=signed["role"],
        sha256=hashlib.sha256(payload).hexdigest(),
    )


def describe_live(
    settings: Settings, endpoint: str | None = None, *, at: datetime | None = None
) -> list[LiveEndpoint]:
    """Return what is live, or was at an instant, by endpoint.

    Time is the ledger's own: a record is in force from when it was decided, and never before the one with the number
    below, so that machines whose clocks differ cannot swap two decisions.

    Raises:
        NotFound: Nothing was ever decided about `endpoint`.
        TrustError: The record in force cannot be trusted.
    """
    index = open_index(settings)
    store, trust = open_store(settings), load_trust(settings)
    if endpoint is not None and endpoint not in index.endpoints():
        check_name("endpoint", endpoint)
        raise _unknown(endpoint, index.endpoints())
    names = [endpoint] if endpoint is not None else index.endpoints()
    return [_describe_live(settings, index, store, trust, name, at) for name in names]


def _describe_live(
    settings: Settings, index: Index, store: Store, trust: TrustStore, endpoint: str, at: datetime | None
) -> LiveEndpoint:
    row = _row_at(index, endpoint, at)
    if row is None:
        first = index.first_deployment(endpoint)
        return LiveEndpoint(endpoint=endpoint, at=at, number=0, first_at=first.decided_at if first else None)
    # Of now the newest record counts: one that cannot be trusted is an error, and never the one before it instead.
    number = row.number if at is not None else newest_record(settings, endpoint).number
    record = _read(settings, store, trust, endpoint, number)
    since = record.state.since or index.live_since(row)
    began = index.deployment(endpoint, since)
    return LiveEndpoint(
        endpoint=endpoint,
        at=at,
        number=record.number,
        versions=tuple(
            _describe_version(settings, store, trust, variant) for variant in record.state.variants
        ),
        since=since,
        since_at=began.decided_at if began else None,
        action=began.action if began else "",
        actor=began.actor if began else "",
        reason=began.reason if began else "that record cannot be read",
        held=record.state.held,
        frozen=record.state.frozen,
    )


def _row_at(index: Index, endpoint: str, at: datetime | None) -> DeploymentRow | None:
    if at is not None:
        return index.deployment_at(endpoint, at)
    return next(iter(index.deployments(endpoint, limit=1)), None)


def _describe_version(settings: Settings, store: Store, trust: TrustStore, variant: Variant) -> LiveVersion:
    try:
        verified = read_manifest(
            store, trust, variant.pipeline, variant.run, environment=settings.environment
        )
        if verified.sha256 != variant.manifest_sha256:
            raise NotFound("the manifest there is not the one that the ledger names")
    except RasenError as error:
        return LiveVersion(
            run=variant.run,
            pipeline=variant.pipeline,
            role=variant.role,
            weight=variant.weight,
            release=None,
            commit=None,
            trained_until=None,
            published_at=None,
            problem=str(error),
        )
    manifest = verified.manifest
    return LiveVersion(
        run=variant.run,
        pipeline=variant.pipeline,
        role=variant.role,
        weight=variant.weight,
        release=manifest.release,
        commit=manifest.commit or None,
        trained_until=manifest.model.trained_until if manifest.model else None,
        published_at=manifest.published_at,
    )


def _read(settings: Settings, store: Store, trust: TrustStore, endpoint: str, number: int) -> LedgerRecord:
    try:
        return read_record(store, trust, endpoint, number, environment=settings.environment)
    except ObjectNotFound:
        raise NotFound(f"record {number} of endpoint {endpoint!r} is gone from the store") from None


def _unknown(endpoint: str, known: list[str]) -> NotFound:
    return NotFound(f"nothing was decided about endpoint {endpoint!r}: {suggest(endpoint, known)}")
