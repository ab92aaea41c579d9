"""A wish that a run should end: an object that anybody may create and the run's process looks for."""

from __future__ import annotations

from datetime import UTC, datetime

from rasen.errors import PreconditionFailed
from rasen.store import Store
from rasen.tracking.keys import request_key
from rasen.tracking.records import Request


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
    return request_key(pipeline, f"cancel-{run}")
