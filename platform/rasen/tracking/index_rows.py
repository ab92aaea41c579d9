"""What the index answers: runs, decisions and releases as lists show them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from rasen.tracking.ids import instant_of
from rasen.tracking.records import Verdict


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run as lists show it; `verdict` is `None` while it has no end.

    `started_at` is the instant in the run's id, which a schedule may have set. `begun_at` is when its start was
    written, and `seconds` how long after that its end was, both by the store's clock.
    """

    run: str
    pipeline: str
    release: str
    origin: str
    trigger: str
    deploy: bool
    started_at: datetime
    begun_at: datetime
    seconds: float | None
    resumes: str | None
    qualifies: str | None
    verdict: Verdict | None
    ended_at: datetime | None
    step: str | None
    error: str | None
    metrics: dict[str, float]
    has_model: bool


@dataclass(frozen=True, kw_only=True)
class VariantRow:
    """One version behind an endpoint, by a decision."""

    run: str
    pipeline: str
    role: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class DeploymentRow:
    """One record of a ledger as lists show it.

    `pipeline` is the one whose run was decided about. `since` is the record from which on these variants answer, and
    `previous` the one whose variants answered before. `held` is the run that waits, `frozen` who froze the endpoint.
    """

    endpoint: str
    number: int
    action: str
    run: str | None
    pipeline: str | None
    actor: str
    reason: str
    decided_at: datetime
    champion: str | None
    variants: tuple[VariantRow, ...]
    since: int
    previous: int
    event: str
    held: str | None
    frozen: str | None


@dataclass(frozen=True, kw_only=True)
class ReleaseRow:
    """One release as lists show it; `registered_at` is by the store's clock, `endpoint` what it deploys to."""

    pipeline: str
    release: str
    origin: str
    commit: str | None
    sequence: int
    author: str | None
    message: str | None
    committed_at: datetime | None
    registered_at: datetime
    endpoint: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An object of the store that is not what its name says; lists go on without it."""

    key: str
    problem: str


def run_row(row: sqlite3.Row) -> RunRow:
    """Return a row of table `runs`."""
    return RunRow(
        run=row["run"],
        pipeline=row["pipeline"],
        release=row["release_id"],
        origin=row["origin"],
        trigger=row["trigger_key"],
        deploy=bool(row["deploy"]),
        started_at=instant_of(row["run"]),
        begun_at=datetime.fromisoformat(row["begun_at"]),
        seconds=row["seconds"],
        resumes=row["resumes"],
        qualifies=row["qualifies"],
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        ended_at=datetime.fromisoformat(row["ended_at"]) if row["ended_at"] else None,
        step=row["step"],
        error=row["error"],
        metrics=json.loads(row["metrics"]),
        has_model=bool(row["has_model"]),
    )


def deployment_row(row: sqlite3.Row) -> DeploymentRow:
    """Return a row of table `deployments`."""
    return DeploymentRow(
        endpoint=row["endpoint"],
        number=row["number"],
        action=row["action"],
        run=row["run"],
        pipeline=row["pipeline"],
        actor=row["actor"],
        reason=row["reason"],
        decided_at=datetime.fromisoformat(row["decided_at"]),
        champion=row["champion"],
        variants=_variants(row["variants"]),
        since=row["since"],
        previous=row["previous"],
        event=row["event"],
        held=row["held"],
        frozen=row["frozen"],
    )


@lru_cache(maxsize=1000)  # most records of a ledger repeat the variants of the one before
def _variants(text: str) -> tuple[VariantRow, ...]:
    return tuple(VariantRow(**one) for one in json.loads(text))


def release_row(row: sqlite3.Row) -> ReleaseRow:
    """Return a row of table `releases`."""
    return ReleaseRow(
        pipeline=row["pipeline"],
        release=row["release_id"],
        origin=row["origin"],
        commit=row["commit_sha"],
        sequence=row["sequence"],
        author=row["author"],
        message=row["message"],
        committed_at=datetime.fromisoformat(row["committed_at"]) if row["committed_at"] else None,
        registered_at=datetime.fromisoformat(row["registered_at"]),
        endpoint=row["endpoint"],
    )
