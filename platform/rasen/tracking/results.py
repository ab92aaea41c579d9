"""Results of steps: which attempt counts, and what it wrote.

The result that counts is that of the highest attempt that was claimed: a dead claim is followed by the next attempt,
and what a late first attempt still writes is ignored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rasen.errors import DigestMismatch, ObjectNotFound
from rasen.store import Store
from rasen.tracking.keys import result_key, run_prefix
from rasen.tracking.records import Manifest, Start, StepResult


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The attempt of a step that counts; `result` is `None` while it runs or when it died."""

    number: int
    result: StepResult | None
    sha256: str


def newest_attempt(store: Store, pipeline: str, run: str, step: str) -> Attempt | None:
    """Return the attempt of a step that counts, or `None` when none has begun."""
    numbers = [
        int(name) for name in store.children(f"{run_prefix(pipeline, run)}{step}/") if name.isdecimal()
    ]
    if not numbers:
        return None
    return _read_attempt(store, pipeline, run, step, max(numbers))


def _read_attempt(store: Store, pipeline: str, run: str, step: str, number: int) -> Attempt:
    key = result_key(pipeline, run, step, number)
    try:
        data = store.read(key)
    except ObjectNotFound:
        return Attempt(number=number, result=None, sha256="")
    return Attempt(
        number=number, result=StepResult.from_bytes(data, source=key), sha256=hashlib.sha256(data).hexdigest()
    )


def read_attempts(store: Store, pipeline: str, run: str, step: str, newest: int) -> list[Attempt]:
    """Return the attempts of a step up to number `newest`, in order; one that left no result has none."""
    return [_read_attempt(store, pipeline, run, step, number) for number in range(1, newest + 1)]


def counted_attempt(store: Store, start: Start, step: str) -> Attempt | None:
    """Return the attempt of a step that counts for a run: of this run, or of the one whose result it reuses."""
    return newest_attempt(store, start.pipeline, start.reuses.get(step, start.run), step)


def read_published_result(store: Store, manifest: Manifest, step: str) -> StepResult:
    """Return the result of a step that a verified manifest names.

    Raises:
        DigestMismatch: The bytes are not those that the manifest was signed for.
        ObjectNotFound: They are gone.
    """
    published = manifest.steps[step]
    run = published.reused_from or manifest.run
    key = result_key(manifest.pipeline, run, step, published.attempt)
    data = store.read(key)
    if hashlib.sha256(data).hexdigest() != published.result_sha256:
        raise DigestMismatch(f"result {key!r} is not the one that the manifest of run {manifest.run!r} names")
    return StepResult.from_bytes(data, source=key)
