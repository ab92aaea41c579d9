"""The index against a store that others write: late runs, bad records, racing writers, and readers at any moment."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.deploy.ledger import append
from rasen.errors import PlatformFailed, StoreUnavailable
from rasen.store import DirectoryStore, MemoryStore, Patience, PatientStore, Store
from rasen.store.folder_stamps import folder_stamp
from rasen.tracking import index_filling, index_parallel
from rasen.tracking.ids import run_id
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter
from rasen.tracking.keys import deployment_key, end_key, manifest_key, start_key
from rasen.tracking.ledger_records import EndpointState, Held, LedgerRecord, Variant
from rasen.tracking.records import End, Start, Verdict
from rasen.tracking.signature import TrustStore
from stand.manifests import Publisher, run_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def name_of(number: int) -> str:
    return run_id(BEGIN + timedelta(hours=number), f"request:{number}")


def write_start(store: Store, number: int, pipeline: str = "toy") -> str:
    run = name_of(number)
    start = Start(
        run=run,
        pipeline=pipeline,
        release="1-abc",
        origin="release",
        environment="dev",
        nonce="n",
        trigger=f"request:{number}",
        image="sha256:0",
    )
    store.write(start_key(pipeline, run), start.to_bytes(), if_generation=0)
    return run


def write_end(store: Store, number: int, pipeline: str = "toy") -> None:
    run = name_of(number)
    end = End(run=run, pipeline=pipeline, verdict=Verdict.FAILED, step=None, error="why", ended_at=BEGIN)
    store.write(end_key(pipeline, run), end.to_bytes(), if_generation=0)


def catch_up(folder: Path, store: Store, trust: TrustStore | None = None) -> Index:
    index = Index(folder / "index.sqlite")
    assert index.catch_up(store, trust or TrustStore(), environment="dev")
    return index


@pytest.fixture(params=["memory", "directory", "patient"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore()
        case "directory":
            return DirectoryStore(tmp_path / "store")
        case _:
            return PatientStore(DirectoryStore(tmp_path / "store"), Patience(seconds=0))


# Late ones


def test_a_run_that_is_older_than_known_ones_is_found(tmp_path: Path, store: Store) -> None:
    write_start(store, 5)
    index = catch_up(tmp_path, store)
    late = write_start(store, 2)
    catch_up(tmp_path, store)
    assert [row.run for row in index.runs()] == [name_of(5), late]
    write_start(store, 9)
    write_start(store, 1)
    write_end(store, 1)
    catch_up(tmp_path, store)
    assert [(row.run, row.verdict) for row in index.runs()] == [
        (name_of(9), None),
        (name_of(5), None),
        (late, None),
        (name_of(1), Verdict.FAILED),
    ]


Moves = st.lists(
    st.tuples(st.sampled_from(["start", "end", "look", "bad"]), st.integers(0, 12), st.sampled_from("ab")),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(Moves)
def test_in_whatever_order_records_come_the_index_is_the_store(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("moves")
    store = MemoryStore()
    started: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    bad: set[tuple[str, int]] = set()
    for what, number, pipeline in moves:
        place = pipeline, number
        if what == "look":
            catch_up(folder, store)
        elif what == "start" and place not in started | bad:
            write_start(store, number, pipeline)
            started.add(place)
        elif what == "bad" and place not in started | bad:
            store.write(start_key(pipeline, name_of(number)), b"{}")
            bad.add(place)
        elif what == "end" and place in started - ended:
            write_end(store, number, pipeline)
            ended.add(place)
    index = catch_up(folder, store)
    rows = {(row.pipeline, row.run): row.verdict for row in index.runs(limit=100)}
    assert rows == {
        (pipeline, name_of(number)): Verdict.FAILED if (pipeline, number) in ended else None
        for pipeline, number in started
    }
    assert len(index.problems()) == len(bad)
    assert all(later.run >= earlier.run for later, earlier in pairwise(index.runs(limit=100)))


def test_the_stamp_of_a_folder_changes_with_what_is_in_it(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    assert folder_stamp(store, "starts/toy/") is None, "there is none"
    write_start(store, 1)
    assert folder_stamp(store, "starts/toy/") is None, (
        "it changed this moment: the same stamp may stand for more"
    )
    settle(store, "starts/toy")
    before = folder_stamp(store, "starts/toy/")
    assert before is not None
    assert folder_stamp(PatientStore(store, Patience(seconds=0)), "starts/toy/") == before
    assert folder_stamp(MemoryStore(), "starts/toy/") is None
    write_start(store, 0)
    settle(store, "starts/toy")
    assert folder_stamp(store, "starts/toy/") != before


def settle(store: DirectoryStore, folder: str) -> None:
    """Make a folder look as if its last change were ten seconds ago, a little later with each call."""
    at = time.time_ns() - 10_000_000_000
    os.utime(store.root / folder, ns=(at, at))


class Counting(DirectoryStore):
    """A store that counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: list[str] = []

    def children(self, prefix: str) -> list[str]:
        self.listed.append(prefix)
        return super().children(prefix)


def test_a_folder_that_has_not_changed_is_not_listed(tmp_path: Path) -> None:
    store = Counting(tmp_path / "store")
    for number in range(3):
        write_start(store, number)
        write_end(store, number)
    for folder in ("starts/toy", "ends/toy"):
        settle(store, folder)
    (store.root / "manifests/toy").mkdir(parents=True)
    settle(store, "manifests/toy")
    catch_up(tmp_path, store)
    store.listed.clear()
    index = catch_up(tmp_path, store)
    assert "starts/toy/" not in store.listed
    write_start(store, 7)
    catch_up(tmp_path, store)
    assert "starts/toy/" in store.listed
    assert len(index.runs()) == 4


# Bad ones


def test_a_bad_record_is_noted_and_stops_nothing(tmp_path: Path) -> None:
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    store = publisher.store
    publisher.register()
    good = publisher.publish(1)
    forged = publisher.publish(2)
    store.write(manifest_key("demand", forged), b"not signed\n{}")
    store.write(start_key("demand", run_of(3)), b"not a record")
    store.write(start_key("demand", run_of(4)), store.read(start_key("demand", good)))
    store.write("starts/demand/README.md", b"hello")
    store.write("starts/demand/20269999T999999999Z-0123456789ab.json", b"{}")
    failed = run_of(5)
    publisher.publish(5)
    store.delete(manifest_key("demand", failed))
    store.write(end_key("demand", failed), b'{"format": 7}')
    store.write("releases/demand/2-beef/release.json", b"x\n{}")
    index = catch_up(tmp_path, store, publisher.trust())
    assert {row.run: (row.verdict, bool(row.error)) for row in index.runs()} == {
        good: (Verdict.SUCCEEDED, False),
        forged: (Verdict.FAILED, True),
        failed: (Verdict.FAILED, True),
    }
    assert [row.release for row in index.releases("demand")] == ["1-0123456789ab"]
    problems = {one.key: one.problem for one in index.problems()}
    assert sorted(problems) == sorted(
        [
            end_key("demand", failed),
            manifest_key("demand", forged),
            "releases/demand/2-beef/release.json",
            start_key("demand", run_of(3)),
            start_key("demand", run_of(4)),
            "starts/demand/20269999T999999999Z-0123456789ab.json",
            "starts/demand/README.md",
        ]
    )
    assert f"speaks of run '{good}'" in problems[start_key("demand", run_of(4))]
    assert "is not a Start record" in problems[start_key("demand", run_of(3))]
    # Noted once, not read again; the same when built anew.
    late = publisher.publish(0)
    catch_up(tmp_path, store, publisher.trust())
    assert late in {row.run for row in index.runs()}
    rebuilt = index.rebuild(store, publisher.trust(), environment="dev")
    assert (rebuilt.runs, rebuilt.releases, len(rebuilt.problems)) == (4, 1, 7)


def write_record(publisher: Publisher, number: int, *, minutes: float, run: str, **state: object) -> None:
    variants = [Variant(run=run, pipeline="demand", manifest_sha256="0" * 64)]
    record = LedgerRecord(
        endpoint="demand",
        number=number,
        action="deploy",
        run=run,
        actor="function",
        reason=f"because {number}",
        previous=number - 1,
        event=f"event-{number}",
        state=EndpointState(pipeline="demand", variants=variants, **state),
        decided_at=BEGIN + timedelta(minutes=minutes),
    )
    assert append(publisher.store, publisher.decider, record)


def test_numbers_order_a_ledger_whose_machines_disagree_about_the_time(tmp_path: Path) -> None:
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    runs = [run_of(number) for number in range(5)]
    for number, minutes in (
        (1, 0),
        (2, 30),
        (3, 20),
        (4, 40),
    ):  # the third by a clock that is ten minutes late
        write_record(publisher, number, minutes=minutes, run=runs[number])
    index = catch_up(tmp_path, publisher.store, publisher.trust())
    at = {
        minutes: index.deployment_at("demand", BEGIN + timedelta(minutes=minutes))
        for minutes in (-1, 0, 25, 31, 50)
    }
    assert {minutes: row.number if row else None for minutes, row in at.items()} == {
        -1: None,
        0: 1,
        25: 1,
        31: 3,
        50: 4,
    }
    assert [row.number for row in index.deployments("demand")] == [4, 3, 2, 1]
    assert [row.number for row in index.deployments()] == [4, 3, 2, 1]
    since = BEGIN + timedelta(minutes=25)
    assert [row.number for row in index.deployments("demand", since=since)] == [4, 3, 2]
    assert [row.number for row in index.deployments("demand", until=since)] == [1]


def test_a_record_of_the_ledger_that_cannot_be_believed_is_passed_over(tmp_path: Path) -> None:
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    first, second = run_of(1), run_of(2)
    held = Held(run=second, pipeline="demand", manifest_sha256="0" * 64, number=3, gates=["approval"])
    write_record(publisher, 1, minutes=0, run=first)
    publisher.store.write(deployment_key("demand", 2), b"not signed")
    write_record(publisher, 3, minutes=2, run=first, held=held, since=1)
    index = catch_up(tmp_path, publisher.store, publisher.trust())
    assert [row.number for row in index.deployments("demand")] == [3, 1]
    write_record(publisher, 4, minutes=3, run=second)
    catch_up(tmp_path, publisher.store, publisher.trust())
    fourth, third, _ = index.deployments("demand")
    assert (fourth.number, fourth.previous, fourth.event, fourth.champion) == (4, 3, "event-4", second)
    assert (third.held, third.since, third.pipeline) == (second, 1, "demand")
    assert index.live_since(fourth) == 4
    assert [one.key for one in index.problems("endpoints/demand/")] == [deployment_key("demand", 2)]
    assert [row.number for row in index.deployments(run=second)] == [4]


# Several at once


def test_a_rebuild_blocks_no_reader(tmp_path: Path) -> None:
    store = MemoryStore()
    write_start(store, 1)
    index = catch_up(tmp_path, store)
    listing, go_on = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        """The same store; who lists its starts waits."""

        def children(self, prefix: str) -> list[str]:
            if prefix == "starts/toy/":
                listing.set()
                assert go_on.wait(30)
            return store.children(prefix)

        read, read_versioned, stat = store.read, store.read_versioned, store.stat

    write_start(store, 2)
    thread = threading.Thread(target=lambda: index.rebuild(Slow(), TrustStore(), environment="dev"))
    thread.start()
    try:
        assert listing.wait(30)
        assert not index.catch_up(store, TrustStore(), environment="dev"), "it does not wait for the rebuild"
        assert len(index.runs()) == 1
    finally:
        go_on.set()
        thread.join()
    assert len(index.runs()) == 2
    assert [path.name for path in tmp_path.glob("index*sqlite*") if path.name != "index.sqlite"] == [
        index.path.resolve().name
    ]


def test_whoever_still_reads_an_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    store = MemoryStore()
    write_start(store, 1)
    index = catch_up(tmp_path, store)
    with closing(sqlite3.connect(index.path)) as reader:
        cursor = reader.execute("SELECT run FROM runs")
        write_start(store, 2)
        index.rebuild(store, TrustStore(), environment="dev")
        index.rebuild(store, TrustStore(), environment="dev")
        assert len(cursor.fetchall()) == 1
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert len(index.runs()) == 2


def test_without_any_index_a_reader_is_told_to_come_back(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite", wait_seconds=0)
    with (
        FileLock(tmp_path / "index.lock"),
        pytest.raises(StoreUnavailable, match="is being built by another process; ask again"),
    ):
        index.catch_up(MemoryStore(), TrustStore(), environment="dev")
    with pytest.raises(PlatformFailed, match=r"cannot be read: .*`rasen reindex` builds it anew"):
        index.runs()


def test_a_file_that_is_damaged_inside_is_built_anew(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(200):
        write_start(store, number)
    index = catch_up(tmp_path, store)
    file = index.path.resolve()
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(bytes(data))
    with pytest.raises(PlatformFailed, match="`rasen reindex`"):
        index.runs(RunFilter(pipeline="toy"))
    catch_up(tmp_path, store)
    assert len(index.runs(limit=1000)) == 200


def test_what_a_killed_rebuild_left_is_swept(tmp_path: Path) -> None:
    for name in ("index-dead.sqlite", "index-dead.sqlite-journal", ".index-dead"):
        (tmp_path / name).write_bytes(b"half")
    catch_up(tmp_path, MemoryStore())
    left = {path.name for path in tmp_path.iterdir()}
    assert not any("dead" in name for name in left)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_parallel, "_WORTH_RUNS", 10)
    monkeypatch.setattr(index_parallel, "_PIECE_RUNS", 7)
    monkeypatch.setattr(index_filling, "_TRANSACTION_RUNS", 5)


@pytest.mark.usefixtures("few_are_many")
def test_several_processes_read_what_one_would(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    publisher = Publisher(store, tmp_path / "trap")
    for number in range(40):
        publisher.publish(number, metrics={"rmse": float(number)})
    store.write("starts/demand/nonsense.json", b"")
    alone = Index(tmp_path / "alone.sqlite")
    together = Index(tmp_path / "together.sqlite", processes=2)
    found = [one.rebuild(store, publisher.trust(), environment="dev") for one in (alone, together)]
    assert found[0] == found[1]
    assert found[0].runs == 40
    assert alone.runs(limit=100) == together.runs(limit=100)
