"""The plan: every run with what becomes of it and why, and everything that nobody refers to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rasen.batch.inputs import newest_release_run
from rasen.retention.choice import choose_kept
from rasen.retention.facts import RunFacts, RunKey, list_facts, named_by_ledgers, store_now, undecided
from rasen.retention.orphans import Orphan, find_orphans
from rasen.settings import Settings
from rasen.store import Stat, Store
from rasen.tracking.pins import list_pinned, read_pins
from rasen.tracking.signature import TrustStore, load_trust
from rasen.tracking.tombstones import Buried, list_tombstones, read_tombstone

GRACE = timedelta(days=1)
"""How long a tombstone stands before the run's files go."""

RunFate = Literal["stays", "returns", "goes", "waits", "ready", "removed"]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What becomes of one run.

    Args:
        pipeline: Whose.
        run: Its id.
        fate: `stays`; `returns`: it has a tombstone and is needed after all; `goes`: gets a tombstone now; `waits`: has
            one; `ready`: has had one for long enough; `removed`: its files go, or are gone.
        reasons: Why, in words.
        size_bytes: Of its files.
        restorable: Whether `rasen restore` brings it back after the plan was carried out.
        buried: Its tombstone.
    """

    pipeline: str
    run: str
    fate: RunFate
    reasons: tuple[str, ...]
    size_bytes: int
    restorable: bool
    buried: Buried | None = None

    @property
    def key(self) -> RunKey:
        """Pipeline and run."""
        return self.pipeline, self.run


@dataclass(frozen=True, kw_only=True)
class PipelineSum:
    """The runs and bytes of a pipeline: what stays, and what goes now or after its day."""

    pipeline: str
    stays: int
    stays_bytes: int
    goes: int
    goes_bytes: int
    removed: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would become of everything, as of `at` by the store's clock."""

    at: datetime
    runs: tuple[RunPlan, ...]
    orphans: tuple[Orphan, ...]

    def of(self, *fates: RunFate) -> list[RunPlan]:
        """Return the runs with one of these fates."""
        return [one for one in self.runs if one.fate in fates]

    @property
    def pipelines(self) -> list[PipelineSum]:
        """Return the sums by pipeline."""
        by_pipeline: dict[str, list[RunPlan]] = defaultdict(list)
        for one in self.runs:
            by_pipeline[one.pipeline].append(one)
        return [
            PipelineSum(
                pipeline=pipeline,
                stays=len(stays := [one for one in runs if one.fate in ("stays", "returns")]),
                stays_bytes=sum(one.size_bytes for one in stays),
                goes=len(goes := [one for one in runs if one.fate in ("goes", "waits", "ready")]),
                goes_bytes=sum(one.size_bytes for one in goes),
                removed=sum(one.fate == "removed" for one in runs),
            )
            for pipeline, runs in sorted(by_pipeline.items())
        ]


def make_plan(settings: Settings, store: Store, *, now: datetime | None = None) -> Plan:
    """Look at everything and say what becomes of it; nothing is changed.

    Args:
        settings: How long things are kept.
        store: The store of the settings.
        now: What the store's clock says; it is asked by default.

    Raises:
        UnreadableRecord: A record that may name runs cannot be read.
        SignatureInvalid, KeyRefused: A tombstone cannot be trusted.
    """
    at = now or store_now(store)
    trust, environment = load_trust(settings), settings.environment
    buried = _read_tombstones(store, trust, environment)
    gone = {key for key, one in buried.items() if one.fate is not None and one.fate.fate == "removed"}
    facts = [one for one in list_facts(store) if one.key not in gone]
    young = timedelta(days=settings.keep_days)
    wanted = _wanted(settings, store, trust, facts, at=at, young=young)
    kept = choose_kept(facts, wanted, now=at, young=young)
    objects = {pipeline: _objects(store, pipeline) for pipeline in store.children("runs/")}
    runs = [
        _plan_run(one, kept.get(one.key), buried.get(one.key), objects.get(one.pipeline, {}), at=at)
        for one in facts
    ]
    runs += [
        RunPlan(
            pipeline=pipeline,
            run=run,
            fate="removed",
            reasons=("its files were removed; start, end and manifest stay",),
            size_bytes=_size(objects.get(pipeline, {}).get(run, ())),
            restorable=False,
            buried=buried[pipeline, run],
        )
        for pipeline, run in gone
    ]
    staying = [one for one in facts if one.key in kept]
    return Plan(
        at=at,
        runs=tuple(sorted(runs, key=lambda one: one.key)),
        orphans=tuple(find_orphans(settings, store, staying, objects, now=at, young=young)),
    )


def _plan_run(
    facts: RunFacts,
    kept: tuple[str, ...] | None,
    buried: Buried | None,
    objects: dict[str, list[Stat]],
    *,
    at: datetime,
) -> RunPlan:
    reasons: tuple[str, ...]
    fate: RunFate
    if buried is None:
        fate, reasons = (
            ("stays", kept) if kept is not None else ("goes", ("nothing that is kept refers to it",))
        )
    elif (
        kept is not None or buried.fate is not None
    ):  # the latter: taken back, and killed before the tombstone went
        fate, reasons = "returns", kept or ("its tombstone was taken back",)
    elif at - buried.at < GRACE:
        fate, reasons = "waits", (f"tombstone of {buried.at:%Y-%m-%d %H:%M} UTC: {buried.tombstone.reason}",)
    else:
        fate, reasons = "ready", (f"tombstone of {buried.at:%Y-%m-%d %H:%M} UTC: {buried.tombstone.reason}",)
    return RunPlan(
        pipeline=facts.pipeline,
        run=facts.run,
        fate=fate,
        reasons=reasons,
        size_bytes=_size(objects.get(facts.run, ())),
        restorable=facts.ended and kept is not None,
        buried=buried,
    )


def _wanted(
    settings: Settings,
    store: Store,
    trust: TrustStore,
    facts: Iterable[RunFacts],
    *,
    at: datetime,
    young: timedelta,
) -> dict[RunKey, list[str]]:
    """Return the runs that are kept for their own sake, besides the young ones."""
    wanted: dict[RunKey, list[str]] = defaultdict(list)
    for key, why in named_by_ledgers(store, states=settings.keep_states).items():
        wanted[key].append(why)
    for key in undecided(store, facts):
        wanted[key].append("no endpoint has decided about it yet")
    for pipeline, run in list_pinned(store):
        pins = read_pins(store, trust, pipeline, run, environment=settings.environment)
        wanted[pipeline, run] += pins.reasons
    for pipeline in store.children("manifests/"):
        newest = newest_release_run(store, trust, pipeline, environment=settings.environment)
        if newest is not None:
            wanted[pipeline, newest.run].append(
                "the newest good run: the next one's tables are compared with it"
            )
    for pipeline in store.children("tombstones/"):
        for stat in store.list(f"tombstones/{pipeline}/"):
            parts = stat.key.split("/")
            if len(parts) == 4 and at - stat.updated_at < young:  # a fate, and not that the run is gone
                wanted[pipeline, parts[2]].append(f"taken back on {stat.updated_at:%Y-%m-%d}")
    return {key: why for key, why in wanted.items() if why}


def _read_tombstones(store: Store, trust: TrustStore, environment: str) -> dict[RunKey, Buried]:
    found = {}
    for pipeline in store.children("tombstones/"):
        for run in list_tombstones(store, pipeline):
            buried = read_tombstone(store, trust, pipeline, run, environment=environment)
            if buried is not None:
                found[pipeline, run] = buried
    return found


def _objects(store: Store, pipeline: str) -> dict[str, list[Stat]]:
    """Return the objects of a pipeline's runs, by run."""
    found: dict[str, list[Stat]] = defaultdict(list)
    for stat in store.list(f"runs/{pipeline}/"):
        found[stat.key.split("/")[2]].append(stat)
    return dict(found)


def _size(stats: Iterable[Stat] | Sequence[Stat]) -> int:
    return sum(stat.size_bytes for stat in stats)
