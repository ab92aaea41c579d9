"""Runs: which ended without success, and which succeeded and so end what was wrong before.

Whether a run is over is said by one object, its end or its manifest, and both are created once. Development runs
(`--dev`) are somebody's working tree: he sits in front of it, and is told only if the operator wants that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from rasen.errors import RasenError, StoreUnavailable
from rasen.notify.changes import Change, Ended, Findings, Happened
from rasen.notify.folders import Doorbell, Folders
from rasen.notify.incidents import Incidents
from rasen.notify.run_story import Stories
from rasen.store import Store
from rasen.tracking.ids import check_name, check_run_id
from rasen.tracking.keys import end_key, manifest_key
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import End, Verdict

_log = logging.getLogger(__name__)


class RunWatch:
    """Looks at `ends/` and `manifests/`.

    Args:
        store: Where they are.
        doorbell: Says where it is worth looking.
        incidents: What was seen before.
        stories: Returns what tells of runs; asked each time, because keys may have changed.
        development: Returns whether development runs are told.
    """

    def __init__(
        self,
        store: Store,
        doorbell: Doorbell,
        incidents: Incidents,
        stories: Callable[[], Stories],
        *,
        development: Callable[[], bool],
    ) -> None:
        self._store = store
        self._incidents = incidents
        self._stories = stories
        self._development = development
        self._ends = Folders(store, doorbell, "ends")
        self._manifests = Folders(store, doorbell, "manifests")

    def begin(self) -> Findings:
        """Return all that is there as seen: it is older than the notifier, and nobody is told of it."""
        findings = Findings()
        for kind, folders in (("ends", self._ends), ("manifests", self._manifests)):
            for pipeline in folders.rang():
                runs = folders.objects(pipeline)
                findings.seen += [(f"{kind}/{pipeline}", run) for run in runs]
                if kind == "manifests" and runs:
                    findings.positions[_good(pipeline)] = max(runs)
        return findings

    def look(self) -> Findings:
        """Return what is new, a success before the failures of later runs."""
        findings = Findings()
        found: list[tuple[datetime, str, str, str]] = []
        for kind, folders in (("ends", self._ends), ("manifests", self._manifests)):
            for pipeline in folders.rang():
                seen = self._incidents.seen(f"{kind}/{pipeline}")
                for run in folders.objects(pipeline):
                    if run in seen:
                        continue
                    findings.seen.append((f"{kind}/{pipeline}", run))
                    key = (end_key if kind == "ends" else manifest_key)(pipeline, run)
                    stat = self._store.stat(key)
                    if stat is not None and _is_usable(pipeline, run):
                        found.append((stat.updated_at, kind, pipeline, run))
        for at, kind, pipeline, run in sorted(found):
            read = self._succeeded if kind == "manifests" else self._ended
            try:
                findings.changes += read(pipeline, run, at, findings)
            except StoreUnavailable:
                raise
            except RasenError as error:
                _log.warning("nothing is told of run %s of %s: %s", run, pipeline, error)
        return findings

    def _succeeded(self, pipeline: str, run: str, at: datetime, findings: Findings) -> Iterator[Change]:
        stories = self._stories()
        manifest = read_manifest(
            self._store, stories.trust, pipeline, run, environment=stories.environment
        ).manifest
        start = stories.read_start(pipeline, run)
        development = start is not None and start.origin == "workspace"
        why = f"run {run} of {manifest.release} succeeded"
        if development:
            yield Ended(key=f"development/{pipeline}/", at=at, why=why, mark=run)
            return
        findings.positions[_good(pipeline)] = max(run, self._last_good(pipeline, findings) or "")
        yield Ended(key=f"failure/{pipeline}/", at=at, why=why, mark=run)

    def _ended(self, pipeline: str, run: str, at: datetime, findings: Findings) -> Iterator[Change]:
        key = end_key(pipeline, run)
        end = End.from_bytes(self._store.read(key), source=key)
        if end.verdict in (Verdict.CANCELLED, Verdict.SUCCEEDED, Verdict.SKIPPED):
            return
        if (end.pipeline, end.run) != (pipeline, run):
            _log.warning("%r speaks of another run, %r of %r", key, end.run, end.pipeline)
            return
        stories = self._stories()
        start = stories.read_start(pipeline, run)
        development = start is not None and start.origin == "workspace"
        if development and not self._development():
            return
        good = self._last_good(pipeline, findings)
        overtaken = not development and good is not None and good > run
        yield Happened(
            key=f"{'development' if development else 'failure'}/{pipeline}/{end.step or ''}",
            at=at,
            describe=partial(stories.describe_failure, end, last_good=good),
            mark=run,
            over=f"run {good}, which is newer, has succeeded" if overtaken else "",
        )

    def _last_good(self, pipeline: str, findings: Findings) -> str | None:
        return findings.positions.get(_good(pipeline)) or self._incidents.position(_good(pipeline))


def _good(pipeline: str) -> str:
    return f"good/{pipeline}"


def _is_usable(pipeline: str, run: str) -> bool:
    """Say whether names of the store are those of a pipeline and a run, so that messages may repeat them."""
    try:
        check_name("pipeline", pipeline)
        check_run_id(run)
    except RasenError:
        return False
    return True
