"""Resuming: what is taken over, what runs again, and that two who try do not both do it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from rasen.batch.execute import Executed, resume
from rasen.batch.queries import describe_run
from rasen.batch.run_events import RunEvent, StepBegan, StepEnded, StepReused
from rasen.batch.runner_lock import is_worked_on
from rasen.batch.start import read_start
from rasen.errors import InvalidInput
from rasen.settings import Settings, load_settings, platform_environment
from rasen.store import open_store
from rasen.tracking.ids import instant_of
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Verdict
from rasen.tracking.results import newest_attempt, read_published_result
from rasen.tracking.signature import load_trust
from stand.pipelines import write_notebook, write_pipeline
from stand.runs import run_working_copy

SAVE = "import pandas as pd, rasen\nrasen.save_table('numbers', pd.DataFrame({'x': [n, 2, 3]}))"
LOAD = "import rasen\nrasen.log_metrics(total=int(rasen.load_table('numbers').x.sum()))"
BREAK = "raise RuntimeError('not today')"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a pipeline whose second step fails: save → load → last."""
    return write_pipeline(
        tmp_path / "toy",
        {"save": [SAVE], "load": [LOAD, BREAK], "last": [LOAD.replace("total", "again")]},
        parameters="n: int = 1\nat: str = ''",
        more="parameters: {at: '@scheduled'}",
    ).resolve()


def fix(folder: Path) -> None:
    write_notebook(folder / "load.ipynb", [LOAD], parameters="n: int = 1\nat: str = ''")
    (folder / "pipeline.yaml").write_text(
        (folder / "pipeline.yaml").read_text().replace("needs: [load]", "needs: [save, load]")
    )


def run(settings: Settings, folder: Path, *typed: str, request: str | None = None) -> Executed:
    return run_working_copy(settings, folder, *typed, request=request)


def resumed(
    settings: Settings, run: str, *, folder: Path | None = None, from_step: str | None = None
) -> tuple[Executed, list[RunEvent]]:
    events: list[RunEvent] = []
    executed = resume(
        settings,
        run,
        folder=folder,
        release_id=None,
        from_step=from_step,
        deploy=None,
        observe=events.append,
    )
    return executed, events


def began(events: list[RunEvent]) -> list[str]:
    return [event.step for event in events if isinstance(event, StepBegan)]


def test_resuming_runs_what_failed_and_what_follows_and_says_what_it_kept(
    settings: Settings, folder: Path
) -> None:
    first = run(settings, folder, "n=5")
    assert first.verdict is Verdict.FAILED
    write_notebook(
        folder / "last.ipynb", [LOAD.replace("total", "again")], parameters="n: int = 1\nat: str = ''"
    )
    fix(folder)
    second, events = resumed(settings, first.run[-12:], folder=folder)
    assert second.verdict is Verdict.SUCCEEDED
    assert began(events) == ["load", "last"]
    kept = next(event for event in events if isinstance(event, StepReused))
    assert (kept.step, kept.run, kept.result.verdict) == ("save", first.run, Verdict.SUCCEEDED)

    assert second.run != first.run
    assert instant_of(second.run) == instant_of(first.run) + timedelta(milliseconds=1)
    store = open_store(settings)
    start = read_start(store, "toy", second.run).start
    assert (start.resumes, start.reuses, start.parameters) == (first.run, {"save": first.run}, {"n": 5})
    assert start.scheduled_at == instant_of(first.run), "@scheduled means the same instant"

    manifest = read_manifest(store, load_trust(settings), "toy", second.run, environment="dev").manifest
    assert manifest.steps["save"].reused_from == first.run
    assert manifest.steps["load"].reused_from is None
    assert read_published_result(store, manifest, "save").tables
    assert [m.value for m in read_published_result(store, manifest, "last").metrics] == [10.0]
    for file in manifest.files:
        assert hashlib.sha256(store.read(file.key)).hexdigest() == file.sha256

    details = describe_run(settings, second.run)
    assert [(step.step, step.verdict) for step in details.steps] == [
        (name, Verdict.SUCCEEDED) for name in ("save", "load", "last")
    ]

    with pytest.raises(InvalidInput, match="nothing to resume"):
        resumed(settings, second.run)
    with pytest.raises(
        InvalidInput, match=f"resumed before, as run {second.run!r}, which ended as succeeded"
    ):
        resumed(settings, first.run)

    third, events = resumed(settings, second.run, from_step="last")
    assert third.verdict is Verdict.SUCCEEDED
    assert began(events) == ["last"]
    start = read_start(store, "toy", third.run).start
    assert start.reuses == {"save": first.run, "load": second.run}, "each with the run that it ran in"
    assert start.scheduled_at == instant_of(first.run)


def test_what_cannot_be_resumed_is_refused_with_what_would_be_right(settings: Settings, folder: Path) -> None:
    first = run(settings, folder)
    with pytest.raises(InvalidInput, match="there is no step 'laod': did you mean 'load'"):
        resumed(settings, first.run, from_step="laod")
    with pytest.raises(InvalidInput, match="step 'last' needs load, which did not succeed"):
        resumed(settings, first.run, from_step="last")
    with pytest.raises(InvalidInput, match="no run begins with 'nowhere'"):
        resumed(settings, "nowhere")
    second, events = resumed(settings, first.run, from_step="save")
    assert second.verdict is Verdict.FAILED
    assert began(events) == ["save", "load"]
    with pytest.raises(InvalidInput, match=f"as run {second.run!r}, which ended as failed; resume that one"):
        resumed(settings, first.run)


def command(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from rasen.cli import main; main()", "run", *arguments],
        env=platform_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_step(settings: Settings, step: str) -> str:
    """Return the run's id once one of its steps is at work."""
    store = open_store(settings)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for stat in store.list("runs/toy/"):
            _, _, run_id, name, *rest = stat.key.split("/")
            if name == step and rest[-1] == "claim.json":
                return run_id
        time.sleep(0.05)
    raise AssertionError(f"step {step!r} never began")


def test_a_killed_run_is_resumed_with_all_that_was_done(settings: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    folder = write_pipeline(
        tmp_path / "toy", {"save": [SAVE], "wait": ["print('done')", slow]}, parameters="n: int = 1"
    )
    process = command(settings, str(folder), "--dev")
    run_id = wait_for_step(settings, "wait")
    with pytest.raises(InvalidInput, match=f"run {run_id!r} is still running: process {process.pid} of"):
        resumed(settings, run_id)
    process.kill()
    process.communicate()
    assert not is_worked_on(settings, "toy", run_id)
    gate.touch()
    second, events = resumed(settings, run_id)
    assert second.verdict is Verdict.SUCCEEDED
    assert began(events) == ["wait"]
    assert describe_run(settings, run_id).verdict is Verdict.INTERRUPTED, "the killed run has an end now"


def test_of_two_who_resume_a_run_one_does_it_and_the_other_says_who(
    settings: Settings, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    slow = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    folder = write_pipeline(tmp_path / "toy", {"save": [SAVE], "wait": [BREAK]}, parameters="n: int = 1")
    first = run(settings, folder)
    write_notebook(folder / "wait.ipynb", [slow], parameters="n: int = 1")
    both = [command(settings, str(folder), "--dev", "--resume", first.run) for _ in range(2)]
    loser = None
    deadline = time.monotonic() + 60
    while loser is None and time.monotonic() < deadline:
        loser = next((process for process in both if process.poll() is not None), None)
        time.sleep(0.05)
    assert loser is not None
    said, _ = loser.communicate()
    winner = next(process for process in both if process is not loser)
    assert loser.returncode == 2
    assert f"is being resumed already: process {winner.pid} of" in said.replace("\n", " ")
    gate.touch()
    said, _ = winner.communicate(timeout=60)
    assert winner.returncode == 0, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_a_run_of_real_kernels_and_what_was_printed_is_kept(
    settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    flag = tmp_path / "child"
    deaf = (
        "import pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\n"
        "print('child', child.pid, flush=True)\n"
        f"pathlib.Path({str(flag)!r}).touch()\ntime.sleep(1000)"
    )
    folder = write_pipeline(tmp_path / "toy", {"save": ["print('so far')", deaf], "next": ["1"]})
    process = command(settings, str(folder), "--dev", "--json")
    run_id = wait_for_step(settings, "save")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not flag.exists():
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert json.loads(said)["verdict"] == "cancelled"
    store = open_store(settings)
    attempt = newest_attempt(store, "toy", run_id, "save")
    assert attempt is not None
    assert attempt.result is not None
    assert attempt.result.verdict is Verdict.CANCELLED
    output = json.loads(store.read(f"runs/toy/{run_id}/save/1/output.ipynb"))
    assert output["metadata"]["rasen"]["verdict"] == "cancelled"
    printed = [
        text for cell in output["cells"] for out in cell.get("outputs", ()) for text in out.get("text", ())
    ]
    assert "so far\n" in printed
    child = next(int(text.split()[1]) for text in printed if text.startswith("child"))
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not any(settings.scratch_dir.iterdir())


def test_ended_steps_are_told_in_the_order_in_which_they_end(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write_notebook(folder / "slow.ipynb", ["import time; time.sleep(1.5)"])
    write_notebook(folder / "quick.ipynb", ["1"])
    (folder / "pipeline.yaml").write_text(
        "name: toy\nowner: tests\nsteps:\n  slow: {notebook: slow.ipynb}\n  quick: {notebook: quick.ipynb}\n"
    )
    events: list[RunEvent] = []
    executed = run_working_copy(settings, folder, observe=events.append, jobs=2)
    assert executed.verdict is Verdict.SUCCEEDED
    assert began(events) == ["slow", "quick"]
    assert [event.step for event in events if isinstance(event, StepEnded)] == ["quick", "slow"]
