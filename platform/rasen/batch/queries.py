"""Questions about runs, asked alike by the command line and by every page that comes later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from rasen.batch.live import read_live
from rasen.batch.start import read_start, step_parameters
from rasen.errors import RasenError
from rasen.pipeline_graph import topological_order
from rasen.release import Release, read_release
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.index import Index, Rebuilt
from rasen.tracking.index_rows import DeploymentRow, RunRow
from rasen.tracking.keys import QUALIFY_STEP, run_prefix
from rasen.tracking.pins import read_pins
from rasen.tracking.records import LiveStep, Start, StepResult, Verdict
from rasen.tracking.results import Attempt, counted_attempt, read_attempts
from rasen.tracking.signature import load_trust
from rasen.tracking.tombstones import describe_burial


@dataclass(frozen=True, kw_only=True)
class ParameterDetails:
    """The value of a step's parameter, and the layer that it came from."""

    value: Any  # Any: JSON
    layer: str


@dataclass(frozen=True, kw_only=True)
class StepDetails:
    """One step of a run; `verdict` is `None` while it waits or runs.

    `attempt` and `result` are of the attempt that counts: the last of `attempts`, or that of the run `reused_from`.
    `live` is where the step is, while it runs.
    """

    step: str
    attempt: int | None
    verdict: Verdict | None
    result: StepResult | None
    attempts: tuple[Attempt, ...]
    reused_from: str | None
    live: LiveStep | None
    parameters: dict[str, ParameterDetails]


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """Everything that is known of a run.

    `kept_for` says who wants it kept, and `burial` that it was removed or is going to be.
    """

    run: str
    start: Start
    verdict: Verdict | None
    error: str | None
    seconds: float | None
    steps: tuple[StepDetails, ...]
    decisions: tuple[DeploymentRow, ...]
    kept_for: tuple[str, ...] = ()
    burial: str = ""


def open_index(settings: Settings) -> Index:
    """Return the index after it has caught up with the store.

    Raises:
        StoreUnavailable: The store is down, or another process is building the first index.
    """
    index = Index(settings.index_file)
    index.catch_up(open_store(settings), load_trust(settings), environment=settings.environment)
    return index


def rebuild_index(settings: Settings) -> Rebuilt:
    """Build the index anew from the whole store, and return what was found; not in a process with threads."""
    index = Index(settings.index_file, processes=os.cpu_count() or 1)
    return index.rebuild(open_store(settings), load_trust(settings), environment=settings.environment)


def find_run(settings: Settings, beginning: str) -> RunRow:
    """Return the one run whose id begins, or whose digest begins, with `beginning`.

    Raises:
        NotFound: There is none, or more than one.
    """
    return open_index(settings).find_run(beginning)


def describe_run(settings: Settings, beginning: str) -> RunDetails:
    """Return the run whose id begins, or whose digest begins, with `beginning`.

    Raises:
        NotFound: There is none, or more than one.
    """
    store = open_store(settings)
    index = open_index(settings)
    row = index.find_run(beginning)
    start = read_start(store, row.pipeline, row.run).start
    release = trusted_release(settings, store, start)
    parameters = _parameters(release, start)
    live = {} if row.verdict else {step.step: step for step in read_live(store, row.pipeline, row.run)}
    steps = []
    for name in steps_of(store, start, release):
        reused_from = start.reuses.get(name)
        attempts = attempts_of(store, start, name)
        last = attempts[-1] if attempts else None
        result = last.result if last else None
        verdict = result.verdict if result else (Verdict.SKIPPED if row.verdict and last is None else None)
        steps.append(
            StepDetails(
                step=name,
                attempt=last.number if last else None,
                verdict=verdict,
                result=result,
                attempts=tuple(attempts),
                reused_from=reused_from,
                live=live.get(name) if result is None else None,
                parameters=parameters.get(name, {}),
            )
        )
    pins = read_pins(store, load_trust(settings), row.pipeline, row.run, environment=settings.environment)
    return RunDetails(
        run=row.run,
        start=start,
        verdict=row.verdict,
        error=row.error,
        seconds=row.seconds,
        steps=tuple(steps),
        decisions=tuple(index.deployments(run=row.run, pipeline=row.pipeline, limit=None)),
        kept_for=tuple(pins.reasons),
        burial=describe_burial(store, row.pipeline, row.run),
    )


def trusted_release(settings: Settings, store: Store, start: Start) -> Release | None:
    """Return the release of a run, or `None` when it is gone or no longer trusted: the run can still be looked at."""
    try:
        return read_release(
            store, load_trust(settings), start.pipeline, start.release, environment=settings.environment
        )
    except RasenError:
        return None


def steps_of(store: Store, start: Start, release: Release | None) -> list[str]:
    """Return the steps of a run in the order of execution, the qualification last if it has begun."""
    begun = store.children(run_prefix(start.pipeline, start.run))
    names = list(topological_order(release.spec)) if release is not None else begun
    qualified = QUALIFY_STEP in begun or QUALIFY_STEP in start.reuses
    return [*(name for name in names if name != QUALIFY_STEP), *([QUALIFY_STEP] if qualified else [])]


def attempts_of(store: Store, start: Start, step: str) -> list[Attempt]:
    """Return all attempts of a step, of this run or of the one whose result it reuses, in order."""
    newest = counted_attempt(store, start, step)
    if newest is None:
        return []
    run = start.reuses.get(step, start.run)
    return read_attempts(store, start.pipeline, run, step, newest.number)


def _parameters(release: Release | None, start: Start) -> dict[str, dict[str, ParameterDetails]]:
    if release is None:
        return {}
    try:
        resolved = step_parameters(release, start)
    except RasenError:  # what was right when the run began is no longer understood
        return {}
    return {
        step: {
            name: ParameterDetails(value=value, layer=one.layers[name]) for name, value in one.values.items()
        }
        for step, one in resolved.items()
    }
