"""The prediction log: every answered row is written, dropped and counted, or lost with a process that was killed."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rasen.errors import StoreError, StoreUnavailable
from rasen.settings import load_settings
from rasen.store import MemoryStore, Stat, Store
from rasen_serving import log as log_module
from rasen_serving import shipping
from rasen_serving.board import Board, LogRows, make_board, settle
from rasen_serving.flattening import flatten, read_inputs
from rasen_serving.log import Entry, PredictionLog, is_sampled, make_tick
from rasen_serving.segments import (
    CLOSED_SUFFIX,
    OPEN_SUFFIX,
    REJECTED_SUFFIX,
    About,
    Damage,
    Frame,
    close_segments,
    count_rows,
    encode_tick,
    new_segment,
    read_ticks,
    rows_of,
    segment_id,
    write_frame,
)
from rasen_serving.shipping import ATTEMPTS_FILE, MOST_ATTEMPTS, Report, ship
from rasen_serving.sinks import COLUMNS, SegmentRejected, StoreSink
from rasen_serving.spool import Spool
from stand.serving import wait_until

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC).timestamp()


def entry(rows: int = 1, *, endpoint: str = "demand", failed: bool = False, **changes: Any) -> Entry:
    about = About(
        endpoint=endpoint,
        revision=3,
        model="run-1",
        engine="native",
        variant="champion",
        reason="only",
        source="" if failed else "model",
        status=500 if failed else 200,
        data_version="2013-07-01",
    )
    inputs = {"rows": [{"origin": "JFK", "hour": row, "delay": None} for row in range(rows)]}
    outputs = b"" if failed else json.dumps({"predictions": [float(row) for row in range(rows)]}).encode()
    fields: dict[str, Any] = {
        "about": about,
        "request_id": "id-1",
        "at": AT,
        "latency_us": 1500,
        "rows": rows,
        "batch_rows": 70,
        "inputs": json.dumps(inputs).encode(),
        "outputs": outputs,
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
    return sorted(folder.iterdir())


class BrokenStore(MemoryStore):
    """A store that is down for uploads."""

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        raise StoreUnavailable("it is down")


class Picky(StoreSink):
    """A sink that refuses the segments in `hated`."""

    hated: set[str]

    def take(self, segment: str, files: list[Path]) -> None:
        if segment in self.hated:
            raise SegmentRejected("no such column: origin")
        super().take(segment, files)


def sink(store: Store) -> StoreSink:
    return StoreSink(store, replica="here-8080")


def send(folder: Path, store: Store) -> tuple[list[Report], StoreError | None]:
    """Ship the folder; return what was said of each segment, and why it stopped."""
    said: list[Report] = []
    failure = ship(folder, sink(store), replica="here-8080", say=said.append)
    return said, failure


def rows_in(store: Store, stat: Stat, folder: Path) -> list[dict[str, Any]]:
    file = folder / "read.parquet"
    file.write_bytes(store.read(stat.key))
    with duckdb.connect() as connection:
        found = connection.read_parquet(str(file)).order("request_id, row")
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_what_was_logged_is_in_the_store_row_by_row(tmp_path: Path, board: Board) -> None:
    spool, store = tmp_path / "spool", MemoryStore()
    write(
        spool,
        board,
        entry(3, key_id="k1", address="10.0.0.9", traceparent="00-ab-cd-01"),
        entry(1, endpoint="other", failed=True),
        entry(1, at=AT + 86_400),
    )
    assert [path.stat().st_mode & 0o777 for path in paths(spool)] == [0o600]
    said, failure = send(spool, store)
    assert failure is None
    assert [(one.outcome, one.rows, one.damaged_frames) for one in said] == [("shipped", 5, 0)]
    assert paths(spool) == []
    stats = list(store.list("predictions/"))
    assert [stat.key.rpartition("/")[0] for stat in stats] == [
        "predictions/demand/date=2026-11-21",
        "predictions/demand/date=2026-11-22",
        "predictions/other/date=2026-11-21",
    ]
    assert all("/here-8080-" in stat.key for stat in stats)
    rows = rows_in(store, stats[0], tmp_path)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["row"] for row in rows] == [0, 1, 2]
    last = rows[2]
    assert last["at"].timestamp() == AT
    assert json.loads(last["inputs"]) == {"origin": "JFK", "hour": 2, "delay": None}
    assert json.loads(last["outputs"]) == 2.0
    assert (last["endpoint"], last["model"], last["revision"], last["batch_rows"]) == (
        "demand",
        "run-1",
        3,
        70,
    )
    assert (last["key_id"], last["address"], last["traceparent"]) == ("k1", "10.0.0.9", "00-ab-cd-01")
    assert (last["data_version"], last["replica"], last["latency_us"]) == ("2013-07-01", "here-8080", 1500)
    (bad,) = rows_in(store, stats[2], tmp_path)
    assert (bad["status"], bad["outputs"], bad["key_id"], bad["address"]) == (500, None, None, None)
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped, counted.pending) == (5, 5, 0, 0)


TEXTS = st.text(max_size=6)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)


@given(
    rows=st.lists(st.fixed_dictionaries({"a": VALUES, 'b:"': VALUES}), min_size=1, max_size=4),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_both_forms_of_a_request_become_the_same_rows(
    rows: list[dict[str, Any]], indent: int | None, ascii_only: bool
) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for document in ({"rows": rows}, {"columns": columns}):
        body = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert [json.loads(text) for text in read_inputs(body)] == rows


def test_the_text_of_a_value_is_kept_as_it_was_sent() -> None:
    assert read_inputs(b'{"rows":[{"x":1e5,"y":0.10},{"x":12345678901234567890123}]}') == [
        '{"x":1e5,"y":0.10}',
        '{"x":12345678901234567890123}',
    ]


def test_a_tick_holds_what_its_entries_held() -> None:
    entries = [entry(2), entry(1, endpoint="other", request_id="id-2"), entry(1, request_id="id-3")]
    tick = make_tick(entries)
    assert tick.about == [0, 1, 0]
    records = list(flatten(tick))
    assert [(one.request_id, one.row, one.endpoint) for one in records] == [
        ("id-1", 0, "demand"),
        ("id-1", 1, "demand"),
        ("id-2", 0, "other"),
        ("id-3", 0, "demand"),
    ]


def test_shipping_again_doubles_nothing(tmp_path: Path, board: Board) -> None:
    store = MemoryStore()
    write(tmp_path, board, entry(2), entry(1, endpoint="other"))
    (segment,) = paths(tmp_path)
    copy = segment.read_bytes()
    first, _ = send(tmp_path, store)
    segment.write_bytes(copy)  # as if the process had been killed between upload and deletion
    second, failure = send(tmp_path, store)
    assert failure is None
    assert len(list(store.list("predictions/"))) == 2
    assert paths(tmp_path) == []
    spool = Spool(load_settings(home=tmp_path, environment="dev"))
    spool.count(b"".join(msgspec.json.encode(one) + b"\n" for one in [*first, *second]))
    assert spool.shipped_rows == 3


def test_a_store_that_is_down_keeps_the_spool(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(2))
    write(tmp_path, board, entry(2))
    before = paths(tmp_path)
    for _ in range(MOST_ATTEMPTS + 1):  # an outage is no attempt
        said, failure = send(tmp_path, BrokenStore())
        assert isinstance(failure, StoreUnavailable)
        assert said == []
        assert paths(tmp_path) == before
    assert sum(one.rows for one in send(tmp_path, MemoryStore())[0]) == 4


@pytest.mark.parametrize("damage", [b"RSN1", b"RSN1" + b"\x01" * 40, b"\x00" * 100, b"\xff\xfe\n"])
def test_a_torn_tail_costs_itself_only(tmp_path: Path, board: Board, damage: bytes) -> None:
    write(tmp_path, board, entry(2), entry(3))
    (segment,) = paths(tmp_path)
    segment.write_bytes(segment.read_bytes() + damage)
    said, _ = send(tmp_path, MemoryStore())
    assert [(one.rows, one.damaged_frames) for one in said] == [(5, 1)]
    assert paths(tmp_path) == []


def test_a_damaged_frame_in_the_middle_costs_its_rows_only(tmp_path: Path) -> None:
    path = new_segment(tmp_path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    sizes = [write_frame(descriptor, encode_tick(make_tick([entry(rows)]))) for rows in (2, 3, 4)]
    os.close(descriptor)
    data = bytearray(path.read_bytes())
    data[sizes[0] + 60] ^= 1
    path.write_bytes(data)
    assert count_rows(path) == 6
    assert close_segments(tmp_path) == 6
    said, _ = send(tmp_path, MemoryStore())
    assert [(one.rows, one.damaged_rows, one.damaged_frames) for one in said] == [(6, 3, 1)]


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
@hypothesis_settings(max_examples=50)
def test_no_file_makes_the_reader_fail(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("segment") / f"a.1{OPEN_SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    write_frame(descriptor, encode_tick(make_tick([entry(2)])))
    write_frame(descriptor, Frame(payload=data, rows=7))  # whole, and no tick
    os.close(descriptor)
    path.write_bytes(path.read_bytes()[:cut] + data)
    for found in read_ticks(path):
        assert isinstance(found, Damage) or found.rows == [2]


def test_a_segment_with_nothing_whole_is_counted_and_gone(tmp_path: Path) -> None:
    (tmp_path / f"abc.3{CLOSED_SUFFIX}").write_bytes(b"RSN1")
    store = MemoryStore()
    said, _ = send(tmp_path, store)
    assert [(one.outcome, one.rows, one.damaged_frames) for one in said] == [("empty", 0, 1)]
    assert list(store.list("predictions/")) == []
    assert paths(tmp_path) == []


def test_a_segment_that_the_sink_refuses_is_moved_aside_and_blocks_nobody(
    tmp_path: Path, board: Board
) -> None:
    for rows in (1, 2, 4):
        write(tmp_path, board, entry(rows))
    bad = paths(tmp_path)[1]
    picky = Picky(MemoryStore(), replica="here")
    picky.hated = {segment_id(bad)}
    said: list[Report] = []
    assert ship(tmp_path, picky, replica="here", say=said.append) is None
    assert [(one.outcome, one.rows) for one in said] == [("shipped", 1), ("rejected", 2), ("shipped", 4)]
    moved, reason = paths(tmp_path)
    assert (moved.suffix, rows_of(moved)) == (REJECTED_SUFFIX, 2)
    assert "no such column" in reason.read_text()


def test_a_segment_that_holds_no_rows_of_the_log_is_moved_aside(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(2, outputs=b'{"predictions":[1]}'))
    said, failure = send(tmp_path, MemoryStore())
    assert failure is None
    assert [(one.outcome, one.rows) for one in said] == [("rejected", 2)]


def test_a_full_disk_is_no_attempt_and_too_little_memory_is_one(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, board, entry(1))

    def fail(error: Exception) -> None:
        def convert(*_: object, **__: object) -> list[Path]:
            raise error

        monkeypatch.setattr(shipping, "_convert", convert)

    fail(OSError(28, "No space left on device"))
    for _ in range(MOST_ATTEMPTS + 1):
        said, failure = send(tmp_path, MemoryStore())
        assert (said, isinstance(failure, StoreUnavailable)) == ([], True)
    fail(MemoryError("96 MB"))
    for _ in range(MOST_ATTEMPTS):
        assert send(tmp_path, MemoryStore())[0] == []
    said, failure = send(tmp_path, MemoryStore())
    assert ([one.outcome for one in said], failure) == (["rejected"], None)


def test_two_files_of_one_endpoint_and_day_are_two_objects(tmp_path: Path) -> None:
    store, folder = MemoryStore(), tmp_path / "_endpoint=demand" / "_day=2026-11-21"
    folder.mkdir(parents=True)
    files = [folder / "data_0.parquet", folder / "data_1.parquet"]
    for path in files:
        path.write_bytes(path.name.encode())
    for _ in range(2):
        sink(store).take("abc", files)
    assert [store.read(stat.key) for stat in store.list("predictions/")] == [
        b"data_1.parquet",
        b"data_0.parquet",
    ]


def test_a_segment_that_ends_process_after_process_is_moved_aside(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(1))
    write(tmp_path, board, entry(2))
    first = segment_id(paths(tmp_path)[0])
    (tmp_path / ATTEMPTS_FILE).write_text(json.dumps({first: MOST_ATTEMPTS}))
    said, _ = send(tmp_path, MemoryStore())
    assert [(one.outcome, one.rows) for one in said] == [("rejected", 1), ("shipped", 2)]


def test_what_is_rejected_is_bounded(tmp_path: Path) -> None:
    spool = Spool(load_settings(home=tmp_path, environment="dev", spool_max_bytes=1000))
    spool.folder.mkdir(parents=True)
    for number in range(4):
        (spool.folder / f"{number}.5{REJECTED_SUFFIX}").write_bytes(b" " * 100)
        (spool.folder / f"{number}.5{REJECTED_SUFFIX}.reason").write_text("bad")
    spool.measure()
    assert spool.rejected == [f"2.5{REJECTED_SUFFIX}", f"3.5{REJECTED_SUFFIX}"]
    assert len(paths(spool.folder)) == 4


def test_a_full_spool_drops_and_counts(tmp_path: Path, board: Board) -> None:
    write(tmp_path, board, entry(5), opened=False)
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped) == (5, 0, 5)
    assert paths(tmp_path) == []


def test_more_than_memory_takes_is_dropped_and_counted(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "BUFFER_MAX_BYTES", 1200)
    write(tmp_path, board, entry(1), entry(1), entry(1))
    counted = board.read()
    assert (counted.answered, counted.written, counted.dropped) == (3, 2, 1)


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
        assert count_rows(segment) == 2
        await log.close()
        (closed,) = paths(tmp_path)
        assert closed.name.endswith(f".2{CLOSED_SUFFIX}")

    asyncio.run(run())


def test_much_is_written_before_its_time(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "FLUSH_SECONDS", 1000.0)

    async def run() -> None:
        log = PredictionLog(tmp_path, board)
        big = b'{"rows":[{"x":"' + b"x" * 100_000 + b'"}]}'
        while board.read().written == 0:
            log.add(entry(1, inputs=big))
            await asyncio.sleep(0.001)
        await log.close()

    asyncio.run(run())
    assert board.read().pending == 0


def test_an_old_segment_is_closed_although_nothing_comes(tmp_path: Path, board: Board) -> None:
    async def run() -> None:
        log = PredictionLog(tmp_path, board, segment_seconds=0.0)
        log.add(entry())
        await asyncio.to_thread(
            wait_until, lambda: [path.suffix for path in paths(tmp_path)] == [CLOSED_SUFFIX]
        )
        await log.close()

    asyncio.run(run())


def test_only_the_segments_of_the_dead_are_closed(tmp_path: Path) -> None:
    mine = new_segment(tmp_path)
    other = tmp_path / f"abc.99999999{OPEN_SUFFIX}"
    for path in (mine, other):
        path.write_bytes(b"")
    close_segments(tmp_path, pid=99999999)
    assert mine.exists()
    assert not other.exists()
    close_segments(tmp_path)
    assert {path.suffix for path in paths(tmp_path)} == {CLOSED_SUFFIX}


@pytest.mark.parametrize(
    ("counted", "found_open", "written"),
    [
        (LogRows(answered=9, written=7, closed=4), 3, 7),
        (LogRows(answered=9, written=4, closed=4), 3, 7),  # killed between writing and counting
        (LogRows(answered=9, written=7, closed=4), 0, 7),  # killed between closing and counting
        (LogRows(answered=9), 0, 0),
    ],
)
def test_a_dead_workers_rows_add_up(counted: LogRows, found_open: int, written: int) -> None:
    settled = settle(counted, found_open=found_open)
    assert settled.written == written
    assert settled.pending == 9 - written


def test_the_spool_is_bounded_and_opens_again(tmp_path: Path) -> None:
    spool = Spool(load_settings(home=tmp_path, environment="dev", spool_max_bytes=1000))
    spool.folder.mkdir(parents=True)
    part = new_segment(spool.folder)

    def is_open_with(size_bytes: int) -> bool:
        part.write_bytes(b" " * size_bytes)
        spool.measure()
        assert spool.size_bytes == size_bytes
        return spool.is_open

    assert [is_open_with(size_bytes) for size_bytes in (999, 1000, 950, 899)] == [True, False, False, True]


def test_what_earlier_workers_left_is_adopted(tmp_path: Path, board: Board) -> None:
    spool = Spool(load_settings(home=tmp_path, environment="dev"))
    scratch = spool.folder / ".shipping-x"
    scratch.mkdir(parents=True)
    write(spool.folder, board, entry(3))
    descriptor = os.open(new_segment(spool.folder), os.O_WRONLY | os.O_CREAT)
    write_frame(descriptor, encode_tick(make_tick([entry(2)])))
    os.close(descriptor)
    spool.adopt()
    assert spool.adopted_rows == 5
    assert not scratch.exists()
    assert [path.suffix for path in paths(spool.folder)] == [CLOSED_SUFFIX] * 2


def test_sampling_is_decided_by_the_request_alone() -> None:
    ids = [f"request-{number}" for number in range(4000)]
    kept = [one for one in ids if is_sampled(one, 0.1)]
    assert kept == [one for one in ids if is_sampled(one, 0.1)]
    assert 300 < len(kept) < 500
    assert all(is_sampled(one, 0.2) for one in kept)
    assert all(is_sampled(one, 1.0) for one in ids)
    assert not any(is_sampled(one, 0.0) for one in ids)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["log", "sample", "full", "broken", "kill"]), st.integers(1, 5)),
        max_size=12,
    ),
    sink_down=st.booleans(),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_whatever_happens_no_row_is_unaccounted_for(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], sink_down: bool
) -> None:
    """Conservation: answered = shipped + spooled + dropped + sampled out + lost."""
    home = tmp_path_factory.mktemp("home")
    spool = Spool(load_settings(home=home, environment="dev"))
    total, lost = LogRows(), 0

    async def live(steps: list[tuple[str, int]], board: Board) -> int:
        """Be a worker until killed or at the end; return how many rows its open segments hold."""
        log = PredictionLog(spool.folder, board)
        for step, rows in steps:
            log.is_open = step != "full"
            if step == "sample":
                log.leave_out(rows)
            elif step == "broken":
                spool.folder.parent.mkdir(parents=True, exist_ok=True)
                log.add(entry(rows, inputs=b"no JSON"))
            elif step == "kill":
                log.add(entry(rows))
                if log._writing is not None:  # a thread that is really killed writes nothing later
                    await asyncio.wait([log._writing])
                return close_segments(spool.folder, pid=os.getpid())
            else:
                log.add(entry(rows))
                if rows > 3:
                    log._flush()
        await log.close()
        return 0

    while True:
        kills = [place for place, (step, _) in enumerate(steps) if step == "kill"]
        now, steps = (steps[: kills[0] + 1], steps[kills[0] + 1 :]) if kills else (steps, [])
        descriptor = make_board()
        board = Board(descriptor)
        os.close(descriptor)
        found_open = asyncio.run(live(now, board))
        settled = settle(board.read(), found_open=found_open)
        total, lost = total + settled, lost + settled.pending
        if not steps:
            break
    said: list[Report] = []
    ship(spool.folder, sink(BrokenStore() if sink_down else MemoryStore()), replica="here", say=said.append)
    spool.count(b"".join(msgspec.json.encode(one) + b"\n" for one in said))
    spooled = sum(rows_of(path) for path in spool.folder.glob(f"*{CLOSED_SUFFIX}"))
    assert total.answered == (
        spool.shipped_rows + spool.rejected_rows + spooled + total.dropped + total.sampled_out + lost
    )


def test_names_of_segments_differ(tmp_path: Path) -> None:
    assert len({new_segment(tmp_path) for _ in range(1000)}) == 1000
