"""Which past versions were taken back: what the history gate leaves out and counts."""

from datetime import UTC, datetime

from rasen.deploy.past import Past
from rasen.store.memory import MemoryStore
from rasen.tracking.ids import run_id
from rasen.tracking.ledger_records import Action, EndpointState, LedgerRecord, Variant
from rasen.tracking.signature import TrustStore

RUNS = [run_id(datetime(2026, 1, day, tzinfo=UTC), f"cron:{day}") for day in range(1, 5)]


class Told(Past):
    """A past that is known without a store."""

    def __init__(self, records: list[LedgerRecord]) -> None:
        super().__init__(MemoryStore(), TrustStore(), environment="dev")
        self.told = {record.number: record for record in records}

    def record(self, endpoint: str, number: int) -> LedgerRecord | None:
        """Return what was told."""
        return self.told.get(number)


def record(number: int, action: Action, run: str, *live: str) -> LedgerRecord:
    variants = [Variant(run=each, pipeline="demand", manifest_sha256="0" * 64) for each in live]
    return LedgerRecord(
        endpoint="demand",
        number=number,
        action=action,
        run=run,
        actor="function",
        reason="",
        metrics={"rmse": 3.0},
        state=EndpointState(variants=variants),
        decided_at=datetime(2026, 1, number, tzinfo=UTC),
    )


def taken_back(*records: LedgerRecord) -> list[str]:
    past = Told(list(records)).versions("demand", head=records[-1].number, live=10)
    return [version.run for version in past if version.taken_back]


def test_a_rollback_takes_back_what_answered_and_answers_no_more() -> None:
    first, second, third, _ = RUNS
    history = [
        record(1, "deploy", first, first),
        record(2, "deploy", second, second),
        record(3, "rollback", first, first),
        record(4, "deploy", third, third),
    ]
    assert taken_back(*history) == [second]
    assert taken_back(*history[:2]) == []


def test_an_abort_takes_back_the_candidate_of_a_rollout() -> None:
    first, second, *_ = RUNS
    assert taken_back(
        record(1, "deploy", first, first),
        record(2, "deploy", second, first, second),
        record(3, "abort", second, first),
    ) == [second]


def test_what_is_brought_back_again_is_not_taken_back() -> None:
    first, second, *_ = RUNS
    history = [
        record(1, "deploy", first, first),
        record(2, "deploy", second, second),
        record(3, "rollback", first, first),
        record(4, "rollback", second, second),
    ]
    assert taken_back(*history) == [first]
