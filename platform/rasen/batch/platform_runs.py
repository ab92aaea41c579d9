"""Runs that the platform starts because somebody asked for them: filed here, waiting in a row, started in their turn.

A request is create-only and names its run from the beginning, so whoever asked may follow the run before it begins, ask
again after a crash, and cancel it while it waits. `rasen up` works on them (`local/requested_runs.py`); a request
that cannot be run gets the record of an end without ever having had a start.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from filelock import Timeout

from rasen.batch.cancellation import is_cancel_requested, request_cancel
from rasen.batch.finish import Finished, finish_run
from rasen.batch.request_records import read_request, run_of_request
from rasen.batch.runner_lock import work_on
from rasen.batch.start import Started, later_than_all, start_run, type_request, write_request
from rasen.errors import InvalidInput, PreconditionFailed, RasenError, StoreError
from rasen.release import Release, read_release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import RUN_REQUEST_PREFIX, end_key, manifest_key, request_key, start_key
from rasen.tracking.records import End, Request, Verdict
from rasen.tracking.signature import load_trust
from rasen.versions import environment_digest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_CHANGED_MOST = 200
_READ_ONE_BY_ONE = 50  # requests; with more, an index is asked first which of them are settled
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.ASCII)

Place = tuple[str, str]
"""A request: its pipeline and its id."""


@dataclass(frozen=True, kw_only=True)
class PlatformRun:
    """A run that was asked for and has not ended.

    `place` counts from 1 among those that wait, and is `None` once the run has started. `cancelling` says that
    somebody wants it to end.
    """

    pipeline: str
    run: str
    request: str
    release: str
    at: datetime
    by: str
    parameters: dict[str, Any]  # Any: JSON
    deploy: bool
    base_commit: str | None
    changed: tuple[str, ...]
    place: int | None
    cancelling: bool


def file_run(
    store: Store,
    release: Release,
    *,
    given: Mapping[str, object],
    typed: Mapping[str, str],
    deploy: bool,
    request: str | None,
    by: str,
    now: datetime,
    base_commit: str | None = None,
    changed: Sequence[str] = (),
    settled: set[Place] | None = None,
) -> PlatformRun:
    """Write down that the platform shall run a release; the same name for the wish returns the first wish.

    Args:
        store: Where to.
        release: A release whose signature was checked.
        given: Values of parameters.
        typed: Texts as after `-p`; they win over `given`.
        deploy: Whether the model may go live.
        request: The caller's own name for the wish.
        by: Who wishes it.
        now: The wish's instant, aware.
        base_commit: Of a working copy: the commit that it was made from.
        changed: Of a working copy: the files that differ from that commit.
        settled: Requests that need not be looked at any more; it is added to.

    Raises:
        InvalidInput: A name or value is not usable; nothing was written.
    """
    if request is not None and not _NAME.fullmatch(request):
        raise InvalidInput(
            f"request name {request[:80]!r} is not usable: a letter or digit, then at most 63 of letters, digits, '_', "
            "'.' and '-'"
        )
    if base_commit is not None and not _COMMIT.fullmatch(base_commit):
        raise InvalidInput(f"base_commit {base_commit[:80]!r} is no commit: 7 to 64 hexadecimal digits")
    at = later_than_all(store, release.pipeline, now)
    record = Request(
        kind="run",
        parameters=type_request(release, given=given, typed=typed, at=at),
        deploy=deploy,
        at=at,
        by=by,
        release=release.release,
        base_commit=base_commit,
        changed=list(changed[:_CHANGED_MOST]),
    )
    name = RUN_REQUEST_PREFIX + (request or secrets.token_hex(6))
    record = write_request(store, release.pipeline, name, record)
    seen = set() if settled is None else settled
    for one in open_runs(store, release.pipeline, settled=seen, only=name):
        return one
    return _describe(store, (release.pipeline, name), record, number=None)  # asked again, and it has ended


def open_runs(
    store: Store,
    *pipelines: str,
    settled: set[Place],
    only: str | None = None,
    answered: Callable[[], set[Place]] | None = None,
) -> list[PlatformRun]:
    """Return the runs that were asked for and have not ended, in the order in which they were asked for.

    Args:
        store: Where the requests are.
        pipelines: Only these; all by default. Places are counted among all.
        settled: What need not be looked at any more; it is added to.
        only: Only the request of this id.
        answered: Asked, where there are many requests, for those that an index knows to be settled.
    """
    found: list[tuple[Place, Request, bool]] = []
    places_left = [
        place
        for pipeline in store.children("requests/")
        for key in store.children(f"requests/{pipeline}/")
        if key.startswith(RUN_REQUEST_PREFIX)
        and (place := (pipeline, key.removesuffix(".json"))) not in settled
    ]
    if answered is not None and len(places_left) > _READ_ONE_BY_ONE:
        settled |= answered()
    for place in places_left:
        if place in settled:
            continue
        try:
            request = read_run_request(store, *place)
        except StoreError:
            raise
        except RasenError:  # of a newer version perhaps, and then of its platform
            settled.add(place)
            continue
        run = run_of_request(place[1], request)
        if has_ended(store, place[0], run):
            settled.add(place)
        else:
            found.append((place, request, store.stat(start_key(place[0], run)) is not None))
    found.sort(key=lambda one: (one[1].at, one[0]))
    places = {place: number for number, place in enumerate((one[0] for one in found if not one[2]), start=1)}
    return [
        _describe(store, place, request, number=places.get(place))
        for place, request, _ in found
        if (not pipelines or place[0] in pipelines) and only in (None, place[1])
    ]


def find_platform_run(runs: Iterable[PlatformRun], beginning: str) -> PlatformRun | None:
    """Return the waiting run whose id begins, or whose last part begins, with `beginning`, `None` if not just one."""
    pipeline, slash, part = beginning.rpartition("/")
    fitting = [
        one
        for one in runs
        if part
        and (one.run.startswith(part) or one.run.rpartition("-")[2].startswith(part))
        and (not slash or one.pipeline == pipeline)
    ]
    return fitting[0] if len(fitting) == 1 else None


def read_run_request(store: Store, pipeline: str, name: str) -> Request:
    """Return a request for a run that the platform starts.

    Raises:
        NotFound: There is none of that name.
        InvalidInput: It asks for something else, or names no release.
    """
    request = read_request(store, pipeline, name)
    if request.kind != "run" or request.release is None:
        key = request_key(pipeline, name)
        raise InvalidInput(f"request {key!r} is of kind {request.kind!r} and release {request.release!r}")
    return request


def start_platform_run(settings: Settings, store: Store, pipeline: str, name: str) -> tuple[Release, Started]:
    """Start the run that a request asks for; starting it again finds the first start.

    Raises:
        InvalidInput: It cannot be run.
        TrustError: The release is not to be trusted.
    """
    request = read_run_request(store, pipeline, name)
    assert request.release is not None  # held by read_run_request
    release = read_release(
        store, load_trust(settings), pipeline, request.release, environment=settings.environment
    )
    started = start_run(
        store,
        release,
        environment=settings.environment,
        trigger=f"request:{name}",
        at=request.at,
        parameters=request.parameters,
        deploy=request.deploy,
        image=environment_digest(),
        request=request,
    )
    return release, started


def refuse_platform_run(store: Store, pipeline: str, name: str, reason: str) -> bool:
    """Record that a request cannot be run, unless its run has started; return whether this did."""
    run = run_of_request(name, read_run_request(store, pipeline, name))
    if store.stat(start_key(pipeline, run)) is not None:
        return False
    end = End(run=run, pipeline=pipeline, verdict=Verdict.FAILED, error=reason, ended_at=datetime.now(tz=UTC))
    with suppress(PreconditionFailed):
        store.write(end_key(pipeline, run), end.to_bytes(), if_generation=0)
    return True


def cancel_waiting(settings: Settings, store: Store, waiting: PlatformRun) -> Finished | None:
    """End a run before it has begun; `None` when somebody has begun to work on it, who will hear of the wish.

    Raises:
        InvalidInput: It could not have been run, either.
        TrustError: Its release is not to be trusted.
    """
    with suppress(Timeout), work_on(settings, waiting.pipeline, waiting.run, on_wait=None):
        if store.stat(start_key(waiting.pipeline, waiting.run)) is None:
            start_platform_run(settings, store, waiting.pipeline, RUN_REQUEST_PREFIX + waiting.request)
        return finish_run(settings, store, waiting.pipeline, waiting.run, cancelled=True)
    return None


def ask_to_cancel(store: Store, pipeline: str, run: str, *, by: str, now: datetime) -> bool:
    """File the wish that a run should end, waiting or not; return whether this call did, or an earlier one.

    Raises:
        InvalidInput: It has ended already.
    """
    if has_ended(store, pipeline, run):
        raise InvalidInput(f"run {run!r} has ended already; nothing was cancelled")
    return request_cancel(store, pipeline, run, by=by, now=now)


def has_ended(store: Store, pipeline: str, run: str) -> bool:
    """Return whether a run has a manifest or the record of an end; neither is believed here."""
    return any(store.stat(key(pipeline, run)) is not None for key in (end_key, manifest_key))


def _describe(store: Store, place: Place, request: Request, *, number: int | None) -> PlatformRun:
    pipeline, name = place
    run = run_of_request(name, request)
    return PlatformRun(
        pipeline=pipeline,
        run=run,
        request=name.removeprefix(RUN_REQUEST_PREFIX),
        release=request.release or "",
        at=request.at,
        by=request.by,
        parameters=request.parameters,
        deploy=request.deploy,
        base_commit=request.base_commit,
        changed=tuple(request.changed),
        place=number,
        cancelling=is_cancel_requested(store, pipeline, run),
    )
