"""What the gates of `pipeline.yaml` have in common: a name in the ledger, and for some a metric with its direction."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rasen.metric_directions import DIRECTIONS, Direction
from rasen.pipeline_keys import Keys
from rasen.pipeline_values import MetricName

MetricKind: TypeAlias = Literal["ml", "business"]
"""What a metric speaks of: how well a model predicts, or what its predictions are worth."""


class GateKeys(Keys):
    """A gate."""

    kind: str

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return self.kind

    @property
    def executes_champion(self) -> bool:
        """Whether it judges what `_qualify` got from the live version, and not from the candidate alone."""
        return False


class MetricGate(GateKeys):
    """A gate that judges one metric."""

    metric: MetricName = Field(description="name of a logged metric")
    metric_kind: MetricKind = Field(
        default="ml", description="ml, or business for what predictions are worth; told with the verdict"
    )

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return f"{self.kind} {self.metric}"

    @property
    def told(self) -> str:
        """The metric in words: a business metric is told from one of machine learning."""
        return f"business metric {self.metric}" if self.metric_kind == "business" else self.metric


class ComparingGate(MetricGate):
    """A gate that asks which of two values of a metric is better."""

    direction: Direction | None = Field(
        default=None, description="which way is better; known for rmse mae log_loss brier accuracy auc"
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
        return self
