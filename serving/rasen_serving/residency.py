"""Which endpoints are in memory: all of them while they fit, then those that were asked for last.

A server may have a thousand endpoints of which ten are busy. What is not in memory sleeps: it costs its name, and the
first request to it waits while it is loaded, in the same way and with the same checks as any revision. The size of a
version is estimated from its files, because what a process takes for it cannot be told apart from what it had free.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from rasen_serving.messages import Revision

_OVERHEAD_BYTES = 256 << 10
"""Decoders, builders and buffers of a version, however small its model is."""

_PER_FILE_BYTE = 2.0


def size_of(revision: Revision) -> int:
    """Estimate what the versions of a revision take in a worker, in bytes."""
    files = [file for variant in revision.variants for file in variant.version.files.values()]
    return len(revision.variants) * _OVERHEAD_BYTES + int(
        _PER_FILE_BYTE * sum(file.size_bytes for file in files)
    )


class Residency:
    """Remembers who was asked for, and says who has to go."""

    def __init__(self, *, max_bytes: int, eager: int) -> None:
        self._max_bytes = max_bytes
        self._eager = eager
        self._used_at: dict[str, float] = {}

    def sleepers(self, names: Iterable[str]) -> set[str]:
        """Return which endpoints need not be loaded when the service starts: all but the first few."""
        return set(sorted(names)[self._eager :])

    def note_use(self, names: Iterable[str]) -> None:
        """Note that endpoints were asked for just now."""
        now = time.monotonic()
        for name in names:
            self._used_at[name] = now

    def surplus(self, sizes: Mapping[str, int], *, keep: str) -> list[str]:
        """Return which of the endpoints in memory have to go so that the rest fits, longest unused first.

        Args:
            sizes: The endpoints in memory with their sizes in bytes.
            keep: The one that has just been loaded and stays, even if it is too large alone.
        """
        total = sum(sizes.values())
        leaving = []
        for name in sorted(sizes, key=lambda name: (self._used_at.get(name, 0.0), name)):
            if total <= self._max_bytes:
                break
            if name != keep:
                leaving.append(name)
                total -= sizes[name]
        return leaving
