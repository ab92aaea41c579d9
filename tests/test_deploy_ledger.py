"""The ledger: numbers without gaps, one winner a number, and a hint that may be wrong."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rasen.deploy import ledger
from rasen.errors import KeyRefused, ObjectNotFound, SignatureInvalid
from rasen.store import DirectoryStore, MemoryStore, Store
from rasen.tracking.keys import HEADS_KEY, deployment_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord
from rasen.tracking.signature import Role, TrustStore
from stand.manifests import KeptKey

SIGNER = KeptKey(Role.DECIDER)
TRUST = TrustStore(keys=[SIGNER.trusted("dev")])


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def record(number: int, *, endpoint: str = "demand", reason: str = "") -> LedgerRecord:
    return LedgerRecord(
        endpoint=endpoint,
        number=number,
        action="refuse",
        run=None,
        actor="function",
        reason=reason,
        state=EndpointState(),
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def fill(store: Store, count: int, *, endpoint: str = "demand") -> None:
    for number in range(1, count + 1):
        assert ledger.append(store, SIGNER, record(number, endpoint=endpoint))


def test_an_endpoint_without_records_has_head_0(store: Store) -> None:
    assert ledger.find_head(store, "demand") == 0
    assert ledger.find_head(store, "demand", hint=12) == 0
    assert ledger.latest(store, TRUST, "demand", environment="dev") is None
    assert ledger.read_heads(store) == {}
    assert ledger.list_endpoints(store) == []


@pytest.mark.parametrize("hint", [0, 1, 4, 5, 6, 99_999_999, -3])
def test_the_head_is_found_from_any_hint(store: Store, hint: int) -> None:
    fill(store, 5)
    assert ledger.find_head(store, "demand", hint=hint) == 5
    found = ledger.latest(store, TRUST, "demand", environment="dev", hint=hint)
    assert found == record(5)


def test_records_are_listed_in_order(store: Store) -> None:
    fill(store, 12)
    listed = ledger.list_records(store, TRUST, "demand", environment="dev")
    assert [each.number for each in listed] == list(range(1, 13))
    assert [
        each.number for each in ledger.list_records(store, TRUST, "demand", environment="dev", after=10)
    ] == [11, 12]


def test_a_number_is_taken_once(store: Store) -> None:
    assert ledger.append(store, SIGNER, record(1, reason="first"))
    assert not ledger.append(store, SIGNER, record(1, reason="second"))
    assert ledger.read_record(store, TRUST, "demand", 1, environment="dev").reason == "first"


def test_a_retry_of_the_very_same_record_finds_it_there(store: Store) -> None:
    assert ledger.append(store, SIGNER, record(1))
    assert ledger.append(store, SIGNER, record(1))


def test_a_record_is_read_only_when_it_verifies(store: Store) -> None:
    fill(store, 1)
    fill(store, 1, endpoint="other")
    genuine = store.read(deployment_key("demand", 1))
    for forged in (
        b"",
        genuine[:-2],
        genuine.replace(b"refuse", b"deploy"),
        store.read(deployment_key("other", 1)),
    ):
        store.write(deployment_key("demand", 1), forged)
        with pytest.raises(SignatureInvalid):
            ledger.latest(store, TRUST, "demand", environment="dev")
    store.write(deployment_key("demand", 1), genuine)
    with pytest.raises(KeyRefused):
        ledger.read_record(store, TRUST, "demand", 1, environment="prod")
    with pytest.raises(ObjectNotFound):
        ledger.read_record(store, TRUST, "demand", 2, environment="dev")


def test_a_record_that_speaks_of_another_number_is_refused(store: Store) -> None:
    from rasen.tracking.signature import write_signed

    write_signed(store, deployment_key("demand", 1), record(2).to_bytes(), SIGNER)
    with pytest.raises(SignatureInvalid, match="speaks of number 2"):
        ledger.latest(store, TRUST, "demand", environment="dev")


def test_heads_are_merged_and_never_go_back(store: Store) -> None:
    fill(store, 3)
    fill(store, 1, endpoint="other")
    ledger.write_heads(store, {"demand": 3})
    ledger.write_heads(store, {"other": 1, "demand": 2})
    assert ledger.read_heads(store) == {"demand": 3, "other": 1}


@pytest.mark.parametrize(
    "wrong", [b"", b"null", b"[1]", b'{"demand": 77}', b'{"demand": "3", "x/y": 1, "other": true}']
)
def test_wrong_heads_are_put_right(store: Store, wrong: bytes) -> None:
    fill(store, 3)
    store.write(HEADS_KEY, wrong)
    assert set(ledger.read_heads(store).values()) <= {77}
    ledger.write_heads(store, {"demand": 3})
    assert ledger.read_heads(store) == {"demand": 3}


def test_heads_are_rebuilt_from_the_records_alone(store: Store) -> None:
    fill(store, 3)
    fill(store, 1, endpoint="other")
    assert ledger.rebuild_heads(store) == {"demand": 3, "other": 1}
    assert ledger.read_heads(store) == {"demand": 3, "other": 1}
    assert ledger.list_endpoints(store) == ["demand", "other"]


def test_an_endpoint_that_is_gone_leaves_the_heads(store: Store) -> None:
    store.write(HEADS_KEY, b'{"demand": 3}')
    ledger.write_heads(store, {"demand": 0})
    assert ledger.read_heads(store) == {}


def test_writers_of_heads_do_not_lose_one_another(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    names = [f"endpoint_{number}" for number in range(8)]
    for name in names:
        fill(store, 3, endpoint=name)

    def count(name: str) -> None:
        for number in (1, 2, 3):
            ledger.write_heads(store, {name: number})

    threads = [threading.Thread(target=count, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.read_heads(store) == dict.fromkeys(names, 3)
