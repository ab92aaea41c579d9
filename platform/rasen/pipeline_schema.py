"""`pipeline.yaml` as one pydantic model: every key, its type, its meaning.

A key that is not in the model is an error, also one that a later version will have: a pipeline whose `schedule` were
silently ignored would look registered and never run. The tables `not_built` keep those apart from misspelt keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from rasen.pipeline_values import (
    Duration,
    Line,
    Margin,
    Memory,
    MetricName,
    Name,
    NotebookPath,
    Number,
    Values,
    parse_duration,
    parse_memory,
)
from rasen.suggestion import nearest, suggest
from rasen.tracking.records import Verdict

DIRECTIONS: Mapping[str, Direction] = {
    "rmse": "minimize",
    "mae": "minimize",
    "log_loss": "minimize",
    "brier": "minimize",
    "accuracy": "maximize",
    "auc": "maximize",
}
"""Metrics whose better direction is known; for any other a gate states it."""

RETRIABLE = (
    Verdict.FAILED,
    Verdict.TIMED_OUT,
    Verdict.OUT_OF_MEMORY,
    Verdict.KERNEL_DIED,
)
"""Verdicts that a second try can change. An interrupted step is tried again without being asked to."""

_SEVERAL_MACHINES = {
    "cluster",
    "distributed",
    "machines",
    "nodes",
    "num_machines",
    "num_nodes",
    "num_workers",
    "workers",
    "world_size",
}
_STREAMING = {"online", "stream", "streaming"}

Direction: TypeAlias = Literal["minimize", "maximize"]


class _Keys(BaseModel):
    """A mapping of `pipeline.yaml` with a closed set of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    not_built: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = False

    @classmethod
    def refuse_key(cls, key: str, value: object) -> str:
        """Return why `key` may not be here; `value` is what it was set to."""
        if cls.trains and (sentence := _beyond_one_machine(key, value)):
            return sentence
        built = ", ".join(cls.model_fields)
        if key in cls.not_built:
            return f"`{key}` is not built yet in this version; remove it (keys here: {built})"
        close = nearest(key, [*cls.model_fields, *cls.not_built])
        if close is None:
            return f"unknown key {key[:60]!r} (keys here: {built})"
        later = "; that one is not built yet in this version, remove it" if close in cls.not_built else ""
        return f"unknown key {key[:60]!r}: did you mean {close!r}?{later}"


def _beyond_one_machine(key: str, value: object) -> str | None:
    """Return the sentence for a pipeline that asks for what Rasen will not do (design, section 10)."""
    if key == "resources" and isinstance(value, Mapping):
        return next((sentence for each in value if (sentence := _beyond_one_machine(str(each), None))), None)
    asked = f"`{key}: {value}`" if key == "mode" else f"`{key}`"
    word = str(value) if key == "mode" else key
    if word in _STREAMING:
        return (
            f"Rasen has no streaming training ({asked}): a run trains once, on the rows that it read. Train in batches "
            "instead"
        )
    if word in _SEVERAL_MACHINES:
        return (
            f"Rasen has no training that needs several machines for one model ({asked}): a step runs on one machine. "
            "Sample the rows instead"
        )
    return None


class BaselineGate(_Keys):
    """The model must be better than another number that the same run logged, usually its profile's."""

    not_built: ClassVar[tuple[str, ...]] = ("by", "over", "test", "within", "worst")

    kind: Literal["baseline"]
    metric: MetricName = Field(description="name of a logged metric")
    better_than: MetricName = Field(
        description="name of the logged metric that it must beat, such as profile_rmse"
    )
    direction: Direction | None = Field(
        default=None, description="which way is better; known for rmse mae log_loss brier accuracy auc"
    )
    margin: Margin = Field(
        default=0.0, description="by how much it must be better, as a fraction or in percent"
    )

    @property
    def better(self) -> Direction:
        """Which way is better."""
        direction = self.direction or DIRECTIONS.get(self.metric)
        assert direction is not None  # held by _direction_is_known
        return direction

    @model_validator(mode="after")
    def _direction_is_known(self) -> Self:
        known = DIRECTIONS.get(self.metric)
        if self.direction is None and known is None:
            raise PydanticCustomError(
                "direction",
                "which way metric {metric} is better is not known; add `direction: minimize` or `direction: maximize`",
                {"metric": repr(self.metric)},
            )
        if known is not None and self.direction not in {None, known}:
            raise PydanticCustomError(
                "direction",
                "metric {metric} is better when it is {known}d; remove `direction: {direction}`",
                {"metric": repr(self.metric), "known": known, "direction": str(self.direction)},
            )
        if self.metric == self.better_than:
            raise PydanticCustomError(
                "metric", "`metric` and `better_than` are both {metric}", {"metric": repr(self.metric)}
            )
        return self


class ThresholdGate(_Keys):
    """A logged number must lie within fixed limits."""

    not_built: ClassVar[tuple[str, ...]] = ("by", "over", "test", "within", "worst")

    kind: Literal["threshold"]
    metric: MetricName = Field(description="name of a logged metric")
    min: Number | None = Field(default=None, description="the smallest value that passes")
    max: Number | None = Field(default=None, description="the largest value that passes")

    @model_validator(mode="after")
    def _has_limits(self) -> Self:
        if self.min is None and self.max is None:
            raise PydanticCustomError("limits", "a threshold gate needs `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError(
                "limits",
                "`min` {min} is above `max` {max}: nothing could pass",
                {"min": self.min, "max": self.max},
            )
        return self


_GATES_NOT_BUILT = ("champion", "history", "notebook", "schema", "slice")
_GATES_BUILT = ("baseline", "threshold")


def _check_gate_kind(value: Any) -> Any:  # Any: whatever the YAML holds; the union checks the rest
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in _GATES_NOT_BUILT:
        problem = f"gate kind {kind!r} is not built yet in this version; built are {', '.join(_GATES_BUILT)}"
        raise PydanticCustomError("gate", "{problem}", {"problem": problem})
    if isinstance(kind, str) and kind not in _GATES_BUILT:
        problem = f"unknown gate kind {kind[:60]!r}: {suggest(kind, _GATES_BUILT)}"
        raise PydanticCustomError("gate", "{problem}", {"problem": problem})
    return value


Gate: TypeAlias = Annotated[
    Annotated[BaselineGate | ThresholdGate, Field(discriminator="kind")], BeforeValidator(_check_gate_kind)
]


class Resources(_Keys):
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


class Step(_Keys):
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


class Sample(_Keys):
    """What the interface test changes so that it ends soon. Accuracy is never judged on it."""

    not_built: ClassVar[tuple[str, ...]] = ("rows",)

    parameters: Values = Field(default={}, description="values for the pipeline's parameters")


class Deploy(_Keys):
    """Under which name and conditions the published model goes live."""

    not_built: ClassVar[tuple[str, ...]] = ("challengers", "fallback", "rollout")

    endpoint: Name | None = Field(
        default=None, description="the stable name that is called; the pipeline's if absent"
    )
    gates: tuple[Gate, ...] | None = Field(
        default=None,
        min_length=1,
        description="what a model must pass; if absent, it must beat each profile_<metric> that it logged",
    )


class Table(_Keys):
    """A table saved by a step that becomes visible in the warehouse after the run passed the gates."""

    step: Name = Field(description="the step that saves it")
    table: Name = Field(description="its name in rasen.save_table")
    gates: tuple[Gate, ...] = Field(
        default=(), description="what the run must pass before the table is visible"
    )


class Pipeline(_Keys):
    """A folder of notebooks that depend on one another, and how their model is deployed."""

    not_built: ClassVar[tuple[str, ...]] = ("alerts", "monitor", "schedule", "triggers", "tune")
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

    @property
    def endpoint(self) -> str:
        """The endpoint that the pipeline's model is deployed to."""
        return self.deploy.endpoint or self.name
