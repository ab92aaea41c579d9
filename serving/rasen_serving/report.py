"""What this server says of itself in the store: `replicas/<replica>.json`, every ten seconds.

`decide` adds the reports up; serving never writes the ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from rasen.tracking.replica_report import EndpointReport, ReplicaReport, VariantReport
from rasen_serving.counts import FOLDED, Counts, relabelled
from rasen_serving.exposition import cumulated
from rasen_serving.fleet import Fleet
from rasen_serving.messages import Series
from rasen_serving.switching import Endpoint, Switching

Role = Literal["champion", "challenger", "shadow"]


def build_report(*, replica: str, started_at: datetime, fleet: Fleet, switching: Switching) -> ReplicaReport:
    """Return the report of this moment."""
    counts = Counts()
    for series in fleet.totals():
        counts.merge(series)
    return ReplicaReport(
        replica=replica,
        started_at=started_at,
        reported_at=datetime.now(tz=UTC),
        stale=bool(switching.stale),
        endpoints={
            name: _endpoint_report(endpoint, [one for one in counts.series() if one.endpoint == name])
            for name, endpoint in sorted(switching.endpoints.items())
        },
    )


def _endpoint_report(endpoint: Endpoint, series: list[Series]) -> EndpointReport:
    revision = endpoint.revision
    return EndpointReport(
        revision=None if revision is None else revision.number,
        run=None if revision is None else revision.champion.run,
        refused={str(number): reason for number, reason in endpoint.refused.items()},
        left_out={} if endpoint.live is None else endpoint.live.left_out,
        variants=variant_reports(series),
    )


def variant_reports(series: list[Series]) -> list[VariantReport]:
    """Return what was counted for each version under each ledger record, from one endpoint's counts.

    Errors are the model's, also when the profile answered instead; a caller's bad rows are not counted at all.
    """
    whole = Counts()
    errors: dict[tuple[str, int, str], int] = {}
    for one in series:
        if (
            one.role not in get_args(Role)
            or one.revision == FOLDED
            or not (one.status == 200 or one.status >= 500)
        ):
            continue
        whole.merge([relabelled(one, status=0, source="", reason="")])
        if one.status >= 500 or one.source == "profile":
            place = (one.model, one.revision, one.role)
            errors[place] = errors.get(place, 0) + one.requests
    return [
        VariantReport(
            run=one.model,
            revision=one.revision,
            role=role,
            requests=one.requests,
            errors=errors.get((one.model, one.revision, one.role), 0),
            latency_buckets={bound: int(count) for bound, count in cumulated(one)},
        )
        for one in sorted(whole.series(), key=lambda one: (one.revision, one.role, one.model))
        for role in get_args(Role)
        if role == one.role
    ]
