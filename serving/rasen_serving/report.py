"""What this server says of itself in the store: `replicas/<replica>.json`, every ten seconds.

`decide` adds the reports up; serving never writes the ledger.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rasen.tracking.records import EndpointReport, ReplicaReport, VariantReport
from rasen_serving.counts import Counts
from rasen_serving.exposition import cumulated
from rasen_serving.fleet import Fleet
from rasen_serving.messages import Series
from rasen_serving.switching import Endpoint, Switching


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
            name: _endpoint_report(name, endpoint, counts.series())
            for name, endpoint in sorted(switching.endpoints.items())
        },
    )


def _endpoint_report(name: str, endpoint: Endpoint, series: list[Series]) -> EndpointReport:
    revision = endpoint.revision
    runs = sorted({one.model for one in series if one.endpoint == name and one.model})
    return EndpointReport(
        revision=None if revision is None else revision.number,
        run=None if revision is None else revision.champion.run,
        refused={str(number): reason for number, reason in endpoint.refused.items()},
        left_out={} if endpoint.live is None else endpoint.live.left_out,
        variants={run: _variant_report(name, run, series) for run in runs},
    )


def _variant_report(name: str, run: str, series: list[Series]) -> VariantReport:
    """Return what was counted for one version: errors are the model's, a caller's bad rows are not."""
    counts = Counts()
    errors = 0
    for one in series:
        if (one.endpoint, one.model) == (name, run) and (one.status == 200 or one.status >= 500):
            errors += one.requests if one.status >= 500 else 0
            counts.merge([_of_run(one)])
    whole = counts.series()
    if not whole:
        return VariantReport()
    return VariantReport(
        requests=whole[0].requests,
        errors=errors,
        latency_buckets={bound: int(count) for bound, count in cumulated(whole[0])},
    )


def _of_run(series: Series) -> Series:
    return Series(
        endpoint=series.endpoint,
        model=series.model,
        role="",
        status=0,
        source="",
        reason="",
        requests=series.requests,
        rows=series.rows,
        seconds=series.seconds,
        buckets=series.buckets,
    )
