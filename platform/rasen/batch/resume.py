"""Resuming: a new run that takes over from another the results that still hold, and runs the rest.

A notebook's state is gone with its kernel, so the unit is the step. Across runs that do not resume one another nothing
is ever reused: equal code over a changed warehouse is new work.
"""

from __future__ import annotations

from datetime import timedelta

from rasen.batch.finish import finish_run, read_finished
from rasen.batch.start import Resumed, Started, scheduled_instant, start_run
from rasen.errors import InvalidInput
from rasen.pipeline_graph import needed_by, topological_order
from rasen.pipeline_schema import Pipeline
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store
from rasen.suggestion import suggest
from rasen.tracking.ids import instant_of
from rasen.tracking.records import Start, Verdict
from rasen.tracking.results import counted_attempt
from rasen.tracking.tombstones import refuse_removed
from rasen.versions import environment_digest


def start_resumed(
    settings: Settings,
    store: Store,
    release: Release,
    resumed: Start,
    *,
    from_step: str | None,
    deploy: bool | None,
) -> Started:
    """Start the run that resumes `resumed`, with `release`; resuming it again the same way names the same run.

    Whoever calls this holds the lock of the resumed run, so it has ended, or its process is dead.

    Args:
        settings: Where everything lies.
        store: The store of the settings.
        release: What to run: the resumed run's own release, or another one of the pipeline.
        resumed: The run whose results are taken over.
        from_step: Run this step and all that follows again, whatever became of them.
        deploy: Whether the model may go live; as in the resumed run by default.

    Raises:
        InvalidInput: There is nothing to resume, a result that is needed is not there or is going to be removed, or
            the run was resumed before and in another way.
    """
    run = resumed.run
    for needed in {run, *resumed.reuses.values()}:
        refuse_removed(store, resumed.pipeline, needed)
    if release.pipeline != resumed.pipeline:
        raise InvalidInput(
            f"run {run!r} is one of pipeline {resumed.pipeline!r}, the release is one of {release.pipeline!r}"
        )
    finished = finish_run(
        settings, store, resumed.pipeline, run
    )  # a run whose process was killed has no end yet
    if finished.verdict is Verdict.SUCCEEDED and from_step is None:
        raise InvalidInput(
            f"run {run!r} succeeded: there is nothing to resume; `--from STEP` runs it again from a step on"
        )
    started = start_run(
        store,
        release,
        environment=settings.environment,
        trigger=f"resume:{run}",
        at=instant_of(run) + timedelta(milliseconds=1),
        parameters=resumed.parameters,
        deploy=resumed.deploy if deploy is None else deploy,
        image=environment_digest(),
        resumed=Resumed(
            run=run,
            scheduled_at=scheduled_instant(resumed),
            reuses=choose_reused(store, release.spec, resumed, from_step=from_step),
        ),
    )
    if not started.created:
        _refuse_other(settings, store, started.start, release, resumed, from_step=from_step)
    return started


def choose_reused(
    store: Store, pipeline: Pipeline, resumed: Start, *, from_step: str | None
) -> dict[str, str]:
    """Return the steps whose results are taken over, each with the run that it ran in.

    Those are the steps that succeeded and need none that is run again. With `from_step`, it and what follows it are
    run again.

    Raises:
        InvalidInput: `from_step` is no step, needs one that never succeeded, or nothing is left to run.
    """
    if from_step is not None and from_step not in pipeline.steps:
        raise InvalidInput(f"there is no step {from_step!r}: {suggest(from_step, pipeline.steps)}")
    again = {from_step, *needed_by(pipeline, from_step)} if from_step is not None else set()
    reuses: dict[str, str] = {}
    for step in topological_order(pipeline):
        attempt = counted_attempt(store, resumed, step)
        succeeded = (
            attempt is not None and attempt.result is not None and attempt.result.verdict is Verdict.SUCCEEDED
        )
        if succeeded and step not in again and all(need in reuses for need in pipeline.steps[step].needs):
            reuses[step] = resumed.reuses.get(step, resumed.run)
    if from_step is not None:
        missing = [
            step for step in pipeline.steps if step not in reuses and from_step in needed_by(pipeline, step)
        ]
        if missing:
            raise InvalidInput(
                f"step {from_step!r} needs {', '.join(missing)}, which did not succeed in run {resumed.run!r}; "
                f"start with --from {missing[0]}, or leave --from out"
            )
    return reuses


def _refuse_other(
    settings: Settings,
    store: Store,
    found: Start,
    release: Release,
    resumed: Start,
    *,
    from_step: str | None,
) -> None:
    """Refuse to take the run that a first call started for that of a second one which asks for something else."""
    finished = read_finished(settings, store, found.pipeline, found.run)
    if finished is not None:
        raise InvalidInput(
            f"run {resumed.run!r} was resumed before, as run {found.run!r}, which ended as {finished.verdict}; "
            f"resume that one"
        )
    if found.release != release.release or found.reuses != choose_reused(
        store, release.spec, resumed, from_step=from_step
    ):
        raise InvalidInput(
            f"run {resumed.run!r} was resumed before, in another way, as run {found.run!r}, which has not ended; "
            f"`rasen cancel {found.run}` ends it, then resume that one"
        )
