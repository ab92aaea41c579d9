"""The runner's loop, with steps that end as a script says: order, retries, losses, cancellation."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rasen.batch.cancellation import request_cancel
from rasen.batch.finish import Finished
from rasen.batch.memory_trend import describe_trend
from rasen.batch.run_events import (
    RunBegan,
    RunEvent,
    RunStopping,
    RunWarned,
    StepBegan,
    StepEnded,
    StepLost,
    StepRetried,
    StepSkipped,
)
from rasen.batch.runner import run_to_end
from rasen.batch.runner_lock import describe_worker, is_worked_on
from rasen.settings import Settings, load_settings
from rasen.store import open_store
from rasen.tracking.records import Verdict
from stand.executors import DEAF, HANGS, LOST, Ends, ScriptedExecutor
from stand.pipelines import write_notebook
from stand.runs import start_working_copy

GIB = 2**30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", retry_seconds=0.01)


class Scripted:
    """A pipeline of empty notebooks and the run that was made of it."""

    def __init__(self, settings: Settings, folder: Path, steps: dict[str, str], ends: Ends) -> None:
        self.settings = settings
        self.store = open_store(settings)
        self.executor = ScriptedExecutor(self.store, ends)
        self.events: list[RunEvent] = []
        lines = [f"name: {folder.name}", "owner: tests", "steps:"]
        for name, keys in steps.items():
            write_notebook(folder / f"{name}.ipynb", ["1"])
            lines.append(f"  {name}: {{notebook: {name}.ipynb{keys and ', ' + keys}}}")
        (folder / "pipeline.yaml").write_text("\n".join(lines) + "\n")
        self.release, self.start = start_working_copy(settings, self.store, folder)

    def run(self, *, jobs: int = 2, on_event: Callable[[RunEvent], None] | None = None) -> Finished:
        def observe(event: RunEvent) -> None:
            self.events.append(event)
            if on_event is not None:
                on_event(event)

        return run_to_end(
            self.settings,
            self.store,
            self.release,
            self.start,
            observe,
            jobs=jobs,
            executor=self.executor,
        )

    def of(self, kind: type[RunEvent]) -> list[RunEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def test_steps_run_when_their_needs_are_done_and_a_failure_stops_only_what_needs_it(
    settings: Settings, tmp_path: Path
) -> None:
    steps = {"a": "", "b": "", "after_a": "needs: [a]", "after_b": "needs: [b]", "last": "needs: [after_a]"}
    scripted = Scripted(settings, tmp_path / "toy", steps, {"a": [Verdict.VALIDATION_FAILED]})
    finished = scripted.run()
    assert finished.verdict is Verdict.VALIDATION_FAILED
    assert finished.end is not None
    assert finished.end.step == "a"
    assert [step for step, _ in scripted.executor.launched] == ["a", "b", "after_b"]
    assert [event.step for event in scripted.events if isinstance(event, StepSkipped)] == ["after_a", "last"]
    began = scripted.events[0]
    assert isinstance(began, RunBegan)
    assert began.needs["last"] == ("after_a",)


@pytest.mark.parametrize(
    ("verdict", "keys", "attempts", "ends"),
    [
        (Verdict.FAILED, "retries: 2", 3, Verdict.SUCCEEDED),
        (Verdict.FAILED, "retries: 1", 2, Verdict.FAILED),
        (Verdict.FAILED, "", 1, Verdict.FAILED),
        (Verdict.TIMED_OUT, "retries: 2", 3, Verdict.SUCCEEDED),
        (Verdict.KERNEL_DIED, "retries: 2", 3, Verdict.SUCCEEDED),
        (Verdict.VALIDATION_FAILED, "retries: 2", 1, Verdict.VALIDATION_FAILED),
        (Verdict.OUT_OF_MEMORY, "retries: 2", 1, Verdict.OUT_OF_MEMORY),
        (Verdict.OUT_OF_MEMORY, "retries: 2, retry_on: [out_of_memory]", 3, Verdict.SUCCEEDED),
        (Verdict.FAILED, "retries: 2, retry_on: [out_of_memory]", 1, Verdict.FAILED),
    ],
)
def test_only_what_a_second_try_can_change_is_tried_again(
    settings: Settings, tmp_path: Path, verdict: Verdict, keys: str, attempts: int, ends: Verdict
) -> None:
    script = [verdict, verdict, Verdict.SUCCEEDED]
    scripted = Scripted(settings, tmp_path / "toy", {"a": keys}, {"a": script})
    assert scripted.run().verdict is ends
    assert scripted.executor.launched == [("a", number + 1) for number in range(attempts)]
    retried = [event for event in scripted.events if isinstance(event, StepRetried)]
    assert len(retried) == attempts - 1
    assert all(event.wait_seconds <= 0.01 * 2**index for index, event in enumerate(retried))
    assert len(scripted.of(StepEnded)) == 1


def test_a_lost_process_is_followed_by_the_next_attempt_without_being_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    scripted = Scripted(
        settings, tmp_path / "toy", {"a": ""}, {"a": [LOST, Verdict.INTERRUPTED, Verdict.SUCCEEDED]}
    )
    assert scripted.run().verdict is Verdict.SUCCEEDED
    assert [event.attempt for event in scripted.events if isinstance(event, StepLost)] == [1, 2]


def test_a_process_that_is_lost_again_and_again_is_given_up(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": "", "b": "needs: [a]", "c": ""}, {"a": [LOST]})
    finished = scripted.run()
    assert finished.verdict is Verdict.INTERRUPTED
    assert scripted.executor.launched.count(("c", 1)) == 1, "what does not need it went on"
    assert [attempt for step, attempt in scripted.executor.launched if step == "a"] == [1, 2, 3]
    warned = scripted.of(RunWarned)
    assert "lost 3 times" in str(warned)


def test_retries_of_an_earlier_runner_count(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": "retries: 2"}, {"a": [Verdict.FAILED]})

    class Killed(BaseException):
        pass

    def die(event: RunEvent) -> None:
        if isinstance(event, StepRetried):
            raise Killed

    with pytest.raises(Killed):
        scripted.run(on_event=die)
    assert not is_worked_on(settings, "toy", scripted.start.run)
    assert scripted.run().verdict is Verdict.FAILED
    assert scripted.executor.launched == [("a", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run_and_its_steps(
    settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    steps = {"a": "", "b": "", "c": "needs: [a]"}
    scripted = Scripted(settings, tmp_path / "toy", steps, {"a": [HANGS], "b": [HANGS]})
    begun: list[RunEvent] = []

    def stop(event: RunEvent) -> None:
        if isinstance(event, StepBegan):
            begun.append(event)
            if len(begun) == 2:
                os.kill(os.getpid(), number)

    finished = scripted.run(on_event=stop)
    assert finished.verdict is Verdict.CANCELLED
    assert finished.end is not None
    assert finished.end.error == "cancelled"
    assert [process.signals for process in scripted.executor.processes] == [[signal.SIGINT]] * 2
    assert [event.step for event in scripted.events if isinstance(event, StepSkipped)] == ["c"]
    assert len(scripted.of(RunStopping)) == 1
    assert signal.getsignal(number) is not None
    ended = [event.result.verdict for event in scripted.events if isinstance(event, StepEnded)]
    assert ended == [Verdict.CANCELLED, Verdict.CANCELLED]


def test_a_step_that_does_not_hear_is_killed(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": ""}, {"a": [DEAF]})

    def stop(event: RunEvent) -> None:
        if isinstance(event, StepBegan):
            os.kill(os.getpid(), signal.SIGTERM)

    assert scripted.run(on_event=stop).verdict is Verdict.CANCELLED
    assert scripted.executor.processes[0].signals == [signal.SIGINT, signal.SIGKILL]


def test_a_second_signal_does_not_wait(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": ""}, {"a": [DEAF]})

    def stop(event: RunEvent) -> None:
        if isinstance(event, StepBegan | RunStopping):
            os.kill(os.getpid(), signal.SIGINT)

    assert scripted.run(on_event=stop).verdict is Verdict.CANCELLED
    assert scripted.executor.processes[0].signals == [signal.SIGINT, signal.SIGKILL]


def test_a_request_in_the_store_cancels_from_anywhere(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": ""}, {"a": [HANGS]})

    def ask(event: RunEvent) -> None:
        if isinstance(event, StepBegan):
            now = datetime.now(tz=UTC)
            assert request_cancel(scripted.store, "toy", scripted.start.run, by="ann", now=now)
            assert not request_cancel(scripted.store, "toy", scripted.start.run, by="bob", now=now)

    assert scripted.run(on_event=ask).verdict is Verdict.CANCELLED
    assert scripted.run().verdict is Verdict.CANCELLED, "it stays so"


def test_a_run_that_was_cancelled_before_it_began_runs_nothing(settings: Settings, tmp_path: Path) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": ""}, {})
    request_cancel(scripted.store, "toy", scripted.start.run, by="ann", now=datetime.now(tz=UTC))
    assert scripted.run().verdict is Verdict.CANCELLED
    assert scripted.executor.launched == []


def test_a_second_runner_of_a_run_waits_for_the_first_and_learns_who_it_is(
    settings: Settings, tmp_path: Path
) -> None:
    first = Scripted(settings, tmp_path / "toy", {"a": ""}, {"a": [HANGS]})
    second = Scripted.__new__(Scripted)
    second.__dict__.update({**first.__dict__, "events": [], "executor": ScriptedExecutor(first.store)})
    found: list[Finished] = []
    waiting = threading.Event()

    def follow() -> None:
        found.append(second.run(on_event=lambda _: waiting.set()))

    thread = threading.Thread(target=follow)

    def let_second_come(event: RunEvent) -> None:
        if isinstance(event, StepBegan):
            assert describe_worker(settings, "toy", first.start.run) is not None
            assert is_worked_on(settings, "toy", first.start.run)
            thread.start()
            assert waiting.wait(10)
            os.kill(os.getpid(), signal.SIGINT)

    assert first.run(on_event=let_second_come).verdict is Verdict.CANCELLED
    thread.join(10)
    assert [finished.verdict for finished in found] == [Verdict.CANCELLED]
    assert f"process {os.getpid()} of" in str(second.events[0])
    assert second.executor.launched == []


def test_a_step_that_asks_for_more_memory_than_there_is_runs_with_a_warning(
    settings: Settings, tmp_path: Path
) -> None:
    scripted = Scripted(settings, tmp_path / "toy", {"a": "resources: {memory: 900Ti}"}, {})
    assert scripted.run().verdict is Verdict.SUCCEEDED
    assert "it runs alone" in str(scripted.of(RunWarned))


def test_a_wish_for_an_old_instant_is_still_the_newest_run(settings: Settings, tmp_path: Path) -> None:
    # The clock went back by an hour between two requests: the second run is still the later one.
    scripted = Scripted(settings, tmp_path / "toy", {"a": ""}, {})
    scripted.run()
    _, again = start_working_copy(
        settings, scripted.store, tmp_path / "toy", now=datetime.now(tz=UTC) - timedelta(hours=1)
    )
    assert again.run > scripted.start.run


@pytest.mark.parametrize(
    ("peaks", "says"),
    [
        ([1.0, 1.0, 1.0, 1.0], None),
        ([1.0, 3.9], "is 97% of its limit"),
        ([1.0, 2.0, 3.0], None),
        ([1.0, 1.5, 2.0, 2.5], "in about 4 runs"),
        ([2.5, 2.0, 1.5, 1.0], None),
        ([1.0, 1.0, 3.5, 1.0, 1.0], None),
        ([0.1, 0.11, 0.12, 0.13], None),
    ],
)
def test_a_peak_that_grows_towards_its_limit_is_told_before_it_kills(
    peaks: list[float], says: str | None
) -> None:
    said = describe_trend([int(peak * GIB) for peak in peaks], limit_bytes=4 * GIB)
    assert (says is None and said is None) or (said is not None and says is not None and says in said)
