"""The commands about runs, over one home with real ones: successes, a failure, one at work."""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rasen.batch.cancellation import is_cancel_requested
from rasen.batch.execute import Executed, resume
from rasen.batch.live import read_live
from rasen.batch.run_events import Observer, RunEvent
from rasen.batch.when import parse_when
from rasen.cli import build_app
from rasen.cli.live_view import open_view
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import InvalidInput, NotFound
from rasen.settings import Settings, load_settings
from rasen.store import open_store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import result_key, step_prefix
from rasen.tracking.records import ErrorRecord, Start, StepResult, Verdict
from stand.pipelines import write_pipeline
from stand.platform_process import rasen, start_rasen
from stand.runs import run_working_copy, start_working_copy

READ = (
    "import rasen\n"
    "numbers = rasen.read_sql('SELECT x FROM numbers WHERE x >= @n', {'n': n})\n"
    "print(f'read {len(numbers)} rows')\n"
    "rasen.save_table('doubled', numbers * 2)"
)
TRAIN = (
    "import sys, rasen\n"
    "print('training', file=sys.stderr)\n"
    "rmse = 1 / (2 - n) + 0.5\n"
    "rasen.log_metrics(rmse=rmse)\n"
    "rasen.log_metrics(rmse=rmse * 2, slice={'origin': 'JFK'})\n"
    "rmse"
)
WAIT = (
    "import pathlib, time\n"
    "for number in range(3): print(f'line {number}', flush=True)\n"
    "print('50%', end='', flush=True)\n"
    "while not pathlib.Path(flag).exists(): time.sleep(0.05)\n"
    "print('\\r100%')\n"
    "print('done waiting')"
)


TERMINAL: dict[str, Any] = {"force_terminal": True, "width": 100, "height": 30, "color_system": "truecolor"}


@dataclass(frozen=True)
class Home:
    """The runs by what became of them."""

    settings: Settings
    first: Executed
    second: Executed
    failed: Executed
    resumed: Executed
    other: Executed
    screen: str
    lines: str


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("runs")
    settings = load_settings(home=folder / "home")
    toy = write_pipeline(folder / "toy", {"read": [READ], "train": [TRAIN]}, parameters="n: int = 1")
    load_numbers(settings, folder, 10)
    # The first run is watched on a terminal, the second where there is none.
    screen, lines = io.StringIO(), io.StringIO()
    with open_view(open_store(settings), as_json=False, out=Console(file=screen, **TERMINAL)) as view:
        first = run(settings, toy, observe=view.observe)
    (toy / "train.ipynb").write_text((toy / "train.ipynb").read_text().replace("+ 0.5", "+ 0.25"))
    load_numbers(settings, folder, 20)
    with open_view(open_store(settings), as_json=False, out=Console(file=lines, width=80)) as view:
        second = run(settings, toy, "n=0", observe=view.observe)
    failed = run(settings, toy, "n=2")
    # Resumed with other code, so that the step that failed succeeds and the one before is taken over.
    (toy / "train.ipynb").write_text((toy / "train.ipynb").read_text().replace("2 - n", "3 - n"))
    resumed = resume(
        settings,
        failed.run,
        folder=toy,
        release_id=None,
        from_step=None,
        deploy=None,
        observe=ignore,
    )
    other = run(settings, write_pipeline(folder / "other", {"only": ["'nothing'"]}))
    assert [one.verdict for one in (first, second, failed, resumed, other)] == [
        Verdict.SUCCEEDED,
        Verdict.SUCCEEDED,
        Verdict.FAILED,
        Verdict.SUCCEEDED,
        Verdict.SUCCEEDED,
    ]
    return Home(
        settings, first, second, failed, resumed, other, screen=screen.getvalue(), lines=lines.getvalue()
    )


def load_numbers(settings: Settings, folder: Path, count: int) -> None:
    file = folder / "numbers.csv"
    file.write_text("x\n" + "\n".join(map(str, range(count))) + "\n")
    EmbeddedWarehouse(settings.warehouse_dir).load_table("numbers", [file], source=file.name)


def ignore(_event: RunEvent) -> None:
    pass


def run(settings: Settings, folder: Path, *typed: str, observe: Observer = ignore) -> Executed:
    return run_working_copy(settings, folder, *typed, observe=observe)


@pytest.fixture
def ask(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what a command answers; an error of ours is raised."""
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(build_app(), list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


def digest(executed: Executed) -> str:
    return executed.run.rpartition("-")[2]


# The views, over a real run


def test_a_run_is_watched_on_a_terminal(home: Home) -> None:
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", home.screen)
    assert re.search(rf"toy  {home.first.run}  \d of 2 steps", written)
    # A live record shows only in a step that takes long enough, so it is not asked for here.
    assert re.search(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] read ", written)
    summary = written.splitlines()[-3:]
    assert re.fullmatch(r"✓ read    succeeded  \d+(\.\d)? s  \d+ MB", summary[0].strip())
    assert re.fullmatch(r"✓  train  succeeded  \d+(\.\d)? s  \d+ MB  rmse 1.5", summary[1].strip())
    assert re.fullmatch(r"2 succeeded in \d+(\.\d)? s", summary[2].strip())


def test_a_run_is_watched_in_lines(home: Home) -> None:
    lines = [line[9:] for line in home.lines.splitlines()]
    assert lines[0] == f"toy {home.second.run}: 2 steps"
    assert lines[1] == "read: begins"
    assert re.fullmatch(r"read: succeeded in \d+(\.\d)? s, peak \d+ MB", lines[2])
    assert lines[3] == "train: begins"
    assert re.fullmatch(r"train: succeeded in \d+(\.\d)? s, peak \d+ MB, rmse 0.75", lines[4])
    assert len(lines) == 5


# runs


def test_runs_are_listed_with_what_people_need(home: Home, ask: Callable[..., str]) -> None:
    lines = [line.rstrip() for line in ask("runs", "toy").splitlines()]
    assert lines[0].split() == ["run", "pipeline", "started", "duration", "verdict", "metrics", "or", "error"]
    assert [line.split()[0] for line in lines[1:]] == [
        digest(one) for one in (home.resumed, home.failed, home.second, home.first)
    ]
    local = f"{instant_of(home.first.run).astimezone():%Y-%m-%d %H:%M:%S}"
    assert re.search(rf"toy \(dev\)\s+{local}\s+\d+(\.\d)? s\s+succeeded\s+rmse 1.5$", lines[4])
    assert re.search(r"failed\s+train: ZeroDivisionError: division by zero$", lines[2])
    assert re.search(rf"succeeded\s+resumes {digest(home.failed)}  rmse 1.25$", lines[1])
    for word in lines[1:]:
        assert json.loads(ask("show", word.split()[0], "--json"))["start"]["pipeline"] == "toy"


def test_runs_are_filtered(home: Home, ask: Callable[..., str]) -> None:
    def runs(*options: str) -> list[str]:
        return [row["run"] for row in json.loads(ask("runs", "--json", *options))]

    assert runs("--verdict", "failed") == [home.failed.run]
    assert runs("other") == [home.other.run]
    assert runs("toy", "--limit", "1") == [home.resumed.run]
    assert runs("toy", "--since", instant_of(home.second.run).isoformat()) == [
        home.resumed.run,
        home.failed.run,
        home.second.run,
    ]
    assert runs("toy", "--until", instant_of(home.second.run).isoformat()) == [home.first.run]
    assert runs("--since", "1d", "--until", "12h") == []
    assert len(runs("--until", f"{datetime.now().astimezone():%Y-%m-%d}")) == 5, "the day is included"
    with pytest.raises(InvalidInput, match="'soon' is no time; write 2026-01-31"):
        ask("runs", "--since", "soon")
    with pytest.raises(InvalidInput, match="'fine' is none; choose from succeeded"):
        ask("runs", "--verdict", "fine")


def test_times_are_read_as_people_mean_them() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_when("--since", "2h", now=now) == now - timedelta(hours=2)
    assert parse_when("--since", "2026-01-30T10:00+09:00", now=now) == datetime(2026, 1, 30, 1, tzinfo=UTC)
    day = datetime(2026, 1, 30).astimezone()
    assert parse_when("--since", "2026-01-30", now=now) == day
    assert parse_when("--until", "2026-01-30", now=now, end_of_day=True) == day + timedelta(days=1)
    assert parse_when("--until", "2026-01-30T04:00", now=now, end_of_day=True) == day + timedelta(hours=4)


# show


def test_a_run_is_shown_with_what_it_cost_and_was_given(home: Home, ask: Callable[..., str]) -> None:
    shown = ask("show", digest(home.second))
    assert re.search(r"^toy  \S+  succeeded  \d", shown)
    assert "asked for with n=0" in shown
    assert re.search(r"^read  succeeded  \d+(\.\d)? s, peak \d+ MB, \d\.\d s of CPU$", shown, re.MULTILINE)
    assert "  n=0 (request)" in shown
    assert "rmse 0.75" in shown
    assert str(home.settings.store_dir) in shown
    found = json.loads(ask("show", home.second.run, "--json"))
    assert found["steps"][0]["parameters"] == {"n": {"value": 0, "layer": "request"}}
    assert found["steps"][0]["result"]["peak_bytes"] > 1_000_000
    assert found["seconds"] > 0


def test_a_resumed_run_says_what_it_took_over(home: Home, ask: Callable[..., str]) -> None:
    shown = ask("show", home.resumed.run)
    assert f"resumes {home.failed.run}" in shown
    assert re.search(rf"^read  succeeded .*\n  reused from run {home.failed.run}$", shown, re.MULTILINE)
    assert f"/runs/toy/{home.failed.run}/read/1\n" in shown, "its files lie where they were written"
    steps = {step["step"]: step for step in json.loads(ask("show", home.resumed.run, "--json"))["steps"]}
    assert (steps["read"]["reused_from"], steps["train"]["reused_from"]) == (home.failed.run, None)


def test_a_failed_run_shows_its_cell(home: Home, ask: Callable[..., str]) -> None:
    shown = ask("show", home.failed.run)
    assert "cell 2: ZeroDivisionError: division by zero" in shown
    with pytest.raises(NotFound, match="`rasen runs` lists them"):
        ask("show", "2019")


# logs


def test_logs_hold_what_the_cells_printed(home: Home, ask: Callable[..., str]) -> None:
    lines = ask("logs", digest(home.first)).splitlines()
    assert lines[0] == "read  | ── cell 2: import rasen".replace("read  |", "read |")
    assert "read | read 9 rows" in lines
    assert lines.index("train | training") < lines.index("train | 1.5")
    assert lines[-2] == "train | ── succeeded"
    assert lines[-1] == f"toy  {home.first.run}  succeeded"


def test_logs_of_one_step_have_no_prefix_and_show_the_error(home: Home, ask: Callable[..., str]) -> None:
    printed = ask("logs", home.failed.run, "train")
    assert "|" not in printed.splitlines()[0]
    assert "rmse = 1 / (2 - n) + 0.25" in printed, "the traceback"
    assert "ZeroDivisionError: division by zero" in printed
    assert "\x1b" not in printed
    assert printed.splitlines()[-2:] == ["── failed", f"toy  {home.failed.run}  failed"]


def test_logs_for_programs(home: Home, ask: Callable[..., str]) -> None:
    lines = [json.loads(line) for line in ask("logs", home.first.run, "--json").splitlines()]
    assert {"step": "read", "attempt": 1, "cell": 2, "kind": "stdout", "text": "read 9 rows"} in lines
    assert {"step": "train", "attempt": 1, "cell": 2, "kind": "stderr", "text": "training"} in lines
    assert lines[-1] == {
        "pipeline": "toy",
        "run": home.first.run,
        "verdict": "succeeded",
        "unattended": False,
    }


def test_logs_of_what_was_taken_over_lead_to_where_it_ran(home: Home, ask: Callable[..., str]) -> None:
    printed = ask("logs", home.resumed.run)
    assert f"`rasen logs {home.failed.run} read`" in printed
    assert "read 18 rows" not in printed
    assert "read 18 rows" in ask("logs", home.resumed.run, "read")


def test_logs_name_what_there_is(home: Home, ask: Callable[..., str]) -> None:
    with pytest.raises(NotFound, match=r"has no step 'tran'.*train"):
        ask("logs", home.first.run, "tran")
    with pytest.raises(NotFound, match=r"step 'train' of run .* has no attempt 2"):
        ask("logs", home.first.run, "train", "--attempt", "2")
    assert "training" in ask("logs", home.first.run, "train", "--attempt", "1")
    with pytest.raises(InvalidInput, match="exclude one another"):
        ask("logs", home.first.run, "-f", "--attempt", "1")


# compare


def test_compare_shows_only_what_differs(home: Home, ask: Callable[..., str]) -> None:
    text = ask("compare", digest(home.first), digest(home.second))
    assert re.search(r"\nparameters\n  n\s+1\s+→\s+0\s*\n", text)
    assert re.search(r"\n  rmse\s+1.5\s+→\s+0.75\s+-0.75 \(-50 %\)\s+better\s*\n", text)
    assert re.search(r"\n  rmse origin=JFK\s+3\s+→\s+1.5\s+-1.5 \(-50 %\)\s+better\s*\n", text)
    assert re.search(r"\n  read: \w+\s+[0-9a-f]{12}\s+→\s+[0-9a-f]{12}\s*\n    rows\s+9\s+→\s+20\s*\n", text)
    assert re.search(r"\n    @n\s+1\s+→\s+0", text)
    assert re.search(r"\n    x.max\s+9\s+→\s+19", text)
    assert "doubled (saved)" in text
    assert "-rmse = 1 / (2 - n) + 0.5\n+rmse = 1 / (2 - n) + 0.25" in text
    assert "+# %%" not in text, "cells that did not change are context"
    assert "libraries" not in text
    assert "environment" not in text
    assert re.search(r"\n  train -\s+succeeded\s+\d", text)


def test_compare_for_programs(home: Home, ask: Callable[..., str]) -> None:
    found: dict[str, Any] = json.loads(ask("compare", home.first.run, home.second.run, "--json"))
    assert found["parameters"] == [{"name": "n", "left": 1, "right": 0}]
    assert [change["name"] for change in found["origin"]] == ["release"]
    rmse = next(metric for metric in found["metrics"] if not metric["slice"])
    assert (rmse["difference"], rmse["percent"], rmse["direction"], rmse["better"]) == (
        -0.75,
        -50,
        "minimize",
        True,
    )
    assert [change["path"] for change in found["code"]] == ["train.ipynb"]
    assert [table["saved"] for table in found["tables"]] == [False, True]
    assert (found["versions"], found["versions_unknown"], found["code_unknown"]) == ([], None, None)


def test_a_failed_run_can_be_compared(home: Home, ask: Callable[..., str]) -> None:
    found = json.loads(ask("compare", home.second.run, home.failed.run, "--json"))
    assert {"name": "verdict", "left": "succeeded", "right": "failed"} in found["origin"]
    assert [(metric["name"], metric["right"]) for metric in found["metrics"]] == [("rmse", None)] * 2
    train = next(step for step in found["steps"] if step["step"] == "train")
    assert (train["left"]["verdict"], train["right"]["verdict"]) == ("succeeded", "failed")
    assert train["right"]["error"] == "ZeroDivisionError: division by zero"
    assert found["code"] == []
    text = ask("compare", home.failed.run, home.resumed.run)
    assert f"reused from {home.failed.run}" in text
    assert re.search(rf"resumes\s+–\s+→\s+{home.failed.run}", text)


def test_a_run_compared_with_itself_differs_in_nothing(home: Home, ask: Callable[..., str]) -> None:
    assert "nothing differs" in ask("compare", home.first.run, home.first.run)


def test_runs_of_two_pipelines_are_not_compared(home: Home, ask: Callable[..., str]) -> None:
    with pytest.raises(InvalidInput, match=r"is of pipeline 'toy' and run .* of 'other'"):
        ask("compare", home.first.run, home.other.run)


# A run at work: follow it, look at it, cancel it.


@pytest.fixture
def working(home: Home, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """Give a run whose step waits for a file, and end it afterwards."""
    flag = tmp_path / "flag"
    folder = write_pipeline(
        tmp_path / "slow", {"wait": [f"flag = {str(flag)!r}\n{WAIT}"], "after": ["print('after')"]}
    )
    before = set(open_store(home.settings).children("starts/slow/"))
    process = start_rasen(home.settings, "run", "--dev", folder)
    try:
        wait_for(lambda: set(open_store(home.settings).children("starts/slow/")) - before)
        started = (set(open_store(home.settings).children("starts/slow/")) - before).pop()
        run_id = started.removesuffix(".json")
        wait_for(
            lambda: [one for one in read_live(open_store(home.settings), "slow", run_id) if one.last_line]
        )
        yield process, run_id, flag
    finally:
        flag.touch()
        process.communicate(timeout=60)


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "what was awaited did not come"
        time.sleep(0.05)


def test_a_run_at_work_is_followed_to_its_end(
    home: Home, ask: Callable[..., str], working: tuple[subprocess.Popen[str], str, Path]
) -> None:
    _, run_id, flag = working
    so_far = ask("logs", run_id)
    assert so_far.splitlines()[-1] == f"slow  {run_id}  running"
    assert "done waiting" not in so_far
    following = start_rasen(home.settings, "logs", run_id, "-f")
    assert following.stdout is not None
    lines: list[str] = []
    while not lines or "line 2" not in lines[-1]:
        lines.append(following.stdout.readline().rstrip("\n"))
        assert lines[-1], "it ended before the run"
    assert following.poll() is None
    assert lines[1:] == ["wait | line 0", "wait | line 1", "wait | line 2"]
    shown = ask("show", run_id)
    assert re.search(r"^  cell 3 of 3, \d", shown, re.MULTILINE)
    assert re.search(r"^after  waiting", shown, re.MULTILINE)
    assert "running" in ask("runs", "slow")
    flag.touch()
    rest, errors = following.communicate(timeout=60)
    assert following.returncode == 0, errors
    assert rest.splitlines() == [
        "wait | 100%",
        "wait | done waiting",
        "wait | ── succeeded",
        "after | ── cell 2: print('after')",
        "after | after",
        "after | ── succeeded",
        f"slow  {run_id}  succeeded",
    ]
    assert not read_live(open_store(home.settings), "slow", run_id)


def test_a_run_is_cancelled_from_elsewhere(
    home: Home, ask: Callable[..., str], working: tuple[subprocess.Popen[str], str, Path]
) -> None:
    process, run_id, _ = working
    store = open_store(home.settings)
    assert not is_cancel_requested(store, "slow", run_id)
    assert ask("cancel", run_id).splitlines() == ["asked to end", f"slow  {run_id}  cancelled"]
    assert is_cancel_requested(store, "slow", run_id)
    assert process.wait(30) == 130
    with pytest.raises(InvalidInput, match=r"has ended already: cancelled; nothing was cancelled"):
        ask("cancel", run_id)
    assert "line 2" in ask("logs", run_id), "what it had printed was saved"


def start(settings: Settings, folder: Path) -> Start:
    """Start a run that nobody works on."""
    return start_working_copy(settings, open_store(settings), folder)[1]


def test_every_attempt_can_be_looked_at(home: Home, ask: Callable[..., str], tmp_path: Path) -> None:
    begun = start(home.settings, write_pipeline(tmp_path / "retried", {"only": ["1"]}))
    store = open_store(home.settings)
    # The process of the first attempt was lost: the runner kept its log. The second timed out, the third succeeded.
    store.write(step_prefix("retried", begun.run, "only", 1) + "log.txt", b"out of luck\n")
    for attempt, verdict in ((2, Verdict.TIMED_OUT), (3, Verdict.SUCCEEDED)):
        error = ErrorRecord(name="StepTimeout", message="too long") if attempt == 2 else None
        result = StepResult(
            attempt=attempt, verdict=verdict, seconds=7, peak_bytes=2_000_000_000, cpu_seconds=3, error=error
        )
        store.write(result_key("retried", begun.run, "only", attempt), result.to_bytes())
    shown = ask("show", begun.run)
    assert re.search(
        r"^only  succeeded  7.0 s, peak 2.0 GB, 3.0 s of CPU\n"
        r"  attempt 1  left no result\n"
        r"  attempt 2  timed_out  7.0 s, peak 2.0 GB, 3.0 s of CPU  StepTimeout: too long\n"
        r"  attempt 3  succeeded  7.0 s",
        shown,
        re.MULTILINE,
    )
    assert ask("logs", begun.run).splitlines()[:2] == [
        "── attempt 3; --attempt 1 to 2 show those before",
        "── succeeded",
    ]
    assert ask("logs", begun.run, "only", "--attempt", "1").splitlines()[:3] == [
        "── log of the process",
        "out of luck",
        "── left no result: its process is gone",
    ]
    assert "StepTimeout: too long" in ask("logs", begun.run, "only", "--attempt", "2")
    found = json.loads(ask("show", begun.run, "--json"))["steps"][0]["attempts"]
    assert [(one["number"], one["result"] and one["result"]["verdict"]) for one in found] == [
        (1, None),
        (2, "timed_out"),
        (3, "succeeded"),
    ]


def test_a_run_that_nobody_works_on_is_finished(home: Home, ask: Callable[..., str], tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "left", {"only": ["1"]})
    begun = start(home.settings, folder)
    followed = rasen(home.settings, "logs", begun.run, "-f")
    assert "nobody works on this run any more" in followed.stdout
    assert json.loads(ask("cancel", begun.run, "--no-wait", "--json"))["verdict"] is None
    assert json.loads(ask("cancel", begun.run, "--json"))["verdict"] == "cancelled"
    assert json.loads(ask("runs", "left", "--json"))[0]["verdict"] == "cancelled"
    with pytest.raises(InvalidInput, match="wishes to cancel a run"):
        ask("run", "--dev", str(folder), "--request", f"cancel-{begun.run}")
    later = run(home.settings, folder)
    assert later.verdict is Verdict.SUCCEEDED, "the filed wish concerns one run and no request for another"
