"""The index is derived: whatever happens to its file, the store brings it back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock

from rasen.errors import NotFound
from rasen.store import MemoryStore
from rasen.tracking.ids import run_id
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter
from rasen.tracking.keys import end_key, start_key
from rasen.tracking.records import End, Start, Verdict
from rasen.tracking.signature import TrustStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def add_start(store: MemoryStore, number: int, pipeline: str = "toy", resumes: str | None = None) -> str:
    run = run_id(BEGIN + timedelta(hours=number), f"request:{number}")
    start = Start(
        run=run,
        pipeline=pipeline,
        release="1-abc",
        origin="release",
        environment="dev",
        nonce="n",
        trigger=f"request:{number}",
        resumes=resumes,
        image="sha256:0",
    )
    store.write(start_key(pipeline, run), start.to_bytes(), if_generation=0)
    return run


def add_end(store: MemoryStore, run: str, verdict: Verdict, pipeline: str = "toy") -> None:
    end = End(run=run, pipeline=pipeline, verdict=verdict, step="train", error="why", ended_at=BEGIN)
    store.write(end_key(pipeline, run), end.to_bytes(), if_generation=0)


def caught_up(tmp_path: Path, store: MemoryStore) -> Index:
    index = Index(tmp_path / "index.sqlite")
    assert index.catch_up(store, TrustStore(), environment="dev")
    return index


def test_it_catches_up_with_starts_and_with_ends_of_older_runs(tmp_path: Path) -> None:
    store = MemoryStore()
    first = add_start(store, 1)
    second = add_start(store, 2)
    add_end(store, second, Verdict.FAILED)
    index = caught_up(tmp_path, store)
    assert [(row.run, row.verdict) for row in index.runs()] == [(second, Verdict.FAILED), (first, None)]
    third = add_start(store, 3)
    add_end(store, first, Verdict.TIMED_OUT)
    caught_up(tmp_path, store)
    assert [(row.run, row.verdict) for row in index.runs()] == [
        (third, None),
        (second, Verdict.FAILED),
        (first, Verdict.TIMED_OUT),
    ]


def test_it_filters(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = [add_start(store, number, pipeline) for number, pipeline in enumerate(["a", "b", "a"])]
    add_end(store, runs[0], Verdict.FAILED, "a")
    index = caught_up(tmp_path, store)
    assert [row.run for row in index.runs(RunFilter(pipeline="a"))] == [runs[2], runs[0]]
    assert [row.run for row in index.runs(RunFilter(verdict="failed"))] == [runs[0]]
    assert [row.run for row in index.runs(RunFilter(verdict="running"))] == [runs[2], runs[1]]
    assert [row.run for row in index.runs(limit=1)] == [runs[2]]


def test_it_filters_by_the_time_of_the_start(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = [add_start(store, number) for number in range(4)]
    index = caught_up(tmp_path, store)
    hour = timedelta(hours=1)
    assert [row.run for row in index.runs(RunFilter(since=BEGIN + 2 * hour))] == [runs[3], runs[2]]
    assert [row.run for row in index.runs(RunFilter(until=BEGIN + 2 * hour))] == [runs[1], runs[0]]
    tokyo = timezone(timedelta(hours=9))
    since, until = (BEGIN + hour).astimezone(tokyo), (BEGIN + 3 * hour).astimezone(tokyo)
    assert [row.run for row in index.runs(RunFilter(since=since, until=until))] == [runs[2], runs[1]]


def test_it_knows_how_long_a_run_took_and_what_it_resumes(tmp_path: Path) -> None:
    store = MemoryStore()
    first = add_start(store, 1)
    second = add_start(store, 2, resumes=first)
    add_end(store, first, Verdict.FAILED)
    later, earlier = caught_up(tmp_path, store).runs()
    assert (later.resumes, later.seconds) == (first, None)
    began, ended = store.stat(start_key("toy", first)), store.stat(end_key("toy", first))
    assert began is not None
    assert ended is not None
    assert earlier.resumes is None
    assert earlier.begun_at == began.updated_at
    assert earlier.seconds == (ended.updated_at - began.updated_at).total_seconds(), "by the store's clock"
    assert second == later.run


def test_an_index_of_an_older_layout_is_built_anew(tmp_path: Path) -> None:
    store = MemoryStore()
    run = add_start(store, 1)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        database.executescript("CREATE TABLE runs (run TEXT PRIMARY KEY); PRAGMA user_version = 1;")
    assert [row.run for row in caught_up(tmp_path, store).runs()] == [run]


def test_a_run_is_found_by_enough_of_its_id(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = [add_start(store, number) for number in range(3)]
    index = caught_up(tmp_path, store)
    assert index.find_run(runs[1]).run == runs[1]
    assert index.find_run(runs[1][-12:]).run == runs[1]
    assert index.find_run(runs[1][:14]).run == runs[1]
    with pytest.raises(NotFound, match="more than one"):
        index.find_run("2026")
    with pytest.raises(NotFound, match="`rasen runs`"):
        index.find_run("2027")


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 500])
def test_a_damaged_file_is_built_anew(tmp_path: Path, damage: bytes) -> None:
    store = MemoryStore()
    run = add_start(store, 1)
    caught_up(tmp_path, store)
    (tmp_path / "index.sqlite").write_bytes(damage)
    assert [row.run for row in caught_up(tmp_path, store).runs()] == [run]


def test_one_process_writes_and_the_others_read(tmp_path: Path) -> None:
    store = MemoryStore()
    run = add_start(store, 1)
    caught_up(tmp_path, store)
    index = Index(tmp_path / "index.sqlite", wait_seconds=0)
    add_start(store, 2)
    with FileLock(tmp_path / "index.lock"):
        assert not index.catch_up(store, TrustStore(), environment="dev")
        assert [row.run for row in index.runs()] == [run]
    assert index.rebuild(store, TrustStore(), environment="dev").runs == 2
    assert len(index.runs()) == 2
