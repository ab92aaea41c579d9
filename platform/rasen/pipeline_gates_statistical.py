"""The gates of `pipeline.yaml` that draw a conclusion from rows or from past versions: champion, history, slice."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_gate_keys import ComparingGate
from rasen.pipeline_values import Duration, Factor, Line, Margin, Sigmas, parse_duration

Test: TypeAlias = Literal["paired_bootstrap", "mcnemar", "delong"]
Season: TypeAlias = Literal["weekday", "hour"]

_CONFIDENCE = (0.8, 0.995)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)%")


def _read_confidence(value: object) -> object:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(match[1]) / 100 if match is not None else value
    low, high = _CONFIDENCE
    if isinstance(share, bool) or not isinstance(share, int | float) or not low <= share <= high:
        raise PydanticCustomError(
            "confidence",
            "{text} is no confidence; write {low} to {high}, such as 95%, or a fraction such as 0.95",
            {"text": repr(value)[:40], "low": f"{low:.0%}", "high": f"{high:.1%}"},
        )
    return float(share)


Confidence = Annotated[
    float,
    BeforeValidator(_read_confidence),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": _CONFIDENCE[0], "maximum": _CONFIDENCE[1]},
                {"type": "string", "pattern": f"^{_PERCENT.pattern}$", "examples": ["95%"]},
            ]
        }
    ),
]


class _RowsGate(ComparingGate):
    """A gate that computes its metric again, from the held-out rows."""

    @model_validator(mode="after")
    def _is_computable(self) -> Self:
        if self.metric not in DIRECTIONS:
            raise PydanticCustomError(
                "metric",
                "metric {metric} cannot be computed again from rows; this gate knows {known}",
                {"metric": repr(self.metric), "known": " ".join(DIRECTIONS)},
            )
        return self


class ChampionGate(_RowsGate):
    """The model must not be worse than the live one on the same held-out rows, by more than a margin."""

    kind: Literal["champion"]
    test: Test | None = Field(
        default=None,
        description="paired_bootstrap, for accuracy also mcnemar, for auc delong; what the metric allows if absent",
    )
    margin: Margin = Field(
        default=0.0,
        description="by how much of the champion's value it may be worse and still count as equivalent",
    )
    confidence: Confidence = Field(default=0.95, description="of the two-sided interval of the difference")
    inconclusive: Literal["hold", "pass"] = Field(
        default="hold", description="the answer when the rows do not decide: hold for a person, or pass"
    )
    by: Line | None = Field(
        default=None,
        description="slice column; rows that share a value depend on one another and count as one",
    )
    block: Duration | None = Field(
        default=None,
        description="rows of one such span of time, as 1d, depend on one another and count as one",
    )

    @property
    def executes_champion(self) -> bool:
        """Whether it judges what `_qualify` got from the live version, and not from the candidate alone."""
        return True

    @property
    def chosen_test(self) -> Test:
        """The test, declared or by the metric."""
        return self.test or ("delong" if self.metric == "auc" else "paired_bootstrap")

    @property
    def block_seconds(self) -> float | None:
        """The length of a block of time."""
        return None if self.block is None else parse_duration(self.block).total_seconds()

    @model_validator(mode="after")
    def _test_fits(self) -> Self:
        fitting = {"auc": ["delong"], "accuracy": ["paired_bootstrap", "mcnemar"]}.get(
            self.metric, ["paired_bootstrap"]
        )
        if self.chosen_test not in fitting:
            raise PydanticCustomError(
                "test",
                "`test: {test}` does not compare {metric}; write `test: {fitting}`",
                {"test": self.chosen_test, "metric": self.metric, "fitting": "` or `test: ".join(fitting)},
            )
        if self.by is not None and self.block is not None:
            raise PydanticCustomError("test", "`by` and `block` both say which rows count as one; keep one")
        if self.test == "mcnemar" and (self.by is not None or self.block is not None):
            raise PydanticCustomError(
                "test",
                "`test: mcnemar` takes every row for independent; with `by` or `block` write `test: paired_bootstrap`",
            )
        return self


class HistoryGate(ComparingGate):
    """The metric must lie where those of the last versions that went live make one expect it."""

    kind: Literal["history"]
    within: Sigmas = Field(default=3.0, description="how far on the bad side of their mean, as 3 sigma")
    over: Annotated[int, Field(strict=True, ge=3, le=100)] = Field(
        default=20, description="how many of the last versions that went live are looked at"
    )
    season: Season | None = Field(
        default=None, description="compare only with versions of the same weekday or hour of the day, in UTC"
    )
    least: Annotated[int, Field(strict=True, ge=3, le=100)] = Field(
        default=5, description="with fewer versions than these nothing is said, and the gate passes"
    )
    flaps: Annotated[int, Field(strict=True, ge=2, le=9)] = Field(
        default=3, description="after so many changes of mind within ten versions the gate holds"
    )

    @model_validator(mode="after")
    def _has_enough(self) -> Self:
        if self.least > self.over:
            raise PydanticCustomError(
                "limits",
                "`least` {least} is more than `over` {over}: there could never be enough versions",
                {"least": self.least, "over": self.over},
            )
        return self


class SliceGate(_RowsGate):
    """No slice of the rows may be served much worse than all rows are, or than the live model serves it."""

    kind: Literal["slice"]
    by: Line = Field(description="slice column, one of those that rasen.publish was given as `slices`")
    worst: Factor = Field(
        default=1.5,
        description="how many times the error of all rows, or of the champion, a slice's error may be, as 1.5x",
    )
    against: Literal["overall", "champion"] = Field(
        default="overall", description="what a slice is compared with: all rows, or the champion on the slice"
    )
    least_rows: Annotated[int, Field(strict=True, ge=10)] = Field(
        default=50, description="slices with fewer rows are told, not judged"
    )
    confidence: Confidence = Field(
        default=0.95, description="that no slice is blocked by chance, for all slices together"
    )

    @property
    def label(self) -> str:
        """What its verdicts are called in the ledger."""
        return f"{self.kind} {self.metric} {self.by}"

    @property
    def executes_champion(self) -> bool:
        """Whether it judges what `_qualify` got from the live version, and not from the candidate alone."""
        return self.against == "champion"
