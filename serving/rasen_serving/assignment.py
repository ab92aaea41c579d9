"""Which variant answers a request, and why; the hash itself is `rasen.deploy.assignment`, which anybody can repeat.

The reasons, as they stand in the log and in `X-Rasen-Reason`: `only` (there is one variant), `sticky` (by the routing
key), `request` (by the request id), `override` (a tester asked), `breaker` (the variant that should have answered
fails, so the champion does), `rescue: …` (it failed at this very request), `bandit p=…` (drawn with that probability).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rasen.deploy.assignment import Piece, cut, piece_at, point_of
from rasen.errors import NotFound

if TYPE_CHECKING:
    from rasen_serving.asked import Asked
    from rasen_serving.live import Arm, Live

ONLY, STICKY, REQUEST, OVERRIDE, BREAKER = "only", "sticky", "request", "override", "breaker"
SHADOW = "shadow"


class Chooser:
    """Shares the requests out among the variants of one live revision."""

    def __init__(self, endpoint: str, arms: Sequence[Arm], *, salt: int, bandit: bool) -> None:
        self._endpoint = endpoint
        self._arms = {arm.loaded.version.run: arm for arm in arms if arm.role != SHADOW}
        self._champion = arms[0]
        self._pieces: tuple[Piece, ...] = ()
        self._reasons: Mapping[str, str] = {}
        self.salt = salt
        self.bandit = bandit
        self.learn({arm.loaded.version.run: arm.weight for arm in self._arms.values()})

    def learn(self, weights: Mapping[str, float]) -> None:
        """Share the requests out by these weights from now on, by run; a run without one keeps nothing."""
        champion = self._champion.loaded.version.run
        shares = [(run, arm.role, weights.get(run, 0.0)) for run, arm in self._arms.items()]
        self._pieces = cut(shares)
        rest = 1.0 - sum(weight for run, _, weight in shares if run != champion)
        self._reasons = {
            run: f"bandit p={rest if run == champion else weight:.4f}" for run, _, weight in shares
        }

    def choose(self, asked: Asked) -> tuple[Arm, str]:
        """Return the variant that answers, and why."""
        sticky = bool(asked.routing_key) and not self.bandit
        key = asked.routing_key if sticky else asked.request_id
        run = piece_at(self._pieces, point_of(self._endpoint, self.salt, key))
        arm = self._arms[run]
        if arm is not self._champion and not arm.loaded.breaker.lets_pass():
            return self._champion, BREAKER
        if self.bandit:
            return arm, self._reasons[run]
        return arm, STICKY if sticky else REQUEST


def choose(live: Live, asked: Asked, *, may_override: bool) -> tuple[Arm, str]:
    """Return the variant of a live revision that answers a request, and why.

    Args:
        live: The revision.
        asked: The request.
        may_override: Whether a tester's wish counts; if not, nobody looks at it.

    Raises:
        NotFound: A tester asked for a variant that there is none of.
    """
    if asked.variant and may_override:
        for arm in live.arms:
            if arm.role != SHADOW and asked.variant in (arm.role, arm.loaded.version.run):
                return arm, OVERRIDE
        known = ", ".join(
            f"{arm.role!r} ({arm.loaded.version.run})" for arm in live.arms if arm.role != SHADOW
        )
        raise NotFound(
            f"endpoint {asked.endpoint!r} has no variant {asked.variant[:100]!r} that answers; it has {known}"
        )
    return (live.champion, ONLY) if live.chooser is None else live.chooser.choose(asked)


def is_copied(endpoint: str, salt: int, share: float, asked: Asked) -> bool:
    """Return whether a shadow gets a copy of the request: of the same callers as long as its share is the same."""
    return share >= 1.0 or point_of(endpoint, salt, asked.routing_key or asked.request_id) < share
