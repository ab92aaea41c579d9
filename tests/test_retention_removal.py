"""Removal in two steps a day apart: races, crashes, and that what the plan calls restorable is restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.batch.restore import restore_artifacts
from rasen.batch.run_artifacts import read_artifacts
from rasen.errors import InvalidInput, PlatformFailed, SignatureInvalid
from rasen.retention.plan import Plan, make_plan
from rasen.retention.removal import Collected, collect, undo
from rasen.store import Store
from rasen.tracking.keys import (
    bundle_key,
    end_key,
    manifest_key,
    release_key,
    start_key,
    step_prefix,
    tombstone_key,
)
from rasen.tracking.pins import change_pins
from rasen.tracking.records import Verdict
from rasen.tracking.tombstones import describe_burial
from stand.histories import PIPELINE, RELEASE, History, run_of


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def plan(history: History) -> Plan:
    return make_plan(history.settings, history.store)


def gc(
    history: History, shown: Plan | None = None, *, store: Store | None = None, proofs: int = 0
) -> Collected:
    place = store or history.store
    return collect(
        history.settings, place, shown or make_plan(history.settings, place), by="ann", proofs=proofs
    )


def old_run(history: History, number: int = 0) -> str:
    run = history.run(number)
    history.go_on(days=8)
    return run


def pin(history: History, number: int) -> None:
    change_pins(
        history.store, history.trust, history.control, pipeline=PIPELINE, run=run_of(number), action="pin", by="ann",
        environment="dev",
    )  # fmt: skip


def test_a_tombstone_comes_first_and_the_files_go_a_day_later(history: History) -> None:
    run = old_run(history)
    assert gc(history).buried == (run,)
    assert history.there(0)
    assert "rasen gc --undo" in describe_burial(history.store, PIPELINE, run)
    history.go_on(days=0.9)
    assert [one.fate for one in plan(history).runs] == ["waits"]
    assert gc(history).removed == ()
    history.go_on(days=0.2)
    done = gc(history)
    assert done.removed == (run,)
    assert done.freed_bytes > 0
    assert not history.there(0)
    assert "its files are gone" in describe_burial(history.store, PIPELINE, run)
    for key in (start_key, manifest_key, tombstone_key):
        assert history.store.stat(key(PIPELINE, run)) is not None, "records stay"
    with pytest.raises(InvalidInput, match="was removed on"):
        read_artifacts(history.settings, history.store, PIPELINE, run)
    with pytest.raises(InvalidInput, match="was removed"):
        undo(history.settings, history.store, PIPELINE, run, by="ann")
    (gone,) = plan(history).runs
    assert (gone.fate, gone.size_bytes) == ("removed", 0)
    assert gc(history) == Collected(proved=(), buried=(), returned=(), removed=(), orphans=0, freed_bytes=0)


def test_a_tombstone_that_was_taken_back_gives_the_run_another_week(history: History) -> None:
    run = old_run(history)
    gc(history)
    undo(history.settings, history.store, PIPELINE, run, by="ann")
    assert describe_burial(history.store, PIPELINE, run) == ""
    with pytest.raises(InvalidInput, match="nothing to take back"):
        undo(history.settings, history.store, PIPELINE, run, by="ann")
    assert gc(history).buried == ()
    assert read_artifacts(history.settings, history.store, PIPELINE, run).verified
    history.go_on(days=8)
    assert gc(history).buried == (run,), "and can get another one later"
    history.go_on(days=2)
    assert gc(history).removed == (run,)


@pytest.mark.parametrize("when", ["before the tombstone", "within the day"])
@pytest.mark.parametrize("what", ["resumed", "deployed", "pinned"])
def test_what_happens_between_plan_and_removal_wins(history: History, when: str, what: str) -> None:
    run = old_run(history)
    shown = plan(history)
    assert [one.run for one in shown.of("goes")] == [run]
    if when == "within the day":
        gc(history, shown)
        history.go_on(days=2)
        shown = plan(history)
        assert [one.run for one in shown.of("ready")] == [run]
    match what:
        case "resumed":  # its process had looked for a tombstone before there was one
            history.begin(1, resumes=0)
        case "deployed":
            history.deploy(0)
        case _:
            pin(history, 0)
    done = gc(history, shown)
    assert done.removed == done.buried == ()
    assert done.returned == ((run,) if when == "within the day" else ())
    assert describe_burial(history.store, PIPELINE, run) == ""
    assert read_artifacts(history.settings, history.store, PIPELINE, run).verified


class Watched:
    """A store that calls somebody before its n-th change."""

    def __init__(self, store: Store, number: int, call: Callable[[], object]) -> None:
        self._store = store
        self._left = number
        self._call = call

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if name not in ("write", "delete"):
            return method

        def change(key: str, *arguments: object, **options: object) -> object:
            if not key.startswith("live/"):  # the store is only asked for the time there
                if self._left == 0:
                    self._call()
                self._left -= 1
            return method(key, *arguments, **options)

        return change


def test_a_run_that_is_resumed_while_tombstones_are_written_keeps_its_files(history: History) -> None:
    history.run(1)
    run = old_run(history, 0)
    store: Store = Watched(history.store, 1, lambda: history.begin(2, resumes=0))  # type: ignore[assignment] # passes all else on
    done = gc(history, store=store)
    assert run not in done.buried
    assert describe_burial(history.store, PIPELINE, run) == ""
    assert run_of(1) in done.buried


def test_only_what_was_shown_is_touched(history: History) -> None:
    old_run(history, 0)
    shown = plan(history)
    history.run(1)
    history.go_on(days=8)
    assert gc(history, shown).buried == (run_of(0),)


def test_killed_at_any_line_the_next_call_goes_on(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    def make(number: int) -> History:
        history = History(tmp_path / str(number))
        for one in range(3):
            history.run(one)
        history.go_on(days=8)
        history.store.write(step_prefix(PIPELINE, run_of(2), "train", 2) + "tables/late", b"x")
        history.go_on(days=8)
        pin(history, 2)
        return history

    def end_of(history: History) -> list[str]:
        gc(history)
        history.go_on(days=2)
        gc(history)
        kept = history.keys("runs/", "releases/")
        return [*kept, *(key.partition("/")[0] for key in history.keys("tombstones/"))]

    expected = end_of(make(0))
    killed = 0
    for number in range(1, 40):
        history = make(number)
        try:
            store: Store = Watched(history.store, number - 1, kill)  # type: ignore[assignment] # as above
            gc(history, store=store)
            history.go_on(days=2)
            gc(history, store=store)
        except Killed:
            killed += 1
        else:
            break
        assert end_of(history) == expected, f"killed before change {number}"
    assert killed > 8, "every change was tried"


def test_a_run_that_stays_and_cannot_be_restored_stops_the_removal(history: History) -> None:
    run = history.run(0)
    history.run(1)
    history.go_on(days=8)
    pin(history, 0)
    shown = plan(history)
    history.store.write(step_prefix(PIPELINE, run, "train", 1) + "model.cloudpickle", b"rotten")
    with pytest.raises(PlatformFailed, match=r"cannot be restored.*--prove 0"):
        gc(history, shown, proofs=3)
    assert describe_burial(history.store, PIPELINE, run_of(1)) == ""
    done = gc(history, shown, proofs=0)
    assert done.buried == (run_of(1),)
    assert not history.trap.exists()


def test_a_forged_tombstone_removes_nothing(history: History) -> None:
    run = old_run(history)
    pin(history, 0)
    history.store.write(tombstone_key(PIPELINE, run), b'{"run": "x"}\n')
    history.go_on(days=2)
    with pytest.raises(SignatureInvalid):
        plan(history)


def test_a_bundle_whose_registration_is_finished_at_the_last_moment_stays(history: History) -> None:
    key = bundle_key(PIPELINE, "2-abc")
    history.store.write(key, b"bundle")
    history.go_on(days=8)
    shown = plan(history)
    release = history.store.read(release_key(PIPELINE, RELEASE))

    def finish() -> None:
        history.store.write(release_key(PIPELINE, "2-abc"), release)

    store: Store = Watched(history.store, 0, finish)  # type: ignore[assignment] # as above
    gc(history, shown, store=store)
    assert history.store.read(key) == b"bundle"


REFERENCE = st.none() | st.integers(0, 7)


@given(
    runs=st.lists(
        st.tuples(
            st.sampled_from([Verdict.SUCCEEDED, Verdict.SUCCEEDED, Verdict.FAILED, None]),
            REFERENCE,
            REFERENCE,
            REFERENCE,
            st.sampled_from([0, 0, 3, 9]),
        ),
        min_size=1,
        max_size=8,
    ),
    deployed=st.lists(st.integers(0, 7), max_size=3),
    pinned=st.sets(st.integers(0, 7), max_size=2),
    late=st.none() | st.integers(0, 7),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_after_a_collection_all_is_restorable_that_the_plan_called_so(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[Verdict | None, int | None, int | None, int | None, int]],
    deployed: list[int],
    pinned: set[int],
    late: int | None,
) -> None:
    history = History(tmp_path_factory.mktemp("past"), keep_states=2)
    succeeded: list[int] = []
    trained: list[int] = []  # those that have a result of their own to be taken over
    for number, (verdict, resumes, reuses, champion, days) in enumerate(runs):
        history.run(
            number,
            verdict=verdict,
            resumes=resumes if resumes is not None and resumes < number else None,
            reuses=reuses if reuses in trained else None,
            champion=champion if champion in succeeded else None,
        )
        if verdict is Verdict.SUCCEEDED:
            succeeded.append(number)
        if reuses not in trained:
            trained.append(number)
        history.go_on(days=days)
    for number in deployed:
        if number in succeeded:
            history.deploy(number)
    for number in pinned:
        if number < len(runs):
            pin(history, number)
    history.go_on(days=3)

    gc(history)
    if late is not None and late < len(runs):
        history.begin(20, resumes=late)  # a resumption that began before there was a tombstone
    history.go_on(days=2)
    shown = plan(history)
    gc(history, shown)

    for one in shown.runs:
        if one.fate in ("stays", "returns"):
            assert one.reasons
        if one.restorable:
            folder = history.settings.home / "back" / one.run
            artifacts = read_artifacts(history.settings, history.store, one.pipeline, one.run)
            restored = restore_artifacts(history.store, artifacts, folder)
            assert restored.verified == (history.store.stat(end_key(PIPELINE, one.run)) is None)
            assert not history.trap.exists(), "nothing is unpickled on the way"
        elif one.fate == "ready":
            assert list(history.store.list(f"runs/{PIPELINE}/{one.run}/")) == []
            assert late is None or one.run != run_of(late)
