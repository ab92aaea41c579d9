"""The newest record of every ledger, remembered: what a decision begins from.

What is remembered only saves reading. A record is immutable, so it is read once; whether there is a newer one is asked
of the store each time a decision is made (`head`), and of `heads.json` when merely looking around (`survey`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rasen.deploy import ledger
from rasen.errors import TrustError
from rasen.store import Store
from rasen.tracking.keys import HEADS_KEY
from rasen.tracking.ledger_records import EndpointState, LedgerRecord
from rasen.tracking.records import UnreadableRecord
from rasen.tracking.signature import TrustStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest record of a ledger; number 0 and an empty state before the first."""

    number: int = 0
    state: EndpointState = field(default_factory=EndpointState)
    decided_at: datetime | None = None


class Heads:
    """The heads of all ledgers, as far as they were looked at."""

    def __init__(self, store: Store, trust: TrustStore, *, environment: str) -> None:
        self._store = store
        self._trust = trust
        self._environment = environment
        self._known: dict[str, Head] = {}
        self._hints: dict[str, int] | None = None
        self._surveyed = -1  # generation of `heads.json`
        self._complaints: set[str] = set()
        self.invited: set[str] = set()
        """Pipelines that became challengers somewhere since this was last emptied: what they published may enter."""

    def begin(self) -> None:
        """Forget the hints: the next look reads them again."""
        self._hints = None

    def head(self, endpoint: str) -> Head:
        """Return the ledger's newest record, and put `heads.json` right when it says something else.

        Raises:
            TrustError, UnreadableRecord: The newest record cannot be trusted or read.
        """
        if self._hints is None:
            self._hints = ledger.read_heads(self._store)
        known = self._known.get(endpoint, Head())
        hint = self._hints.get(endpoint, 0)
        number = ledger.find_head(self._store, endpoint, hint=max(hint, known.number))
        if number != hint:
            ledger.write_heads(self._store, {endpoint: number})
            self._hints[endpoint] = number
        if number < known.number:
            _log.error("ledger of %s went back from #%d to #%d", endpoint, known.number, number)
        if number == 0:
            self._known[endpoint] = Head()
        elif number != known.number:
            record = ledger.read_record(
                self._store, self._trust, endpoint, number, environment=self._environment
            )
            self._learn(endpoint, _head_of(record))
        return self._known.get(endpoint, known)

    def wrote(self, record: LedgerRecord) -> None:
        """Take in a record that this process has just created."""
        self._learn(record.endpoint, _head_of(record))
        ledger.write_heads(self._store, {record.endpoint: record.number})
        if self._hints is not None:
            self._hints[record.endpoint] = record.number

    def survey(self) -> Iterator[tuple[str, EndpointState]]:
        """Yield the state of every endpoint, as `heads.json` knows them; a ledger that does not verify is left out."""
        stat = self._store.stat(HEADS_KEY)
        if stat is None:
            self._hints = ledger.rebuild_heads(self._store) if ledger.list_endpoints(self._store) else {}
        elif stat.generation != self._surveyed:
            self._hints = ledger.read_heads(self._store)
            self._surveyed = stat.generation
        for endpoint, number in sorted((self._hints or {}).items()):
            known = self._known.get(endpoint)
            if known is None or known.number < number:
                try:
                    self.head(endpoint)
                except (TrustError, UnreadableRecord) as error:
                    if str(error) not in self._complaints:
                        self._complaints.add(str(error))
                        _log.error("nothing is known of endpoint %s: %s", endpoint, error)
        yield from sorted((endpoint, head.state) for endpoint, head in self._known.items())

    def _learn(self, endpoint: str, head: Head) -> None:
        before = self._known.get(endpoint, Head()).state.challengers
        self.invited |= set(head.state.challengers) - set(before)
        self._known[endpoint] = head


def _head_of(record: LedgerRecord) -> Head:
    return Head(number=record.number, state=record.state, decided_at=record.decided_at)
