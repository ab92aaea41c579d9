"""What supervisor and worker tell one another: one line of JSON each, over a socket pair.

The two are never out of step in version, because a worker is a fork of the same installation; so these are msgspec
structs, which the worker needs for requests anyway, and not pydantic records like everything that lies in the store.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from rasen.model.engine_plan import EnginePlan
from rasen_serving.callers import Callers

CHAMPION = "champion"


class CachedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run as the manifest names it, and its copy on this disk; whoever reads that checks the digest."""

    key: str
    path: str
    sha256: str
    size_bytes: int


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One model version: verified, with its files on this disk.

    Args:
        run: The version's id, which is its run's.
        pipeline: Whose run it is.
        manifest_sha256: Digest of the manifest that named the files; equal digests are equal versions.
        files: The pickled model, the example, and what else there is for serving, by role.
        versions: The libraries with which the run was made.
        schema: `rasen.model.schema.ModelSchema` as JSON.
        major: The contract's major version.
        metrics: What the run logged over all rows, by name.
        description: What the analyst says of the pipeline; may be empty.
        trained_until: Newest training row, as the notebook said it.
        published_at: When the run published, ISO 8601.
        row_wise: Whether a row's answer does not depend on the rows beside it, so that requests may share a call.
        engines: What may execute the model besides itself, found equal to it when the run was qualified.
        quarantined: Why the model itself may not be executed here, `""` when it may.
        plan: What was measured when the version was tried here, `None` before that.
    """

    run: str
    pipeline: str
    manifest_sha256: str
    files: dict[str, CachedFile]
    versions: dict[str, str]
    schema: dict[str, Any]  # Any: JSON, read by rasen.model.schema
    major: int
    metrics: dict[str, float]
    description: str
    trained_until: str | None
    published_at: str
    row_wise: bool = False
    engines: tuple[str, ...] = ()
    quarantined: str = ""
    plan: EnginePlan | None = None

    @property
    def identity(self) -> str:
        """What is equal for versions that are loaded alike."""
        return f"{self.manifest_sha256}{'!' if self.quarantined else ''}"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One version behind an endpoint: its role, and its share of the requests."""

    version: Version
    role: str = CHAMPION
    weight: float = 1.0


class FallbackPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the profile answers instead of the model.

    Args:
        on: Any of `error`, `timeout`, `nan`, `stale`.
        timeout_seconds: The time budget of an answer.
        stale_after_seconds: Age of the newest training row from which on the model is stale; `None` is never.
    """

    on: tuple[str, ...] = ("error", "timeout", "nan")
    timeout_seconds: float = 2.0
    stale_after_seconds: float | None = None


class LogPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What of an endpoint is logged: a share of its requests, and all columns but the excluded ones."""

    sample: float = 1.0
    exclude: tuple[str, ...] = ()


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of an endpoint: what the ledger decided, verified.

    Args:
        endpoint: The stable name.
        number: The ledger record's number.
        decided_at: When the ledger decided, ISO 8601.
        variants: The champion first.
        rollout: How the variants share the requests, as the ledger has it.
        fallback: When the profile answers.
        log: What is logged.
    """

    endpoint: str
    number: int
    decided_at: str
    variants: list[Variant]
    rollout: dict[str, Any] | None = None  # Any: JSON of the ledger
    fallback: FallbackPolicy = FallbackPolicy()
    log: LogPolicy = LogPolicy()

    @property
    def champion(self) -> Version:
        """The version that answers unless something else was decided."""
        return self.variants[0].version

    @property
    def identities(self) -> frozenset[str]:
        """What its versions are told apart by."""
        return frozenset(variant.version.identity for variant in self.variants)


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Load, check and warm this revision; answer `Prepared` or `Refused`."""

    revision: Revision


class Switch(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer with this prepared revision from now on, and let the previous one go."""

    endpoint: str
    number: int


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let a prepared revision go that will not be switched to."""

    endpoint: str
    number: int


class Evict(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let an endpoint go from memory; it sleeps until somebody asks for it."""

    endpoint: str


class Serve(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Begin to accept connections."""


class Situation(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a worker cannot know by itself.

    Args:
        ready: What `/readyz` answers.
        reason: Why not, or `""`.
        waiting: Endpoints of the ledger for which nothing is live, each with the reason.
        log_open: Whether the spool has room for the prediction log.
        asleep: Endpoints that are loaded when they are first asked for.
    """

    ready: bool
    reason: str
    waiting: dict[str, str]
    log_open: bool
    asleep: frozenset[str] = frozenset()


class Learned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a bandit shares the requests out from now on.

    Args:
        endpoint: Whose requests.
        salt: Which bandit: the ledger record that began it.
        weights: Each variant's share, by run.
    """

    endpoint: str
    salt: int
    weights: dict[str, float]


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Finish what is in flight, then exit."""


ToWorker: TypeAlias = Prepare | Switch | Forget | Evict | Serve | Situation | Learned | Callers | Drain


class Prepared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The revision is loaded, checked and warm; `plans` has what was measured, by the versions' identity."""

    endpoint: str
    number: int
    plans: dict[str, EnginePlan] = {}


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The revision cannot be served.

    Args:
        endpoint: The endpoint.
        number: The revision.
        reason: What failed, for a person.
        damaged: The cached bytes are not the ones that were verified: fetching them again may help.
    """

    endpoint: str
    number: int
    reason: str
    damaged: bool = False


class Wanted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Somebody asks for an endpoint that sleeps."""

    endpoint: str


class Series(msgspec.Struct, kw_only=True):
    """What one worker counted for one kind of answer; counts only grow.

    Args:
        endpoint: The endpoint, or `""` when the request named none that is known.
        model: The run that answered, or `""`.
        role: The variant's role, or `""`.
        revision: The ledger record under which it answered, 0 when nothing did.
        status: The HTTP status.
        source: `model` or `profile`, or `""` when nothing was predicted.
        reason: Why the profile answered: `error`, `timeout`, `nan`, `stale`, `quarantined`; `""` when it did not.
        requests: Requests answered.
        rows: Rows predicted.
        seconds: Sum of the latencies.
        buckets: Requests in each of `counts.BUCKETS_SECONDS`, not cumulated; the rest were slower.
    """

    endpoint: str
    model: str
    role: str
    revision: int
    status: int
    source: str
    reason: str
    requests: int
    rows: int
    seconds: float
    buckets: list[int]


class Compared(msgspec.Struct, kw_only=True):
    """How a shadow's answers compare with those that were returned; sums only grow.

    Args:
        endpoint: The endpoint.
        model: The shadow's run.
        revision: The ledger record under which it was asked.
        answers: Values that were compared.
        equal: Of these, how many were equal, numbers within 1e-6.
        numbers: How many were numbers.
        difference: Sum of the numbers' absolute differences.
        dropped: Requests of which a copy was to be made and was not computed.
    """

    endpoint: str
    model: str
    revision: int
    answers: int = 0
    equal: int = 0
    numbers: int = 0
    difference: float = 0.0
    dropped: int = 0


class Reward(msgspec.Struct, frozen=True, kw_only=True):
    """How good an answer turned out to be, from 0 to 1."""

    request_id: str
    model: str
    reward: float


class Rewarded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Somebody told this worker of rewards."""

    endpoint: str
    rewards: list[Reward]


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The event loop is alive; said every second.

    Args:
        busy_seconds: How long the prediction thread has been in its present call; 0 when it is idle.
        series: All counts, or `None` when nothing changed since the last beat.
        models: Number of models in memory.
        expected: Number of models that something refers to; a released one that does not die is a leak.
        compared: What was found of shadows.
        stuck: Digest of the manifest of a shadow that does not come back, `""` when there is none.
        used: The endpoints that were asked for since the last beat.
        waiting_rows: Rows that wait for a model.
    """

    busy_seconds: float
    series: list[Series] | None
    models: int
    expected: int
    used: list[str] = []
    waiting_rows: int = 0
    compared: list[Compared] = []
    stuck: str = ""


FromWorker: TypeAlias = Prepared | Refused | Rewarded | Wanted | Beat

_ENCODER = msgspec.json.Encoder()
TO_WORKER: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)
FROM_WORKER: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)

MESSAGE_MAX_BYTES = 64 << 20
"""Bound of one line; a schema with thousands of categories is a few hundred kilobytes."""


def encode(message: ToWorker | FromWorker) -> bytes:
    """Return the message as one line."""
    return _ENCODER.encode(message) + b"\n"
