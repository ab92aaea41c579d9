"""Pins and legal holds: what people say about keeping a run, as signed records that are only ever added.

A pin is anybody's wish and taken away as easily. A legal hold carries the name of its case, a run may have several, and
lifting one needs a reason. What stands is what the records say one after the other; a record that cannot be trusted
never frees a run, it keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rasen.errors import InvalidInput, ObjectNotFound, PreconditionFailed, RasenError
from rasen.store import Store
from rasen.tracking.keys import pin_key, pin_prefix
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, read_signed, write_signed

PinAction = Literal["pin", "unpin", "hold", "lift"]


class PinRecord(Record):
    """One word about keeping a run; `hold` and `lift` name a case."""

    run: str
    pipeline: str
    number: int
    action: PinAction
    case: str = ""
    reason: str = ""
    by: str


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What stands of a run: whether it is pinned, its legal holds by case, and the record that cannot be trusted."""

    pin: PinRecord | None = None
    holds: Mapping[str, PinRecord] = field(default_factory=dict)
    doubtful: str = ""
    newest: int = 0

    @property
    def reasons(self) -> list[str]:
        """Why the run is kept, in words; empty when nobody wants it kept."""
        found = [_say(f"legal hold {case!r}", record) for case, record in self.holds.items()]
        if self.pin is not None:
            found.append(_say("pinned", self.pin))
        if self.doubtful:
            found.append(f"a pin that cannot be trusted: {self.doubtful}")
        return found


def read_pins(store: Store, trust: TrustStore, pipeline: str, run: str, *, environment: str) -> Pins:
    """Return what stands of a run."""
    pin: PinRecord | None = None
    holds: dict[str, PinRecord] = {}
    doubtful = ""
    newest = 0
    for name in store.children(pin_prefix(pipeline, run)):
        key = pin_prefix(pipeline, run) + name
        try:
            payload = read_signed(store, key, trust=trust, role=Role.CONTROL, environment=environment)
            record = PinRecord.from_bytes(payload, source=key)
            newest = record.number
        except ObjectNotFound:
            continue
        except RasenError as error:
            doubtful = str(error)
            continue
        match record.action:
            case "pin":
                pin = record
            case "unpin":
                pin = None
            case "hold":
                holds[record.case] = record
            case "lift":
                holds.pop(record.case, None)
    return Pins(pin=pin, holds=holds, doubtful=doubtful, newest=newest)


def change_pins(
    store: Store,
    trust: TrustStore,
    signer: Signer,
    *,
    pipeline: str,
    run: str,
    action: PinAction,
    case: str = "",
    reason: str = "",
    by: str,
    environment: str,
) -> bool:
    """Say one more word about keeping a run; return whether it changed what stands.

    Raises:
        InvalidInput: There is no such hold to lift, or a hold is lifted without a reason.
    """
    while True:
        pins = read_pins(store, trust, pipeline, run, environment=environment)
        if action == "lift":
            _check_lift(pins, run, case, reason)
        present = {"pin": pins.pin is not None, "unpin": pins.pin is None, "hold": case in pins.holds}
        if present.get(action, False):
            return False
        number = max([pins.newest, *_numbers(store, pipeline, run)]) + 1
        record = PinRecord(
            run=run, pipeline=pipeline, number=number, action=action, case=case, reason=reason, by=by
        )
        try:
            write_signed(store, pin_key(pipeline, run, number), record.to_bytes(), signer)
        except PreconditionFailed:
            continue  # somebody else spoke in the meantime: look again
        return True


def list_pinned(store: Store) -> Iterator[tuple[str, str]]:
    """Yield pipeline and run of everything that anybody ever pinned or held."""
    for pipeline in store.children("pins/"):
        for run in store.children(f"pins/{pipeline}/"):
            yield pipeline, run


def _check_lift(pins: Pins, run: str, case: str, reason: str) -> None:
    if case not in pins.holds:
        there = ", ".join(map(repr, pins.holds)) or "none"
        raise InvalidInput(f"run {run!r} has no legal hold {case!r}; there are: {there}")
    if not reason.strip():
        raise InvalidInput(f"lifting the legal hold {case!r} of run {run!r} needs a reason: --reason TEXT")


def _numbers(store: Store, pipeline: str, run: str) -> list[int]:
    names = [name.removesuffix(".json") for name in store.children(pin_prefix(pipeline, run))]
    return [int(name) for name in names if name.isdecimal()] or [0]


def _say(what: str, record: PinRecord) -> str:
    return f"{what} by {record.by}" + (f": {record.reason}" if record.reason else "")
