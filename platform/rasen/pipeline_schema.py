"""`pipeline.yaml` as one pydantic model: every key, its type, its meaning."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from rasen.pipeline_alerts import Alerts
from rasen.pipeline_deploy import Deploy
from rasen.pipeline_gates import TableGate
from rasen.pipeline_keys import Keys
from rasen.pipeline_values import (
    Duration,
    Line,
    Memory,
    Name,
    NotebookPath,
    Values,
    parse_duration,
    parse_memory,
)
from rasen.suggestion import suggest
from rasen.tracking.records import Verdict

RETRIABLE = (
    Verdict.FAILED,
    Verdict.TIMED_OUT,
    Verdict.OUT_OF_MEMORY,
    Verdict.KERNEL_DIED,
)
"""Verdicts that a second try can change. An interrupted step is tried again without being asked to."""


class Resources(Keys):
    """What a step takes: no more steps run at once than fit, and one that takes more memory is ended."""

    not_built: ClassVar[tuple[str, ...]] = ("gpu",)
    trains: ClassVar[bool] = True

    cpu: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="how many processors it keeps busy, also as a fraction"
    )
    memory: Memory | None = Field(
        default=None, description="the most memory it may take: 512Mi, 4Gi; no limit if absent"
    )

    @property
    def memory_bytes(self) -> int | None:
        """The most memory that the step may take, in bytes."""
        return None if self.memory is None else parse_memory(self.memory)


def _check_retriable(value: object) -> object:
    words = [verdict.value for verdict in RETRIABLE]
    if isinstance(value, str) and value not in words:
        problem = f"{value[:40]!r} is not a verdict that trying again can change: {suggest(value, words)}"
        raise PydanticCustomError("verdict", "{problem}", {"problem": problem})
    return value


class Step(Keys):
    """One notebook of the pipeline."""

    not_built: ClassVar[tuple[str, ...]] = ("tune",)
    trains: ClassVar[bool] = True

    notebook: NotebookPath = Field(description="the notebook, relative to the pipeline's folder")
    needs: tuple[Name, ...] = Field(
        default=(), description="steps that must have succeeded, whose tables it loads"
    )
    parameters: Values = Field(default={}, description="values for this step's parameters")
    timeout: Duration | None = Field(
        default=None, description="how long it may run: 90s, 20m, 2h; no limit if absent"
    )
    cell_timeout: Duration | None = Field(
        default=None, description="how long one of its cells may run; no limit if absent"
    )
    retries: Annotated[int, Field(strict=True, ge=0, le=10)] = Field(
        default=0, description="how often it is tried again after a verdict of retry_on"
    )
    retry_on: tuple[Annotated[Verdict, BeforeValidator(_check_retriable)], ...] = Field(
        default=(Verdict.FAILED, Verdict.TIMED_OUT, Verdict.KERNEL_DIED),
        min_length=1,
        description="verdicts after which it is tried again: failed, timed_out, out_of_memory, kernel_died",
    )
    resources: Resources = Field(default=Resources(), description="what it takes of the machine")
    models: tuple[Name, ...] = Field(
        default=(), description="endpoints whose live model it loads: rasen.load_model"
    )

    @property
    def timeout_seconds(self) -> float | None:
        """How long the step may run, in seconds."""
        return None if self.timeout is None else parse_duration(self.timeout).total_seconds()

    @property
    def cell_timeout_seconds(self) -> float | None:
        """How long a cell of the step may run, in seconds."""
        return None if self.cell_timeout is None else parse_duration(self.cell_timeout).total_seconds()


class Sample(Keys):
    """What the interface test changes so that it ends soon. Accuracy is never judged on it."""

    parameters: Values = Field(default={}, description="values for the pipeline's parameters")
    rows: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="the most rows that a query or a file gives; all of them if absent"
    )


class Table(Keys):
    """A table saved by a step that becomes visible in the warehouse after the run passed the gates."""

    step: Name = Field(description="the step that saves it")
    table: Name = Field(description="its name in rasen.save_table")
    gates: tuple[TableGate, ...] = Field(
        default=(), description="what the run must pass before the table is visible"
    )


class Pipeline(Keys):
    """A folder of notebooks that depend on one another, and how their model is deployed."""

    not_built: ClassVar[tuple[str, ...]] = ("monitor", "schedule", "triggers", "tune")
    trains: ClassVar[bool] = True

    name: Name = Field(
        description="the pipeline's name, also of its endpoint unless deploy.endpoint says otherwise"
    )
    owner: Line = Field(description="the team or person who is asked")
    description: Annotated[str, Field(strict=True, max_length=2000)] = Field(
        default="", description="what it is for"
    )
    parameters: Values = Field(
        default={},
        description='values for parameters of the notebooks; "@scheduled-180d" is relative to the run\'s trigger',
    )
    steps: dict[Name, Step] = Field(min_length=1, description="the notebooks, each under its step's name")
    sample: Sample | None = Field(default=None, description="what the interface test changes")
    deploy: Deploy = Field(default=Deploy(), description="under which name and conditions a model goes live")
    tables: dict[Name, Table] = Field(default={}, description="warehouse tables that the run fills, by name")
    alerts: Alerts | None = Field(
        default=None, description="who is told what happened to it, besides those whom the operator names"
    )

    @property
    def endpoint(self) -> str:
        """The endpoint that the pipeline's model is deployed to."""
        return self.deploy.endpoint or self.name
