"""A run from the wish to the verdict: one answer for a run that waits, runs, has ended, or could never begin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from rasen.batch.cancellation import is_attended, is_cancel_requested
from rasen.batch.platform_runs import (
    Place,
    PlatformRun,
    find_platform_run,
    open_runs,
    read_run_request,
)
from rasen.batch.queries import StepDetails, describe_run, open_index, trusted_release
from rasen.batch.request_records import run_of_request
from rasen.errors import InvalidInput, NotFound, ObjectNotFound, RasenError
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.ids import check_run_id
from rasen.tracking.index_rows import DeploymentRow
from rasen.tracking.keys import RUN_REQUEST_PREFIX, end_key
from rasen.tracking.records import End, Start, Verdict


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Which run somebody means; `waiting` if it has not begun, `refused` if it could never begin."""

    pipeline: str
    run: str
    waiting: PlatformRun | None = None
    refused: End | None = None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything that is known of a run.

    Args:
        run: Its id.
        pipeline: Its pipeline.
        state: `waiting`, `running`, `cancelling`, or the verdict.
        place: How many are started before it and with it, while it waits: 1 is the next.
        attended: Whether somebody works on it, while it runs.
        release: What is run.
        commit: The commit of that release, or the one that a working copy was made from.
        changed: The files of a working copy that differ from the commit.
        by: Who asked for it, if it was asked of the platform.
        start: The record of its start, once it has begun.
        verdict: How it ended.
        error: Why it did not succeed.
        seconds: How long it took.
        steps: Its steps in the order of execution.
        decisions: What was decided about its model.
        kept_for: Who wants it kept.
        burial: That it was removed or is going to be.
    """

    run: str
    pipeline: str
    state: str
    place: int | None = None
    attended: bool | None = None
    release: str
    commit: str | None = None
    changed: tuple[str, ...] = ()
    by: str | None = None
    start: Start | None = None
    verdict: Verdict | None = None
    error: str | None = None
    seconds: float | None = None
    steps: tuple[StepDetails, ...] = ()
    decisions: tuple[DeploymentRow, ...] = ()
    kept_for: tuple[str, ...] = ()
    burial: str = ""


def locate_run(
    settings: Settings, store: Store, beginning: str, *, settled: set[Place] | None = None
) -> RunPlace:
    """Return the one run whose id begins, or whose last part begins, with `beginning`, also if it has not begun.

    Args:
        settings: Where everything lies.
        store: The store of the settings.
        beginning: As typed; `pipeline/` may stand before it.
        settled: Requests that need not be looked at any more; it is added to.

    Raises:
        NotFound: There is none, or more than one.
    """
    with suppress(NotFound):
        return _of_index(settings, beginning)
    runs = open_runs(
        store,
        settled=set() if settled is None else settled,
        answered=lambda: open_index(settings).answered_requests(RUN_REQUEST_PREFIX),
    )
    waiting = find_platform_run(runs, beginning)
    if waiting is not None and waiting.place is not None:
        return RunPlace(pipeline=waiting.pipeline, run=waiting.run, waiting=waiting)
    try:
        return _of_index(settings, beginning)  # it may have begun, and ended, between the two looks
    except NotFound:
        refused = _refused(store, beginning.rpartition("/")[2])
        if refused is None:
            raise
        return RunPlace(pipeline=refused.pipeline, run=refused.run, refused=refused)


def _of_index(settings: Settings, beginning: str) -> RunPlace:
    row = open_index(settings).find_run(beginning)
    return RunPlace(pipeline=row.pipeline, run=row.run)


def describe_run_state(settings: Settings, beginning: str, *, settled: set[Place] | None = None) -> RunState:
    """Return everything that is known of a run, also if it has not begun.

    Raises:
        NotFound: There is none, or more than one.
    """
    store = open_store(settings)
    place = locate_run(settings, store, beginning, settled=settled)
    if place.waiting is not None:
        return _of_waiting(place.waiting)
    if place.refused is not None:
        return _of_refused(store, place.refused)
    details = describe_run(settings, f"{place.pipeline}/{place.run}")
    start = details.start
    release = trusted_release(settings, store, start)
    running = details.verdict is None
    state = "running" if details.verdict is None else details.verdict.value
    if running and is_cancel_requested(store, place.pipeline, place.run):
        state = "cancelling"
    return RunState(
        run=place.run,
        pipeline=place.pipeline,
        state=state,
        attended=is_attended(settings, store, place.pipeline, place.run) if running else None,
        release=start.release,
        commit=(release.commit if release is not None else None) or start.base_commit,
        changed=tuple(start.changed),
        by=start.by,
        start=start,
        verdict=details.verdict,
        error=details.error,
        seconds=details.seconds,
        steps=details.steps,
        decisions=details.decisions,
        kept_for=details.kept_for,
        burial=details.burial,
    )


def _of_waiting(waiting: PlatformRun) -> RunState:
    return RunState(
        run=waiting.run,
        pipeline=waiting.pipeline,
        state="cancelling" if waiting.cancelling else "waiting",
        place=waiting.place,
        release=waiting.release,
        commit=waiting.base_commit,
        changed=waiting.changed,
        by=waiting.by,
    )


def _of_refused(store: Store, end: End) -> RunState:
    release, by = "", None
    for name in store.children(f"requests/{end.pipeline}/"):
        if not name.startswith(RUN_REQUEST_PREFIX):
            continue
        try:
            request = read_run_request(store, end.pipeline, name.removesuffix(".json"))
        except RasenError:
            continue
        if run_of_request(name.removesuffix(".json"), request) == end.run:
            release, by = request.release or "", request.by
            break
    return RunState(
        run=end.run,
        pipeline=end.pipeline,
        state=end.verdict.value,
        release=release,
        by=by,
        verdict=end.verdict,
        error=end.error,
        seconds=None,
    )


def _refused(store: Store, run: str) -> End | None:
    """Return the end of a run that has no start."""
    try:
        check_run_id(run)
    except InvalidInput:
        return None
    for pipeline in store.children("requests/"):
        key = end_key(pipeline, run)
        try:
            return End.from_bytes(store.read(key), source=key)
        except ObjectNotFound:
            continue
    return None
