"""Live progress: what others see of a step while it runs, and that seeing costs the step nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rasen.batch.execution import Progress
from rasen.batch.live import NOTEBOOK_MAX_BYTES, LiveWriter, read_live, sweep_live
from rasen.batch.plain_text import clean_line, clean_text, without_colours
from rasen.errors import StoreUnavailable
from rasen.store import MemoryStore
from rasen.store.protocol import Stat
from rasen.tracking.keys import live_key, live_notebook_key
from rasen.tracking.records import LiveStep

RUN = "20260131T041000000Z-0123456789ab"
STEP = LiveStep(run=RUN, pipeline="toy", step="train", attempt=2, phase="preparing")


def quick(store: MemoryStore) -> LiveWriter:
    return LiveWriter(store, STEP, first_seconds=0.01, period_seconds=0.01)


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "what was awaited did not come"
        time.sleep(0.005)


def progress(cell: int, line: str = "") -> Progress:
    return Progress(cell=cell, cells=9, memory_bytes=300_000_000, last_line=line)


def test_a_reader_sees_where_the_step_is_until_it_ends(tmp_path: Path) -> None:
    store = MemoryStore()
    notebook = tmp_path / "output.ipynb"
    with quick(store) as live:
        wait_for(lambda: read_live(store, "toy", RUN))
        assert read_live(store, "toy", RUN)[0].phase == "preparing"
        assert read_live(store, "toy", RUN)[0].cell is None
        live.enter("running")
        live.watch(notebook)  # not there yet
        live.observe(progress(3, "epoch 1\x1b[2K \x07of 9"))
        wait_for(lambda: read_live(store, "toy", RUN)[0].cell == 3)
        seen = read_live(store, "toy", RUN)[0]
        assert (seen.phase, seen.cells, seen.attempt, seen.last_line) == ("running", 9, 2, "epoch 1 of 9")
        notebook.write_bytes(b"{}")
        wait_for(lambda: store.stat(live_notebook_key("toy", RUN, "train")))
        notebook.write_bytes(b'{"more": 1}')
        wait_for(lambda: store.read(live_notebook_key("toy", RUN, "train")) == b'{"more": 1}')
    assert not list(store.list("live/")), "it is gone with the step"


def test_a_silent_cell_still_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveWriter, "beat_seconds", 0.02)
    store = MemoryStore()
    with quick(store) as live:
        live.observe(progress(1))
        wait_for(lambda: read_live(store, "toy", RUN))
        generation = store.read_versioned(live_key("toy", RUN, "train"))[1]
        wait_for(lambda: store.read_versioned(live_key("toy", RUN, "train"))[1] > generation + 2)


def test_nothing_changed_is_not_written_again() -> None:
    store = MemoryStore()
    with quick(store) as live:
        live.observe(progress(1))
        wait_for(lambda: read_live(store, "toy", RUN))
        wait_for(lambda: read_live(store, "toy", RUN)[0].cell == 1)
        beat = read_live(store, "toy", RUN)[0].beat
        for _ in range(10):
            live.observe(progress(1))
            time.sleep(0.005)
        assert read_live(store, "toy", RUN)[0].beat == beat


def test_a_short_step_costs_the_store_nothing() -> None:
    class CountingStore(MemoryStore):
        writes = 0

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            self.writes += 1
            return super().write(key, data, if_generation=if_generation)

    store = CountingStore()
    with LiveWriter(store, STEP) as live:
        live.observe(progress(1))
    assert store.writes == 0


def test_a_store_that_fails_is_counted_and_otherwise_ignored() -> None:
    class FailingStore(MemoryStore):
        down = True

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            if self.down:
                raise StoreUnavailable("down")
            return super().write(key, data, if_generation=if_generation)

    store = FailingStore()
    with quick(store) as live:
        wait_for(lambda: live.failures > 2)
        store.down = False
        wait_for(lambda: read_live(store, "toy", RUN))
        assert read_live(store, "toy", RUN)[0].failures == live.failures > 2


def test_a_store_that_does_not_answer_holds_up_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveWriter, "close_seconds", 0.01)
    asked, answer = threading.Event(), threading.Event()

    class HangingStore(MemoryStore):
        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            asked.set()
            answer.wait()
            return super().write(key, data, if_generation=if_generation)

    store = HangingStore()
    with quick(store) as live:
        assert asked.wait(20)
        live.observe(progress(1))  # returns, though the store never has
        live.enter("uploading")
    answer.set()
    wait_for(lambda: not live.alive)
    assert not list(store.list("live/")), "what was written late is removed as well"


def test_a_large_notebook_is_not_sent_again_and_again(tmp_path: Path) -> None:
    store = MemoryStore()
    notebook = tmp_path / "output.ipynb"
    notebook.write_bytes(b"x" * (NOTEBOOK_MAX_BYTES + 1))
    with quick(store) as live:
        live.watch(notebook)
        wait_for(lambda: read_live(store, "toy", RUN))
        assert read_live(store, "toy", RUN)[0].withheld_bytes == NOTEBOOK_MAX_BYTES + 1
        assert store.stat(live_notebook_key("toy", RUN, "train")) is None


def test_known_secrets_are_masked() -> None:
    store = MemoryStore()
    live = quick(store)
    live.mask = lambda text: text.replace("hunter2", "***")
    with live:
        live.observe(progress(1, "password hunter2"))
        wait_for(lambda: read_live(store, "toy", RUN) and read_live(store, "toy", RUN)[0].cell == 1)
        assert read_live(store, "toy", RUN)[0].last_line == "password ***"


def test_what_a_killed_step_left_is_swept_after_a_day() -> None:
    class AgingStore(MemoryStore):
        now = datetime(2026, 1, 1, tzinfo=UTC)

        def __init__(self) -> None:
            super().__init__()
            self.written: dict[str, datetime] = {}

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            self.written[key] = self.now
            return super().write(key, data, if_generation=if_generation)

        def stat(self, key: str) -> Stat | None:
            found = super().stat(key)
            return found and Stat(
                key=key,
                size_bytes=found.size_bytes,
                generation=found.generation,
                updated_at=self.written[key],
            )

        def list(self, prefix: str, *, after: str = ""):  # type: ignore[no-untyped-def] # the class hides the builtin
            for found in list(super().list(prefix, after=after)):
                yield self.stat(found.key)

    store = AgingStore()
    store.write(live_key("toy", RUN, "old"), b"{}")
    store.write(live_notebook_key("toy", RUN, "old"), b"{}")
    store.write("starts/toy/x.json", b"{}")
    store.now += timedelta(hours=23)
    store.write(live_key("toy", RUN, "train"), STEP.to_bytes())
    assert sweep_live(store) == 0
    store.now += timedelta(hours=2)
    assert sweep_live(store) == 2
    assert [step.step for step in read_live(store, "toy", RUN)] == ["train"]
    assert store.stat("starts/toy/x.json") is not None


def test_what_cannot_be_read_is_left_out() -> None:
    store = MemoryStore()
    store.write(live_key("toy", RUN, "broken"), b"{")
    store.write(live_key("toy", RUN, "train"), STEP.to_bytes())
    store.write(live_notebook_key("toy", RUN, "train"), b"{}")
    assert [step.step for step in read_live(store, "toy", RUN)] == ["train"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  \x1b[31mred\x1b[0m\x1b[5;3H ", "red"),
        ("title\x1b]0;pwned\x07 here", "title here"),
        ("a\tb", "a   b"),
        ("two\nlines", "two lines"),
        ("\u202eevil", "evil"),
        ("日本語 ✓", "日本語 ✓"),
        ("x" * 300, "x" * 199 + "…"),
        ("\ud800", ""),
    ],
)
def test_a_line_of_others_is_harmless(text: str, line: str) -> None:
    assert clean_line(text) == line


def test_a_text_of_others_keeps_its_lines_and_colours_only() -> None:
    text = "\x1b[31mred\x1b[0m\n\x1b[2J\x1b[1;1Hgone\x1b]8;;http://x\x07link\r\b"
    assert clean_text(text) == "\x1b[31mred\x1b[0m\ngonelink"
    assert without_colours(clean_text(text)) == "red\ngonelink"
