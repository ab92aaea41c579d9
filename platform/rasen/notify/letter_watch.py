"""Dead letters: events that nobody can answer. All that lie there are one incident, which ends when none does."""

from __future__ import annotations

from datetime import datetime

from rasen.deploy.dead_letters import DeadLetter
from rasen.errors import ObjectNotFound
from rasen.notify.changes import Ended, Findings, Happened
from rasen.notify.folders import Doorbell
from rasen.notify.incidents import Incidents
from rasen.notify.message import Content
from rasen.pipeline_alerts import AlertKind, Alerts
from rasen.store import Store
from rasen.tracking.keys import DEAD_LETTERS_PREFIX, dead_letter_key
from rasen.tracking.records import UnreadableRecord

_FOLDER = DEAD_LETTERS_PREFIX.rstrip("/")
_KEY = "dead_letter"


class LetterWatch:
    """Looks at `dead_letters/`.

    Args:
        store: Where they are.
        doorbell: Says whether it is worth looking.
        incidents: What was seen before.
    """

    def __init__(self, store: Store, doorbell: Doorbell, incidents: Incidents) -> None:
        self._store = store
        self._doorbell = doorbell
        self._incidents = incidents

    def begin(self) -> Findings:
        """Return the letters that are there as seen."""
        return Findings(seen=[(_FOLDER, name) for name in self._names()])

    def look(self) -> Findings:
        """Return letters that are new, or that none is left."""
        findings = Findings()
        if not self._doorbell.rang(_FOLDER):
            return findings
        names = self._names()
        seen = self._incidents.seen(_FOLDER)
        new = [name for name in names if name not in seen]
        for name in new:
            stat = self._store.stat(dead_letter_key(name))
            if stat is not None:
                content = self._content(name, len(names))
                findings.changes.append(_happened(content, stat.updated_at))
            findings.seen.append((_FOLDER, name))
        last_at = self._incidents.last_at(_KEY)
        if not names and last_at is not None:
            # Nothing tells when the last one went; the incident's own last instant is of the same clock.
            findings.changes.append(Ended(key=_KEY, at=last_at, why="no letter is left"))
        return findings

    def _names(self) -> list[str]:
        found = self._store.children(DEAD_LETTERS_PREFIX)
        return [name.removesuffix(".json") for name in found if name.endswith(".json")]

    def _content(self, name: str, count: int) -> Content:
        facts = {"letters there": str(count), "letter": name}
        try:
            letter = DeadLetter.from_bytes(self._store.read(dead_letter_key(name)))
        except (UnreadableRecord, ObjectNotFound) as error:
            facts["why"] = str(error)
        else:
            facts |= {"why": letter.reason, "subject": letter.subject, "kind": letter.kind}
        return Content(
            kind=AlertKind.DEAD_LETTER,
            title="the deploy function has an event that it cannot answer",
            facts=facts,
            commands=["rasen dead-letters"],
        )


def _happened(content: Content, at: datetime) -> Happened:
    def describe() -> tuple[Content, Alerts | None]:
        return content, None

    return Happened(key=_KEY, at=at, describe=describe)
