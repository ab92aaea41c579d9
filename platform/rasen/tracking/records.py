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
    versions: dict[str, str] = {}  # of the serving set, in the kernel that made it


class ErrorRecord(Part):
    """Why a step did not succeed."""

    name: str
    message: str
    traceback: str = ""


class Request(Record):
    """Somebody's wish for a run: the only way to ask for one from outside.

    `endpoint` is of a wish to qualify a version anew for an endpoint that invites it, which is not its own. `release`
    is of a run that the platform starts. `base_commit` and `changed` are of a working copy: the commit that it was made
    from, and the files that differ from it, by whoever sent it.
    """

    kind: Literal["run", "cancel", "qualify"] = "run"
    run: str | None = None
    endpoint: str | None = None
    parameters: dict[str, Any] = {}  # Any: JSON
    deploy: bool = True
    at: datetime
    by: str
    release: str | None = None
    base_commit: str | None = None
    changed: list[str] = []


class Start(Record):
    """A run began.

    `judged_at` is of a run that qualifies a version for an endpoint that invites it: it is a candidate there only.
    `by`, `base_commit` and `changed` are those of the request that the platform started it for.
    """

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
    judged_at: str | None = None
    repeats: str | None = (
        None  # the run whose recorded reads answer instead of the warehouse; publishes nothing
    )
    sample: bool = False  # an interface test: on the pipeline's `sample`; publishes nothing
    image: str
    by: str | None = None
    base_commit: str | None = None
    changed: list[str] = []


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
