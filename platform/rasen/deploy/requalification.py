"""Asking batch to qualify a version anew: the champion that it was compared with is not the champion any more.

The function executes no model, so it files a request, and the run that answers it is decided like any other. The name
of a request follows from the version and the champion: asking twice is asking once, and a run that was made for this
very champion and still was not compared with it is not asked for again.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from rasen.deploy.candidate import Candidate
from rasen.errors import PreconditionFailed
from rasen.store import Store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import QUALIFY_REQUEST_PREFIX, request_key
from rasen.tracking.records import Request


def requalification_of(candidate: Candidate, champion: str) -> str | None:
    """Return the id of the request to compare a version with a champion; `None` when its own run was that request's."""
    version = candidate.start.qualifies or candidate.run
    digest = hashlib.sha256(f"{version}\0{champion}".encode()).hexdigest()[:12]
    request = QUALIFY_REQUEST_PREFIX + digest
    return None if candidate.start.trigger == f"request:{request}" else request


def request_qualification(store: Store, candidate: Candidate, request: str, *, endpoint: str) -> None:
    """File the request to compare a version with what is live behind an endpoint, unless it lies there already.

    Raises:
        StoreUnavailable: The store is down; deciding again later is right.
    """
    newest = store.children(f"starts/{candidate.pipeline}/")
    at = datetime.now(tz=UTC)
    if newest:
        at = max(at, instant_of(newest[-1].removesuffix(".json")) + timedelta(milliseconds=1))
    version = candidate.start.qualifies or candidate.run
    invited = None if endpoint == candidate.release.spec.endpoint else endpoint
    record = Request(kind="qualify", run=version, endpoint=invited, at=at, by="decider")
    try:
        store.write(request_key(candidate.pipeline, request), record.to_bytes(), if_generation=0)
    except PreconditionFailed:
        return
