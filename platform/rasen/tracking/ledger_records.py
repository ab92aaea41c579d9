"""The records of the ledger: what was decided about an endpoint, and the whole state that follows from it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rasen.tracking.records import Part, Record


class GateVerdict(Part):
    """What one gate answered."""

    gate: str
    answer: Literal["pass", "fail", "hold"]
    outcome: str = ""
    numbers: dict[str, float] = Field(default_factory=dict)
    reason: str = ""


class Variant(Part):
    """One model version behind an endpoint."""

    run: str
    pipeline: str
    manifest_sha256: str
    role: Literal["champion", "challenger", "shadow"] = "champion"
    weight: float = 1.0


FallbackReason = Literal["error", "timeout", "nan", "stale"]
_FALLBACK_REASONS: tuple[FallbackReason, ...] = ("error", "timeout", "nan")


class FallbackPolicy(Part):
    """When the profile answers instead of a model, for an endpoint whose version has one.

    Args:
        on: What of the model calls for it: it raised, was late, answered NaN, or was trained too long ago.
        stale_after_seconds: How old the newest training row may be; `None` is any age.
        timeout_seconds: How long a model may take for a request; `None` is the server's own limit.
    """

    on: list[FallbackReason] = Field(default_factory=lambda: list(_FALLBACK_REASONS))
    stale_after_seconds: float | None = None
    timeout_seconds: float | None = None


class LogPolicy(Part):
    """What of an endpoint's answers is logged: a share of the requests, without some columns."""

    sample: float = 1.0
    exclude: list[str] = Field(default_factory=list)


RolloutKind = Literal["canary", "ab", "shadow", "bandit"]


class RolloutState(Part):
    """How a candidate is on its way to become the champion, or not.

    Args:
        kind: How requests are shared.
        run: The candidate.
        salt: Number of the record that began the rollout; part of every assignment.
        step: Position in `steps`, from 0.
        step_number: Number of the record that began this step. What was answered under it and later ones counts.
        steps: The candidate's share of the requests at each step; of a shadow, the share that is copied to it.
        watch_seconds: How long each step is watched, at least; `None` is until a person says so.
        requests: How many requests the candidate must have answered within a step.
        then: What comes after the last step: the candidate is the champion, or waits for a person.
        error_rate: The share of failed requests that ends the rollout when it is exceeded; `None` is any.
        p99_seconds: The 99th percentile of the latency that ends it when it is exceeded; `None` is any.
        floor: The least share that a bandit leaves to a variant.
        waits: The end of the last step was recorded; a person decides now.
    """

    kind: RolloutKind
    run: str
    salt: int
    step: int = 0
    step_number: int
    steps: list[float]
    watch_seconds: float | None = None
    requests: int = 0
    then: Literal["promote", "hold"] = "promote"
    error_rate: float | None = None
    p99_seconds: float | None = None
    floor: float = 0.0
    waits: bool = False


class Held(Part):
    """A version that passed what was to be passed, and waits: for a person, or for a comparison that must be made anew.

    Args:
        run: The version.
        pipeline: Whose run.
        manifest_sha256: Digest of its manifest's payload.
        number: The ledger record that held it.
        gates: Names of the gates that held; empty when the endpoint itself was held.
        requested: Id of the request for a new qualification that was filed, `""` for none.
    """

    run: str
    pipeline: str
    manifest_sha256: str
    number: int
    gates: list[str] = Field(default_factory=list)
    requested: str = ""


class Freeze(Part):
    """A person wants nothing to change: no version goes live by itself until the same or another person lifts it."""

    by: str
    reason: str
    number: int


class EndpointState(Part):
    """An endpoint's whole desired state.

    `since` is the record from which on these variants answer; `acted` the last one that changed anything besides what
    is known of runs (`newest_run`, `claims`, `unverified`). A person's command names the record that was seen and is
    void when `acted` is later: whatever it was about has changed.
    """

    newest_run: str | None = None
    pipeline: str | None = None
    variants: list[Variant] = Field(default_factory=list)
    since: int = 0
    acted: int = 0
    held: Held | None = None
    frozen: Freeze | None = None
    rollout: RolloutState | None = None
    fallback: FallbackPolicy = FallbackPolicy()
    log: LogPolicy = LogPolicy()
    challengers: list[str] = Field(default_factory=list)  # pipelines besides the owner whose runs may enter
    unverified: dict[str, str] = Field(
        default_factory=dict
    )  # "<pipeline>/<run>" of a refused forgery: SHA-256 of its bytes
    claims: dict[str, str] = Field(
        default_factory=dict
    )  # pipeline that does not own the endpoint: its newest decided run


Action = Literal["deploy", "hold", "unhold", "refuse", "promote", "abort", "rollback", "override", "approve"]


class LedgerRecord(Record):
    """One numbered decision about an endpoint; it carries the whole state that follows from it.

    `pipeline` is the run's, `None` in records of before it was written. `metrics` are those of all rows of the run that
    was judged, so that later versions can be compared with the ledger alone. `previous` is the record whose variants
    answered before this one, 0 for none. `event` is the id of the event that was being answered, `""` when nobody
    rang. `decided_at` never goes back along a ledger, whatever the clocks of the machines that decide.
    """

    endpoint: str
    number: int
    action: Action
    run: str | None
    pipeline: str | None = None
    actor: str
    reason: str
    verdicts: list[GateVerdict] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)
    previous: int = 0
    event: str = ""
    state: EndpointState
    decided_at: datetime
