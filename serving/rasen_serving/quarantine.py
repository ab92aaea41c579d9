"""Versions that may not be executed any more, because they have ended or hung the process of a worker again.

Once may be bad luck and costs what that worker had in flight. The second time within ten minutes it is the version's
fault, and every further time would cost as much again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from rasen_serving.messages import Version

WINDOW_SECONDS = 600.0
MOST_DEATHS = 2


class Quarantine:
    """Counts the processes that versions have taken along."""

    def __init__(self) -> None:
        self._deaths: dict[str, list[float]] = {}
        self._reasons: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def reason(self, version: Version) -> str:
        """Return why a version may not be executed, `""` when it may."""
        return "" if version.quarantined else self._reasons.get(version.manifest_sha256, "")

    @property
    def runs(self) -> dict[str, str]:
        """Why versions may not be executed, by the digest of their manifest."""
        return dict(self._reasons)

    def among(self, reasons: Iterable[str]) -> dict[str, str]:
        """Return the runs whose quarantine is among the reasons why something is not served, each with its reason."""
        given = set(reasons)
        return {self._versions[digest]: why for digest, why in self._reasons.items() if why in given}

    def note_death(self, version: Version, how: str) -> bool:
        """Note that a version took its process along; return whether that makes it one to be kept away."""
        now = time.monotonic()
        digest = version.manifest_sha256
        deaths = [at for at in self._deaths.get(digest, []) if now - at < WINDOW_SECONDS]
        self._deaths[digest] = [*deaths, now]
        if len(deaths) + 1 < MOST_DEATHS or digest in self._reasons:
            return False
        self._versions[digest] = version.run
        self._reasons[digest] = (
            f"model {version.run} is in quarantine: within {WINDOW_SECONDS / 60:.0f} minutes {MOST_DEATHS} workers "
            f"came to an end while it was predicting ({how})"
        )
        return True
