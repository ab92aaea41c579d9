"""Lists of runs: the one query behind `rasen runs` and the control API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rasen.batch.platform_runs import Place, PlatformRun, open_runs
from rasen.batch.queries import open_index
from rasen.batch.when import parse_when
from rasen.errors import InvalidInput
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.index_queries import RunFilter, parse_metric
from rasen.tracking.index_rows import RunRow
from rasen.tracking.keys import RUN_REQUEST_PREFIX
from rasen.tracking.records import Verdict

STATES = (*(one.value for one in Verdict), "running")


@dataclass(frozen=True, kw_only=True)
class ListedRuns:
    """Runs that have begun, newest first, and those that wait, in the order in which they will begin.

    `next` is what `before` says for older ones, `None` when there are none.
    """

    runs: tuple[RunRow, ...]
    waiting: tuple[PlatformRun, ...]
    next: str | None


def run_filter(
    *,
    now: datetime,
    pipeline: str | None,
    verdict: str | None,
    since: str | None,
    until: str | None,
    search: str | None,
    metrics: Iterable[str],
    release: str | None,
    origin: str | None,
    trigger: str | None,
    before: str | None = None,
) -> RunFilter:
    """Return which runs somebody asks for, from what he typed.

    Raises:
        InvalidInput: Something of it is not usable; the message names the option.
    """
    if verdict is not None and verdict not in STATES:
        raise InvalidInput(f"--verdict {verdict!r} is none; choose from {', '.join(STATES)}")
    if origin not in {None, "release", "workspace"}:
        raise InvalidInput(f"--origin {origin!r} is none; choose from release, workspace")
    return RunFilter(
        pipeline=pipeline,
        verdict=verdict,
        release=release,
        origin=origin,
        trigger=trigger,
        since=parse_when("--since", since, now=now) if since is not None else None,
        until=parse_when("--until", until, now=now, end_of_day=True) if until is not None else None,
        metrics=tuple(parse_metric(one) for one in metrics),
        search=search,
        before=before,
    )


def list_runs(
    settings: Settings, wanted: RunFilter, *, limit: int, settled: set[Place] | None = None
) -> ListedRuns:
    """Return the newest runs that are asked for; those that wait only where nothing excludes them.

    Raises:
        InvalidInput: There is nothing to search for in the text.
    """
    index = open_index(settings)
    rows = index.runs(wanted, limit=limit)
    waiting: list[PlatformRun] = []
    if not (wanted.verdict or wanted.metrics or wanted.search or wanted.until or wanted.before):
        pipelines = [wanted.pipeline] if wanted.pipeline is not None else []
        waiting = [
            one
            for one in open_runs(
                open_store(settings),
                *pipelines,
                settled=set() if settled is None else settled,
                answered=lambda: index.answered_requests(RUN_REQUEST_PREFIX),
            )
            if one.place is not None
            and wanted.release in (None, one.release)
            and (wanted.since is None or one.at >= wanted.since)
            and (wanted.origin is None or (wanted.origin == "workspace") == one.release.startswith("dev-"))
            and (wanted.trigger is None or wanted.trigger.partition(":")[0] == "request")
        ]
    last = f"{rows[-1].pipeline}/{rows[-1].run}" if len(rows) == limit else None
    return ListedRuns(runs=tuple(rows), waiting=tuple(waiting), next=last)
