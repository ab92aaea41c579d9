"""A wish that a run should end: an object that anybody may create and the run's process looks for."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from filelock import Timeout

from rasen.batch.claims import is_alive, read_claim
from rasen.batch.finish import Finished, finish_run
from rasen.batch.runner_lock import is_worked_on, work_on
from rasen.errors import PreconditionFailed
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import CANCEL_PREFIX, request_key, run_prefix
from rasen.tracking.records import Request
from rasen.tracking.results import newest_attempt


def request_cancel(store: Store, pipeline: str, run: str, *, by: str, now: datetime) -> bool:
    """File the wish that a run should end; return whether this call did, or an earlier one."""
    record = Request(kind="cancel", run=run, at=now.astimezone(UTC), by=by)
    try:
        store.write(_key(pipeline, run), record.to_bytes(), if_generation=0)
    except PreconditionFailed:
        return False
    return True


def is_cancel_requested(store: Store, pipeline: str, run: str) -> bool:
    """Return whether somebody wants the run to end."""
    return store.stat(_key(pipeline, run)) is not None


def _key(pipeline: str, run: str) -> str:
    return request_key(pipeline, CANCEL_PREFIX + run)


def is_attended(settings: Settings, store: Store, pipeline: str, run: str) -> bool:
    """Return whether somebody works on a run: a runner of this machine, or a step, of another machine perhaps."""
    if is_worked_on(settings, pipeline, run):
        return True
    for step in store.children(run_prefix(pipeline, run)):
        attempt = newest_attempt(store, pipeline, run, step)
        if attempt is None or attempt.result is not None:
            continue
        claim = read_claim(store, pipeline, run, step, attempt.number)
        if claim is not None and is_alive(claim):
            return True
    return False


def finish_unattended(settings: Settings, store: Store, pipeline: str, run: str) -> Finished | None:
    """Bring a run that nobody works on to its end, as cancelled; `None` when somebody does by now."""
    with suppress(Timeout), work_on(settings, pipeline, run, on_wait=None):
        return finish_run(settings, store, pipeline, run, cancelled=True)
    return None
