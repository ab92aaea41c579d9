"""The bodies that the control API reads, and its small answers; the larger ones are the records that commands print."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rasen.batch.catalogue import ListedPipeline, ListedRelease
from rasen.batch.platform_runs import PlatformRun
from rasen.parameter_types import JsonValue
from rasen.tracking.index_rows import DeploymentRow, Problem, RunRow

FILES_MOST = 2_000
_TEXT = Annotated[str, Field(max_length=1_000)]


class Health(BaseModel):
    """The API answers."""

    status: Literal["ok"] = "ok"


class ErrorField(BaseModel):
    """One bad field of a request."""

    path: list[str | int]
    problem: str


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="for programs", examples=["not_found"])
    message: str = Field(
        description="for people",
        examples=["no pipeline 'flight_dely' is registered: did you mean 'flight_delay'?"],
    )
    fields: list[ErrorField] = []


class ErrorAnswer(BaseModel):
    """The one shape of all errors."""

    error: ErrorBody


class RunOrder(BaseModel):
    """A wish for a run: of a registered pipeline, or of a working copy."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"pipeline": "flight_delay", "parameters": {"C": 0.5}},
                {
                    "folder": "flight_delay",
                    "files": {"pipeline.yaml": "bmFtZTogZmxpZ2h0X2RlbGF5Cg==", "flight_delay.ipynb": "e30="},
                    "base_commit": "2dd1e2778822",
                    "changed": ["flight_delay.ipynb"],
                    "parameters": {},
                },
            ]
        },
    )

    pipeline: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="name of a registered pipeline; leave it out with `files`"
    )
    release: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="an older release than the current one"
    )
    folder: Annotated[str, Field(max_length=200)] = Field(
        default="", description="of a working copy: the name of its folder, for messages"
    )
    files: Annotated[dict[_TEXT, str], Field(max_length=FILES_MOST)] | None = Field(
        default=None,
        description="of a working copy: its files, base64 by path from the folder that holds pipeline.yaml",
    )
    base_commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")] | None = Field(
        default=None, description="of a working copy: the commit that is checked out"
    )
    changed: Annotated[list[_TEXT], Field(max_length=FILES_MOST)] = Field(
        default=[], description="of a working copy: the files that differ from that commit"
    )
    parameters: dict[str, JsonValue] = Field(default={}, description="values by name, as JSON")
    typed: dict[str, str] = Field(
        default={}, description="values by name, as texts that somebody typed; they win over `parameters`"
    )
    deploy: bool | None = Field(
        default=None,
        description="may the model go live? yes for a release, no for a working copy, if not said",
    )
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = Field(
        default=None, description="your own name for this wish: asking again with it finds the same run"
    )

    @model_validator(mode="after")
    def _choose(self) -> RunOrder:
        if (self.pipeline is None) == (self.files is None):
            raise ValueError("name a `pipeline`, or send the `files` of a working copy: one of the two")
        if self.files is not None and self.release is not None:
            raise ValueError("a working copy is no `release`; leave one of the two out")
        if self.files is None and (self.base_commit or self.changed or self.folder):
            raise ValueError("`folder`, `base_commit` and `changed` are of a working copy; send its `files`")
        return self


class RunOrdered(BaseModel):
    """What became of a wish for a run."""

    pipeline: str
    run: str
    request: str = Field(description="the name of the wish; asking again with it finds this run")
    release: str
    base_commit: str | None = None
    changed: list[str] = []
    state: str = Field(description="waiting, running, cancelling, or a verdict", examples=["waiting"])
    place: int | None = Field(default=None, description="while it waits: 1 is the next to be started")


class RunList(BaseModel):
    """Runs that have begun, newest first, and those that wait, in the order in which they will begin."""

    runs: list[RunRow]
    waiting: list[PlatformRun]
    next: str | None = Field(
        default=None, description="give it as `before` for older ones; null: there are none"
    )


class LogLine(BaseModel):
    """One line that a step printed."""

    step: str
    attempt: int
    cell: int | None
    kind: str
    text: str


class LogAnswer(BaseModel):
    """Lines from an offset on."""

    pipeline: str
    run: str
    lines: list[LogLine]
    offset: int = Field(description="give it as `offset` for what follows")
    verdict: str | None = Field(description="how the run ended; null: lines may follow")


class CancelAnswer(BaseModel):
    """A wish that a run should end."""

    pipeline: str
    run: str
    first: bool = Field(description="false: somebody had asked before")


class PipelineList(BaseModel):
    """The registered pipelines."""

    pipelines: list[ListedPipeline]


class ReleaseList(BaseModel):
    """Releases of a pipeline, or the current ones of all."""

    releases: list[ListedRelease]


class DeploymentList(BaseModel):
    """Decisions, newest first."""

    deployments: list[DeploymentRow]
    problems: list[Problem]


class EndpointList(BaseModel):
    """What answers at each endpoint."""

    endpoints: list[Any]  # Any: LiveEndpoint, whose records hold classes of the ledger
