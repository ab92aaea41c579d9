"""The bandit: rewards in, shares of the requests out. In the supervisor, which hears of the rewards of all workers.

Thompson sampling: after s rewards' worth in n answers a variant is as good as a draw from Beta(1 + s, 1 + n - s), and
each request goes to the variant whose draw is highest. The probability of that is worked out here, once a second when
something has changed, and the workers draw by it; so what stands in the log as `p` is what the draw was made with.
Rewards are a replica's own and are gone when it is restarted: it then begins with equal shares.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rasen_serving.messages import Learned, Revision, Reward

SEEN_MAX = 100_000
"""So many of an endpoint's request ids are remembered, so that a reward that comes twice counts once."""

DRAWS = 2000


@dataclass(kw_only=True)
class Learnt:
    """What one variant was rewarded with.

    Args:
        rewards: How often.
        reward: The sum, each between 0 and 1.
    """

    rewards: int = 0
    reward: float = 0.0


@dataclass(kw_only=True)
class _Trial:
    """One bandit of one endpoint."""

    salt: int
    floor: float
    learnt: dict[str, Learnt]
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    changed: bool = False
    weights: dict[str, float] = field(default_factory=dict)


class Bandits:
    """All bandits of this server."""

    def __init__(self, *, chance: random.Random | None = None) -> None:
        self._trials: dict[str, _Trial] = {}
        self._chance = chance or random.Random()  # noqa: S311  # no secret: which variant is tried

    def follow(self, revisions: Iterable[Revision]) -> None:
        """Know the bandits that are live; of one that is under way nothing is forgotten."""
        live: dict[str, _Trial] = {}
        for revision in revisions:
            rollout = revision.rollout
            if rollout is None or rollout["kind"] != "bandit":
                continue
            trial = self._trials.get(revision.endpoint)
            if trial is None or trial.salt != rollout["salt"]:
                trial = _Trial(salt=rollout["salt"], floor=rollout["floor"], learnt={})
            runs = [variant.version.run for variant in revision.variants]
            trial.learnt = {run: trial.learnt.get(run, Learnt()) for run in runs}
            live[revision.endpoint] = trial
        self._trials = live

    def take(self, endpoint: str, rewards: Iterable[Reward]) -> None:
        """Take in rewards; of a version that is not part of the bandit, or for the same request again, none counts."""
        trial = self._trials.get(endpoint)
        if trial is None:
            return
        for reward in rewards:
            learnt = trial.learnt.get(reward.model)
            if learnt is None or reward.request_id in trial.seen:
                continue
            trial.seen[reward.request_id] = None
            if len(trial.seen) > SEEN_MAX:
                trial.seen.popitem(last=False)
            learnt.rewards += 1
            learnt.reward += reward.reward
            trial.changed = True

    def changes(self, live: Iterable[Revision]) -> list[Learned]:
        """Return the shares that have changed since the last call, of the bandits among what is live."""
        self.follow(live)
        changed = {name: trial for name, trial in self._trials.items() if trial.changed}
        for trial in changed.values():
            trial.changed = False
            trial.weights = best_probabilities(trial.learnt, floor=trial.floor, chance=self._chance)
        return [_learned(name, trial) for name, trial in changed.items()]

    def known(self) -> list[Learned]:
        """Return all shares that were worked out, for a worker that is new."""
        return [_learned(name, trial) for name, trial in self._trials.items() if trial.weights]

    def learnt(self, endpoint: str) -> Mapping[str, Learnt]:
        """Return what an endpoint's variants were rewarded with, by run."""
        trial = self._trials.get(endpoint)
        return {} if trial is None else trial.learnt


def best_probabilities(
    learnt: Mapping[str, Learnt], *, floor: float, chance: random.Random
) -> dict[str, float]:
    """Return for each variant the probability that it is the best, by `DRAWS` draws, and at least `floor`."""
    wins = dict.fromkeys(learnt, 0)
    parameters = [(run, 1 + one.reward, 1 + one.rewards - one.reward) for run, one in learnt.items()]
    for _ in range(DRAWS):
        wins[max((chance.betavariate(good, bad), run) for run, good, bad in parameters)[1]] += 1
    free = max(0.0, 1.0 - floor * len(learnt))
    least = (1.0 - free) / len(learnt)
    return {run: least + free * count / DRAWS for run, count in wins.items()}


def _learned(endpoint: str, trial: _Trial) -> Learned:
    return Learned(endpoint=endpoint, salt=trial.salt, weights=trial.weights)
