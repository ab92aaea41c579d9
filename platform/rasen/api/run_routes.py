"""Routes of runs: ask for one, list, look, follow, cancel, compare."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from rasen.api.bodies import CancelAnswer, LogAnswer, RunList, RunOrder, RunOrdered
from rasen.api.desk import Desk, answer, credential_of, known_of
from rasen.api.event_stream import EventStream
from rasen.api.orders import order_run
from rasen.api.refusals import Conflict
from rasen.api.run_outputs import read_lines, read_output
from rasen.api.run_watch import RunWatch
from rasen.batch.comparison import Comparison, compare_runs
from rasen.batch.platform_runs import ask_to_cancel, has_ended
from rasen.batch.run_lists import list_runs, run_filter
from rasen.batch.run_states import RunState, describe_run_state, locate_run
from rasen.errors import RasenError

RunId = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Za-z0-9_-]{1,80}$",
        description="id of the run, or enough of its beginning or of its last part",
    ),
]
StepName = Annotated[str, PathParameter(pattern=r"^[a-z_][a-z0-9_]{0,39}$", description="name of the step")]
_Text = Annotated[str | None, Query(max_length=200)]


def add_run_routes(routes: APIRouter, desk: Desk) -> None:
    """Add the routes of runs."""

    @routes.post("/runs", status_code=202, response_model=RunOrdered, tags=["runs"])
    def order(body: RunOrder, request: Request) -> RunOrdered:
        """Ask for a run of a registered pipeline or of a working copy; the platform starts it in its turn."""
        return order_run(desk, body, by=known_of(request).name)

    @routes.get("/runs", responses={200: {"model": RunList}}, tags=["runs"])
    def runs(  # noqa: PLR0917 - FastAPI passes them by name
        pipeline: _Text = None,
        verdict: Annotated[str | None, Query(max_length=40, description="such as failed, or running")] = None,
        since: Annotated[
            str | None,
            Query(max_length=40, description="2026-01-31, 2026-01-31T04:10Z, or back from now: 2h"),
        ] = None,
        until: Annotated[str | None, Query(max_length=40)] = None,
        search: Annotated[str | None, Query(max_length=400, description="words that all occur")] = None,
        metric: Annotated[
            list[str] | None, Query(max_length=20, description="conditions such as rmse<3")
        ] = None,
        release: _Text = None,
        origin: _Text = None,
        trigger: _Text = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        before: Annotated[str | None, Query(max_length=100, description="`next` of an answer")] = None,
    ) -> Response:
        """List runs, newest first; what is given is all met."""
        wanted = run_filter(
            now=datetime.now(tz=UTC),
            pipeline=pipeline,
            verdict=verdict,
            since=since,
            until=until,
            search=search,
            metrics=metric or (),
            release=release,
            origin=origin,
            trigger=trigger,
            before=before,
        )
        return answer(list_runs(desk.settings, wanted, limit=limit, settled=desk.settled))

    @routes.get("/runs/{run}", responses={200: {"model": RunState}}, tags=["runs"])
    def run(run: RunId) -> Response:
        """Tell everything that is known of a run, and where its steps are while it runs."""
        return answer(describe_run_state(desk.settings, run, settled=desk.settled))

    @routes.get(
        "/runs/{run}/events",
        response_class=Response,
        responses={
            200: {
                "description": "events `state`, `step`, `progress`, `log`, at last `verdict`; `reset` says that what "
                "follows begins anew",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
        tags=["runs"],
    )
    async def events(run: RunId, request: Request) -> Response:
        """Follow a run as server-sent events until its verdict; `Last-Event-ID` goes on where one was."""
        place = await asyncio.to_thread(locate_run, desk.settings, desk.store, run, settled=desk.settled)
        feed = desk.feeds.open(
            lambda: RunWatch(
                settings=desk.settings,
                store=desk.store,
                pipeline=place.pipeline,
                run=place.run,
                settled=desk.settled,
            ),
            pipeline=place.pipeline,
            run=place.run,
        )
        credential = credential_of(request)
        address = request.client.host if request.client else "?"

        async def may_stay() -> bool:
            try:
                await asyncio.to_thread(desk.door.identify, credential, address=address)
            except RasenError:
                return False
            return True

        return EventStream(feed, last_id=request.headers.get("last-event-id", ""), may_stay=may_stay)

    @routes.get("/runs/{run}/logs", response_model=LogAnswer, tags=["runs"])
    def logs(
        run: RunId,
        step: Annotated[str | None, Query(max_length=40)] = None,
        attempt: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 2_000,
    ) -> LogAnswer:
        """Return what the steps have printed, from a line on."""
        return read_lines(desk, run, step=step, attempt=attempt, offset=offset, limit=limit)

    @routes.get(
        "/runs/{run}/steps/{step}/notebook",
        response_class=Response,
        responses={200: {"content": {"application/x-ipynb+json": {"schema": {"type": "string"}}}}},
        tags=["runs"],
    )
    def notebook(run: RunId, step: StepName) -> Response:
        """Return the output notebook of a step, while it runs as far as it is."""
        name, data = read_output(desk, run, step)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, headers=headers, media_type="application/x-ipynb+json")

    @routes.post("/runs/{run}/cancel", status_code=202, response_model=CancelAnswer, tags=["runs"])
    def cancel(run: RunId, request: Request) -> CancelAnswer:
        """Ask for the end of a run, whether it waits or runs; the platform sees to it."""
        place = locate_run(desk.settings, desk.store, run, settled=desk.settled)
        if has_ended(desk.store, place.pipeline, place.run):
            raise Conflict(f"run {place.run!r} has ended already; nothing was cancelled")
        now, by = datetime.now(tz=UTC), known_of(request).name
        first = ask_to_cancel(desk.store, place.pipeline, place.run, by=by, now=now)
        return CancelAnswer(pipeline=place.pipeline, run=place.run, first=first)

    @routes.get("/runs/{run}/compare/{other}", responses={200: {"model": Comparison}}, tags=["runs"])
    def compare(run: RunId, other: RunId) -> Response:
        """Tell what differs between two runs of a pipeline."""
        return answer(compare_runs(desk.settings, run, other))
