"""Which engine executes a loaded model for how many rows: what measuring found, as data.

A file of its own and without imports, because the plan travels between processes: the one that tries a version measures
it, and every worker that loads it afterwards, a replacement in a hurry above all, only reads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """The engines of one model, the one for the fewest rows first.

    Args:
        engines: Their names.
        begins: From how many rows on each is the quickest; as many as `engines`, the first is 0.
        batch_rows: How many rows a batch should have at most.
        quick_rows: For how many rows an event loop may wait; 0 when for none.
    """

    engines: tuple[str, ...]
    begins: tuple[int, ...]
    batch_rows: int
    quick_rows: int
