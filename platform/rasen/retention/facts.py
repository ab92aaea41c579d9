"""What retention knows of each run: its age by the store's clock, whether it ended, and which other runs it names.

Signatures are not asked for here. What a forged record could say in this place only keeps more; what cannot be read at
all stops the whole collection, because nobody knows what it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rasen.errors import ObjectNotFound, PlatformFailed
from rasen.store import Stat, Store
from rasen.tracking.keys import LIVE_SWEEP_KEY, end_key, manifest_key, start_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import Manifest, Start

RunKey = tuple[str, str]
"""Pipeline and run."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """One run.

    Args:
        pipeline: Whose.
        run: Its id.
        ended: Whether it has a manifest or an end.
        settled_at: When the newest of its records was written, by the store's clock.
        names: The runs whose data it needs, each with why.
        champion: The run that its model was compared with.
        files: Keys of what its manifest names; empty without a manifest.
        published: Whether it has a manifest.
        candidate: Whether an endpoint may want to decide about its model.
    """

    pipeline: str
    run: str
    ended: bool
    settled_at: datetime
    names: Mapping[RunKey, str] = field(default_factory=dict)
    champion: str | None = None
    files: frozenset[str] = frozenset()
    published: bool = False
    candidate: bool = False

    @property
    def key(self) -> RunKey:
        """Pipeline and run."""
        return self.pipeline, self.run


def store_now(store: Store) -> datetime:
    """Return what the store's clock says: ages are told by one clock, that of the store."""
    store.write(LIVE_SWEEP_KEY, b"{}\n")
    stat = store.stat(LIVE_SWEEP_KEY)
    if stat is None:
        raise PlatformFailed(f"the store does not show {LIVE_SWEEP_KEY!r}, which was written just now")
    return stat.updated_at


def list_facts(store: Store) -> Iterator[RunFacts]:
    """Yield what is known of every run that was ever started.

    Raises:
        UnreadableRecord: A record is of a format that this version does not read.
    """
    for pipeline in store.children("starts/"):
        for stat in store.list(f"starts/{pipeline}/"):
            yield read_facts(store, pipeline, stat)


def read_facts(store: Store, pipeline: str, start_stat: Stat) -> RunFacts:
    """Return what is known of the run whose start is `start_stat`."""
    run = start_stat.key.rpartition("/")[2].removesuffix(".json")
    key = start_key(pipeline, run)
    start = Start.from_bytes(store.read(key), source=key)
    names: dict[RunKey, str] = {}
    if start.resumes:
        names[pipeline, start.resumes] = f"run {run} resumes it"
    for step, other in start.reuses.items():
        names[pipeline, other] = f"run {run} took over its step {step}"
    if start.qualifies:
        names[pipeline, start.qualifies] = f"run {run} qualifies its model again"
    ends = [stat for name in (manifest_key, end_key) if (stat := store.stat(name(pipeline, run))) is not None]
    manifest = _read_manifest(store, pipeline, run)
    champion = None
    files: frozenset[str] = frozenset()
    if manifest is not None:
        for step, published in manifest.steps.items():
            if published.reused_from:
                names[pipeline, published.reused_from] = f"run {run} took over its step {step}"
        model = manifest.model
        champion = model.qualification.champion if model is not None else None
        files = frozenset(
            file.key
            for file in [*manifest.files, *manifest.tables.values(), *(model.files.values() if model else ())]
        )
        for file in files:
            owner = owner_of(file)
            if owner is not None and owner != (pipeline, run):
                names.setdefault(owner, f"files of run {run} lie there")
    return RunFacts(
        pipeline=pipeline,
        run=run,
        ended=bool(ends),
        settled_at=max([start_stat.updated_at, *(stat.updated_at for stat in ends)]),
        names=names,
        champion=champion,
        files=files,
        published=manifest is not None,
        candidate=manifest is not None
        and manifest.model is not None
        and start.deploy
        and start.origin == "release",
    )


def named_by_ledgers(store: Store, *, states: int) -> dict[RunKey, str]:
    """Return the runs that ledgers could go back to, each with why.

    Args:
        store: Where the ledgers lie.
        states: How many different sets of variants count, from the present one back. Records that repeat what was
            answering before, such as refusals, do not use them up.

    Raises:
        UnreadableRecord: A ledger record is of a format that this version does not read.
    """
    found: dict[RunKey, str] = {}
    for endpoint in store.children("endpoints/"):
        prefix = f"endpoints/{endpoint}/deployments/"
        seen: list[list[RunKey]] = []
        for place, name in enumerate(reversed(store.children(prefix))):
            payload = store.read(prefix + name).partition(b"\n")[2]
            record = LedgerRecord.from_bytes(payload, source=prefix + name)
            held = record.state.held
            if place == 0 and held is not None:
                found[held.pipeline, held.run] = f"endpoint {endpoint} holds it"
            variants = sorted((variant.pipeline, variant.run) for variant in record.state.variants)
            if variants and (not seen or seen[-1] != variants):
                if len(seen) == states:
                    break
                seen.append(variants)
            when = "is live" if len(seen) == 1 else f"was live, record {record.number}"
            for key in variants:
                found.setdefault(key, f"endpoint {endpoint}: {when}")
    return found


def undecided(store: Store, facts: Iterable[RunFacts]) -> Iterator[RunKey]:
    """Yield the candidates that are newer than what the ledgers decided last: nobody has looked at them yet.

    Raises:
        UnreadableRecord: A ledger record is of a format that this version does not read.
    """
    decided: dict[str, str] = {}
    for endpoint in store.children("endpoints/"):
        prefix = f"endpoints/{endpoint}/deployments/"
        names = store.children(prefix)
        if not names:
            continue
        payload = store.read(prefix + names[-1]).partition(b"\n")[2]
        state = LedgerRecord.from_bytes(payload, source=prefix + names[-1]).state
        newest = dict(state.claims)
        if state.pipeline is not None and state.newest_run is not None:
            newest[state.pipeline] = state.newest_run
        for pipeline, run in newest.items():
            decided[pipeline] = min(run, decided.get(pipeline, run))
    for one in facts:
        if one.candidate and one.run > decided.get(one.pipeline, one.run):
            yield one.key


def owner_of(key: str) -> RunKey | None:
    """Return whose file a key under `runs/` is."""
    parts = key.split("/")
    return (parts[1], parts[2]) if parts[0] == "runs" and len(parts) > 3 else None


def _read_manifest(store: Store, pipeline: str, run: str) -> Manifest | None:
    key = manifest_key(pipeline, run)
    try:
        payload = store.read(key).partition(b"\n")[2]
    except ObjectNotFound:
        return None
    return Manifest.from_bytes(payload, source=key)
