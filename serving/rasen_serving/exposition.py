"""`/metrics`: what all workers together did, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from rasen_serving.assignment import SHADOW
from rasen_serving.comparison import merged
from rasen_serving.counts import BUCKETS_SECONDS, FOLDED, Counts, relabelled
from rasen_serving.fleet import Fleet
from rasen_serving.messages import Series
from rasen_serving.switching import Switching

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from rasen_serving.spool import Spool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(
    *,
    fleet: Fleet,
    switching: Switching,
    spool: Spool,
    restarts: int,
    distrusted: Mapping[str, str],
) -> bytes:
    """Return all metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Snapshot(Collector):
        """The numbers of this moment."""

        def collect(self) -> Iterator[Metric]:
            """Yield each metric."""
            counts = Counts()
            for series in fleet.totals():
                counts.merge(relabelled(one, revision=FOLDED) for one in series)
            yield from _requests(counts.series())
            yield from _revisions(switching, distrusted)
            yield from _shadows(fleet)
            yield from _state(fleet, switching, spool, restarts)

    registry = CollectorRegistry()
    registry.register(Snapshot())
    return generate_latest(registry)


def _requests(series: list[Series]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    labels = ["endpoint", "model", "variant", "status", "source", "fallback"]
    requests = CounterMetricFamily("rasen_serving_requests", "Answered prediction requests.", labels=labels)
    rows = CounterMetricFamily("rasen_serving_rows", "Rows in answered prediction requests.", labels=labels)
    by_endpoint = Counts()
    for one in series:
        values = [one.endpoint, one.model, one.role, str(one.status), one.source, one.reason]
        requests.add_metric(values, one.requests)
        rows.add_metric(values, one.rows)
        if one.role == SHADOW:
            continue  # nobody has waited for it
        by_endpoint.merge([relabelled(one, model="", role="", status=0, source="", reason="")])
    latency = HistogramMetricFamily(
        "rasen_serving_latency_seconds",
        "From the last byte of a request to its answer.",
        labels=["endpoint"],
    )
    for one in by_endpoint.series():
        latency.add_metric([one.endpoint], cumulated(one), one.seconds)
    yield requests
    yield rows
    yield latency


def cumulated(series: Series) -> list[tuple[str, float]]:
    """Return a histogram's buckets as Prometheus has them: upper bound, and how many were at most that slow."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip(BUCKETS_SECONDS, series.buckets, strict=True):
        total += count
        buckets.append((str(bound), total))
    return [*buckets, ("+Inf", series.requests)]


def _revisions(switching: Switching, distrusted: Mapping[str, str]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily(
        "rasen_serving_model_info",
        "1 for each live model version.",
        labels=["endpoint", "model", "pipeline", "variant"],
    )
    live = GaugeMetricFamily(
        "rasen_serving_revision", "Number of the ledger record that is live.", labels=["endpoint"]
    )
    newest = GaugeMetricFamily(
        "rasen_serving_ledger_number", "Number of the newest ledger record.", labels=["endpoint"]
    )
    refused = GaugeMetricFamily(
        "rasen_serving_refused", "1 while the newest ledger record is refused here.", labels=["endpoint"]
    )
    for name, endpoint in sorted(switching.endpoints.items()):
        revision = endpoint.revision
        if revision is not None:
            for variant in revision.variants:
                info.add_metric([name, variant.version.run, variant.version.pipeline, variant.role], 1)
            live.add_metric([name], revision.number)
        newest.add_metric([name], endpoint.newest)
        refused.add_metric([name], int(endpoint.newest in endpoint.refused))
    doubted = GaugeMetricFamily(
        "rasen_serving_distrusted",
        "1 while what is live rests on a signature that is not believed any more, such as one by a revoked key.",
        labels=["endpoint"],
    )
    for name in sorted(switching.endpoints):
        doubted.add_metric([name], int(name in distrusted))
    quarantined = GaugeMetricFamily(
        "rasen_serving_quarantined",
        "1 for each model that is not executed any more, because it has ended its process again.",
        labels=["manifest"],
    )
    for manifest in switching.quarantine.runs:
        quarantined.add_metric([manifest[:12]], 1)
    yield from (info, live, newest, refused, doubted, quarantined)


def _shadows(fleet: Fleet) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    labels = ["endpoint", "model"]
    answers = CounterMetricFamily(
        "rasen_serving_shadow_answers",
        "Values of shadows, by whether they are equal to what was returned.",
        labels=[*labels, "equal"],
    )
    difference = CounterMetricFamily(
        "rasen_serving_shadow_difference", "Sum of the absolute differences of numbers.", labels=labels
    )
    dropped = CounterMetricFamily(
        "rasen_serving_shadow_dropped", "Copies of requests for which there was no time.", labels=labels
    )
    for one in merged([[msgspec.structs.replace(each, revision=FOLDED) for each in fleet.compared()]]):
        values = [one.endpoint, one.model]
        answers.add_metric([*values, "true"], one.equal)
        answers.add_metric([*values, "false"], one.answers - one.equal)
        difference.add_metric(values, one.difference)
        dropped.add_metric(values, one.dropped)
    yield from (answers, difference, dropped)


def _state(fleet: Fleet, switching: Switching, spool: Spool, restarts: int) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    log = CounterMetricFamily(
        "rasen_serving_log_rows", "Rows of the prediction log, by what became of them.", labels=["outcome"]
    )
    rows = fleet.log_rows()
    for outcome, count in (
        ("answered", rows.answered),
        ("written", rows.written),
        ("dropped", rows.dropped),
        ("sampled_out", rows.sampled_out),
        ("lost", fleet.lost_rows),
        ("adopted", spool.adopted_rows),
        ("shipped", spool.shipped_rows),
        ("rejected", spool.rejected_rows),
        ("damaged", spool.damaged_rows),
    ):
        log.add_metric([outcome], count)
    yield log
    yield CounterMetricFamily(
        "rasen_serving_log_damaged_frames",
        "Pieces of the spool that were not whole.",
        value=spool.damaged_frames,
    )
    yield GaugeMetricFamily(
        "rasen_serving_log_spooled_rows",
        "Rows of the prediction log on their way to the sink.",
        value=rows.written
        + spool.adopted_rows
        - spool.shipped_rows
        - spool.rejected_rows
        - spool.damaged_rows,
    )
    yield GaugeMetricFamily(
        "rasen_serving_log_rejected_segments",
        "Files of the spool that no sink takes; `.reason` beside each says why.",
        value=len(spool.rejected),
    )
    yield GaugeMetricFamily(
        "rasen_serving_log_spool_bytes", "Prediction log on its way to the store.", value=spool.size_bytes
    )
    yield GaugeMetricFamily(
        "rasen_serving_workers", "Workers that accept connections.", value=len(fleet.serving)
    )
    yield CounterMetricFamily(
        "rasen_serving_worker_restarts", "Workers that ended and were replaced.", value=restarts
    )
    yield GaugeMetricFamily(
        "rasen_serving_models_in_memory",
        "Models in all workers.",
        value=sum(worker.models for worker in fleet.workers),
    )
    yield GaugeMetricFamily(
        "rasen_serving_models_expected",
        "Models in all workers that are in use or kept for a rollback; fewer than in memory is a leak.",
        value=sum(worker.expected for worker in fleet.workers),
    )
    yield GaugeMetricFamily(
        "rasen_serving_waiting_rows",
        "Rows that wait for a model, of all workers; above RASEN_MAX_WAITING_ROWS a model in a worker refuses more.",
        value=sum(worker.waiting_rows for worker in fleet.workers),
    )
    yield GaugeMetricFamily(
        "rasen_serving_store_stale", "1 while the store cannot be believed.", value=int(bool(switching.stale))
    )
