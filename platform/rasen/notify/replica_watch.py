"""Replicas: what serving reports of fallbacks, quarantine, and revisions that it does not serve.

A report says how things are, so an incident lasts for as long as some replica that lives says so. Whether a replica
lives is seen with this process's own monotonic clock: its report changed within the last minute. What was there when
this process began counts only after it has changed once, because a replica that is gone leaves its last report behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from rasen.deploy.replicas import Replicas, Reported
from rasen.notify.changes import Change, Ended, Findings, Happened
from rasen.notify.message import Content
from rasen.notify.run_story import Stories
from rasen.pipeline_alerts import AlertKind, Alerts
from rasen.store import Store
from rasen.tracking.replica_report import EndpointReport

_DEAD_SECONDS = 60.0
_FLAPPING_SECONDS = 86_400.0
_LONGEST_QUIET = 64  # times the configured one


@dataclass(kw_only=True)
class _Seen:
    """A replica's report as it was seen last.

    Args:
        generation: Of the report.
        changed_at: When it had changed, monotonic; `None` when it has not since this process began.
        fallbacks: What it had counted, by endpoint, version and reason.
        started_at: Counts begin with the replica's start.
    """

    generation: int
    changed_at: float | None
    fallbacks: dict[tuple[str, str, str], int]
    started_at: datetime


@dataclass(kw_only=True)
class _Fallback:
    """An endpoint for which somebody else answered lately.

    Args:
        last: When, monotonic.
        began: When it began, monotonic.
        quiet: How many times the configured quiet it takes until it is over.
        over: It was said to be over.
    """

    last: float
    began: float
    quiet: int = 1
    over: bool = False


class ReplicaWatch:
    """Looks at `replicas/`.

    Args:
        store: Where they are.
        stories: Returns what tells of runs; asked each time, because keys may have changed.
        quiet_seconds: Returns how long a model must have answered by itself.
        open_keys: Returns the keys of open incidents that begin with a text.
        dead_seconds: A replica is gone when its report has not changed for so long.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        stories: Callable[[], Stories],
        *,
        quiet_seconds: Callable[[], float],
        open_keys: Callable[[str], list[str]],
        dead_seconds: float = _DEAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = Replicas(store)
        self._stories = stories
        self._quiet_seconds = quiet_seconds
        self._open_keys = open_keys
        self._dead_seconds = dead_seconds
        self._clock = clock
        self._began = clock()
        self._seen: dict[str, _Seen] | None = None
        self._fallbacks: dict[str, _Fallback] = {}
        self._present: set[str] = set()

    def look(self) -> Findings:
        """Return what has changed in what the living replicas say."""
        now = self._clock()
        reports = self._replicas.read()
        findings = Findings()
        for reported, counted in self._note(reports, now):
            findings.changes += self._fallen_back(reported, counted, now)
        living = [reported for reported in reports if self._lives(reported, now)]
        found = {change.key: change for reported in living for change in self._conditions(reported)}
        findings.changes += [change for key, change in found.items() if key not in self._present]
        settled = now - self._began > self._dead_seconds
        at = max((reported.updated_at for reported in reports), default=None)
        if at is not None and settled:
            open_keys = [
                key for prefix in ("distrust/", "quarantine/", "serving/") for key in self._open_keys(prefix)
            ]
            findings.changes += [
                Ended(key=key, at=at, why="no replica reports it any more")
                for key in open_keys
                if key not in found
            ]
        if at is not None:
            findings.changes += self._quiet(at, now, settled=settled)
        self._present = set(found)
        return findings

    def forget(self) -> None:
        """Take it that nothing was reported yet: what was found could not be kept."""
        self._present = set()

    def _note(
        self, reports: list[Reported], now: float
    ) -> Iterator[tuple[Reported, dict[tuple[str, str, str], int]]]:
        """Note what changed; yield each new report with what was answered by somebody else since the one before."""
        first = self._seen is None
        before, self._seen = self._seen or {}, {}
        for reported in reports:
            name, report = reported.report.replica, reported.report
            counts = {
                (endpoint, variant.run, reason): count
                for endpoint, found in report.endpoints.items()
                for variant in found.variants
                for reason, count in variant.fallbacks.items()
            }
            last = before.get(name)
            if last is not None and last.generation == reported.generation:
                self._seen[name] = last
                continue
            changed_at = None if first else now
            self._seen[name] = _Seen(
                generation=reported.generation,
                changed_at=changed_at,
                fallbacks=counts,
                started_at=report.started_at,
            )
            if first:
                continue
            known = last.fallbacks if last is not None and last.started_at == report.started_at else {}
            grown = {
                key: count - known.get(key, 0) for key, count in counts.items() if count > known.get(key, 0)
            }
            if grown:
                yield reported, grown

    def _lives(self, reported: Reported, now: float) -> bool:
        seen = (self._seen or {})[reported.report.replica]
        return seen.changed_at is not None and now - seen.changed_at <= self._dead_seconds

    def _fallen_back(
        self, reported: Reported, grown: dict[tuple[str, str, str], int], now: float
    ) -> Iterator[Change]:
        for endpoint in sorted({endpoint for endpoint, _, _ in grown}):
            state = self._fallbacks.get(endpoint)
            if state is None or now - state.began > _FLAPPING_SECONDS:
                state = self._fallbacks[endpoint] = _Fallback(last=now, began=now)
            elif state.over:
                # It comes and goes: each time it must be quiet for longer until it is said to be over.
                state.over, state.quiet = False, min(2 * state.quiet, _LONGEST_QUIET)
            state.last = now
            mine = {(run, reason): count for (name, run, reason), count in grown.items() if name == endpoint}
            run = max(mine, key=lambda key: mine[key])[0]
            reasons = ", ".join(f"{reason} {count}" for (_, reason), count in sorted(mine.items()))
            yield Happened(
                key=f"fallback/{endpoint}",
                at=reported.updated_at,
                describe=partial(
                    self._describe,
                    AlertKind.FALLBACK,
                    endpoint,
                    run,
                    f"{endpoint}: {_who(mine)} instead of version {run}",
                    {"answers by reason": reasons, "replica": reported.report.replica},
                ),
            )

    def _quiet(self, at: datetime, now: float, *, settled: bool) -> Iterator[Change]:
        quiet = self._quiet_seconds()
        for endpoint, state in self._fallbacks.items():
            if not state.over and now - state.last > quiet * state.quiet:
                state.over = True
                yield Ended(
                    key=f"fallback/{endpoint}",
                    at=at,
                    why=f"for {quiet * state.quiet / 60:.3g} minutes nobody had to answer instead of it",
                )
        if (
            settled and now - self._began > quiet
        ):  # what was open when this process began, and never came again
            for key in self._open_keys("fallback/"):
                if key.partition("/")[2] not in self._fallbacks:
                    yield Ended(key=key, at=at, why="nobody has to answer instead of it any more")

    def _conditions(self, reported: Reported) -> Iterator[Happened]:
        report = reported.report
        for endpoint, found in sorted(report.endpoints.items()):
            for run, reason in sorted(found.quarantined.items()):
                title = f"{endpoint}: version {run} is in quarantine"
                facts = {"reason": reason, "answers now": found.run or "nothing", "replica": report.replica}
                yield Happened(
                    key=f"quarantine/{endpoint}/{run}",
                    at=reported.updated_at,
                    describe=partial(self._describe, AlertKind.QUARANTINE, endpoint, run, title, facts),
                )
            if found.distrusted:
                title = f"{endpoint}: it answers on, but what answers is not believed any more"
                facts = {
                    "why": found.distrusted,
                    "answers now": found.run or "nothing",
                    "replica": report.replica,
                }
                yield Happened(
                    key=f"distrust/{endpoint}",
                    at=reported.updated_at,
                    describe=partial(
                        self._describe, AlertKind.TRUST, endpoint, found.run or "", title, facts
                    ),
                )
            yield from self._not_served(reported, endpoint, found)
        if report.stale:
            content = Content(
                kind=AlertKind.SERVING,
                title="serving cannot read the store or does not believe it, and stays with what it has",
                facts={"replica": report.replica},
            )
            yield Happened(key="serving/-", at=reported.updated_at, describe=lambda: (content, None))

    def _not_served(self, reported: Reported, endpoint: str, found: EndpointReport) -> Iterator[Happened]:
        known = set(found.quarantined.values())
        problems = {f"record {number}": why for number, why in found.refused.items() if why not in known}
        problems |= {f"version {run}": why for run, why in found.left_out.items() if why not in known}
        if problems:
            title = f"{endpoint}: serving does not serve {', '.join(sorted(problems))}"
            facts = problems | {"answers now": found.run or "nothing", "replica": reported.report.replica}
            yield Happened(
                key=f"serving/{endpoint}",
                at=reported.updated_at,
                describe=partial(
                    self._describe, AlertKind.SERVING, endpoint, next(iter(found.left_out), ""), title, facts
                ),
            )

    def _describe(
        self, kind: AlertKind, endpoint: str, run: str, title: str, facts: dict[str, str]
    ) -> tuple[Content, Alerts | None]:
        stories = self._stories()
        pipeline, owner, alerts = stories.of_endpoint(endpoint, run)
        content = Content(
            kind=kind,
            title=title,
            pipeline=pipeline,
            endpoint=endpoint,
            owner=owner,
            run=run,
            facts=facts,
            commands=[f"rasen deployments {endpoint}", *([f"rasen show {run}"] if run else [])],
            links=stories.links.of_endpoint(endpoint),
        )
        return content, alerts


def _who(counts: dict[tuple[str, str], int]) -> str:
    """Return who answers, by the reasons that were counted."""
    by_champion = {reason == "champion" for _, reason in counts}
    if by_champion == {True}:
        return "the champion answers"
    return "the profile answers" if by_champion == {False} else "the profile or the champion answers"
