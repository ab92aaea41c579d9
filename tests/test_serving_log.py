"""The prediction log: every answered row is written, dropped and counted, or lost with a process that was killed."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rasen.errors import StoreUnavailable
from rasen.settings import load_settings
from rasen.store import MemoryStore, Stat, Store
from rasen_serving import log as log_module
from rasen_serving.board import Board, make_board
from rasen_serving.log import (
    CLOSED_SUFFIX,
    OPEN_SUFFIX,
    Entry,
    PredictionLog,
    close_segments,
    segment_name,
)
from rasen_serving.shipping import COLUMNS, read_segment, ship
from rasen_serving.spool import Spool
from stand.serving import wait_until

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC).timestamp()


def entry(rows: int = 1, *, endpoint: str = "demand", at: float = AT, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "request_id": "id-1",
        "at": at,
        "endpoint": endpoint,
        "revision": 3,
        "model": "run-1",
        "engine": "native",
        "variant": "champion",
        "reason": "only",
        "source": "model",
        "status": 200,
        "latency_us": 1500,
        "rows": rows,
        "inputs": {"origin": ["JFK"] * rows, "hour": list(range(rows)), "delay": [None] * rows},
        "outputs": [float(row) for row in range(rows)],
    }
    return Entry(**(fields | changes))


@pytest.fixture
def board() -> Board:
    descriptor = make_board()
    board = Board(descriptor)
    os.close(descriptor)
    return board


def write(folder: Path, board: Board, *entries: Entry, opened: bool = True) -> None:
    """Log the entries and close."""

    async def run() -> None:
        log = PredictionLog(folder, board)
        log.is_open = opened
        for one in entries:
            log.add(one)
        await log.close()

    asyncio.run(run())


def paths(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class BrokenStore(MemoryStore):
    """A store that is down for uploads."""

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        raise StoreUnavailable("it is down")


def rows_of(store: Store, stat: Stat, folder: Path) -> list[dict[str, Any]]:
    file = folder / "read.parquet"
    file.write_bytes(store.read(stat.key))
    with duckdb.connect() as connection:
        found = connection.read_parquet(str(file)).order("row")
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_what_was_logged_is_in_the_store_row_by_row(tmp_path: Path, board: Board) -> None:
    spool, store = tmp_path / "spool", MemoryStore()
    failed = entry(1, endpoint="other", status=500, source="", outputs=[])
    write(spool, board, entry(3), failed)
    shipped = ship(spool, store, replica="here-8080")
    assert (shipped.rows, shipped.torn, shipped.failure) == (4, 0, None)
    assert list(spool.iterdir()) == []
    stats = list(store.list("predictions/"))
    assert [stat.key.rpartition("/")[0] for stat in stats] == [
        "predictions/demand/date=2026-11-21",
        "predictions/other/date=2026-11-21",
    ]
    assert all("/here-8080-" in stat.key for stat in stats)
    rows = rows_of(store, stats[0], tmp_path)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert rows[2]["at"].timestamp() == AT
    assert json.loads(rows[2]["inputs"]) == {"origin": "JFK", "hour": 2, "delay": None}
    assert json.loads(rows[2]["outputs"]) == 2.0
    assert (rows[2]["model"], rows[2]["revision"], rows[2]["batch_rows"]) == ("run-1", 3, 3)
    (bad,) = rows_of(store, stats[1], tmp_path)
    assert (bad["status"], bad["outputs"]) == (500, None)
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped, counted.pending) == (4, 4, 0, 0)


def test_each_day_has_its_own_segment(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(at=AT), entry(at=AT + 86_400))
    days = sorted(path.name.split(".")[1] for path in tmp_path.iterdir())
    assert days == ["2026-11-21", "2026-11-22"]


def test_shipping_again_doubles_nothing(tmp_path: Path, board: Board) -> None:
    store = MemoryStore()
    write(tmp_path, board, entry(2))
    (segment,) = tmp_path.iterdir()
    copy = segment.read_bytes()
    ship(tmp_path, store, replica="here")
    segment.write_bytes(copy)  # as if the process had been killed between upload and deletion
    shipped = ship(tmp_path, store, replica="here")
    assert shipped.failure is None
    assert len(list(store.list("predictions/"))) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_down_keeps_the_spool(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(2), entry(2, endpoint="other"))
    before = {path.name for path in tmp_path.iterdir()}
    shipped = ship(tmp_path, BrokenStore(), replica="here")
    assert isinstance(shipped.failure, StoreUnavailable)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert ship(tmp_path, MemoryStore(), replica="here").rows == 4


@pytest.mark.parametrize("damage", [b'{"request_id":"id', b"\x00" * 100, b"\xff\xfe\n"])
def test_a_torn_tail_costs_its_line_only(tmp_path: Path, board: Board, damage: bytes) -> None:
    write(tmp_path, board, entry(2), entry(3))
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes() + damage)
    store = MemoryStore()
    shipped = ship(tmp_path, store, replica="here")
    assert (shipped.rows, shipped.torn) == (5, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_with_nothing_whole_is_counted_and_gone(tmp_path: Path) -> None:
    (tmp_path / f"demand.2026-11-21.abc{CLOSED_SUFFIX}").write_bytes(b'{"request')
    store = MemoryStore()
    shipped = ship(tmp_path, store, replica="here")
    assert (shipped.rows, shipped.torn) == (0, 1)
    assert list(store.list("predictions/")) == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_spool_drops_and_counts(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(5), opened=False)
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped) == (5, 0, 5)
    assert list(tmp_path.iterdir()) == []


def test_more_than_memory_takes_is_dropped_and_counted(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "BUFFER_MAX_ROWS", 4)
    write(tmp_path, board, entry(3), entry(3), entry(1))
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped) == (7, 4, 3)


def test_a_disk_that_cannot_be_written_drops_and_counts(tmp_path: Path, board: Board) -> None:
    (tmp_path / "spool").write_text("not a folder")
    write(tmp_path / "spool", board, entry(5))
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped) == (5, 0, 5)


def test_a_flush_is_written_without_being_waited_for(tmp_path: Path, board: Board) -> None:
    async def run() -> None:
        log = PredictionLog(tmp_path, board)
        log.add(entry(2))
        assert board.read().pending == 2
        await asyncio.to_thread(wait_until, lambda: board.read().pending == 0)
        (segment,) = paths(tmp_path)
        assert segment.name.endswith(f".{os.getpid()}{OPEN_SUFFIX}")
        assert len(read_segment(segment)[0]) == 1
        await log.close()
        (closed,) = paths(tmp_path)
        assert closed.name.endswith(CLOSED_SUFFIX)

    asyncio.run(run())


def test_an_old_segment_is_closed_although_nothing_comes(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "SEGMENT_SECONDS", 0.0)

    async def run() -> None:
        log = PredictionLog(tmp_path, board)
        log.add(entry())
        await asyncio.to_thread(
            wait_until, lambda: [path.suffix for path in paths(tmp_path)] == [CLOSED_SUFFIX]
        )
        await log.close()

    asyncio.run(run())


def test_only_the_segments_of_the_dead_are_closed(tmp_path: Path) -> None:
    mine = tmp_path / segment_name("demand", "2026-11-21")
    other = tmp_path / f"demand.2026-11-21.abc.99999999{OPEN_SUFFIX}"
    for path in (mine, other):
        path.write_bytes(b"")
    close_segments(tmp_path, pid=99999999)
    assert mine.exists()
    assert not other.exists()
    close_segments(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {CLOSED_SUFFIX}


def test_the_spool_is_bounded_and_opens_again(tmp_path: Path) -> None:
    spool = Spool(load_settings(home=tmp_path, environment="dev", spool_max_bytes=1000))
    spool.folder.mkdir(parents=True)
    part = spool.folder / segment_name("demand", "2026-11-21")

    def is_open_with(size_bytes: int) -> bool:
        part.write_bytes(b" " * size_bytes)
        spool.measure()
        assert spool.size_bytes == size_bytes
        return spool.is_open

    assert [is_open_with(size_bytes) for size_bytes in (999, 1000, 950, 899)] == [True, False, False, True]


def test_what_earlier_workers_left_is_adopted(tmp_path: Path) -> None:
    spool = Spool(load_settings(home=tmp_path, environment="dev"))
    scratch = spool.folder / ".shipping-x"
    scratch.mkdir(parents=True)
    (spool.folder / segment_name("demand", "2026-11-21")).write_bytes(b"")
    spool.adopt()
    assert not scratch.exists()
    assert [path.suffix for path in spool.folder.iterdir()] == [CLOSED_SUFFIX]


def test_names_of_segments_differ() -> None:
    names = {segment_name("demand", "2026-11-21") for _ in range(1000)}
    assert len(names) == 1000
