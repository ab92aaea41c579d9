"""Starting a run: the first of the three idempotent commands start, step, finish.

The same trigger names the same run, and the start record is create-only, so starting again finds the first start.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rasen.errors import InvalidInput, ObjectNotFound, PreconditionFailed
from rasen.parameter_explanation import Explained, explain_parameters
from rasen.parameters import Layer, Resolved, resolve_steps
from rasen.release import Release
from rasen.store import Store
from rasen.tracking.ids import instant_of, run_id
from rasen.tracking.keys import (
    CANCEL_PREFIX,
    QUALIFY_REQUEST_PREFIX,
    RUN_REQUEST_PREFIX,
    request_key,
    start_key,
)
from rasen.tracking.records import Request, Start


@dataclass(frozen=True, kw_only=True)
class Started:
    """A start record, its digest, and whether this call made it."""

    start: Start
    sha256: str
    created: bool


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What a run takes over from another: the instant that it was for, and the results of steps, each with its run.

    `qualifies` says that nothing else than the qualification is to be done again, `judged_at` for which endpoint if
    that is not the pipeline's own.
    """

    run: str
    scheduled_at: datetime
    reuses: Mapping[str, str]
    qualifies: bool = False
    judged_at: str | None = None


def scheduled_instant(start: Start) -> datetime:
    """Return the instant that `@scheduled` means in a run, aware."""
    return start.scheduled_at or instant_of(start.run)


def file_request(
    store: Store,
    pipeline: str,
    *,
    request: str | None,
    parameters: Mapping[str, Any],  # Any: JSON
    deploy: bool,
    by: str,
    now: datetime,
) -> tuple[str, Request]:
    """Write down that somebody wants a run; return the request's id and record.

    Filing one id again returns the first record, whatever the second says: that is how a caller that was killed finds
    its run again. `at` is later than every start of the pipeline, so that the run will be the newest.

    Raises:
        InvalidInput: The id is one of a wish of another kind.
    """
    name = request or secrets.token_hex(6)
    for prefix, wish in (
        (CANCEL_PREFIX, "to cancel a run"),
        (QUALIFY_REQUEST_PREFIX, "to qualify a version"),
        (RUN_REQUEST_PREFIX, "to the platform"),
    ):
        if name.startswith(prefix):
            raise InvalidInput(f"--request {name!r}: names that begin with {prefix!r} are wishes {wish}")
    at = later_than_all(store, pipeline, now)
    record = Request(kind="run", parameters=dict(parameters), deploy=deploy, at=at, by=by)
    return name, write_request(store, pipeline, name, record)


def write_request(store: Store, pipeline: str, name: str, record: Request) -> Request:
    """Write a request down and return it, or the one that is there under its name."""
    key = request_key(pipeline, name)
    try:
        store.write(key, record.to_bytes(), if_generation=0)
    except PreconditionFailed:
        return Request.from_bytes(store.read(key), source=key)
    return record


def later_than_all(store: Store, pipeline: str, now: datetime) -> datetime:
    """Return `now`, or an instant that is later than every start of the pipeline: the run shall be the newest."""
    newest = newest_run(store, pipeline)
    at = now.astimezone(UTC)
    return at if newest is None else max(at, instant_of(newest) + timedelta(milliseconds=1))


def newest_run(store: Store, pipeline: str) -> str | None:
    """Return the id of the pipeline's newest start, or `None`."""
    names = store.children(f"starts/{pipeline}/")
    return names[-1].removesuffix(".json") if names else None


def start_run(
    store: Store,
    release: Release,
    *,
    environment: str,
    trigger: str,
    at: datetime,
    parameters: Mapping[str, Any],  # Any: JSON
    deploy: bool,
    image: str,
    resumed: Resumed | None = None,
    sample: bool = False,
    request: Request | None = None,
) -> Started:
    """Record that a run of `release` begins; parameters are checked before anything is written.

    `sample` says that it is an interface test: on what the pipeline declares under `sample`. `request` is one that the
    platform answers: who filed it, and what working copy it is of, goes into the record.

    Raises:
        ParameterError: A parameter is unknown to every step, or its value is not of its type.
    """
    run = run_id(at, trigger)
    start = Start(
        run=run,
        pipeline=release.pipeline,
        release=release.release,
        origin=release.origin,
        environment=environment,
        nonce=secrets.token_hex(16),
        trigger=trigger,
        parameters=dict(parameters),
        deploy=deploy,
        image=image,
        sample=sample,
        scheduled_at=resumed.scheduled_at if resumed else None,
        resumes=resumed.run if resumed and not resumed.qualifies else None,
        qualifies=resumed.run if resumed and resumed.qualifies else None,
        judged_at=resumed.judged_at if resumed else None,
        reuses=dict(resumed.reuses) if resumed else {},
        by=request.by if request else None,
        base_commit=request.base_commit if request else None,
        changed=request.changed if request else [],
    )
    step_parameters(release, start)
    key = start_key(release.pipeline, run)
    data = start.to_bytes()
    try:
        store.write(key, data, if_generation=0)
    except PreconditionFailed:
        data = store.read(key)
        found = Start.from_bytes(data, source=key)
        return Started(start=found, sha256=hashlib.sha256(data).hexdigest(), created=False)
    return Started(start=start, sha256=hashlib.sha256(data).hexdigest(), created=True)


def type_request(
    release: Release, *, given: Mapping[str, object], typed: Mapping[str, str], at: datetime
) -> dict[str, Any]:  # Any: JSON
    """Return the parameters of a request from a YAML file's values and, above them, texts typed after `-p`.

    Raises:
        ParameterError: A name is unknown to every step, or a value is not of its type.
    """
    layers = [(Layer.YAML, given), (Layer.COMMAND_LINE, typed)]
    resolved = resolve_release(release, layers, at=at)
    return {
        name: one.values[name]
        for one in resolved.values()
        for name in one.values
        if name in given or name in typed
    }


def explain_request(
    release: Release, *, given: Mapping[str, object], typed: Mapping[str, str], at: datetime
) -> list[Explained]:
    """Return where each parameter's value would come from if this were asked for at `at`; starts nothing.

    Raises:
        ParameterError: A name is unknown to every step, or a value is not of its type.
    """
    return explain_parameters(
        release.parameters,
        pipeline=release.spec.parameters,
        own={name: step.parameters for name, step in release.spec.steps.items()},
        layers=[(Layer.YAML, given), (Layer.COMMAND_LINE, typed)],
        scheduled_at=at,
        timezone=UTC,
    )


def step_parameters(release: Release, start: Start) -> dict[str, Resolved]:
    """Return the parameters of every step of a run, with the layer that each value comes from.

    Raises:
        ParameterError: A name is unknown to every step, or a value is not of its type.
    """
    layers: list[tuple[str, Mapping[str, object]]] = [(Layer.REQUEST, start.parameters)]
    if start.sample and release.spec.sample is not None:
        layers.insert(0, (Layer.SAMPLE, release.spec.sample.parameters))
    return resolve_release(release, layers, at=scheduled_instant(start))


def resolve_release(
    release: Release, layers: Sequence[tuple[str, Mapping[str, object]]], *, at: datetime
) -> dict[str, Resolved]:
    """Return the parameters of every step with what the layers, lowest first, say for a run of the instant `at`.

    Raises:
        ParameterError: A name is unknown to every step, or a value is not of its type.
    """
    return resolve_steps(
        release.parameters,
        pipeline=release.spec.parameters,
        own={name: step.parameters for name, step in release.spec.steps.items()},
        layers=layers,
        scheduled_at=at,
        timezone=UTC,
    )


def read_start(store: Store, pipeline: str, run: str) -> Started:
    """Return a run's start record.

    Raises:
        ObjectNotFound: No such run was started.
    """
    key = start_key(pipeline, run)
    try:
        data = store.read(key)
    except ObjectNotFound:
        raise ObjectNotFound(f"pipeline {pipeline!r} has no run {run!r}; `rasen runs` lists them") from None
    return Started(
        start=Start.from_bytes(data, source=key), sha256=hashlib.sha256(data).hexdigest(), created=False
    )
