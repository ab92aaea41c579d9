"""`deploy.gates` of `pipeline.yaml`: what a model version must pass, one model a kind of gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rasen.pipeline_gate_keys import ComparingGate, GateKeys, MetricGate
from rasen.pipeline_gates_contract import (
    ApprovalGate,
    DataGate,
    LatencyGate,
    NotebookGate,
    ProfileGate,
    SchemaGate,
    SizeGate,
)
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate
from rasen.pipeline_values import Margin, MetricName, Number
from rasen.suggestion import suggest


class BaselineGate(ComparingGate):
    """The model must be better than another number that the same run logged, usually its profile's."""

    kind: Literal["baseline"]
    better_than: MetricName = Field(
        description="name of the logged metric that it must beat, such as profile_rmse"
    )
    margin: Margin = Field(
        default=0.0, description="by how much it must be better, as a fraction or in percent"
    )

    @model_validator(mode="after")
    def _compares_two(self) -> Self:
        if self.metric == self.better_than:
            raise PydanticCustomError(
                "metric", "`metric` and `better_than` are both {metric}", {"metric": repr(self.metric)}
            )
        return self


class ThresholdGate(MetricGate):
    """A logged number must lie within fixed limits."""

    kind: Literal["threshold"]
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


TABLE_GATES: Mapping[str, type[GateKeys]] = {"baseline": BaselineGate, "threshold": ThresholdGate}
"""The model of each kind that judges logged numbers alone."""

GATES: Mapping[str, type[GateKeys]] = {
    **TABLE_GATES,
    "champion": ChampionGate,
    "history": HistoryGate,
    "slice": SliceGate,
    "profile": ProfileGate,
    "schema": SchemaGate,
    "data": DataGate,
    "latency": LatencyGate,
    "size": SizeGate,
    "notebook": NotebookGate,
    "approval": ApprovalGate,
}
"""The model of each kind."""


def _check_gate_kind(value: Any) -> Any:  # Any: whatever the YAML holds; the union checks the rest
    return _check_kind(value, GATES)


def _check_table_gate_kind(value: Any) -> Any:  # Any: as above
    return _check_kind(value, TABLE_GATES)


def _check_kind(value: Any, kinds: Mapping[str, type[GateKeys]]) -> Any:  # Any: as above
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    if isinstance(kind, str) and kind in kinds:
        return value
    if kind is None:
        problem = f"`kind` is missing: {', '.join(kinds)}"
    elif isinstance(kind, str) and kind in GATES:
        problem = f"a gate of kind {kind!r} judges a model; a table's are {' and '.join(kinds)}"
    else:
        problem = f"unknown gate kind {str(kind)[:60]!r}: {suggest(str(kind), kinds)}"
    raise PydanticCustomError("gate", "{problem}", {"problem": problem})


DeclaredGate: TypeAlias = (
    BaselineGate
    | ThresholdGate
    | ChampionGate
    | HistoryGate
    | SliceGate
    | ProfileGate
    | SchemaGate
    | DataGate
    | LatencyGate
    | SizeGate
    | NotebookGate
    | ApprovalGate
)
"""Any gate of a model, as declared."""

Gate: TypeAlias = Annotated[
    Annotated[DeclaredGate, Field(discriminator="kind")], BeforeValidator(_check_gate_kind)
]

TableGate: TypeAlias = Annotated[
    Annotated[BaselineGate | ThresholdGate, Field(discriminator="kind")],
    BeforeValidator(_check_table_gate_kind),
]
"""A gate of a published table: it judges logged numbers alone."""
