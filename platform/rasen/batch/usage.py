"""How much memory and processor time a kernel takes, its children included, and whether it died of too little memory.

The processes of a kernel are those of its session. Memory is what is theirs alone (anonymous and shared-memory pages):
the pages of a library that a forked kernel shares with its parent cost nothing and are not counted.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_NEARLY = 0.9  # of a limit: what was last seen before the kernel was killed is always a little less


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a kernel's processes take at one moment."""

    memory_bytes: int
    cpu_seconds: float


class Usage:
    """Watches one kernel; `memory_limit_bytes` ends it when it takes more."""

    def __init__(self, process_id: int, *, memory_limit_bytes: int | None) -> None:
        self._process_id = process_id
        self._limit = memory_limit_bytes
        self._oom_kills = _count_oom_kills()
        self._stop = threading.Event()
        self._children_cpu = 0.0
        self._cell_peak = 0
        self.peak_bytes = 0
        self.last_bytes = 0
        self.over_limit = False
        self._thread = threading.Thread(target=self._watch, name="rasen-usage", daemon=True)
        self._thread.start()

    def begin_cell(self) -> float:
        """Forget the last cell's peak; return the processor time so far, in seconds."""
        self._cell_peak = self.last_bytes
        return self.cpu_seconds()

    def end_cell(self) -> int:
        """Return the cell's peak of memory, in bytes."""
        self._note(_private_bytes(self._process_id))
        return self._cell_peak

    def cpu_seconds(self) -> float:
        """Return the processor time so far; of running children as of the last sample."""
        return _cpu_seconds(self._process_id, with_reaped=True) + self._children_cpu

    def died_of_memory(self, signal_number: int | None) -> str | None:
        """Return why the kernel's death was one of memory, or `None` when nothing says so."""
        if self.over_limit:
            return f"it took {self.peak_bytes:,} bytes, its limit is {self._limit:,}"
        if signal_number != signal.SIGKILL:
            return None
        if _count_oom_kills() > self._oom_kills:
            return f"the system killed it for want of memory; it had taken {self.peak_bytes:,} bytes"
        available = _available_bytes()
        if available is not None and self.last_bytes > _NEARLY * (available + self.last_bytes):
            return f"it was killed when it had taken {self.last_bytes:,} of the machine's bytes"
        return None

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            memory = 0
            children_cpu = 0.0
            for process in session_processes(self._process_id):
                memory += _private_bytes(process)
                if process != self._process_id:
                    children_cpu += _cpu_seconds(process, with_reaped=False)
            self._children_cpu = children_cpu
            self._note(memory)
            if self._limit is not None and memory > self._limit and not self.over_limit:
                self.over_limit = True
                kill_session(self._process_id)

    def _note(self, memory: int) -> None:
        self.last_bytes = memory or self.last_bytes
        self._cell_peak = max(self._cell_peak, memory)
        self.peak_bytes = max(self.peak_bytes, memory)


def session_processes(leader: int) -> Iterator[int]:
    """Yield the processes of the session that `leader` leads, itself first."""
    yield leader
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != leader:
            with suppress(OSError, ValueError):
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name)


def kill_session(leader: int) -> None:
    """Kill every process of the session that `leader` leads, until none is left or has appeared."""
    for _ in range(20):
        found = [process for process in session_processes(leader) if _is_running(process)]
        if not found:
            return
        for process in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)


def _is_running(process: int) -> bool:
    fields = _stat_fields(process)
    return fields is not None and fields[0] not in ("Z", "X")


def _stat_fields(process: int) -> list[str] | None:
    # The name, in parentheses, may hold anything; what follows it is regular (man 5 proc).
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return None


def _cpu_seconds(process: int, *, with_reaped: bool) -> float:
    fields = _stat_fields(process)
    if fields is None:
        return 0.0
    return sum(int(ticks) for ticks in fields[11 : 15 if with_reaped else 13]) / _TICKS


def _private_bytes(process: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
        return sum(
            int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:"))
        )
    return 0


def _available_bytes() -> int | None:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return None


def _count_oom_kills() -> int:
    """Return how often the system has killed in this process's cgroup (version 2), or, without one, on the machine."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        group = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        return _counter(Path("/sys/fs/cgroup") / group / "memory.events", "oom_kill")
    with suppress(OSError, StopIteration):
        return _counter(Path("/proc/vmstat"), "oom_kill")
    return 0


def _counter(path: Path, name: str) -> int:
    lines = path.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == name)
