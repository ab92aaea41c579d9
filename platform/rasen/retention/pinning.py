"""Pinning runs by name, and taking their tombstones back while that is still possible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rasen.batch.queries import open_index
from rasen.errors import InvalidInput
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.pins import PinAction, change_pins, read_pins
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.tracking.tombstones import read_tombstone, take_back


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Who wants a run kept, after a change that may have changed nothing."""

    pipeline: str
    run: str
    changed: bool
    kept: tuple[str, ...]


def change(
    settings: Settings, beginnings: Iterable[str], action: PinAction, *, case: str, reason: str, by: str
) -> list[Pinned]:
    """Pin, unpin, hold or lift each of the runs, in the order given; all of them are found before the first is changed.

    Raises:
        NotFound: There is no such run, or more than one.
        InvalidInput: A run that should be kept was removed, or there is no such hold to lift.
    """
    store = open_store(settings)
    index = open_index(settings)
    rows = [index.find_run(beginning) for beginning in beginnings]
    signer = open_signer(settings, Role.CONTROL)
    trust = load_trust(settings)  # the signer may have made its key just now
    done = []
    for row in rows:
        pipeline, run = row.pipeline, row.run
        changed = change_pins(
            store,
            trust,
            signer,
            pipeline=pipeline,
            run=run,
            action=action,
            case=case,
            reason=reason,
            by=by,
            environment=settings.environment,
        )
        if action in ("pin", "hold"):
            # The pin first: a collection that looks from now on sees it, one that looked before loses its tombstone.
            buried = read_tombstone(store, trust, pipeline, run, environment=settings.environment)
            if buried is not None and not take_back(store, signer, buried, reason=f"{action} by {by}", by=by):
                raise InvalidInput(
                    f"run {run!r} of {pipeline!r} was removed already; its start, end and manifest are kept, its files "
                    "are gone"
                )
        pins = read_pins(store, trust, pipeline, run, environment=settings.environment)
        done.append(Pinned(pipeline=pipeline, run=run, changed=changed, kept=tuple(pins.reasons)))
    return done
