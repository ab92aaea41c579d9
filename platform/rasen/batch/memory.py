"""How much memory processes take, and how much there is: what Linux tells in /proc and in its control groups.

Memory is what is a process's own: anonymous and shared-memory pages, without those that a forked kernel still shares
with the warm process that it comes from. They cost nothing, and would make every small notebook look like 200 MB.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, kw_only=True)
class Status:
    """The memory of one process, in bytes.

    Args:
        anonymous: Anonymous pages, shared with a parent or not, and shared memory.
        resident: All that is in memory, files included.
        peak: The most that `resident` ever was, or since it was forgotten.
    """

    anonymous: int
    resident: int
    peak: int


def read_status(process: int) -> Status | None:
    """Return the memory of a process, or `None` when it is gone."""
    found = {}
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_bytes().splitlines():
            name, _, value = line.partition(b":")
            if name in (b"RssAnon", b"RssShmem", b"VmRSS", b"VmHWM"):
                found[name] = int(value.split()[0]) * 1024
    if b"VmRSS" not in found:
        return None  # gone, or a zombie
    return Status(
        anonymous=found.get(b"RssAnon", 0) + found.get(b"RssShmem", 0),
        resident=found[b"VmRSS"],
        peak=found.get(b"VmHWM", found[b"VmRSS"]),
    )


def shared_bytes(process: int) -> int:
    """Return how much of a process's anonymous memory is not its own: shared with the process it was forked from."""
    found = _rollup(process)
    return max(0, found.get(b"Anonymous", 0) - found.get(b"Private_Dirty", 0))


def private_bytes(process: int) -> int:
    """Return how much memory is a process's own and nobody else's: of a fork, what it has written since."""
    return _rollup(process).get(b"Private_Dirty", 0)


def _rollup(process: int) -> dict[bytes, int]:
    found = {}
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_bytes().splitlines()[1:]:
            name, _, value = line.partition(b":")
            found[name] = int(value.split()[0]) * 1024
    return found


def forget_peak(process: int) -> bool:
    """Have the system measure a process's peak anew from now on (man 5 proc, clear_refs); return whether it does."""
    try:
        Path(f"/proc/{process}/clear_refs").write_bytes(b"5")
    except OSError:
        return False
    return True


def available_bytes() -> int | None:
    """Return how much memory the machine could still give."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return None


def count_oom_kills(own: Path = _OWN_GROUPS, groups: Path = CGROUPS) -> int:
    """Return how often the system has killed in this process's control group, or, without one, on the machine.

    Args:
        own: The file that names the groups of this process.
        groups: Where the groups lie.
    """
    with suppress(OSError):
        for line in own.read_text(encoding="ascii").splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                path = groups / group.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                path = groups / "memory" / group.lstrip("/") / "memory.oom_control"
            else:
                continue
            with suppress(OSError, StopIteration):
                return _counter(path)
    with suppress(OSError, StopIteration):
        return _counter(Path("/proc/vmstat"))
    return 0


def _counter(path: Path) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
