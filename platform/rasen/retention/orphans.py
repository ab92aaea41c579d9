"""Objects that nobody refers to: what dead and late attempts left, half-made releases, old progress and old logs.

Only of runs that ended long ago, and never what people look at: claims, results, output notebooks and logs of every
attempt stay with their run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

from rasen.batch.runner_lock import is_worked_on
from rasen.retention.facts import RunFacts
from rasen.settings import Settings
from rasen.store import Stat, Store
from rasen.tracking.keys import LIVE_SWEEP_KEY, bundle_key, release_key, run_prefix
from rasen.tracking.results import newest_attempt

OrphanKind = Literal["attempt", "bundle", "live", "predictions", "scratch"]

_FOR_PEOPLE = frozenset({"claim.json", "result.json", "output.ipynb", "log.txt"})
_LIVE_KEPT = timedelta(days=1)
_SCRATCH_KEPT_SECONDS = 86_400.0
_SCRATCH = re.compile(
    r"(?P<rerun>rerun-)?(?P<pipeline>[a-z][a-z0-9_]{0,39})-(?P<run>\d{8}T\d{9}Z-[0-9a-f]{12})-"
    r"(?(rerun)(?P<process>\d+)|\w+-\d+)"
)
_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something that nobody refers to; `name` is an object's key, of `scratch` a path."""

    kind: OrphanKind
    name: str
    size_bytes: int
    reason: str


def find_orphans(
    settings: Settings,
    store: Store,
    staying: Iterable[RunFacts],
    objects: Mapping[str, Mapping[str, Sequence[Stat]]],
    *,
    now: datetime,
    young: timedelta,
) -> Iterator[Orphan]:
    """Yield what nobody refers to.

    Args:
        settings: Where scratch folders lie, and how long the prediction log is kept.
        store: The store of the settings.
        staying: The runs that are kept.
        objects: By pipeline and run, the objects of each run.
        now: What the store's clock says.
        young: What is younger stays.
    """
    kept = list(staying)
    elsewhere = frozenset(key for one in kept for key in one.files if not key.startswith(_prefix(one)))
    for one in kept:
        if one.ended and now - one.settled_at >= young:
            stats = objects.get(one.pipeline, {}).get(one.run, ())
            yield from _of_attempts(store, one, stats, elsewhere, now=now, young=young)
    yield from _bundles(store, now=now, young=young)
    for stat in store.list("live/"):
        if stat.key != LIVE_SWEEP_KEY and now - stat.updated_at >= _LIVE_KEPT:
            yield _orphan("live", stat, "progress of a step that is over, or was killed")
    yield from _predictions(settings, store, today=now.date())
    yield from _scratch(settings)


def _of_attempts(
    store: Store,
    facts: RunFacts,
    stats: Sequence[Stat],
    elsewhere: frozenset[str],
    *,
    now: datetime,
    young: timedelta,
) -> Iterator[Orphan]:
    named: set[str] = set(facts.files)
    if not facts.published:
        for step in store.children(run_prefix(facts.pipeline, facts.run)):
            attempt = newest_attempt(store, facts.pipeline, facts.run, step)
            if attempt is not None and attempt.result is not None:
                named |= {file.key for file in attempt.result.files}
    for stat in stats:
        if (
            stat.key not in named
            and stat.key not in elsewhere
            and stat.key.rpartition("/")[2] not in _FOR_PEOPLE
            and now - stat.updated_at >= young
        ):
            yield _orphan("attempt", stat, "of an attempt that died, came late, or did not count")


def _bundles(store: Store, *, now: datetime, young: timedelta) -> Iterator[Orphan]:
    for pipeline in store.children("releases/"):
        for release in store.children(f"releases/{pipeline}/"):
            stat = None if release == "current.json" else store.stat(bundle_key(pipeline, release))
            if stat is None or now - stat.updated_at < young:
                continue
            if store.stat(release_key(pipeline, release)) is None:
                yield _orphan("bundle", stat, "of a registration that was never finished")


def _predictions(settings: Settings, store: Store, *, today: date) -> Iterator[Orphan]:
    if not settings.keep_predictions_days:
        return
    oldest = today - timedelta(days=settings.keep_predictions_days)
    for endpoint in store.children("predictions/"):
        for folder in store.children(f"predictions/{endpoint}/"):
            day = _DAY.fullmatch(folder)
            if day is None or date.fromisoformat(day[1]) >= oldest:
                continue
            for stat in store.list(f"predictions/{endpoint}/{folder}/"):
                yield _orphan("predictions", stat, f"older than {settings.keep_predictions_days} days")


def _scratch(settings: Settings) -> Iterator[Orphan]:
    """Yield working folders of this machine that nobody works in any more; their age is by this machine's clock."""
    if not settings.scratch_dir.is_dir():
        return
    for folder in sorted(settings.scratch_dir.iterdir()):
        match = _SCRATCH.fullmatch(folder.name)
        if match is None or time.time() - folder.stat().st_mtime < _SCRATCH_KEPT_SECONDS:
            continue
        process = match["process"]  # a repetition has locks of its own, and its process in its name
        if process and Path("/proc", process).exists():
            continue
        if is_worked_on(settings, match["pipeline"], match["run"]):
            continue
        yield Orphan(
            kind="scratch", name=str(folder), size_bytes=_folder_bytes(folder), reason="its process is gone"
        )


def _folder_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _prefix(facts: RunFacts) -> str:
    return run_prefix(facts.pipeline, facts.run)


def _orphan(kind: OrphanKind, stat: Stat, reason: str) -> Orphan:
    return Orphan(kind=kind, name=stat.key, size_bytes=stat.size_bytes, reason=reason)
