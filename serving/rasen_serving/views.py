"""What the service says of its endpoints: the bodies of the routes that describe."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rasen_serving.live import Loaded, Versions


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
    live: bool = Field(description="whether it answers")
    revision: int | None = Field(default=None, description="number of the ledger record that is live")
    model: str | None = Field(default=None, description="the run whose model answers")
    waiting: str = Field(default="", description="why nothing is live")
    predict: str = Field(description="path to POST to")


class EndpointList(View):
    """All endpoints."""

    endpoints: list[EndpointSummary]


class EndpointDetail(View):
    """Everything a client needs to know of an endpoint."""

    endpoint: str
    description: str
    revision: int
    model: str
    pipeline: str
    role: str
    major: int = Field(description="rises when old clients would break")
    schema_: dict[str, Any] = Field(alias="schema", description="the model's inputs and output")
    example: dict[str, Any] = Field(description="a request that works")
    example_predictions: list[Any] = Field(description="what it is answered")
    metrics: dict[str, float] = Field(description="what the run logged over all rows")
    trained_until: str | None
    published_at: str
    decided_at: str


def summarise(versions: Versions) -> EndpointList:
    """Return the list of endpoints, by name."""
    summaries = []
    for name in versions.names:
        loaded = versions.live.get(name)
        path = f"/endpoints/{name}/predict"
        if loaded is None:
            waiting = versions.waiting.get(name, "")
            summaries.append(EndpointSummary(endpoint=name, live=False, waiting=waiting, predict=path))
        else:
            revision = loaded.revision
            summaries.append(
                EndpointSummary(
                    endpoint=name, live=True, revision=revision.number, model=revision.run, predict=path
                )
            )
    return EndpointList(endpoints=summaries)


def describe(loaded: Loaded) -> EndpointDetail:
    """Return what is known of the live version of an endpoint."""
    revision = loaded.revision
    return EndpointDetail(
        endpoint=revision.endpoint,
        description=revision.description,
        revision=revision.number,
        model=revision.run,
        pipeline=revision.pipeline,
        role=revision.role,
        major=revision.major,
        schema_=loaded.schema.to_dict(),
        example={"rows": loaded.example_rows},
        example_predictions=loaded.example_predictions,
        metrics=revision.metrics,
        trained_until=revision.trained_until,
        published_at=revision.published_at,
        decided_at=revision.decided_at,
    )
