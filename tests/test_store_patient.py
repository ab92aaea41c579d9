"""A store that is down for a while: nothing is lost, nothing done twice, and nobody waits for ever."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.batch.execute import start_wish
from rasen.batch.finish import finish_run
from rasen.batch.step import run_step
from rasen.errors import ObjectNotFound, PreconditionFailed, StoreUnavailable
from rasen.settings import load_settings
from rasen.store import DirectoryStore, MemoryStore, Patience, PatientStore, Store, open_store
from rasen.tracking.results import read_published_result
from stand.faulty_store import FakeClock, FaultyStore, Phase
from stand.pipelines import write_pipeline

PHASES: tuple[Phase, ...] = ("before", "after", "during")


def use_everything(store: Store, folder: Path) -> dict[str, bytes]:
    """Do what a run does, checking each answer; return what lies in the store then."""
    data = b"table" * 1000
    digest = hashlib.sha256(data).hexdigest()
    (folder / "table").write_bytes(data)
    assert store.write("claim", b"mine", if_generation=0) > 0
    with pytest.raises(PreconditionFailed):
        store.write("claim", b"somebody else's", if_generation=0)
    generation = store.write("current", b"1")
    assert store.read_versioned("current") == (b"1", generation)
    assert store.write("current", b"2", if_generation=generation) == store.read_versioned("current")[1]
    with pytest.raises(PreconditionFailed):
        store.write("current", b"3", if_generation=generation)
    uploaded = store.upload(folder / "table", "tables/one", sha256=digest)
    found = store.stat("tables/one")
    assert found is not None
    assert (found.generation, found.size_bytes) == (uploaded, len(data))
    (folder / "copy").unlink(missing_ok=True)
    store.download("tables/one", folder / "copy", sha256=digest)
    assert (folder / "copy").read_bytes() == data
    for number in range(9):
        store.write(f"list/{number}", b"")
    assert [stat.key for stat in store.list("list/", after="list/2")] == [
        f"list/{number}" for number in range(3, 9)
    ]
    assert store.children("list/") == [str(number) for number in range(9)]
    store.delete("list/0")
    with pytest.raises(ObjectNotFound):
        store.read("list/0")
    return {stat.key: store.read(stat.key) for stat in store.list("")}


class Outage:
    """Is down for 30 s of a clock from one call on."""

    def __init__(self, clock: FakeClock, *, first_call: int) -> None:
        self.clock = clock
        self.calls = 0
        self.first_call = first_call
        self.until = 0.0

    def __call__(self) -> bool:
        self.calls += 1
        if self.calls == self.first_call:
            self.until = self.clock.now + 30.0
        return self.clock.now < self.until


@pytest.mark.parametrize("phase", PHASES)
def test_thirty_seconds_of_outage_at_any_call_change_nothing(phase: Phase, tmp_path: Path) -> None:
    never = Outage(FakeClock(), first_call=0)
    expected = use_everything(FaultyStore(MemoryStore(), phase, never), tmp_path)
    assert never.calls > 25
    for call in range(1, never.calls + 1):
        clock = FakeClock()
        faulty = FaultyStore(MemoryStore(), phase, Outage(clock, first_call=call))
        assert use_everything(PatientStore(faulty, clock.patience()), tmp_path) == expected, call
        assert 30.0 <= sum(clock.slept) < 40.0, call


@settings(max_examples=60)
@given(phase=st.sampled_from(PHASES), pattern=st.lists(st.booleans(), max_size=80))
def test_any_pattern_of_faults_changes_nothing(
    phase: Phase, pattern: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("patient")
    faults = iter(pattern)
    faulty = FaultyStore(MemoryStore(), phase, lambda: next(faults, False))
    found = use_everything(PatientStore(faulty, FakeClock().patience(10_000.0)), folder)
    assert found == use_everything(MemoryStore(), folder)


def test_patience_ends_and_pauses_grow() -> None:
    clock = FakeClock()
    faulty = FaultyStore(MemoryStore(), "before", lambda: True)
    with pytest.raises(StoreUnavailable, match=r"down \(asked again for 60 s\)"):
        PatientStore(faulty, clock.patience()).read("key")
    assert sum(clock.slept) == pytest.approx(60.0)
    assert clock.slept[:3] == pytest.approx([0.075, 0.15, 0.3])
    assert max(clock.slept) <= 5.0
    assert faulty.calls < 30, "a store that is down is not hammered"


def test_no_patience_asks_once() -> None:
    clock = FakeClock()
    faulty = FaultyStore(MemoryStore(), "before", lambda: True)
    with pytest.raises(StoreUnavailable, match=r"^the store is down$"):
        PatientStore(faulty, clock.patience(0.0)).stat("key")
    assert (faulty.calls, clock.slept) == (1, [])


def test_a_lost_answer_does_not_hide_that_somebody_else_was_first(tmp_path: Path) -> None:
    memory = MemoryStore()
    (tmp_path / "mine").write_bytes(b"mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    for key, act in (
        ("written", partial(PatientStore.write, data=b"mine", if_generation=0)),
        ("uploaded", partial(PatientStore.upload, path=tmp_path / "mine", sha256=digest)),
    ):
        faulty = FaultyStore.failing(memory, "before", 1)
        store = PatientStore(faulty, Patience(seconds=60.0, sleep=partial(_write_first, memory, key)))
        with pytest.raises(PreconditionFailed):
            act(store, key=key)
        assert memory.read(key) == b"theirs"


def _write_first(store: Store, key: str, _seconds: float) -> None:
    store.write(key, b"theirs", if_generation=0)


def test_an_object_that_was_there_before_is_no_success_of_ours() -> None:
    memory = MemoryStore()
    memory.write("key", b"same", if_generation=0)
    with pytest.raises(PreconditionFailed):
        PatientStore(memory, FakeClock().patience()).write("key", b"same", if_generation=0)


def test_the_store_of_the_settings_is_patient_unless_its_user_comes_back_by_himself(tmp_path: Path) -> None:
    chosen = load_settings(home=tmp_path)
    assert isinstance(open_store(chosen), PatientStore)
    assert isinstance(open_store(chosen, patient=False), DirectoryStore)


def test_what_killed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    chosen = load_settings(home=tmp_path)
    writer = "import os, sys; from pathlib import Path; from rasen.store import DirectoryStore\n"
    writer += "store = DirectoryStore(Path(sys.argv[1]))\nwith store._staged('key') as staged: os._exit(9)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", writer, str(chosen.store_dir)], check=False)
    old, new = sorted((chosen.store_dir / ".staged").iterdir())
    day_ago = time.time() - 86_500
    os.utime(old, (day_ago, day_ago))
    open_store(chosen)
    assert [*(chosen.store_dir / ".staged").iterdir()] == [new]
    assert DirectoryStore(chosen.store_dir).sweep_staged() == 0


def test_a_file_system_that_is_away_is_an_outage(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("key", b"")
    (tmp_path / "key").unlink()
    (tmp_path / "key").symlink_to("key")  # to read it says ELOOP: neither there nor not there
    with pytest.raises(StoreUnavailable, match="'key' could not be read"):
        store.read("key")


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_publishes_although_half_the_calls_of_its_store_fail(phase: Phase, tmp_path: Path) -> None:
    chosen = load_settings(home=tmp_path / "home")
    save = "import pandas as pd, rasen\nrasen.save_table('numbers', pd.DataFrame({'x': [1, 2]}))"
    load = "import rasen\nrasen.log_metrics(total=int(rasen.load_table('numbers').x.sum()))"
    folder = write_pipeline(tmp_path / "toy", {"save": [save], "load": [load]})
    clock = FakeClock()
    drawn = random.Random(phase)
    faulty = FaultyStore(DirectoryStore(chosen.store_dir), phase, lambda: drawn.random() < 0.5)
    store = PatientStore(faulty, clock.patience(1_000.0))
    _, start = start_wish(
        chosen,
        store,
        str(folder),
        dev=True,
        release_id=None,
        given={},
        typed=(),
        deploy=False,
        request=None,
        by="tests",
        now=datetime.now(tz=UTC),
    )
    for step in ("save", "load"):
        assert run_step(chosen, store, "toy", start.run, step, 1)
    finished = finish_run(chosen, store, "toy", start.run)
    assert finished.manifest is not None
    assert {step.attempt for step in finished.manifest.steps.values()} == {1}
    result = read_published_result(store, finished.manifest, "load")
    assert [metric.value for metric in result.metrics] == [3.0]
    assert len(clock.slept) > 20, "the store hardly failed"
