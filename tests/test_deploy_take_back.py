"""A version that passed its gates and that no replica can serve: the ledger goes back to the one that answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rasen.store import MemoryStore
from rasen.tracking.keys import replica_key
from rasen.tracking.replica_report import EndpointReport, ReplicaReport
from stand.decided import Desk
from stand.manifests import run_of


class Replicas:
    """A desk whose store has a clock of its own, and replicas that report what a test says."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime(2026, 1, 2, tzinfo=UTC)
        self.desk = Desk(folder, store=MemoryStore(clock=lambda: self.now))

    def report(
        self,
        *refused: int,
        live: int | None = 1,
        replica: str = "one",
        after: float = 31,
        stale: bool = False,
    ) -> None:
        """Let so many seconds pass, then report."""
        self.now += timedelta(seconds=after)
        endpoint = EndpointReport(
            revision=live, refused={str(number): "the model raised ValueError: 7" for number in refused}
        )
        record = ReplicaReport(
            replica=replica,
            started_at=datetime(2031, 1, 1, tzinfo=UTC),  # a replica's own clock means nothing
            reported_at=datetime(2019, 1, 1, tzinfo=UTC),
            stale=stale,
            endpoints={"demand": endpoint},
        )
        self.desk.store.write(replica_key(replica), record.to_bytes())

    def reconcile(self) -> list[tuple[str, str | None]]:
        return [(record.action, record.run) for record in self.desk.decider.reconcile()]


@pytest.fixture
def replicas(tmp_path: Path) -> Replicas:
    made = Replicas(tmp_path)
    made.desk.publish(1)
    made.desk.publish(2)
    return made


def test_what_all_replicas_go_on_refusing_is_taken_back_and_stays_decided(replicas: Replicas) -> None:
    replicas.report(2, replica="one")
    replicas.report(2, replica="two", after=0)
    assert replicas.reconcile() == [("rollback", run_of(1))]
    record = replicas.desk.records()[-1]
    assert (record.actor, record.previous) == ("function", 2)
    assert record.reason == (
        f"back to {run_of(1)} of record 1 instead of {run_of(2)}: all 2 replicas cannot serve it: "
        "'one' says: the model raised ValueError: 7"
    )
    assert replicas.reconcile() == []
    assert replicas.desk.another_decider().reconcile() == []
    replicas.desk.publish(3)
    assert replicas.desk.live() == [run_of(3)], "a newer one has its chance"


def test_one_replica_that_serves_it_or_has_not_looked_yet_is_enough_to_wait(replicas: Replicas) -> None:
    replicas.report(2, replica="one")
    replicas.report(replica="two", live=2, after=0)
    assert replicas.reconcile() == []
    replicas.report(replica="two", live=1, after=0)
    assert replicas.reconcile() == [], "it has not refused"


def test_a_fresh_refusal_may_pass(replicas: Replicas) -> None:
    replicas.report(2, after=10)
    assert replicas.reconcile() == []
    replicas.report(after=10, live=2)
    assert replicas.reconcile() == []


def test_reports_of_replicas_that_are_gone_do_not_count(replicas: Replicas) -> None:
    replicas.report(2, replica="old")
    replicas.now += timedelta(days=1)
    replicas.desk.publish(3)
    replicas.report(replica="new", live=3)
    assert replicas.reconcile() == []


def test_a_first_version_that_nobody_can_serve_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replicas = Replicas(tmp_path)
    replicas.desk.publish(1)
    replicas.report(1, live=None)
    assert replicas.reconcile() == []
    assert replicas.reconcile() == []
    assert caplog.text.count("has no earlier version to go back to: the only replica cannot serve it") == 1
