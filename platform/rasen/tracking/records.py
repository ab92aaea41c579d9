"""The JSON records of the object store (design, section 11), one class each.

Readers tolerate unknown fields, because a newer writer may add some, and refuse an unknown `format`, because that
says the meaning changed. Non-finite numbers are written as the strings "NaN", "Infinity", "-Infinity": JSON has none.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rasen.errors import RasenError


class UnreadableRecord(RasenError):
    """An object of the store is not the record it should be."""


class Verdict(StrEnum):
    """How a step or a run ended: exactly one of these."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VALIDATION_FAILED = "validation_failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    KERNEL_DIED = "kernel_died"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class Part(BaseModel):
    """A piece of a record."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_inf_nan="strings",
        populate_by_name=True,
        protected_namespaces=(),
    )


class Record(Part):
    """A whole object: it carries its format."""

    FORMAT: ClassVar[int] = 1

    format: int = 1

    def to_bytes(self) -> bytes:
        """Return the record's exact bytes, the same for equal records."""
        return self.model_dump_json(by_alias=True).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "") -> Self:
        """Read a record; `source` names it in messages.

        Raises:
            UnreadableRecord: It is not JSON, lacks a field, or is of another format.
        """
        try:
            record = cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(element) for element in first["loc"])
            raise UnreadableRecord(
                f"{source or 'object'} is not a {cls.__name__} record: {place or 'document'}: {first['msg']}"
            ) from None
        if record.format != cls.FORMAT:
            raise UnreadableRecord(
                f"{source or 'object'} has format {record.format!r}; this version of Rasen reads {cls.FORMAT}"
            )
        return record


class FileRecord(Part):
    """One file of a run."""

    key: str
    sha256: str
    size_bytes: int


class Metric(Part):
    """One logged number, of all rows or of a slice."""

    name: str
    value: float
    slice: dict[str, str] = {}


class Read(Part):
    """One table that a step read, with its snapshot and the statistics that the next run is compared with."""

    name: str
    sql: str | None = None
    file: str | None = None
    parameters: dict[str, Any] = {}  # Any: JSON
    table: str
    statistics: dict[str, Any] = {}  # Any: rasen.data.statistics, which lies above this module


class ModelRecord(Part):
    """What a step said of the model that it published."""

    files: dict[str, FileRecord]
    schema_: dict[str, Any] = Field(alias="schema")  # Any: rasen.model.schema, which lies above this module
    target: str | None = None
    time: str | None = None
    slices: list[str] = []
    trained_until: str | None = None
    description: str = ""


class ErrorRecord(Part):
    """Why a step did not succeed."""

    name: str
    message: str
    traceback: str = ""


class Request(Record):
    """Somebody's wish for a run: the only way to ask for one from outside."""

    kind: Literal["run", "cancel", "qualify"] = "run"
    run: str | None = None
    parameters: dict[str, Any] = {}  # Any: JSON
    deploy: bool = True
    at: datetime
    by: str


class Start(Record):
    """A run began."""

    run: str
    pipeline: str
    release: str
    origin: Literal["release", "workspace"]
    environment: str
    nonce: str
    trigger: str
    parameters: dict[str, Any] = {}  # Any: JSON
    deploy: bool = True
    scheduled_at: datetime | None = None  # what "@scheduled" means; None is the instant of the run's id
    resumes: str | None = None
    reuses: dict[str, str] = {}  # step that is not run again: the run whose result counts
    qualifies: str | None = None
    image: str


class StepResult(Record):
    """How one attempt of a step ended, and what it wrote."""

    attempt: int
    verdict: Verdict
    cell: int | None = None
    error: ErrorRecord | None = None
    seconds: float
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    retriable: bool = False
    metrics: list[Metric] = []
    reads: list[Read] = []
    tables: dict[str, str] = {}
    figures: dict[str, str] = {}
    model: ModelRecord | None = None
    qualification: dict[str, Any] | None = None  # Any: what rasen.model.qualification found
    files: list[FileRecord] = []


LivePhase = Literal["preparing", "running", "uploading"]


class LiveStep(Record):
    """Where a running step is, overwritten while it runs; a hint for people, no verdict depends on it.

    `cell` counts from 0 in the executed notebook and is `None` before the first. `beat` grows with every write, also
    while a cell is silent. `withheld_bytes` is the size of an output notebook too large to be shown while it grows, and
    `failures` says how many writes the store refused so far.
    """

    run: str
    pipeline: str
    step: str
    attempt: int
    phase: LivePhase
    cell: int | None = None
    cells: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0
    last_line: str = ""
    beat: int = 0
    withheld_bytes: int = 0
    failures: int = 0


class End(Record):
    """A run ended without publishing."""

    run: str
    pipeline: str
    verdict: Verdict
    step: str | None = None
    error: str | None = None
    ended_at: datetime


class PublishedStep(Part):
    """Which attempt of a step counts."""

    attempt: int
    result_sha256: str
    reused_from: str | None = None


class Qualification(Part):
    """What was found when the model was executed before publication.

    `engine` is what executes the model for readers that know one only; `engines` names all that were found equal to it.
    Old manifests have no `engines`, and `usable_engines` reads either.
    """

    champion: str | None = None
    engine: str = "native"
    engines: list[str] = []
    evaluation: str | None = None
    row_wise: bool | None = None  # whether a row's answer is the same in every batch; None was not looked at

    @property
    def usable_engines(self) -> tuple[str, ...]:
        """What may execute the model besides the model itself."""
        return tuple(name for name in dict.fromkeys([*self.engines, self.engine]) if name != "native")


class PublishedModel(Part):
    """The model version that a run published; its id is the run's."""

    files: dict[str, FileRecord]
    schema_: dict[str, Any] = Field(alias="schema")  # Any: rasen.model.schema, which lies above this module
    major: int = 1
    target: str | None = None
    time: str | None = None
    slices: list[str] = []
    trained_until: str | None = None
    description: str = ""
    qualification: Qualification


class Manifest(Record):
    """Everything that a run published. Writing it is publishing."""

    start_sha256: str
    run: str
    pipeline: str
    release: str
    commit: str
    environment: str
    nonce: str
    image: str
    versions: dict[str, str] = {}
    steps: dict[str, PublishedStep]
    model: PublishedModel | None = None
    tables: dict[str, FileRecord] = {}
    files: list[FileRecord] = []
    published_at: datetime


class GateVerdict(Part):
    """What one gate answered."""

    gate: str
    answer: Literal["pass", "fail", "hold"]
    outcome: str = ""
    numbers: dict[str, float] = {}
    reason: str = ""


class Variant(Part):
    """One model version behind an endpoint."""

    run: str
    pipeline: str
    manifest_sha256: str
    role: Literal["champion", "challenger", "shadow"] = "champion"
    weight: float = 1.0


class FallbackPolicy(Part):
    """When the profile answers instead of a model, for an endpoint whose version has one.

    Args:
        on: What of the model calls for it: it raised, was late, answered NaN, or was trained too long ago.
        stale_after_seconds: How old the newest training row may be; `None` is any age.
        timeout_seconds: How long a model may take for a request; `None` is the server's own limit.
    """

    on: list[Literal["error", "timeout", "nan", "stale"]] = ["error", "timeout", "nan"]
    stale_after_seconds: float | None = None
    timeout_seconds: float | None = None


class LogPolicy(Part):
    """What of an endpoint's answers is logged: a share of the requests, without some columns."""

    sample: float = 1.0
    exclude: list[str] = []


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
    gates: list[str] = []
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
    variants: list[Variant] = []
    since: int = 0
    acted: int = 0
    held: Held | None = None
    frozen: Freeze | None = None
    rollout: RolloutState | None = None
    fallback: FallbackPolicy = FallbackPolicy()
    log: LogPolicy = LogPolicy()
    challengers: list[str] = []  # pipelines besides the owner whose runs may enter
    unverified: dict[str, str] = {}  # "<pipeline>/<run>" of a refused forgery: SHA-256 of its bytes
    claims: dict[str, str] = {}  # pipeline that does not own the endpoint: its newest decided run


Action = Literal["deploy", "hold", "unhold", "refuse", "promote", "abort", "rollback", "override", "approve"]


class LedgerRecord(Record):
    """One numbered decision about an endpoint; it carries the whole state that follows from it.

    `metrics` are those of all rows of the run that was judged, so that later versions can be compared with the ledger
    alone. `previous` is the record whose variants answered before this one, 0 for none. `event` is the id of the event
    that was being answered, `""` when nobody rang. `decided_at` never goes back along a ledger, whatever the clocks of
    the machines that decide.
    """

    endpoint: str
    number: int
    action: Action
    run: str | None
    actor: str
    reason: str
    verdicts: list[GateVerdict] = []
    metrics: dict[str, float] = {}
    previous: int = 0
    event: str = ""
    state: EndpointState
    decided_at: datetime
