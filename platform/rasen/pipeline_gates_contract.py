"""Gates that look at what a version is, not at how well it predicts: contract, data, costs, a simulation, a person."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from rasen.pipeline_gate_keys import ComparingGate, GateKeys, MetricKind
from rasen.pipeline_values import (
    Duration,
    Factor,
    Latency,
    Line,
    Margin,
    Memory,
    NotebookPath,
    Number,
    Share,
    Sigmas,
    Values,
    parse_duration,
    parse_latency,
    parse_memory,
)

Setback: TypeAlias = Literal["fail", "hold"]
"""What a gate that does not pass answers: the version is refused, or waits for a person."""

_Count: TypeAlias = Annotated[int, Field(strict=True, ge=3, le=100)]


def _read_reference(value: object) -> object:
    if value == "champion":
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise PydanticCustomError(
        "reference",
        "{text} is neither `champion` nor a number",
        {"text": repr(value)[:40]},
    )


class ProfileGate(GateKeys):
    """The statistical profile of the version is much like those of the versions before it."""

    kind: Literal["profile"]
    within: Sigmas = Field(
        default=3.0, description="half the width of the band, in standard deviations: 3 sigma"
    )
    over: _Count = Field(default=10, description="how many versions that went live make the band")
    least: _Count = Field(default=5, description="how many it takes to make one; with fewer, it passes")
    coverage: Share | None = Field(
        default=None,
        description="the least share of the evaluation rows whose group the profile knows, such as 90%",
    )

    @model_validator(mode="after")
    def _has_enough(self) -> Self:
        if self.least > self.over:
            raise PydanticCustomError(
                "limits",
                "`least` {least} is above `over` {over}: there would never be a band",
                {"least": self.least, "over": self.over},
            )
        return self


class SchemaGate(GateKeys):
    """Clients of the live version go on working, or `deploy.major` rises."""

    kind: Literal["schema"]
    breaking: Setback = Field(
        default="fail", description="what a breaking change under the same major gets: fail or hold"
    )


class DataGate(GateKeys):
    """The tables that the version was trained on are much like those of the live version."""

    kind: Literal["data"]
    table: Line | None = Field(
        default=None, description="name of a read or of a saved table; all reads of both versions if absent"
    )
    columns: tuple[Line, ...] | None = Field(
        default=None, min_length=1, description="the columns to compare; all of both if absent"
    )
    ignore: tuple[Line, ...] = Field(default=(), description="columns that are not compared")
    psi: Annotated[Number, Field(gt=0)] | None = Field(
        default=0.2, description="the largest population stability index of a column; null for any"
    )
    ks: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None, description="the largest Kolmogorov-Smirnov distance of a column of numbers"
    )
    nulls: Margin | None = Field(
        default=0.05,
        description="by how much the share of NULLs may rise, in points of percent; null for any",
    )
    new_categories: Margin | None = Field(
        default=0.01, description="the largest share of rows with a value that was not there; null for any"
    )
    rows: Margin | None = Field(
        default=None, description="by how much of itself the number of rows may change, such as 50%"
    )
    answer: Setback = Field(
        default="hold", description="what a difference gets, or tables that are gone: fail or hold"
    )

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return self.kind if self.table is None else f"{self.kind} {self.table}"


class LatencyGate(GateKeys):
    """A request is answered in time, as `_qualify` measured it."""

    kind: Literal["latency"]
    rows: Literal[1, 100] = Field(default=1, description="rows of a request: 1 or 100")
    max: Latency | None = Field(default=None, description="the longest median that passes: 5ms")
    worse_than_champion: Factor | None = Field(
        default=None, description="how many times as long as the live version it may take: 1.5x"
    )

    @property
    def max_ms(self) -> float | None:
        """The longest median that passes, in milliseconds."""
        return None if self.max is None else 1000 * parse_latency(self.max)

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return f"{self.kind} {self.rows} {'row' if self.rows == 1 else 'rows'}"

    @property
    def executes_champion(self) -> bool:
        """Whether it judges what `_qualify` got from the live version, and not from the candidate alone."""
        return self.worse_than_champion is not None

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        if self.max is None and self.worse_than_champion is None:
            raise PydanticCustomError("limits", "a latency gate needs `max`, `worse_than_champion` or both")
        return self


class SizeGate(GateKeys):
    """The model is not too large."""

    kind: Literal["size"]
    max: Memory | None = Field(default=None, description="the largest model, its files summed: 100Mi")
    memory: Memory | None = Field(default=None, description="the most memory that loading it may take: 1Gi")
    bigger_than_champion: Factor | None = Field(
        default=None, description="how many times as large as the live version's files its own may be: 2x"
    )

    @property
    def max_bytes(self) -> int | None:
        """The largest model, in bytes."""
        return None if self.max is None else parse_memory(self.max)

    @property
    def memory_bytes(self) -> int | None:
        """The most memory that loading it may take, in bytes."""
        return None if self.memory is None else parse_memory(self.memory)

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        if self.max is None and self.memory is None and self.bigger_than_champion is None:
            raise PydanticCustomError(
                "limits", "a size gate needs `max`, `memory`, `bigger_than_champion` or several of them"
            )
        return self


class NotebookGate(ComparingGate):
    """A notebook that uses the version, usually a simulation, logs a better number than with the live version."""

    kind: Literal["notebook"]
    notebook: NotebookPath = Field(description="the notebook, relative to the pipeline's folder; no step's")
    metric_kind: MetricKind = Field(
        default="business",
        description="business for what predictions are worth, or ml; told with the verdict",
    )
    better_than: Annotated[
        Literal["champion"] | Number,
        BeforeValidator(_read_reference),
        WithJsonSchema({"anyOf": [{"const": "champion"}, {"type": "number"}]}),
    ] = Field(description="champion, or a number that it must beat")
    margin: Margin = Field(
        default=0.0, description="by how much it must be better, as a fraction or in percent"
    )
    parameters: Values = Field(default={}, description="values for the notebook's parameters")
    timeout: Duration = Field(default="10m", description="how long the notebook may run, each time")
    inconclusive: Literal["hold", "pass"] = Field(
        default="hold", description="what it gets when the notebook succeeds with it alone: hold or pass"
    )

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return f"{self.kind} {self.notebook} {self.metric}"

    @property
    def executes_champion(self) -> bool:
        """Whether it judges what `_qualify` got from the live version, and not from the candidate alone."""
        return self.better_than == "champion"

    @property
    def timeout_seconds(self) -> float:
        """How long the notebook may run, in seconds."""
        return parse_duration(self.timeout).total_seconds()


class ApprovalGate(GateKeys):
    """A person approves the version by command; until then it waits."""

    kind: Literal["approval"]
    by: tuple[Line, ...] | None = Field(
        default=None,
        min_length=1,
        description="who may approve: [ada, bob]; anybody who may command if absent",
    )
    reason: Line | None = Field(default=None, description="why a person is asked; told with the verdict")
