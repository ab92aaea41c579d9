"""Carrying a plan out: prove that what stays can be restored, then tombstones, and a day later the files.

Whatever happened between the plan that a person saw and the removal wins: all is looked at again, and only what both
looks call removable is touched. Killed at any line, the next call goes on from what the store says.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rasen.batch.restore import restore_artifacts
from rasen.batch.run_artifacts import read_artifacts
from rasen.errors import InvalidInput, ObjectNotFound, PlatformFailed, PreconditionFailed, RasenError
from rasen.retention.orphans import Orphan
from rasen.retention.plan import Plan, RunPlan, make_plan
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import release_key, run_prefix
from rasen.tracking.signature import Role, Signer, load_trust, open_signer
from rasen.tracking.tombstones import decide_fate, read_tombstone, take_back, write_tombstone

DEFAULT_PROOFS = 3


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a collection did: runs by their ids, and the bytes that are free now."""

    proved: tuple[str, ...]
    buried: tuple[str, ...]
    returned: tuple[str, ...]
    removed: tuple[str, ...]
    orphans: int
    freed_bytes: int


Observer = Callable[[str], None]
"""Told in a few words what is being done."""


def collect(
    settings: Settings,
    store: Store,
    shown: Plan,
    *,
    by: str,
    proofs: int = DEFAULT_PROOFS,
    now: datetime | None = None,
    observe: Observer = lambda _: None,
) -> Collected:
    """Carry out what the plan that was shown and one made now have in common.

    Args:
        settings: Where everything lies, and how long things are kept.
        store: The store of the settings.
        shown: What somebody has agreed to.
        by: Who.
        proofs: How many of the runs that stay are restored first, to prove that they can be.
        now: What the store's clock says; it is asked by default.
        observe: Told what is being done.

    Raises:
        InvalidInput: Another collection is at work on this machine.
        PlatformFailed: A run that should stay cannot be restored; nothing was removed.
        TrustError: A tombstone cannot be trusted; nothing was removed.
    """
    (settings.home / "locks").mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.home / "locks" / "gc.lock", timeout=0):
            plan = make_plan(settings, store, now=now)
            proved = prove(settings, store, plan, proofs, observe=observe)
            return _carry_out(settings, store, shown, plan, proved, by=by, now=now, observe=observe)
    except Timeout:
        raise InvalidInput("another `rasen gc` is at work on this machine; wait for it") from None


def prove(
    settings: Settings, store: Store, plan: Plan, proofs: int, *, observe: Observer = lambda _: None
) -> tuple[str, ...]:
    """Restore a random sample of what stays to a temporary folder, and return which runs.

    Raises:
        PlatformFailed: One of them cannot be restored; the message says which and why.
    """
    candidates = [one for one in plan.of("stays") if one.restorable]
    sample = random.sample(candidates, min(proofs, len(candidates)))
    for one in sample:
        observe(f"restoring run {one.run} of {one.pipeline} to prove that it can be")
        try:
            with tempfile.TemporaryDirectory(prefix="rasen-proof-") as folder:
                artifacts = read_artifacts(settings, store, one.pipeline, one.run)
                restore_artifacts(store, artifacts, Path(folder) / one.run)
        except RasenError as error:
            raise PlatformFailed(
                f"run {one.run!r} of {one.pipeline!r} stays, but cannot be restored: {error}. Nothing was removed; "
                "`--prove 0` goes on without this proof"
            ) from error
    return tuple(one.run for one in sample)


def _carry_out(
    settings: Settings,
    store: Store,
    shown: Plan,
    plan: Plan,
    proved: tuple[str, ...],
    *,
    by: str,
    now: datetime | None,
    observe: Observer,
) -> Collected:
    signer = open_signer(settings, Role.CONTROL)
    agreed = {one.key for one in shown.of("goes", "ready", "removed")}
    buried = [
        one.key
        for one in plan.of("goes")
        if one.key in agreed
        and write_tombstone(store, signer, pipeline=one.pipeline, run=one.run, reason=one.reasons[0], by=by)
    ]
    # What was referred to while the tombstones were being written wins over them.
    again = make_plan(settings, store, now=now) if buried or plan.of("returns", "ready") else plan
    returned = [
        one.key
        for one in again.of("returns")
        if one.buried is not None
        and take_back(store, signer, one.buried, reason="; ".join(one.reasons), by=by)
    ]
    removed, freed = [], 0
    for one in [one for one in again.of("ready", "removed") if one.key in agreed]:
        if one.fate == "ready" and not _seal(store, signer, one, by=by):
            continue
        if one.fate == "removed" and not one.size_bytes:
            continue
        observe(f"removing run {one.run} of {one.pipeline}")
        freed += _delete_below(store, run_prefix(one.pipeline, one.run))
        removed.append(one.run)
    known = {orphan.name for orphan in shown.orphans}
    orphans = [orphan for orphan in plan.orphans if orphan.name in known]
    for orphan in orphans:
        freed += _delete_orphan(store, orphan)
    return Collected(
        proved=proved,
        buried=tuple(key[1] for key in buried if key not in returned),
        returned=tuple(key[1] for key in returned if key not in buried),
        removed=tuple(removed),
        orphans=len(orphans),
        freed_bytes=freed,
    )


def undo(
    settings: Settings, store: Store, pipeline: str, run: str, *, by: str, reason: str = "asked for"
) -> None:
    """Take a run's tombstone back; it then stays for as long as a run that is new.

    Raises:
        InvalidInput: It has none, or its files are being removed already.
    """
    buried = read_tombstone(store, load_trust(settings), pipeline, run, environment=settings.environment)
    if buried is None:
        raise InvalidInput(f"run {run!r} of {pipeline!r} has no tombstone, so there is nothing to take back")
    if not take_back(store, open_signer(settings, Role.CONTROL), buried, reason=reason, by=by):
        raise InvalidInput(
            f"run {run!r} of {pipeline!r} was removed; its start, end and manifest are kept, its files are gone"
        )


def _seal(store: Store, signer: Signer, one: RunPlan, *, by: str) -> bool:
    assert one.buried is not None  # `ready` is a run with a tombstone
    return decide_fate(store, signer, one.buried, "removed", reason=one.reasons[0], by=by) == "removed"


def _delete_below(store: Store, prefix: str) -> int:
    freed = 0
    for stat in list(store.list(prefix)):
        store.delete(stat.key)
        freed += stat.size_bytes
    return freed


def _delete_orphan(store: Store, orphan: Orphan) -> int:
    if orphan.kind == "scratch":
        shutil.rmtree(orphan.name, ignore_errors=True)
    elif orphan.kind == "bundle":
        return _delete_bundle(store, orphan)
    else:
        store.delete(orphan.name)
    return orphan.size_bytes


def _delete_bundle(store: Store, orphan: Orphan) -> int:
    """Delete a bundle, and put it back when its registration was finished at this very moment."""
    _, pipeline, release, _ = orphan.name.split("/")
    record = release_key(pipeline, release)
    if store.stat(record) is not None:
        return 0
    try:
        data = store.read(orphan.name)
    except ObjectNotFound:
        return 0
    store.delete(orphan.name)
    if store.stat(record) is None:
        return orphan.size_bytes
    with suppress(PreconditionFailed):
        store.write(orphan.name, data, if_generation=0)
    return 0
