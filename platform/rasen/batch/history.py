"""The history of a pipeline without a gap: commit, release, run, version and deployment, each joined with the next.

What leads nowhere is there too, and says why: a release that was never run, a run that failed, a version that nobody
decided about, a decision whose run cannot be read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from rasen.batch.queries import open_index
from rasen.errors import NotFound
from rasen.settings import Settings
from rasen.suggestion import suggest
from rasen.tracking.ids import check_name
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter
from rasen.tracking.index_rows import DeploymentRow, Problem, ReleaseRow, RunRow
from rasen.tracking.records import Verdict


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A run with all that it comes from and that came of it, or what has no run.

    Args:
        at: By what the entries are sorted: the instant of the run's id, or when the release was registered, or when
            it was decided.
        release_id: The release's id, `None` for a decision about the endpoint alone.
        release: Its record, `None` when that is gone or cannot be believed.
        run: The run, `None` for a release that was never run, and for a decision without one that can be read.
        decisions: What was decided about the run at every endpoint, oldest first.
        undecided: Why nothing was decided, `""` when something was.
    """

    at: datetime
    release_id: str | None
    release: ReleaseRow | None
    run: RunRow | None
    decisions: tuple[DeploymentRow, ...] = ()
    undecided: str = ""


@dataclass(frozen=True, kw_only=True)
class History:
    """The newest entries of a pipeline's history, newest first, and what of it cannot be read."""

    pipeline: str
    entries: tuple[HistoryEntry, ...]
    problems: tuple[Problem, ...]


def describe_history(
    settings: Settings, pipeline: str, *, since: datetime | None = None, limit: int = 20
) -> History:
    """Return the newest entries of a pipeline's history; those from `since` on, aware.

    Raises:
        NotFound: There is no release, no run and no decision of such a pipeline.
    """
    check_name("pipeline", pipeline)
    index = open_index(settings)
    releases = {release.release: release for release in index.releases(pipeline)}
    decisions = index.deployments(pipeline=pipeline, limit=None)[::-1]
    by_run: dict[str | None, list[DeploymentRow]] = defaultdict(list)
    for decision in decisions:
        by_run[decision.run].append(decision)
    newest = max((decision.run for decision in decisions if decision.run), default="")
    runs = index.runs(RunFilter(pipeline=pipeline, since=since), limit=limit)
    if not (runs or releases or decisions or index.runs(RunFilter(pipeline=pipeline), limit=1)):
        raise NotFound(f"pipeline {pipeline!r} has no history: {suggest(pipeline, index.pipelines())}")
    entries = [
        HistoryEntry(
            at=run.started_at,
            release_id=run.release,
            release=releases.get(run.release),
            run=run,
            decisions=tuple(by_run.get(run.run, ())),
            undecided="" if run.run in by_run else _why_undecided(run, newest),
        )
        for run in runs
    ]
    entries += [
        HistoryEntry(at=release.registered_at, release_id=release.release, release=release, run=None)
        for release in index.released_without_run(pipeline)
    ]
    entries += _without_run(index, pipeline, by_run)
    wanted = [entry for entry in entries if since is None or entry.at >= since]
    wanted.sort(key=lambda entry: entry.at, reverse=True)
    return History(
        pipeline=pipeline,
        entries=tuple(wanted[:limit]),
        problems=tuple(
            problem
            for folder in ("releases", "starts", "ends", "manifests")
            for problem in index.problems(f"{folder}/{pipeline}/")
        ),
    )


def _without_run(
    index: Index, pipeline: str, by_run: dict[str | None, list[DeploymentRow]]
) -> list[HistoryEntry]:
    """Return the decisions about endpoints as such, and about runs whose start cannot be read."""
    known = index.known_runs(pipeline, [run for run in by_run if run is not None])
    found = []
    for run, decisions in by_run.items():
        if run in known:
            continue
        groups = [[one] for one in decisions] if run is None else [decisions]
        found += [
            HistoryEntry(
                at=group[0].decided_at, release_id=None, release=None, run=None, decisions=tuple(group)
            )
            for group in groups
        ]
    return found


def _why_undecided(run: RunRow, newest_decided: str) -> str:
    """Return why there is no decision about a run."""
    if run.verdict is None:
        return "it has not ended"
    if run.verdict is not Verdict.SUCCEEDED:
        return f"it ended as {run.verdict}, so it published nothing"
    if run.qualifies is not None:
        return f"it qualified {run.qualifies}, which the decision is about"
    if not run.has_model:
        return "it published no model"
    if not run.deploy:
        return "it was started without deployment"
    if run.run < newest_decided:
        return f"superseded: {newest_decided} was decided before it was published"
    return "the deploy function has not decided yet"
