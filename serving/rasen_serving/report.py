"""What this server says of itself in the store: `replicas/<replica>.json`, every ten seconds.

`decide` adds the reports up; serving never writes the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

from rasen.tracking.replica_report import EndpointReport, ReplicaReport, ShadowReport, VariantReport
from rasen_serving.bandit import Bandits, Learnt
from rasen_serving.counts import FOLDED, Counts, added_up, relabelled
from rasen_serving.exposition import cumulated
from rasen_serving.fleet import Fleet
from rasen_serving.messages import Compared, Series
from rasen_serving.quarantine import Quarantine
from rasen_serving.switching import Endpoint, Switching

Role = Literal["champion", "challenger", "shadow"]
_ROLES: Mapping[str, Role] = {role: role for role in get_args(Role)}


def build_report(
    *,
    replica: str,
    started_at: datetime,
    fleet: Fleet,
    switching: Switching,
    bandits: Bandits,
    distrusted: Mapping[str, str],
) -> ReplicaReport:
    """Return the report of this moment."""
    series, compared = added_up(fleet.totals()), fleet.compared()
    return ReplicaReport(
        replica=replica,
        started_at=started_at,
        reported_at=datetime.now(tz=UTC),
        stale=bool(switching.stale),
        endpoints={
            name: _endpoint_report(
                endpoint,
                [one for one in series if one.endpoint == name],
                [one for one in compared if one.endpoint == name],
                bandits.learnt(name),
                switching.quarantine,
                distrusted.get(name, ""),
            )
            for name, endpoint in sorted(switching.endpoints.items())
        },
    )


def _endpoint_report(
    endpoint: Endpoint,
    series: list[Series],
    compared: list[Compared],
    learnt: Mapping[str, Learnt],
    quarantine: Quarantine,
    distrusted: str,
) -> EndpointReport:
    revision = endpoint.revision
    left_out = {} if endpoint.live is None else endpoint.live.left_out
    return EndpointReport(
        revision=None if revision is None else revision.number,
        run=None if revision is None else revision.champion.run,
        refused={str(number): reason for number, reason in endpoint.refused.items()},
        left_out=left_out,
        quarantined=quarantine.among([*endpoint.refused.values(), *left_out.values()]),
        distrusted=distrusted,
        variants=variant_reports(series, compared, learnt),
    )


def variant_reports(
    series: list[Series], compared: list[Compared] | None = None, learnt: Mapping[str, Learnt] | None = None
) -> list[VariantReport]:
    """Return what was counted for each version under each ledger record, from one endpoint's counts.

    Errors are the model's, also when the profile or the champion answered instead; a caller's bad rows are not counted
    at all. Rewards are not told apart by ledger record: they stand with the newest.
    """
    whole = Counts()
    errors: dict[tuple[str, int, str], int] = {}
    fallbacks: dict[tuple[str, int, str], dict[str, int]] = {}
    for one in series:
        known = one.role in get_args(Role) and one.revision != FOLDED
        if not known or not (one.status == 200 or one.status >= 500):
            continue
        whole.merge([relabelled(one, status=0, source="", reason="")])
        place = (one.model, one.revision, one.role)
        replaced = one.source in ("profile", "champion")
        if one.status >= 500 or replaced:
            errors[place] = errors.get(place, 0) + one.requests
        if replaced:
            reasons = fallbacks.setdefault(place, {})
            reason = one.reason or one.source
            reasons[reason] = reasons.get(reason, 0) + one.requests
    shadows = {(one.model, one.revision): one for one in compared or ()}
    reports: dict[tuple[str, int, Role], VariantReport] = {}
    newest: dict[str, int] = {}
    for one in whole.series():
        role = _ROLES[one.role]
        newest[one.model] = max(newest.get(one.model, 0), one.revision)
        shadow = shadows.get((one.model, one.revision)) if role == "shadow" else None
        reports[one.model, one.revision, role] = VariantReport(
            run=one.model,
            revision=one.revision,
            role=role,
            requests=one.requests,
            errors=errors.get((one.model, one.revision, one.role), 0),
            latency_buckets={bound: int(count) for bound, count in cumulated(one)},
            shadow=None if shadow is None else _shadow_report(shadow),
            fallbacks=fallbacks.get((one.model, one.revision, one.role), {}),
        )
    for (model, revision, role), report in reports.items():
        if learnt and model in learnt and revision == newest[model]:
            got = {"rewards": learnt[model].rewards, "reward": learnt[model].reward}
            reports[model, revision, role] = report.model_copy(update=got)
    return sorted(reports.values(), key=lambda one: (one.revision, one.role, one.run))


def _shadow_report(compared: Compared) -> ShadowReport:
    return ShadowReport(
        answers=compared.answers,
        equal=compared.equal,
        difference=compared.difference,
        numbers=compared.numbers,
        dropped=compared.dropped,
    )
