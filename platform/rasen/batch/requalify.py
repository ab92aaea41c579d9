"""Qualifying a published version anew: a run that executes no notebook, only `_qualify`, on what another run published.

A comparison with the live version holds only while that is live. When it has changed before a version was decided, the
decider holds the version and files a request of kind `qualify`. What follows is a run with a manifest of its own, which
names the same model files and the very results that the first manifest was signed for.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime

from rasen.batch.request_records import read_request
from rasen.batch.start import Resumed, Started, later_than_all, read_start, scheduled_instant, start_run
from rasen.errors import DigestMismatch, InvalidInput, ObjectNotFound
from rasen.release import Release, read_release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_REQUEST_PREFIX, QUALIFY_STEP, request_key, tombstone_key
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Manifest, Request
from rasen.tracking.results import Attempt, newest_attempt
from rasen.tracking.signature import load_trust
from rasen.versions import environment_digest


def file_qualification(store: Store, pipeline: str, run: str, *, by: str, now: datetime) -> str:
    """Write down that a person wants a version to be qualified anew; return the request's id.

    The decider names its own requests (`deploy/requalification.py`). `at` is later than every start of the pipeline,
    so that the run will be the newest.
    """
    name = QUALIFY_REQUEST_PREFIX + secrets.token_hex(6)
    at = later_than_all(store, pipeline, now)
    request = Request(kind="qualify", run=run, at=at, by=by)
    store.write(request_key(pipeline, name), request.to_bytes(), if_generation=0)
    return name


def read_qualification(store: Store, pipeline: str, name: str) -> Request:
    """Return a request for a qualification.

    Raises:
        NotFound: There is none of that name.
        InvalidInput: It asks for something else, or names no run.
    """
    request = read_request(store, pipeline, name)
    if request.kind != "qualify" or request.run is None:
        key = request_key(pipeline, name)
        raise InvalidInput(
            f"request {key!r} is one of kind {request.kind!r} for run {request.run!r}; no 'qualify'"
        )
    return request


def start_qualification(
    settings: Settings, store: Store, pipeline: str, name: str
) -> tuple[Release, Started]:
    """Start the run that a request asks for; starting it again finds the first start.

    Raises:
        InvalidInput: The version is not there, has no model, or is going to be removed.
        TrustError: Something of it is not what was signed for.
    """
    request = read_qualification(store, pipeline, name)
    assert request.run is not None  # held by read_qualification
    release, manifest = _published(settings, store, pipeline, request.run)
    first = read_start(store, pipeline, request.run)
    if first.sha256 != manifest.start_sha256:
        raise DigestMismatch(
            f"the start of run {request.run!r} is not the one that its manifest was signed for"
        )
    steps = release.spec.steps
    reuses = {step: manifest.steps[step].reused_from or manifest.run for step in steps}
    check_same_results(
        manifest, {step: newest_attempt(store, pipeline, reuses[step], step) for step in steps}
    )
    resumed = Resumed(
        run=request.run,
        scheduled_at=scheduled_instant(first.start),
        reuses=reuses,
        qualifies=True,
        judged_at=request.endpoint,
    )
    started = start_run(
        store,
        release,
        environment=settings.environment,
        trigger=f"request:{name}",
        at=request.at,
        parameters=first.start.parameters,
        deploy=first.start.deploy and request.deploy,
        image=environment_digest(),
        resumed=resumed,
    )
    return release, started


def check_qualifiable(settings: Settings, store: Store, pipeline: str, run: str) -> None:
    """See that a run has published a version that can be qualified anew.

    Raises:
        InvalidInput: It has not, or is going to be removed.
        TrustError: What it published cannot be trusted.
    """
    _published(settings, store, pipeline, run)


def check_qualified(
    settings: Settings, store: Store, pipeline: str, run: str, attempts: Mapping[str, Attempt | None]
) -> None:
    """See that what a run takes over is what the manifest of the run that it qualifies was signed for.

    Raises:
        TrustError: It is not.
        ObjectNotFound: The manifest is gone.
    """
    trust = load_trust(settings)
    manifest = read_manifest(store, trust, pipeline, run, environment=settings.environment).manifest
    check_same_results(manifest, attempts)


def check_same_results(manifest: Manifest, attempts: Mapping[str, Attempt | None]) -> None:
    """Compare the results of steps, `_qualify` aside, with those that a verified manifest names.

    Raises:
        DigestMismatch: One is another, or gone.
    """
    for step, attempt in attempts.items():
        if step == QUALIFY_STEP:
            continue
        found = "" if attempt is None else attempt.sha256
        if step not in manifest.steps or found != manifest.steps[step].result_sha256:
            raise DigestMismatch(
                f"the result of step {step!r} is not the one that the manifest of run {manifest.run!r} names"
            )


def _published(settings: Settings, store: Store, pipeline: str, run: str) -> tuple[Release, Manifest]:
    trust = load_trust(settings)
    try:
        manifest = read_manifest(store, trust, pipeline, run, environment=settings.environment).manifest
    except ObjectNotFound:
        raise InvalidInput(
            f"run {run!r} of {pipeline!r} has published nothing; there is no version to qualify"
        ) from None
    if manifest.model is None:
        raise InvalidInput(f"run {run!r} of {pipeline!r} published no model; there is nothing to qualify")
    for named in {run, *(step.reused_from for step in manifest.steps.values() if step.reused_from)}:
        if store.stat(tombstone_key(pipeline, named)) is not None:
            raise InvalidInput(
                f"run {named!r} of {pipeline!r} is going to be removed; run the pipeline again"
            )
    release = read_release(store, trust, pipeline, manifest.release, environment=settings.environment)
    return release, manifest
