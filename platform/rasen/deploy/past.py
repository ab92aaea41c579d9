"""Past versions of an endpoint, as its ledger tells them: what gates that look back compare with.

The ledger is enough: each record of a run carries the metrics that were judged, signed. Records are immutable, so
each is read once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rasen.deploy import ledger
from rasen.deploy.evidence import PastVersion
from rasen.errors import InvalidInput, ObjectNotFound, TrustError
from rasen.store import Store
from rasen.tracking.ids import instant_of
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import UnreadableRecord
from rasen.tracking.signature import TrustStore

# So many records are looked at, however few of them were deployments: a decision must end.
_RECORDS_MAX = 1000
_RECORDS_REMEMBERED = 20_000

_log = logging.getLogger(__name__)


class Past:
    """The past of all endpoints, as far as it was looked at."""

    def __init__(self, store: Store, trust: TrustStore, *, environment: str) -> None:
        self._store = store
        self._trust = trust
        self._environment = environment
        self._records: dict[tuple[str, int], LedgerRecord | None] = {}

    def record(self, endpoint: str, number: int) -> LedgerRecord | None:
        """Return a record, `None` when it is gone or cannot be believed."""
        place = endpoint, number
        if number < 1:
            return None
        if place not in self._records:
            if len(self._records) >= _RECORDS_REMEMBERED:
                self._records.clear()
            try:
                self._records[place] = ledger.read_record(
                    self._store, self._trust, endpoint, number, environment=self._environment
                )
            except (TrustError, UnreadableRecord, ObjectNotFound) as error:
                _log.error("record %d of %s is left out of its past: %s", number, endpoint, error)
                self._records[place] = None
        return self._records[place]

    def records(self, endpoint: str, *, head: int) -> Iterator[LedgerRecord]:
        """Yield the records of an endpoint from number `head` back, those left out that cannot be believed."""
        for number in range(head, max(0, head - _RECORDS_MAX), -1):
            record = self.record(endpoint, number)
            if record is not None:
                yield record

    def versions(self, endpoint: str, *, head: int, live: int) -> list[PastVersion]:
        """Return the versions that were decided up to record `head`, newest first.

        Args:
            endpoint: Whose.
            head: Number of the newest record.
            live: How many that went live are enough; those refused in between come too.
        """
        found: dict[str, PastVersion] = {}
        taken_back: set[str] = set()
        answers_now = _variants(self.record(endpoint, head))
        for record in self.records(endpoint, head=head):
            if record.action in {"rollback", "abort"}:
                before = _variants(self.record(endpoint, record.number - 1))
                taken_back |= before - _variants(record) - answers_now
            if record.run is None or record.action not in {"deploy", "hold", "refuse", "override", "approve"}:
                continue
            try:
                at = instant_of(record.run)
            except InvalidInput:
                continue
            found.setdefault(
                record.run,
                PastVersion(
                    run=record.run,
                    number=record.number,
                    action=record.action,
                    at=at,
                    metrics=record.metrics,
                    verdicts=tuple(record.verdicts),
                    taken_back=record.run in taken_back,
                ),
            )
            if sum(version.went_live for version in found.values()) >= live:
                break
        return list(found.values())

    def decision_on(self, endpoint: str, run: str, *, head: int) -> LedgerRecord | None:
        """Return the newest record about a run, `None` when nothing was decided about it as far back as is looked."""
        for record in self.records(endpoint, head=head):
            if record.run == run:
                return record
        return None

    def champion_before(self, endpoint: str, *, head: int) -> LedgerRecord | None:
        """Return the newest record whose champion is another than the head's, `None` when there never was one."""
        champions = (
            (record, next((each.run for each in record.state.variants if each.role == "champion"), None))
            for record in self.records(endpoint, head=head)
        )
        now: str | None = None
        for record, run in champions:
            if run is None:
                continue
            if now is None:
                now = run
            elif run != now:
                return record
        return None


def _variants(record: LedgerRecord | None) -> set[str]:
    return set() if record is None else {each.run for each in record.state.variants}
