"""The graph of a pipeline's steps: their order, what follows from one, and circles."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from rasen.pipeline_schema import Pipeline


def topological_order(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the steps, each after those that it needs; among equals, in the order of the file."""
    place = {name: index for index, name in enumerate(pipeline.steps)}
    waiting = {name: len(set(step.needs)) for name, step in pipeline.steps.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in pipeline.steps}
    for name, step in pipeline.steps.items():
        for need in set(step.needs):
            needed_by[need].append(name)
    ready = [place[name] for name, count in waiting.items() if count == 0]
    names = list(pipeline.steps)
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for other in needed_by[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, place[other])
    return tuple(order)


def needed_by(pipeline: Pipeline, step: str) -> frozenset[str]:
    """Return the steps that need `step`, directly or through others; without itself."""
    found: set[str] = set()
    for name in topological_order(pipeline):
        if any(need == step or need in found for need in pipeline.steps[name].needs):
            found.add(name)
    return frozenset(found)


def find_cycle(pipeline: Pipeline) -> list[str] | None:
    """Return the steps of one circle of needs, the first again at the end, or `None`."""
    done: set[str] = set()
    for start in pipeline.steps:
        # Iterative, because a chain of steps may be longer than Python's stack.
        trail: list[str] = []
        branches: list[Iterator[str]] = [iter((start,))]
        while branches:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                if trail:
                    done.add(trail.pop())
            elif step in trail:
                return [*trail[trail.index(step) :], step]
            elif step not in done:
                trail.append(step)
                branches.append(iter(pipeline.steps[step].needs))
    return None
