"""`decide`: what becomes of published runs, in whatever order they come and however often somebody rings."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rasen.deploy import ledger
from rasen.deploy.decide import Decider
from rasen.errors import StoreUnavailable, TrustError
from rasen.store import MemoryStore, Store
from rasen.tracking.keys import HEADS_KEY, deployment_key, start_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import Verdict
from stand.manifests import BAD, GOOD, Publisher, run_of


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Path]:
    """A file that exists when somebody has unpickled a model; every test ends by seeing that nobody did."""
    file = tmp_path / "unpickled"
    yield file
    assert not file.exists()


@pytest.fixture
def publisher(trap: Path) -> Publisher:
    return Publisher(MemoryStore(), trap)


def decider_for(publisher: Publisher, scratch_dir: Path, *, store: Store | None = None) -> Decider:
    return Decider(
        store or publisher.store,
        publisher.decider,
        trust=publisher.trust,
        environment=publisher.environment,
        scratch_dir=scratch_dir,
    )


@pytest.fixture
def decider(publisher: Publisher, tmp_path: Path) -> Decider:
    return decider_for(publisher, tmp_path)


def records(publisher: Publisher, endpoint: str = "demand") -> list[LedgerRecord]:
    found = ledger.list_records(
        publisher.store, publisher.trust(), endpoint, environment=publisher.environment
    )
    return list(found)


def story(publisher: Publisher, endpoint: str = "demand") -> list[tuple[str, str | None, list[str]]]:
    """Return action, run and live runs of each record."""
    return [
        (record.action, record.run, [each.run for each in record.state.variants])
        for record in records(publisher, endpoint)
    ]


def test_a_run_that_passes_its_gates_is_deployed(publisher: Publisher, decider: Decider) -> None:
    publisher.register(gates=[{"kind": "baseline", "metric": "rmse", "better_than": "profile_rmse"}])
    run = publisher.publish(1)
    (record,) = decider.decide("demand")
    assert record == records(publisher)[0]
    assert (record.endpoint, record.number, record.action, record.run) == ("demand", 1, "deploy", run)
    assert record.actor == "function"
    assert record.reason == (
        "first version, so no live one to compare with; 1 of 1 gates passed: "
        "rmse 3.1 is 22 % better than profile_rmse 4"
    )
    assert [(each.gate, each.answer) for each in record.verdicts] == [("baseline rmse", "pass")]
    (variant,) = record.state.variants
    assert (variant.run, variant.pipeline, variant.role, variant.weight) == (run, "demand", "champion", 1.0)
    assert (record.state.newest_run, record.state.pipeline) == (run, "demand")
    assert ledger.read_heads(publisher.store) == {"demand": 1}


def test_a_run_that_fails_a_gate_is_refused_and_the_live_one_stays(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register()
    good, bad, better = publisher.publish(1), publisher.publish(2, metrics=BAD), publisher.publish(3)
    decider.decide("demand")
    assert story(publisher) == [
        ("deploy", good, [good]),
        ("refuse", bad, [good]),
        ("deploy", better, [better]),
    ]
    refusal = records(publisher)[1]
    assert refusal.reason == "0 of 1 gates passed: rmse 4.2 is 5 % worse than profile_rmse 4"
    assert refusal.state.newest_run == bad
    assert records(publisher)[2].reason.startswith("1 of 1 gates passed")


def test_the_endpoint_may_have_another_name_than_the_pipeline(publisher: Publisher, decider: Decider) -> None:
    publisher.register(endpoint="departures")
    run = publisher.publish(1)
    decider.decide("demand")
    assert story(publisher, "departures") == [("deploy", run, [run])]
    assert ledger.list_endpoints(publisher.store) == ["departures"]


def test_what_qualify_measured_counts_more_than_what_a_notebook_logged(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register()
    publisher.publish(1, metrics={"rmse": 0.1, "profile_rmse": 4.0}, qualified={"rmse": 5.0})
    (record,) = decider.decide("demand")
    assert (record.action, record.verdicts[0].numbers["rmse"]) == ("refuse", 5.0)


def test_without_gates_and_profile_the_record_says_that_nothing_was_measured(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register()
    publisher.publish(1, metrics={})
    (record,) = decider.decide("demand")
    assert (record.action, record.verdicts) == ("deploy", [])
    assert "deployed on its qualification alone" in record.reason


@pytest.mark.parametrize("options", [{"model": False}, {"deploy": False}])
def test_a_run_that_is_not_for_deployment_makes_no_record(
    publisher: Publisher, decider: Decider, options: dict[str, Any]
) -> None:
    publisher.register()
    publisher.publish(1, **options)
    assert decider.decide("demand") == []
    assert publisher.store.children("endpoints/") == []


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4])))
@pytest.mark.parametrize("failing", [2, 4])
def test_runs_published_in_any_order_with_an_event_each(
    tmp_path: Path, order: tuple[int, ...], failing: int
) -> None:
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    publisher.register()
    decider = decider_for(publisher, tmp_path)
    expected: list[tuple[str, str]] = []
    for number in order:
        publisher.publish(number, metrics=BAD if number == failing else GOOD)
        decider.decide("demand")
        decider.decide("demand")  # the event comes twice
        if not expected or run_of(number) > expected[-1][1]:
            expected.append(("refuse" if number == failing else "deploy", run_of(number)))
    assert [(record.action, record.run) for record in records(publisher)] == expected


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4])))
def test_the_order_of_publication_and_lost_events_do_not_matter_to_one_decision(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    publisher.register()
    for number in order:
        publisher.publish(number, metrics=BAD if number == 4 else GOOD)
    decider_for(publisher, tmp_path).decide("demand")
    assert [(each.action, each.run) for each in records(publisher)] == [
        ("deploy", run_of(1)),
        ("deploy", run_of(2)),
        ("deploy", run_of(3)),
        ("refuse", run_of(4)),
    ]
    assert [each.run for each in records(publisher)[-1].state.variants] == [run_of(3)]


def test_a_late_older_run_is_superseded_without_a_record(publisher: Publisher, tmp_path: Path) -> None:
    publisher.register()
    publisher.publish(2)
    decider_for(publisher, tmp_path).decide("demand")
    publisher.publish(1)
    assert decider_for(publisher, tmp_path).decide("demand") == []
    assert [each.run for each in records(publisher)] == [run_of(2)]


def test_a_decision_that_somebody_else_made_first_is_not_made_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.register()
    publisher.publish(1)
    publisher.publish(2)

    class Raced(MemoryStore):
        """Lets a rival decide just before the first record is created."""

        rival: Decider | None = decider_for(publisher, tmp_path)

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            rival, self.rival = self.rival, None
            if rival is not None:
                rival.decide("demand")
            return publisher.store.write(key, data, if_generation=if_generation)

    raced = Raced()
    raced._objects = publisher.store._objects  # type: ignore[attr-defined]  # the same objects
    assert decider_for(publisher, tmp_path, store=raced).decide("demand") == []
    assert [(each.number, each.run) for each in records(publisher)] == [(1, run_of(1)), (2, run_of(2))]


def test_an_endpoint_belongs_to_the_pipeline_that_was_decided_first(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.register()
    publisher.register("rival", endpoint="demand")
    ours = publisher.publish(1)
    decider_for(publisher, tmp_path).decide("demand")
    publisher.publish(2, "rival")
    publisher.publish(3, "rival")
    decider_for(publisher, tmp_path).decide("rival")
    assert story(publisher)[1:] == [("refuse", run_of(2), [ours]), ("refuse", run_of(3), [ours])]
    assert records(publisher)[-1].reason == (
        "endpoint 'demand' belongs to pipeline 'demand'; give 'rival' a `deploy.endpoint` of its own"
    )
    assert records(publisher)[-1].state.newest_run == ours
    assert decider_for(publisher, tmp_path).decide("rival") == []
    # The claims of the other pipeline, although newer, do not stand in the owner's way.
    publisher.store.delete(publisher.manifest_key(3, "rival"))
    later = publisher.publish(4)
    decider_for(publisher, tmp_path).decide("demand")
    assert story(publisher)[-1] == ("deploy", later, [later])


def test_a_pipeline_that_changes_its_endpoint_is_decided_in_both(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register(release="1-0123456789ab")
    publisher.register(release="2-0123456789ab", endpoint="departures")
    publisher.publish(1)
    publisher.publish(2, release="2-0123456789ab")
    decider.decide("demand")
    assert story(publisher) == [("deploy", run_of(1), [run_of(1)])]
    assert story(publisher, "departures") == [("deploy", run_of(2), [run_of(2)])]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"without": ["_qualify"]}, "the model was never run before publication"),
        ({"verdict": Verdict.KERNEL_DIED}, "step '_qualify' ended as 'kernel_died'"),
        ({"without": ["example"]}, "the manifest names no 'example' file; it has ['model']"),
        ({"without": ["model"]}, "the manifest names no 'model' file"),
    ],
)
def test_a_model_that_was_not_qualified_is_refused(
    publisher: Publisher, decider: Decider, options: dict[str, Any], reason: str
) -> None:
    publisher.register()
    run = publisher.publish(1, **options)
    (record,) = decider.decide("demand")
    assert (record.action, record.state.variants, record.state.newest_run) == ("refuse", [], run)
    assert reason in record.reason


@pytest.mark.parametrize(("environment", "action"), [("dev", "deploy"), ("staging", "refuse")])
def test_the_work_of_a_working_tree_is_deployed_in_dev_and_nowhere_else(
    trap: Path, tmp_path: Path, environment: str, action: str
) -> None:
    publisher = Publisher(MemoryStore(), trap, environment=environment)
    publisher.register()
    publisher.publish(1, origin="workspace")
    (record,) = decider_for(publisher, tmp_path).decide("demand")
    assert record.action == action
    assert ("comes from a working tree, which is never deployed" in record.reason) == (action == "refuse")


def test_a_stale_or_wrong_hint_is_put_right(publisher: Publisher, tmp_path: Path) -> None:
    publisher.register()
    publisher.publish(1)
    decider_for(publisher, tmp_path).decide("demand")
    for wrong in (b"{}", b"not json", b'{"demand": 77}', b'{"demand": "1", "../x": 3}'):
        publisher.store.write(HEADS_KEY, wrong)
        decider_for(publisher, tmp_path).reconcile()
        assert ledger.read_heads(publisher.store) == {"demand": 1}
    publisher.store.delete(HEADS_KEY)
    decider_for(publisher, tmp_path).reconcile()
    assert ledger.read_heads(publisher.store) == {"demand": 1}


def test_nothing_is_decided_on_a_ledger_that_does_not_verify(publisher: Publisher, tmp_path: Path) -> None:
    publisher.register()
    publisher.publish(1)
    decider_for(publisher, tmp_path).decide("demand")
    key = deployment_key("demand", 1)
    genuine = publisher.store.read(key)
    publisher.store.write(key, genuine.replace(b'"deploy"', b'"refuse"'))
    publisher.publish(2)
    with pytest.raises(TrustError, match="deployments/00000001"):
        decider_for(publisher, tmp_path).decide("demand")
    publisher.store.write(key, genuine)
    assert len(decider_for(publisher, tmp_path).decide("demand")) == 1


def test_the_reconciler_goes_on_past_a_ledger_that_does_not_verify(
    publisher: Publisher, decider: Decider, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.register("broken")
    publisher.register("sound")
    publisher.store.write(deployment_key("broken", 1), b"forged")
    publisher.publish(1, "broken")
    run = publisher.publish(1, "sound")
    with caplog.at_level(logging.ERROR):
        assert [record.endpoint for record in decider.reconcile()] == ["sound"]
        decider.reconcile()
    assert story(publisher, "sound") == [("deploy", run, [run])]
    assert len([each for each in caplog.records if "'broken' was not decided" in each.message]) == 1


def test_the_reconciler_finds_what_no_event_told_about(publisher: Publisher, decider: Decider) -> None:
    for name in ("one", "two", "three"):
        publisher.register(name)
    assert decider.reconcile() == []
    for name in ("one", "two", "three"):
        publisher.publish(1, name)
    assert sorted(record.endpoint for record in decider.reconcile()) == ["one", "three", "two"]
    assert decider.reconcile() == []
    publisher.publish(2, "two")
    assert [(record.endpoint, record.number) for record in decider.reconcile()] == [("two", 2)]


def test_a_reconciler_with_nothing_new_reads_no_object(publisher: Publisher, tmp_path: Path) -> None:
    publisher.register()
    publisher.publish(1)

    class Counted(MemoryStore):
        reads = 0

        def read_versioned(self, key: str) -> tuple[bytes, int]:
            self.reads += 1
            return super().read_versioned(key)

    counted = Counted()
    counted._objects = publisher.store._objects  # type: ignore[attr-defined]  # the same objects
    decider = decider_for(publisher, tmp_path, store=counted)
    decider.reconcile()
    before = counted.reads
    decider.reconcile()
    assert counted.reads == before > 0


def test_a_store_that_is_down_decides_nothing_and_is_tried_again(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.register()
    publisher.publish(1)

    class Down(MemoryStore):
        down = True

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            if self.down:
                raise StoreUnavailable("the store is down")
            return super().write(key, data, if_generation=if_generation)

    store = Down()
    store._objects = publisher.store._objects  # type: ignore[attr-defined]  # the same objects
    decider = decider_for(publisher, tmp_path, store=store)
    with pytest.raises(StoreUnavailable):
        decider.reconcile()
    store.down = False
    assert [record.action for record in decider.reconcile()] == ["deploy"]


def test_objects_beside_the_manifests_are_ignored(publisher: Publisher, decider: Decider) -> None:
    publisher.register()
    publisher.store.write("manifests/demand/notes.txt", b"hello")
    publisher.store.write("manifests/demand/deeper/20260101T000000000Z-0123456789ab.json", b"hello")
    publisher.store.write("manifests/Not-A-Name/20260101T000000000Z-0123456789ab.json", b"hello")
    publisher.store.write("manifests/stray.json", b"hello")
    assert decider.reconcile() == []
    assert publisher.store.children("endpoints/") == []


def test_a_deleted_manifest_leaves_nothing_to_decide(publisher: Publisher, decider: Decider) -> None:
    publisher.register()
    publisher.publish(1)
    publisher.store.delete(publisher.manifest_key(1))
    assert decider.decide("demand") == []


def test_a_ledger_that_was_wiped_under_a_running_function_begins_again(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register()
    publisher.publish(1)
    decider.decide("demand")
    publisher.store.delete(deployment_key("demand", 1))
    publisher.publish(2)
    assert [(each.number, each.run) for each in decider.decide("demand")] == [(1, run_of(1)), (2, run_of(2))]


def test_a_start_record_of_another_store_does_not_make_the_run_ours(
    publisher: Publisher, decider: Decider
) -> None:
    publisher.register()
    publisher.publish(9)
    publisher.store.delete(start_key("demand", run_of(9)))
    (record,) = decider.decide("demand")
    assert (record.action, record.state.newest_run) == ("refuse", None)
    assert record.state.unverified.keys() == {f"demand/{run_of(9)}"}
