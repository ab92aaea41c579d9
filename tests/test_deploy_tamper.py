"""What is not proved to be ours is refused, is refused once, and is never unpickled."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rasen.deploy import ledger
from rasen.deploy.decide import Decider
from rasen.store import MemoryStore
from rasen.tracking.keys import QUALIFY_STEP, manifest_key, release_key, result_key, start_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import Manifest
from rasen.tracking.signature import Role, sign
from stand.manifests import KeptKey, Publisher, run_of
from stand.published import Trap


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Path]:
    """A file that exists when somebody has unpickled a model; every test ends by seeing that nobody did."""
    file = tmp_path / "unpickled"
    yield file
    assert not file.exists()


@pytest.fixture
def publisher(trap: Path) -> Publisher:
    """A store in which run 1 is live and run 2 is published, but not decided."""
    publisher = Publisher(MemoryStore(), trap)
    publisher.register()
    publisher.publish(1)
    decide(publisher)
    publisher.publish(2)
    return publisher


def decide(publisher: Publisher) -> list[LedgerRecord]:
    """Decide as a function that has just been started."""
    decider = Decider(
        publisher.store,
        publisher.decider,
        trust=publisher.trust,
        environment=publisher.environment,
        scratch_dir=publisher.trap.parent,
    )
    return decider.decide("demand")


def refuses(publisher: Publisher, *, counts: bool) -> LedgerRecord:
    """Check that the one record is a refusal that leaves run 1 live and is not made again; return it.

    Args:
        publisher: The store.
        counts: Whether the run's id is proved, so that runs before it are superseded.
    """
    (record,) = decide(publisher)
    assert record.action == "refuse"
    assert record.run == run_of(2)
    assert [variant.run for variant in record.state.variants] == [run_of(1)]
    assert record.state.newest_run == run_of(2 if counts else 1)
    assert record.state.unverified.keys() == (set() if counts else {f"demand/{run_of(2)}"})
    assert decide(publisher) == []
    return record


def change(publisher: Publisher, key: str, edit: Callable[[bytes], bytes]) -> None:
    publisher.store.write(key, edit(publisher.store.read(key)))


MANIFEST = manifest_key("demand", run_of(2))
MODEL = f"runs/demand/{run_of(2)}/train/1/model/model.cloudpickle"
EXAMPLE = f"runs/demand/{run_of(2)}/train/1/model/example.json"


def test_the_trap_works(trap: Path) -> None:
    import pickle

    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()
    trap.unlink()


def test_untouched_it_is_deployed(publisher: Publisher) -> None:
    (record,) = decide(publisher)
    assert (record.action, record.run) == ("deploy", run_of(2))


@pytest.mark.parametrize(
    "edit", [lambda _: b"", lambda data: data[:-1], lambda data: data[:100], lambda _: b"{}\n{}"]
)
def test_a_manifest_that_is_cut_or_empty(publisher: Publisher, edit: Callable[[bytes], bytes]) -> None:
    change(publisher, MANIFEST, edit)
    refuses(publisher, counts=False)


def test_a_manifest_without_a_signature(publisher: Publisher) -> None:
    change(publisher, MANIFEST, lambda data: data.partition(b"\n")[2])
    assert "is not signed" in refuses(publisher, counts=False).reason


def test_a_manifest_signed_by_a_foreign_key(publisher: Publisher) -> None:
    stranger = KeptKey(Role.CONTROL)
    change(publisher, MANIFEST, lambda data: sign(MANIFEST, data.partition(b"\n")[2], stranger))
    assert "is not among the trusted keys" in refuses(publisher, counts=False).reason


def test_a_manifest_signed_by_a_revoked_key(publisher: Publisher) -> None:
    former = KeptKey(Role.CONTROL)
    publisher.strangers = (former.trusted("dev", state="revoked"),)
    change(publisher, MANIFEST, lambda data: sign(MANIFEST, data.partition(b"\n")[2], former))
    assert "is revoked" in refuses(publisher, counts=False).reason


def test_a_manifest_signed_by_another_role(publisher: Publisher) -> None:
    change(publisher, MANIFEST, lambda data: sign(MANIFEST, data.partition(b"\n")[2], publisher.registrar))
    assert "is signed as 'registrar'" in refuses(publisher, counts=False).reason


def test_a_manifest_signed_by_a_key_of_another_environment(trap: Path) -> None:
    publisher = Publisher(MemoryStore(), trap, environment="prod")
    developer = KeptKey(Role.CONTROL)
    publisher.strangers = (developer.trusted("dev"),)
    publisher.register()
    publisher.publish(1)
    decide(publisher)
    publisher.publish(2, signer=developer)
    assert "is trusted in ['dev'], not in 'prod'" in refuses(publisher, counts=False).reason


def test_a_manifest_of_another_environment_signed_by_a_key_of_both(publisher: Publisher) -> None:
    def elsewhere(data: bytes) -> bytes:
        manifest = Manifest.from_bytes(data.partition(b"\n")[2])
        staged = manifest.model_copy(update={"environment": "staging"})
        return sign(MANIFEST, staged.to_bytes(), publisher.control)

    change(publisher, MANIFEST, elsewhere)
    assert "in 'staging'" in refuses(publisher, counts=False).reason


def test_a_copy_of_an_older_manifest_under_the_key_of_a_newer_run(publisher: Publisher) -> None:
    change(publisher, MANIFEST, lambda _: publisher.store.read(manifest_key("demand", run_of(1))))
    refuses(publisher, counts=False)


def test_the_manifest_of_another_pipeline(publisher: Publisher) -> None:
    publisher.register("other")
    publisher.publish(2, "other")
    change(publisher, MANIFEST, lambda _: publisher.store.read(manifest_key("other", run_of(2))))
    refuses(publisher, counts=False)


def test_a_signed_manifest_that_is_no_manifest(publisher: Publisher) -> None:
    change(publisher, MANIFEST, lambda _: sign(MANIFEST, b'{"format": 2}', publisher.control))
    refuses(publisher, counts=False)


@pytest.mark.parametrize("edit", [lambda data: data + b" ", lambda data: data.replace(b"nonce2", b"nonce3")])
def test_a_start_record_that_is_not_the_one(publisher: Publisher, edit: Callable[[bytes], bytes]) -> None:
    change(publisher, start_key("demand", run_of(2)), edit)
    assert "is not the one that the manifest was signed for" in refuses(publisher, counts=False).reason


def test_a_release_that_nobody_registered(publisher: Publisher) -> None:
    publisher.publish(3, release="7-0123456789ab")
    publisher.store.delete(MANIFEST)
    (record,) = decide(publisher)
    assert "has no release '7-0123456789ab'" in record.reason
    assert record.state.newest_run == run_of(1)


def test_a_release_signed_by_somebody_else(publisher: Publisher) -> None:
    stranger = KeptKey(Role.REGISTRAR)
    key = release_key("demand", "1-0123456789ab")
    change(publisher, key, lambda data: sign(key, data.partition(b"\n")[2], stranger))
    assert "is not among the trusted keys" in refuses(publisher, counts=False).reason


@pytest.mark.parametrize("key", [MODEL, EXAMPLE])
@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data[:-1], "bytes; the manifest names"),
        (lambda _: b"", "has 0 bytes; the manifest names"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "does not have the expected SHA-256"),
    ],
)
def test_a_file_of_the_model_that_is_cut_empty_or_changed(
    publisher: Publisher, key: str, edit: Callable[[bytes], bytes], reason: str
) -> None:
    change(publisher, key, edit)
    assert reason in refuses(publisher, counts=True).reason


@pytest.mark.parametrize("key", [MODEL, EXAMPLE])
def test_a_file_of_the_model_that_is_gone(publisher: Publisher, key: str) -> None:
    publisher.store.delete(key)
    assert f"{key!r}, which the manifest names, is gone" in refuses(publisher, counts=True).reason


def test_a_file_outside_the_pipelines_own_runs(publisher: Publisher) -> None:
    publisher.register("other")
    publisher.publish(2, "other")

    def pointing_elsewhere(data: bytes) -> bytes:
        payload = data.partition(b"\n")[2].replace(b'"key":"runs/demand/', b'"key":"runs/other/')
        return sign(MANIFEST, payload, publisher.control)

    change(publisher, MANIFEST, pointing_elsewhere)
    assert "which no run of 'demand' wrote" in refuses(publisher, counts=True).reason


@pytest.mark.parametrize("step", ["train", QUALIFY_STEP])
def test_metrics_that_were_changed_after_the_manifest(publisher: Publisher, step: str) -> None:
    change(publisher, result_key("demand", run_of(2), step, 1), lambda data: data.replace(b"1.0", b"0.5"))
    assert "is not the one that the manifest of run" in refuses(publisher, counts=True).reason


def test_metrics_that_are_gone(publisher: Publisher) -> None:
    publisher.store.delete(result_key("demand", run_of(2), "train", 1))
    assert "no object" in refuses(publisher, counts=True).reason


def test_the_real_run_is_decided_after_its_forgery_was_refused(publisher: Publisher) -> None:
    genuine = publisher.store.read(MANIFEST)
    publisher.store.write(MANIFEST, b"forged")
    refuses(publisher, counts=False)
    publisher.store.write(MANIFEST, b"forged once more")
    (again,) = decide(publisher)
    assert again.action == "refuse"
    publisher.store.write(MANIFEST, genuine)
    (record,) = decide(publisher)
    assert (record.action, record.run) == ("deploy", run_of(2))
    assert record.state.unverified == {}


def test_a_forged_run_id_of_the_future_does_not_supersede_real_runs(publisher: Publisher) -> None:
    future = manifest_key("demand", "99991231T235959999Z-0123456789ab")
    publisher.store.write(future, b"forged")
    assert [(record.action, record.run) for record in decide(publisher)] == [
        ("deploy", run_of(2)),
        ("refuse", "99991231T235959999Z-0123456789ab"),
    ]
    publisher.publish(3)
    (record,) = decide(publisher)
    assert (record.action, record.run) == ("deploy", run_of(3))
    assert len(record.state.unverified) == 1


def test_a_flood_of_forgeries_does_not_fill_the_ledger(publisher: Publisher) -> None:
    for number in range(1000, 1130):
        publisher.store.write(manifest_key("demand", run_of(number)), b"forged")
    refusals = [record for record in decide(publisher) if record.action == "refuse"]
    assert len(refusals) == 100
    assert decide(publisher) == []
    run = publisher.publish(3)
    assert [(record.action, record.run) for record in decide(publisher)] == [("deploy", run)]


def test_manifests_in_the_name_of_a_stranger_make_no_ledger(publisher: Publisher) -> None:
    key = manifest_key("stranger", run_of(1))
    publisher.store.write(key, b"forged")
    decider = Decider(
        publisher.store,
        publisher.decider,
        trust=publisher.trust,
        environment="dev",
        scratch_dir=publisher.trap.parent,
    )
    assert decider.decide("stranger") == []
    assert ledger.list_endpoints(publisher.store) == ["demand"]


def test_a_forgery_before_the_first_decision_does_not_make_the_pipeline_an_owner(trap: Path) -> None:
    publisher = Publisher(MemoryStore(), trap)
    publisher.register(endpoint="shared")
    publisher.register("second", endpoint="shared")
    publisher.store.write(MANIFEST, b"forged")
    (record,) = decide(publisher)
    assert (record.endpoint, record.state.pipeline, record.state.newest_run) == ("shared", None, None)


def test_a_key_that_becomes_trusted_while_the_function_runs(publisher: Publisher) -> None:
    successor = KeptKey(Role.CONTROL)
    publisher.publish(3, signer=successor)
    decider = Decider(
        publisher.store,
        publisher.decider,
        trust=publisher.trust,
        environment="dev",
        scratch_dir=publisher.trap.parent,
    )
    assert [(each.action, each.run) for each in decider.reconcile()] == [
        ("deploy", run_of(2)),
        ("refuse", run_of(3)),
    ]
    publisher.strangers = (successor.trusted("dev"),)
    assert [(each.action, each.run) for each in decider.reconcile()] == [("deploy", run_of(3))]


def test_a_key_that_becomes_trusted_while_the_function_looks(publisher: Publisher) -> None:
    successor = KeptKey(Role.CONTROL)
    publisher.publish(3, signer=successor)
    looks = iter([publisher.trust()])
    publisher.strangers = (successor.trusted("dev"),)
    decider = Decider(
        publisher.store,
        publisher.decider,
        trust=lambda: next(looks, publisher.trust()),
        environment="dev",
        scratch_dir=publisher.trap.parent,
    )
    assert [(each.action, each.run) for each in decider.decide("demand")] == [
        ("deploy", run_of(2)),
        ("deploy", run_of(3)),
    ]


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_refused(trap: Path, data: st.DataObject) -> None:
    publisher = Publisher(MemoryStore(), trap)
    publisher.register()
    publisher.publish(2)
    key = data.draw(st.sampled_from([stat.key for stat in publisher.store.list("") if _matters(stat.key)]))
    original = publisher.store.read(key)
    position = data.draw(st.integers(0, len(original) * 8 - 1))
    flipped = bytearray(original)
    flipped[position // 8] ^= 1 << position % 8
    assume(_header(bytes(flipped)) != _header(original) or _payload(bytes(flipped)) != _payload(original))
    publisher.store.write(key, bytes(flipped))
    made = decide(publisher)
    # A release that is not ours names no endpoint, so there is no ledger to write the refusal into.
    assert [record.action for record in made] == ([] if key.startswith("releases/") else ["refuse"])
    assert all(record.state.variants == [] for record in made)


def _header(data: bytes) -> object:
    """Return what the first line says; the last digit of a signature in base64 has four bits that say nothing."""
    try:
        header = json.loads(data.partition(b"\n")[0])
        return header | {"signature": base64.b64decode(header["signature"])}
    except (ValueError, TypeError, KeyError):
        return data


def _payload(data: bytes) -> bytes:
    return data.partition(b"\n")[2]


def _matters(key: str) -> bool:
    return not key.endswith("current.json")
