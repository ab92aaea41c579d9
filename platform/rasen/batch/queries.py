"""Questions about runs, asked alike by the command line and by every page that comes later."""

from __future__ import annotations

from dataclasses import dataclass

from rasen.batch.start import read_start
from rasen.errors import RasenError
from rasen.pipeline_graph import topological_order
from rasen.release import read_release
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.index import DeploymentRow, Index
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import Start, StepResult, Verdict
from rasen.tracking.results import counted_attempt
from rasen.tracking.signature import load_trust


@dataclass(frozen=True, kw_only=True)
class StepDetails:
    """One step of a run; `verdict` is `None` while it waits or runs."""

    step: str
    attempt: int | None
    verdict: Verdict | None
    result: StepResult | None


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """Everything that is known of a run."""

    run: str
    start: Start
    verdict: Verdict | None
    error: str | None
    steps: tuple[StepDetails, ...]
    decisions: tuple[DeploymentRow, ...]


def open_index(settings: Settings) -> Index:
    """Return the index after it has caught up with the store."""
    index = Index(settings.index_file)
    index.catch_up(open_store(settings), load_trust(settings), environment=settings.environment)
    return index


def describe_run(settings: Settings, beginning: str) -> RunDetails:
    """Return the run whose id begins or ends with `beginning`.

    Raises:
        NotFound: There is none, or more than one.
    """
    store = open_store(settings)
    index = open_index(settings)
    row = index.find_run(beginning)
    start = read_start(store, row.pipeline, row.run).start
    try:
        release = read_release(
            store, load_trust(settings), row.pipeline, row.release, environment=settings.environment
        )
        names = list(topological_order(release.spec))
    except RasenError:  # a release that is no longer trusted can still be looked at
        names = store.children(f"runs/{row.pipeline}/{row.run}/")
    steps = []
    for name in dict.fromkeys([*names, QUALIFY_STEP]):
        attempt = counted_attempt(store, start, name)
        if name == QUALIFY_STEP and attempt is None:
            continue
        result = attempt.result if attempt else None
        verdict = result.verdict if result else (Verdict.SKIPPED if row.verdict and attempt is None else None)
        steps.append(
            StepDetails(
                step=name, attempt=attempt.number if attempt else None, verdict=verdict, result=result
            )
        )
    return RunDetails(
        run=row.run,
        start=start,
        verdict=row.verdict,
        error=row.error,
        steps=tuple(steps),
        decisions=tuple(one for one in index.deployments(limit=1000) if one.run == row.run),
    )
