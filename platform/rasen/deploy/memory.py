"""What need not be read again while the trusted keys are the same: everything in it is immutable in the store.

Whoever looks at an endpoint twice in a row finds the heads of the ledgers, what lies under the manifests, and the past
versions here. When the trusted keys change all of it is forgotten, because what was believed may not be any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rasen.deploy.candidate import Candidate, NothingToDecide, Unverified, open_candidate
from rasen.deploy.heads import Heads
from rasen.deploy.past import Past
from rasen.store import Stat, Store
from rasen.tracking.signature import TrustStore

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Memory:
    """A store as seen with one set of trusted keys.

    Args:
        store: The store.
        trust: The keys.
        environment: Whose manifests and ledgers.
        scratch_dir: Where files are put while their digests are checked.
    """

    store: Store
    trust: TrustStore
    environment: str
    scratch_dir: Path
    heads: Heads = field(init=False)
    past: Past = field(init=False)
    floors: dict[str, str] = field(default_factory=dict)
    """By pipeline, a run that is decided everywhere."""
    reconciled: dict[str, int] = field(default_factory=dict)
    """By pipeline, the hash of the names of its manifests when all were decided."""
    complaints: set[str] = field(default_factory=set)
    _found: dict[tuple[str, int], NothingToDecide | Unverified] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.heads = Heads(self.store, self.trust, environment=self.environment)
        self.past = Past(self.store, self.trust, environment=self.environment)

    def open(self, pipeline: str, run: str, stat: Stat) -> NothingToDecide | Unverified | Candidate:
        """Return what lies under a manifest's key.

        Raises:
            StoreUnavailable: The store is down; nothing can be said.
        """
        known = self._found.get((stat.key, stat.generation))
        if known is not None:
            return known
        found = open_candidate(self.store, self.trust, pipeline, run, environment=self.environment)
        if not isinstance(found, Candidate):
            self._found[stat.key, stat.generation] = found
        return found

    def reopen(self, pipeline: str, run: str) -> Candidate | str:
        """Return a run that was decided before; a sentence when it is gone or its key is not trusted any more.

        Raises:
            StoreUnavailable: The store is down; nothing can be said.
        """
        found = open_candidate(self.store, self.trust, pipeline, run, environment=self.environment)
        return found if isinstance(found, Candidate) else found.reason

    def complain(self, message: str) -> None:
        """Log once; the same will be found at every look until somebody has acted."""
        if message not in self.complaints:
            self.complaints.add(message)
            _log.error("%s", message)

    def under_way(self) -> Iterator[str]:
        """Yield the endpoints whose rollout is to be watched, or whose held version waits for nobody any more."""
        for endpoint, state in self.heads.survey():
            if state.rollout is not None or (
                state.held is not None and not state.held.gates and state.frozen is None
            ):
                yield endpoint
