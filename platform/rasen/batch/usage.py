"""How much memory and processor time a kernel takes, its children included, and whether it died of too little memory.

The kernel itself is looked at twenty times a second, and a hundred times when it comes near its limit; the processes
that it has started, which takes longer to find out, five times. A peak that nobody saw is still told by the system's
own highest mark, which is set back before each cell.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rasen.batch.memory import (
    available_bytes,
    count_oom_kills,
    forget_peak,
    private_bytes,
    read_status,
    shared_bytes,
)
from rasen.batch.process_tree import descendants

_SAMPLE_SECONDS = 0.05
_NEAR_SAMPLE_SECONDS = 0.01
_TREE_SECONDS = 0.2
_SHARED_SECONDS = 1.0
_LOOK_SHARE = 20  # looking at all pages of large processes may take a twentieth of the time
_NEAR = 0.5  # of a limit
_NEARLY = 0.9  # of a machine: what was last seen before the kernel was killed is always a little less
_TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """Watches one kernel; `memory_limit_bytes` ends it when it and its children together take more."""

    def __init__(
        self,
        process_id: int,
        *,
        memory_limit_bytes: int | None,
        oom_kills: Callable[[], int] = count_oom_kills,
    ) -> None:
        self._process_id = process_id
        # A daemon that a cell has started becomes the child of the kernel's supervisor, where there is one.
        parent = _parent(process_id)
        self._root = parent if parent is not None and parent != os.getpid() else process_id
        self._limit = memory_limit_bytes
        self._count_oom_kills = oom_kills
        self._oom_kills = oom_kills()
        self._stop = threading.Event()
        self._children_bytes = 0
        self._children_cpu = 0.0
        self._shared = shared_bytes(process_id)
        self._cell_peak = 0
        self._peak_is_of_cell = False
        self.peak_bytes = 0
        self.last_bytes = 0
        self.over_limit = False
        self._thread = threading.Thread(target=self._watch, name="rasen-usage", daemon=True)
        self._thread.start()

    def begin_cell(self) -> float:
        """Forget the last cell's peak; return the processor time so far, in seconds."""
        self._peak_is_of_cell = forget_peak(self._process_id)
        self._cell_peak = 0
        return self.cpu_seconds()

    def end_cell(self) -> int:
        """Return the cell's peak of memory, in bytes."""
        self._sample()
        return self._cell_peak or self.last_bytes

    def cpu_seconds(self) -> float:
        """Return the processor time so far; of running children as of the last sample."""
        return _cpu_seconds(self._process_id, with_reaped=True) + self._children_cpu

    @property
    def oom_killed(self) -> bool:
        """Whether the system has killed something here for want of memory since this began."""
        return self._count_oom_kills() > self._oom_kills

    def died_of_memory(self, signal_number: int | None, last_words: str = "") -> str | None:
        """Return why the kernel's death was one of memory, or `None` when nothing says so.

        Args:
            signal_number: The signal that ended it.
            last_words: What it wrote last to its standard error.
        """
        if self.over_limit:
            return f"it took {self.peak_bytes:,} bytes, its limit is {self._limit:,}"
        if signal_number == signal.SIGABRT and "std::bad_alloc" in last_words:
            return f"a library could not allocate memory; it had taken {self.peak_bytes:,} bytes"
        if signal_number != signal.SIGKILL:
            return None
        if self.oom_killed:
            return f"the system killed it for want of memory; it had taken {self.peak_bytes:,} bytes"
        available = available_bytes()
        if available is not None and self.last_bytes > _NEARLY * (available + self.last_bytes):
            return f"it was killed when it had taken {self.last_bytes:,} of the machine's bytes"
        return None

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = _SAMPLE_SECONDS
        look_at_tree = look_at_shared = time.monotonic()
        while not self._stop.wait(pause):
            now = time.monotonic()
            if now >= look_at_tree:
                self._look_at_children()
                look_at_tree = _next_look(now, _TREE_SECONDS)
            if now >= look_at_shared and self._shared:
                # It becomes less whenever the kernel writes to what it shares. More it becomes only by the kernel's own
                # forks, and what it shares with those is its own.
                self._shared = min(self._shared, shared_bytes(self._process_id))
                look_at_shared = _next_look(now, _SHARED_SECONDS)
            memory = self._sample()
            near = self._limit is not None and memory > _NEAR * self._limit
            pause = _NEAR_SAMPLE_SECONDS if near else _SAMPLE_SECONDS
            if self._limit is not None and memory > self._limit and not self.over_limit:
                self.over_limit = True
                self._kill()

    def _kill(self) -> None:
        for process in [self._process_id, *self._children()]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)

    def _look_at_children(self) -> None:
        children = self._children()
        self._children_bytes = sum(private_bytes(process) for process in children)
        self._children_cpu = sum(_cpu_seconds(process, with_reaped=False) for process in children)

    def _children(self) -> list[int]:
        return [process for process in descendants(self._root) if process != self._process_id]

    def _sample(self) -> int:
        """Look at the kernel; return what it and its children take now."""
        status = read_status(self._process_id)
        if status is None:
            return 0
        own = max(0, status.anonymous - self._shared)
        memory = own + self._children_bytes
        # What is resident but not the kernel's own, files mostly, hardly changes: so the highest mark tells of it too.
        peak = max(own, status.peak - (status.resident - own)) if self._peak_is_of_cell else own
        self.last_bytes = memory
        self._cell_peak = max(self._cell_peak, peak + self._children_bytes)
        self.peak_bytes = max(self.peak_bytes, self._cell_peak)
        return memory


def _next_look(begun: float, seconds: float) -> float:
    now = time.monotonic()
    return now + max(seconds, _LOOK_SHARE * (now - begun))


def _parent(process: int) -> int | None:
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return None


def _cpu_seconds(process: int, *, with_reaped: bool) -> float:
    # The name, in parentheses, may hold anything; what follows it is regular (man 5 proc).
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(int(ticks) for ticks in fields[11 : 15 if with_reaped else 13]) / _TICKS
    return 0.0
