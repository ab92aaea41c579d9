"""`deploy:` of `pipeline.yaml`: under which name and conditions a model goes live, and how it gets there.

Gates say whether, `rollout` says how: at once when it is absent, which is right for an endpoint that nobody watches.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from rasen.pipeline_contract import Contract
from rasen.pipeline_gates import Gate
from rasen.pipeline_keys import Keys
from rasen.pipeline_values import (
    Duration,
    Latency,
    Margin,
    Memory,
    Name,
    Share,
    parse_duration,
    parse_latency,
    parse_memory,
)
from rasen.suggestion import suggest
from rasen.tracking.ledger_records import FallbackPolicy, FallbackReason, LogPolicy


class AbortOn(Keys):
    """What ends a rollout: the champion has all requests again."""

    error_rate: Margin | None = Field(
        default=0.01, description="the largest share of the candidate's requests that may fail, such as 1%"
    )
    p99_ms: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="the largest 99th percentile of its latency, in milliseconds"
    )


Requests: TypeAlias = Annotated[int, Field(strict=True, ge=1)]


class _Rollout(Keys):
    """What all rollouts have in common."""

    watch: Duration | None = Field(
        default=None, description="how long it lasts, at least: 7d; until somebody decides if absent"
    )
    requests: Requests | None = Field(
        default=None,
        description="how many requests the candidate must have answered before it is judged good; 100",
    )
    abort_on: AbortOn = Field(default=AbortOn(), description="what ends the rollout early")


class Canary(_Rollout):
    """The candidate gets more and more of the requests, and becomes the champion if nothing speaks against it."""

    kind: Literal["canary"]
    steps: tuple[Share, ...] = Field(
        min_length=1, description="the candidate's share at each step, rising: [5%, 25%, 100%]"
    )
    watch: Duration = Field(description="how long each step is watched, at least: 10m")

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        for one, following in pairwise(self.steps):
            if one >= following:
                raise PydanticCustomError(
                    "steps",
                    "`steps` must rise; {following} comes after {one}",
                    {"one": f"{one:.6g}", "following": f"{following:.6g}"},
                )
        return self


class AB(_Rollout):
    """The candidate gets a fixed share until somebody decides; who has a routing key stays with one version."""

    kind: Literal["ab"]
    share: Share = Field(default=0.5, description="the candidate's share of the requests")


class Shadow(_Rollout):
    """The candidate answers copies of the requests; nobody sees its answers, they are compared and logged."""

    kind: Literal["shadow"]
    share: Share = Field(default=1.0, description="the share of the requests that is copied to it")


class Bandit(_Rollout):
    """Each request goes to the version that its rewards so far make most likely the best (Thompson sampling)."""

    kind: Literal["bandit"]
    floor: Annotated[Share, Field(le=0.5)] = Field(
        default=0.05, description="the least share of the requests that each version keeps"
    )


_ROLLOUTS = ("canary", "ab", "shadow", "bandit")


def _check_rollout_kind(value: Any) -> Any:  # Any: whatever the YAML holds; the union checks the rest
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    if kind is None:
        problem = f"`kind` is missing: {', '.join(_ROLLOUTS)}"
    elif kind not in _ROLLOUTS:
        problem = f"unknown kind of rollout {str(kind)[:60]!r}: {suggest(str(kind), _ROLLOUTS)}"
    else:
        return value
    raise PydanticCustomError("rollout", "{problem}", {"problem": problem})


Rollout: TypeAlias = Annotated[
    Annotated[Canary | AB | Shadow | Bandit, Field(discriminator="kind")],
    BeforeValidator(_check_rollout_kind),
]


class Fallback(Keys):
    """When the published profile answers instead of the model."""

    on: tuple[FallbackReason, ...] | None = Field(
        default=None,
        min_length=1,
        description="error, timeout, nan, stale; if absent the first three, and stale if there is stale_after",
    )
    stale_after: Duration | None = Field(
        default=None, description="the age of the newest training row beyond which the model is not asked: 8d"
    )
    timeout: Latency | None = Field(
        default=None,
        description="how long the model may take for a request: 250ms, 2s; the server's limit if absent",
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.on is None:
            return self
        for reason, key, value in (
            ("stale", "stale_after", self.stale_after),
            ("timeout", "timeout", self.timeout),
        ):
            if value is not None and reason not in self.on:
                problem = f"`{key}` says when, but `on` does not name {reason!r}; add it, or remove `{key}`"
                raise PydanticCustomError("fallback", "{problem}", {"problem": problem})
        if "stale" in self.on and self.stale_after is None:
            problem = (
                "`on` names 'stale', but `stale_after` does not say how old is stale; add it, such as 8d"
            )
            raise PydanticCustomError("fallback", "{problem}", {"problem": problem})
        return self

    @property
    def policy(self) -> FallbackPolicy:
        """What serving is told."""
        known: tuple[FallbackReason, ...] = ("error", "timeout", "nan")
        on = self.on or (known if self.stale_after is None else (*known, "stale"))
        return FallbackPolicy(
            on=list(dict.fromkeys(on)),
            stale_after_seconds=None
            if self.stale_after is None
            else parse_duration(self.stale_after).total_seconds(),
            timeout_seconds=None if self.timeout is None else parse_latency(self.timeout),
        )


class Log(Keys):
    """What of the answers is logged."""

    sample: Share = Field(default=1.0, description="the share of the requests that is logged, such as 10%")
    exclude: tuple[Annotated[str, Field(strict=True, min_length=1)], ...] = Field(
        default=(), description="inputs that are never written down"
    )

    @property
    def policy(self) -> LogPolicy:
        """What serving is told."""
        return LogPolicy(sample=self.sample, exclude=list(dict.fromkeys(self.exclude)))


class Qualification(Keys):
    """What executing a model before its publication may take."""

    timeout: Duration = Field(
        default="10m",
        description="how long the model may take for all checks; a version that takes longer is refused",
    )
    memory: Memory | None = Field(
        default=None,
        description="the most memory it may take: 512Mi, 4Gi; three quarters of the machine's if absent",
    )

    @property
    def timeout_seconds(self) -> float:
        """How long the model may take, in seconds."""
        return parse_duration(self.timeout).total_seconds()

    @property
    def memory_bytes(self) -> int | None:
        """The most memory that it may take, in bytes."""
        return None if self.memory is None else parse_memory(self.memory)


class Deploy(Keys):
    """Under which name and conditions the published model goes live."""

    endpoint: Name | None = Field(
        default=None, description="the stable name that is called; the pipeline's if absent"
    )
    gates: tuple[Gate, ...] | None = Field(
        default=None,
        min_length=1,
        description="what a model must pass; if absent, it must beat each profile_<metric> that it logged "
        "and break no client of the live one",
    )
    qualification: Qualification = Field(
        default=Qualification(), description="what executing the model before its publication may take"
    )
    major: Annotated[int, Field(strict=True, ge=1)] = Field(
        default=1,
        description="the contract's major version; raised when clients of the live version would break",
    )
    contract: Contract | None = Field(
        default=None, description="what clients send and get; `rasen test` compares the model with it"
    )
    rollout: Rollout | None = Field(
        default=None, description="how a version that passed takes over; at once if absent"
    )
    challengers: tuple[Name, ...] = Field(
        default=(), description="other pipelines, whose models enter this endpoint as candidates"
    )
    fallback: Fallback = Field(
        default=Fallback(), description="when the profile answers instead of the model"
    )
    log: Log = Field(default=Log(), description="what of the answers is logged")

    @model_validator(mode="after")
    def _challengers_are_watched(self) -> Self:
        if self.challengers and self.rollout is None:
            problem = "models of other pipelines never go live at once; add a `rollout`, such as {kind: ab, share: 10%}"
            raise PydanticCustomError("challengers", "{problem}", {"problem": problem})
        return self
