"""`deploy.gates` of `pipeline.yaml`: what a model version must pass, one model a kind of gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rasen.metric_directions import DIRECTIONS, Direction
from rasen.pipeline_keys import Keys
from rasen.pipeline_values import Margin, MetricName, Number
from rasen.suggestion import suggest


class BaselineGate(Keys):
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


class ThresholdGate(Keys):
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


GATES: Mapping[str, type[Keys]] = {"baseline": BaselineGate, "threshold": ThresholdGate}
"""The model of each kind."""


def _check_gate_kind(value: Any) -> Any:  # Any: whatever the YAML holds; the union checks the rest
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind not in GATES:
        problem = f"unknown gate kind {kind[:60]!r}: {suggest(kind, GATES)}"
        raise PydanticCustomError("gate", "{problem}", {"problem": problem})
    return value


DeclaredGate: TypeAlias = BaselineGate | ThresholdGate
"""Any gate of a model, as declared."""

Gate: TypeAlias = Annotated[
    Annotated[DeclaredGate, Field(discriminator="kind")], BeforeValidator(_check_gate_kind)
]

TableGate: TypeAlias = Annotated[
    Annotated[BaselineGate | ThresholdGate, Field(discriminator="kind")], BeforeValidator(_check_gate_kind)
]
"""A gate of a published table: it judges logged numbers alone."""
