"""Which of many findings stand, when each may be chance: S. Holm, Scandinavian Journal of Statistics 6, 1979."""

from __future__ import annotations

from collections.abc import Sequence


def stands(chances: Sequence[float], *, level: float) -> list[bool]:
    """Return for each finding whether it stands; that any does which is chance happens no more often than `level`.

    Args:
        chances: How probable each finding is by chance alone.
        level: The share of judgements in which one wrong finding is accepted.
    """
    found = [False] * len(chances)
    for rank, position in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        if chances[position] > level / (len(chances) - rank):
            break
        found[position] = True
    return found
