"""Whether a gate keeps changing its mind, or versions are taken back again and again: then a person should look.

As network monitors damp a service that goes up and down (Nagios, state flapping): what begins at a number of changes
within a window ends at half of it, so that the damping itself does not flap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rasen.deploy.evidence import PastVersion

FLAPPING = "flapping"
WINDOW = 10


@dataclass(frozen=True, kw_only=True)
class Flapping:
    """What was counted among the last versions.

    Args:
        changes: How often the gate changed its mind.
        taken_back: How many versions were live and were taken back.
        goes_on: The last version was held for it.
        limit: How many of either are too many.
    """

    changes: int
    taken_back: int
    goes_on: bool
    limit: int

    @property
    def is_flapping(self) -> bool:
        """Whether either is too many; once it is, half of them are."""
        worst = max(self.changes, self.taken_back)
        return worst >= self.limit or (self.goes_on and worst > self.limit // 2)


def count_flaps(name: str, past: Sequence[PastVersion], *, passes: bool, limit: int) -> Flapping:
    """Return what the last versions say about a gate.

    Args:
        name: The gate, as its verdicts are called.
        past: Earlier versions, newest first.
        passes: Whether the version that is judged now would pass.
        limit: How many changes are too many.
    """
    verdicts = [verdict for version in past for verdict in version.verdicts if verdict.gate == name]
    # A version that was held for flapping had passed.
    minds = [passes, *(verdict.answer != "fail" for verdict in verdicts)][:WINDOW]
    return Flapping(
        changes=sum(one != other for one, other in pairwise(minds)),
        taken_back=sum(version.taken_back for version in past[:WINDOW]),
        goes_on=bool(verdicts) and verdicts[0].outcome == FLAPPING,
        limit=limit,
    )
