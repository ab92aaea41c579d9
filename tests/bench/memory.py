"""What a server and its children hold: memory, processor time, threads of the whole family."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, kw_only=True)
class Held:
    """Memory of a process and its children, in MB.

    Args:
        rss_mb: The sum of what each has resident; what they share counts once each.
        pss_mb: Shared pages divided by their users, so that the sum is what is really taken.
    """

    rss_mb: float
    pss_mb: float


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def measure_memory(pid: int) -> Held:
    """Return what the family holds now; who ends meanwhile holds nothing."""
    rss = pss = 0
    for one in family(pid):
        try:
            found = one.memory_full_info()
        except psutil.Error:
            continue
        rss += found.rss
        pss += found.pss
    return Held(rss_mb=rss / 1e6, pss_mb=pss / 1e6)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that the family has used."""
    return sum(sum(one.cpu_times()[:2]) for one in family(pid))
