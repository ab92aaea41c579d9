"""What the service says of its endpoints: the bodies of the routes that describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rasen_serving.live import Live, Versions


class View(BaseModel):
    """A body."""

    model_config = ConfigDict(frozen=True, protected_namespaces=(), populate_by_name=True)


class Health(View):
    """Whether the service is well."""

    ready: bool
    reason: str = Field(default="", description="why it is not")


class EndpointSummary(View):
    """One endpoint in the list."""

    endpoint: str
    live: bool = Field(description="whether it is in memory and answers at once")
    state: Literal["live", "asleep", "waiting"] = Field(
        description="`asleep` is loaded when it is asked for; `waiting` is why nothing can answer"
    )
    revision: int | None = Field(default=None, description="number of the ledger record that is live")
    model: str | None = Field(default=None, description="the run whose model answers")
    waiting: str = Field(default="", description="why nothing is live")
    predict: str = Field(description="path to POST to")


class EndpointList(View):
    """All endpoints."""

    endpoints: list[EndpointSummary]


class VariantView(View):
    """One version behind an endpoint."""

    model: str
    role: str
    weight: float = Field(description="its share of the requests; a shadow's answers are never returned")


class EndpointDetail(View):
    """Everything a client needs to know of an endpoint."""

    endpoint: str
    description: str
    revision: int
    model: str
    pipeline: str
    role: str
    variants: list[VariantView] = Field(description="all versions behind the endpoint, the champion first")
    major: int = Field(description="rises when old clients would break")
    schema_: dict[str, Any] = Field(alias="schema", description="the model's inputs and output")
    example: dict[str, Any] = Field(description="a request that works")
    example_predictions: list[Any] = Field(description="what it is answered")
    metrics: dict[str, float] = Field(description="what the run logged over all rows")
    trained_until: str | None
    published_at: str
    decided_at: str


def summarise(versions: Versions, *, may_ask: Callable[[str], bool]) -> EndpointList:
    """Return the list of those endpoints that the caller may ask, by name."""
    summaries = []
    for name in filter(may_ask, versions.names):
        live = versions.live.get(name)
        path = f"/endpoints/{name}/predict"
        if live is None:
            waiting = versions.waiting.get(name, "")
            state: Literal["asleep", "waiting"] = "asleep" if name in versions.asleep else "waiting"
            summaries.append(
                EndpointSummary(endpoint=name, live=False, state=state, waiting=waiting, predict=path)
            )
        else:
            revision = live.revision
            summaries.append(
                EndpointSummary(
                    endpoint=name,
                    live=True,
                    state="live",
                    revision=revision.number,
                    model=revision.champion.run,
                    predict=path,
                )
            )
    return EndpointList(endpoints=summaries)


def describe(live: Live) -> EndpointDetail:
    """Return what is known of the live revision of an endpoint."""
    revision, champion = live.revision, live.champion
    version = champion.loaded.version
    return EndpointDetail(
        endpoint=revision.endpoint,
        description=version.description,
        revision=revision.number,
        model=version.run,
        pipeline=version.pipeline,
        role=champion.role,
        variants=[
            VariantView(model=arm.loaded.version.run, role=arm.role, weight=arm.weight) for arm in live.arms
        ],
        major=version.major,
        schema_=champion.loaded.schema.to_dict(),
        example={"rows": champion.loaded.example_rows},
        example_predictions=champion.loaded.example_predictions,
        metrics=version.metrics,
        trained_until=version.trained_until,
        published_at=version.published_at,
        decided_at=revision.decided_at,
    )
