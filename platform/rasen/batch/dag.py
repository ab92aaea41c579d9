"""Which steps may run now: those whose needs have succeeded, as many as there are places, processors and memory.

Nothing here starts anything or looks at a clock, so all of it is tested by property. Among steps that could start, the
one with the longest chain of steps behind it goes first; one that does not fit lets others pass. A step that asks for
more than the machine has runs alone: it may still be small enough in truth, and its own limit ends it if it is not.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Node:
    """One step: what it needs, and what it takes of the machine."""

    needs: tuple[str, ...] = ()
    cpu: float = 1.0
    memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How much may run at once."""

    jobs: int
    cpu: float
    memory_bytes: int


class Schedule:
    """The steps of one graph on their way from waiting over running to an end.

    Args:
        nodes: The steps, each need among them, without circles.
        capacity: How much may run at once.
    """

    def __init__(self, nodes: Mapping[str, Node], capacity: Capacity) -> None:
        self._nodes = nodes
        self._capacity = capacity
        self._missing = {name: len(set(node.needs)) for name, node in nodes.items()}
        self._needed_by: dict[str, list[str]] = {name: [] for name in nodes}
        for name, node in nodes.items():
            for need in set(node.needs):
                self._needed_by[need].append(name)
        self._place = {name: place for place, name in enumerate(nodes)}
        self._height = self._heights()
        self._ready: list[tuple[int, int, str]] = []
        for name, missing in self._missing.items():
            if missing == 0:
                self._add_ready(name)
        self._running: set[str] = set()
        self._cpu = 0.0
        self._memory_bytes = 0
        self._waiting = len(nodes)

    @property
    def done(self) -> bool:
        """Whether every step has ended or was skipped."""
        return not self._running and self._waiting == 0

    def begin_next(self) -> str | None:
        """Return a step that may start now, from now on running, or `None` when none may."""
        if len(self._running) >= self._capacity.jobs:
            return None
        passed = []
        found: str | None = None
        while self._ready and found is None:
            entry = heapq.heappop(self._ready)
            if self._fits(self._nodes[entry[2]]):
                found = entry[2]
            else:
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self._ready, entry)
        if found is not None:
            self._take(found, 1)
            self._running.add(found)
            self._waiting -= 1
        return found

    def end(self, step: str, *, succeeded: bool) -> list[str]:
        """Say that a running step has ended; return the steps that are skipped because of it."""
        self._running.remove(step)
        self._take(step, -1)
        if not succeeded:
            return self._skip(step)
        for other in self._needed_by[step]:
            if other in self._missing:
                self._missing[other] -= 1
                if self._missing[other] == 0:
                    self._add_ready(other)
        return []

    def stop(self) -> list[str]:
        """Begin nothing any more; return the steps that were still waiting."""
        left = [name for name in self._nodes if name in self._missing and name not in self._running]
        self._waiting = 0
        self._ready.clear()
        self._missing.clear()
        return left

    def _skip(self, failed: str) -> list[str]:
        skipped: list[str] = []
        behind = list(self._needed_by[failed])
        while behind:
            name = behind.pop()
            if name in self._missing:
                del self._missing[name]
                self._waiting -= 1
                skipped.append(name)
                behind += self._needed_by[name]
        return sorted(skipped, key=self._place.__getitem__)

    def _fits(self, node: Node) -> bool:
        if not self._running:
            return True
        return (
            self._cpu + node.cpu <= self._capacity.cpu + 1e-9
            and self._memory_bytes + node.memory_bytes <= self._capacity.memory_bytes
        )

    def _take(self, step: str, sign: int) -> None:
        self._cpu += sign * self._nodes[step].cpu
        self._memory_bytes += sign * self._nodes[step].memory_bytes
        if sign > 0:
            del self._missing[step]

    def _add_ready(self, name: str) -> None:
        heapq.heappush(self._ready, (-self._height[name], self._place[name], name))

    def _heights(self) -> dict[str, int]:
        """Return for each step how many steps the longest chain behind it has."""
        height = dict.fromkeys(self._nodes, 0)
        left = {name: len(behind) for name, behind in self._needed_by.items()}
        ends = [name for name, count in left.items() if count == 0]
        while ends:
            name = ends.pop()
            for need in set(self._nodes[name].needs):
                height[need] = max(height[need], height[name] + 1)
                left[need] -= 1
                if left[need] == 0:
                    ends.append(need)
        return height
