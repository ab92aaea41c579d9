"""Whether what answers may still be believed: keys are revoked while models are loaded.

A revocation stops whatever is loaded after it and nothing that answers already: taking a model away that has answered
for weeks, at the moment when somebody finds out that a key was lost, would be an outage made by ourselves. It is told
instead, by a metric and in the log, until the records are signed again or another version is live. Records that were
signed again replace the copies on this disk, so that a start without the store believes them too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from rasen.errors import RasenError, StoreError
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, Store
from rasen.tracking.signature import Role, TrustStore, load_trust, open_signed, parse_signed
from rasen_serving.revisions import Resolved

logger = logging.getLogger(__name__)


class TrustWatch:
    """Checks the records of what is live against the present trust file. Called from threads, one at a time."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.distrusted: dict[str, str] = {}
        self._store = store
        self._settings = settings
        self._kept = DirectoryStore(settings.cache_dir / "records")

    def look(self, live: Mapping[str, Resolved]) -> None:
        """Find out which of the live revisions, by endpoint, rest on a signature that is not believed any more."""
        trust = load_trust(self._settings)
        found = {name: self._distrust(resolved, trust) for name, resolved in live.items()}
        found = {name: why for name, why in found.items() if why}
        for name, why in found.items():
            if self.distrusted.get(name) != why:
                logger.error(
                    "%s answers on, but what is live is not believed any more: %s; deploy another version, or have it "
                    "signed again with `rasen trust resign`",
                    *(name, why),
                )
        for name in self.distrusted.keys() - found.keys():
            logger.warning("%s: what is live is believed again", name)
        self.distrusted = found

    def _distrust(self, resolved: Resolved, trust: TrustStore) -> str:
        """Return why a revision would not be loaded today, `""` when it would."""
        for key in resolved.records:
            why = self._refusal(key, resolved.records[key], trust)
            if why and self._take_again(key, resolved, trust):
                why = ""
            if why:
                return why
        return ""

    def _take_again(self, key: str, resolved: Resolved, trust: TrustStore) -> bool:
        """Take a record that was signed again from the store; return whether it was, and says the same."""
        try:
            fresh = self._store.read(key)
            if self._refusal(key, fresh, trust):
                return False
            if parse_signed(fresh, key)[1] != parse_signed(resolved.records[key], key)[1]:
                return False
            self._kept.write(key, fresh)
        except (StoreError, OSError) as error:
            logger.warning("%r could not be read to see whether it was signed again: %s", key, error)
            return False
        resolved.records[key] = fresh
        return True

    def _refusal(self, key: str, data: bytes, trust: TrustStore) -> str:
        role = Role.DECIDER if key.startswith("endpoints/") else Role.CONTROL
        try:
            open_signed(data, key, trust=trust, role=role, environment=self._settings.environment)
        except RasenError as error:
            return str(error)
        return ""
