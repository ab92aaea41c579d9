"""Routes of what is registered and decided: pipelines, releases, deployments, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter

from rasen.api.bodies import DeploymentList, EndpointList, PipelineList, ReleaseList
from rasen.api.desk import Desk, answer
from rasen.batch.catalogue import (
    PipelineForm,
    describe_pipeline,
    list_pipelines,
    list_releases,
    read_release_file,
)
from rasen.batch.ledger_queries import describe_decision, describe_live, list_decisions
from rasen.batch.when import parse_when
from rasen.errors import NotFound
from rasen.tracking.ids import NAME_PATTERN

_Name = Annotated[str, PathParameter(pattern=NAME_PATTERN)]
_When = Annotated[str | None, Query(max_length=40)]


def add_record_routes(routes: APIRouter, desk: Desk) -> None:
    """Add the routes of what is registered and decided."""

    @routes.get("/pipelines", responses={200: {"model": PipelineList}}, tags=["releases"])
    def pipelines() -> Response:
        """List the registered pipelines with their current release."""
        return answer({"pipelines": list_pipelines(desk.settings, desk.store)})

    @routes.get("/pipelines/{name}", responses={200: {"model": PipelineForm}}, tags=["releases"])
    def pipeline(name: _Name) -> Response:
        """Tell a pipeline's current release, commit, steps and parameters, with types, defaults and comments."""
        return answer(describe_pipeline(desk.settings, desk.store, name, now=datetime.now(tz=UTC)))

    @routes.get("/releases", responses={200: {"model": ReleaseList}}, tags=["releases"])
    def releases(
        pipeline: Annotated[str | None, Query(max_length=40, description="all releases of this one")] = None,
    ) -> Response:
        """List the current release of every pipeline, or all releases of one."""
        return answer({"releases": list_releases(desk.store, pipeline)})

    @routes.get(
        "/releases/{pipeline}/{release}/files/{path:path}",
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
        },
        tags=["releases"],
    )
    def release_file(
        pipeline: _Name,
        release: Annotated[str, PathParameter(max_length=80)],
        path: Annotated[
            str, PathParameter(max_length=1_000, description="of the file in the pipeline's folder")
        ],
    ) -> Response:
        """Return a file of a release, its digest checked."""
        data = read_release_file(desk.settings, desk.store, pipeline, release, path)
        return Response(
            data, headers={"Content-Disposition": "attachment"}, media_type="application/octet-stream"
        )

    @routes.get("/deployments", responses={200: {"model": DeploymentList}}, tags=["deployments"])
    def deployments(
        endpoint: Annotated[str | None, Query(max_length=40)] = None,
        action: Annotated[str | None, Query(max_length=40)] = None,
        since: _When = None,
        until: _When = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 50,
    ) -> Response:
        """List what was decided about endpoints, and why, newest first."""
        now = datetime.now(tz=UTC)
        rows, problems = list_decisions(
            desk.settings,
            endpoint,
            action=action,
            since=parse_when("since", since, now=now) if since is not None else None,
            until=parse_when("until", until, now=now, end_of_day=True) if until is not None else None,
            limit=limit,
        )
        return answer({"deployments": rows, "problems": problems})

    @routes.get("/deployments/{endpoint}/{number}", tags=["deployments"])
    def deployment(endpoint: _Name, number: Annotated[int, PathParameter(ge=1, le=99_999_999)]) -> Response:
        """Tell everything that one record of a ledger says."""
        return answer(describe_decision(desk.settings, endpoint, number))

    @routes.get("/endpoints", responses={200: {"model": EndpointList}}, tags=["deployments"])
    def endpoints(at: _When = None) -> Response:
        """Tell what answers at each endpoint, since when and by whose decision; or what did at an instant."""
        return answer({"endpoints": describe_live(desk.settings, at=_instant(at))})

    @routes.get("/endpoints/{name}", tags=["deployments"])
    def endpoint(name: _Name, at: _When = None) -> Response:
        """Tell what answers at one endpoint."""
        found = describe_live(desk.settings, name, at=_instant(at))
        if not found:
            raise NotFound(f"nothing was decided about endpoint {name!r}")
        return answer(found[0])


def _instant(at: str | None) -> datetime | None:
    return parse_when("at", at, now=datetime.now(tz=UTC)) if at is not None else None
