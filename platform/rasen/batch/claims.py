"""Claims: which process works on an attempt of a step, and whether it is still there.

A claim is created once, so of two workers one goes on and the other stops. Whoever finds a claim without a result asks
whether its process lives: on the same boot of the same machine by process id and start time, which the kernel never
gives twice.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from rasen.errors import ObjectNotFound, PreconditionFailed
from rasen.store import Store
from rasen.tracking.keys import claim_key
from rasen.tracking.records import Record


class Claim(Record):
    """Who works on an attempt."""

    machine: str
    boot: str
    process: int
    started_ticks: int


def create_claim(store: Store, pipeline: str, run: str, step: str, attempt: int) -> bool:
    """Claim an attempt for this process; return whether it is ours."""
    process = os.getpid()
    claim = Claim(
        machine=socket.gethostname(),
        boot=_boot(),
        process=process,
        started_ticks=_started_ticks(process) or 0,
    )
    try:
        store.write(claim_key(pipeline, run, step, attempt), claim.to_bytes(), if_generation=0)
    except PreconditionFailed:
        return False
    return True


def read_claim(store: Store, pipeline: str, run: str, step: str, attempt: int) -> Claim | None:
    """Return an attempt's claim, or `None` when nobody has begun it."""
    key = claim_key(pipeline, run, step, attempt)
    try:
        return Claim.from_bytes(store.read(key), source=key)
    except ObjectNotFound:
        return None


def is_alive(claim: Claim) -> bool:
    """Return whether the process that made the claim still runs; `False` for one of another boot of this machine.

    A claim of another machine counts as alive: from here nobody can tell.
    """
    if claim.machine != socket.gethostname():
        return True
    return claim.boot == _boot() and _started_ticks(claim.process) == claim.started_ticks


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _started_ticks(process: int) -> int | None:
    """Return when a process began, in clock ticks after boot, or `None` when it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may hold anything; what follows it is regular (man 5 proc).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
