"""What the replicas report, and its sum for one step of one rollout.

Ages are differences of store times, so no two machines' clocks are compared. A report is not signed: whoever may write
under `replicas/` may make a candidate that passed its gates look good or bad, and nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rasen.deploy.rollout import Seen
from rasen.errors import ObjectNotFound
from rasen.store import Store
from rasen.tracking.ledger_records import RolloutState
from rasen.tracking.records import UnreadableRecord
from rasen.tracking.replica_report import ReplicaReport

_REFUSED_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A replica's newest report, and when the store got it."""

    generation: int
    updated_at: datetime
    report: ReplicaReport


class Replicas:
    """Reads the reports; what has not changed since the last time is not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Reported | None] = {}
        self._generations: dict[str, int] = {}

    def read(self) -> list[Reported]:
        """Return the newest report of every replica that ever wrote one; one that cannot be read is logged, once."""
        known: dict[str, Reported | None] = {}
        generations: dict[str, int] = {}
        for stat in self._store.list("replicas/"):
            generations[stat.key] = stat.generation
            if self._generations.get(stat.key) == stat.generation:
                known[stat.key] = self._known[stat.key]
                continue
            known[stat.key] = None
            try:
                report = ReplicaReport.from_bytes(self._store.read(stat.key), source=stat.key)
            except (UnreadableRecord, ObjectNotFound) as error:
                _log.error("a replica's report is ignored: %s", error)
                continue
            known[stat.key] = Reported(generation=stat.generation, updated_at=stat.updated_at, report=report)
        self._known, self._generations = known, generations
        return [reported for reported in known.values() if reported is not None]


def observe(reports: Iterable[Reported], endpoint: str, rollout: RolloutState, *, step_at: datetime) -> Seen:
    """Return what the replicas say of a rollout's candidate since its present step began.

    Args:
        reports: The newest report of each replica.
        endpoint: Whose rollout.
        rollout: Where it is.
        step_at: When the store got the ledger record that began the step.
    """
    requests = errors = replicas = 0
    watched_seconds = 0.0
    buckets: Counter[float] = Counter()
    refusals: dict[str, str] = {}
    for reported in reports:
        found = reported.report.endpoints.get(endpoint)
        if found is None:
            continue
        name = reported.report.replica
        for number, reason in found.refused.items():
            if _at_least(number, rollout.salt):
                refusals[name] = reason
        current = found.revision is not None and found.revision >= rollout.step_number
        if current and rollout.run in found.left_out:
            refusals[name] = found.left_out[rollout.run]
        if current:
            replicas += 1
            watched_seconds = max(watched_seconds, (reported.updated_at - step_at).total_seconds())
        for variant in found.variants:
            if variant.run != rollout.run or variant.revision < rollout.step_number:
                continue
            requests += variant.requests
            errors += variant.errors
            for bound, count in variant.latency_buckets.items():
                buckets[float(bound)] += count
    return Seen(
        requests=requests,
        errors=errors,
        buckets=dict(buckets),
        watched_seconds=watched_seconds,
        replicas=replicas,
        refusals=refusals,
    )


def cannot_be_served(reports: Iterable[Reported], endpoint: str, *, since: int, since_at: datetime) -> str:
    """Return why no replica serves what an endpoint's ledger wants, `""` as long as one does or may yet.

    A refusal may have a passing reason, such as a busy machine; replicas try again. So it counts when every replica
    that knows of the endpoint has gone on refusing for a while.

    Args:
        reports: The newest report of each replica.
        endpoint: Whose.
        since: The ledger record that began the present variants.
        since_at: When the store got it.
    """
    reasons: dict[str, str] = {}
    for reported in reports:
        found = reported.report.endpoints.get(endpoint)
        if found is None or reported.updated_at <= since_at:
            continue  # of a replica that is gone, or has not looked since
        refused = [reason for number, reason in found.refused.items() if _at_least(number, since)]
        serves = found.revision is not None and found.revision >= since
        if serves or not refused or (reported.updated_at - since_at).total_seconds() < _REFUSED_SECONDS:
            return ""
        reasons[reported.report.replica] = refused[-1]
    if not reasons:
        return ""
    replica, reason = min(reasons.items())
    count = "the only replica" if len(reasons) == 1 else f"all {len(reasons)} replicas"
    return f"{count} cannot serve it: {replica!r} says: {reason}"


def _at_least(number: str, least: int) -> bool:
    return number.isdecimal() and int(number) >= least
