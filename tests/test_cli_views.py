"""What a person sees of a run that is worked on: a picture on a terminal, lines elsewhere, a sane terminal after."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from rasen.batch.run_events import (
    RunBegan,
    RunEvent,
    RunStopping,
    RunWarned,
    StepBegan,
    StepEnded,
    StepLost,
    StepRetried,
    StepReused,
    StepSkipped,
)
from rasen.cli.live_view import Drawing, open_view
from rasen.cli.output import show_bytes, show_duration
from rasen.cli.plain_view import PlainView
from rasen.cli.run_board import RunBoard, tree_order
from rasen.store import MemoryStore
from rasen.tracking.keys import live_key
from rasen.tracking.records import ErrorRecord, LiveStep, Metric, StepResult, Verdict

RUN = "20260131T041000000Z-0123456789ab"
NEEDS: dict[str, tuple[str, ...]] = {
    "features": (),
    "特徴": (),
    "train": ("features",),
    "evaluate": ("train", "特徴"),
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def result(verdict: Verdict, *, attempt: int = 1, error: str = "", **metrics: float) -> StepResult:
    return StepResult(
        attempt=attempt,
        verdict=verdict,
        seconds=12.4,
        peak_bytes=431_000_000,
        cell=7 if error else None,
        error=ErrorRecord(name="ValueError", message=error) if error else None,
        metrics=[Metric(name=name, value=value) for name, value in metrics.items()],
    )


def live(step: str, attempt: int = 1, **more: object) -> LiveStep:
    given = {"cell": 6, "cells": 12, "memory_bytes": 210_000_000, "last_line": "epoch 3 of 9", **more}
    return LiveStep.model_validate(
        {"run": RUN, "pipeline": "toy", "step": step, "attempt": attempt, "phase": "running", **given}
    )


def board(*events: RunEvent, clock: Clock | None = None) -> RunBoard:
    made = RunBoard(clock=clock or Clock())
    for event in (RunBegan(pipeline="toy", run=RUN, needs=NEEDS), *events):
        made.observe(event)
    return made


def draw(
    shown: RunBoard, *, width: int = 100, height: int = 40, ascii_only: bool = False, summary: bool = False
) -> list[str]:
    drawing = Drawing(ascii_only=ascii_only)
    out = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    if summary:
        out.print(drawing.summary(shown, width=width))
    else:
        out.print(drawing.picture(shown, width=width, height=height))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().rstrip("\n").split("\n")


def test_steps_stand_behind_what_they_need() -> None:
    assert tree_order(NEEDS) == ["features", "train", "特徴", "evaluate"]
    assert tree_order({"b": ("a",), "a": (), "c": ("b", "outside")}) == ["a", "b", "c"]
    wide: dict[str, tuple[str, ...]] = {"first": ()} | {f"s{number}": ("first",) for number in range(5)}
    assert tree_order(wide) == list(wide)


def test_the_picture_shows_where_each_step_is() -> None:
    clock = Clock()
    shown = board(
        StepReused(step="features", run="20260130T041000000Z-aaaaaaaaaaaa", result=result(Verdict.SUCCEEDED)),
        StepBegan(step="train", attempt=2),
        StepBegan(step="特徴", attempt=1),
        StepEnded(step="特徴", result=result(Verdict.SUCCEEDED, rmse=3.14159)),
        clock=clock,
    )
    clock.now += 65
    shown.refresh([live("train", 1, last_line="of the attempt before"), live("evaluate")])
    assert "of the attempt before" not in "\n".join(draw(shown))
    shown.refresh([live("train", 2)])
    lines = draw(shown)
    assert lines[0] == f"toy  {RUN}  2 of 4 steps  1:05 min  210 MB"
    assert lines[1] == "↩ features    reused from 20260130T041000000Z-aaaaaaaaaaaa"
    assert re.fullmatch(
        r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]  train      cell 7/12  1:05 min  210 MB  attempt 2  epoch 3 of 9", lines[2]
    )
    assert lines[3] == "✓ 特徴        succeeded  12 s  431 MB  rmse 3.142"
    assert lines[4] == "·   evaluate  waiting"


def test_the_summary_is_the_truth_and_does_not_move() -> None:
    shown = board(
        StepBegan(step="features", attempt=1),
        StepEnded(step="features", result=result(Verdict.FAILED, error="no such column")),
        StepSkipped(step="train"),
        StepBegan(step="特徴", attempt=1),
        RunStopping(reason="Ctrl-C"),
    )
    lines = draw(shown, summary=True)
    assert lines[0] == "✗ features    failed  12 s  431 MB  ValueError: no such column"
    assert lines[1] == "–  train      skipped"
    assert lines[2] == "· 特徴        was running 0.0 s"
    assert lines[-1] == "1 failed, 1 skipped, 1 running, 1 waiting in 0.0 s"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (8, 3), (20, 5), (41, 7), (59, 4), (200, 60)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_terminal_is_too_small(width: int, height: int, ascii_only: bool) -> None:
    many: dict[str, tuple[str, ...]] = {f"ステップ_{number}": () for number in range(50)}
    shown = RunBoard(clock=Clock())
    shown.observe(RunBegan(pipeline="toy", run=RUN, needs=many))
    shown.observe(StepBegan(step="ステップ_40", attempt=1))
    shown.refresh([live("ステップ_40")])
    lines = draw(shown, width=width, height=height, ascii_only=ascii_only)
    assert len(lines) <= max(1, height - 1)
    assert all(cell_len(line) <= width for line in lines)
    if height >= 5:
        assert any("ス" in line for line in lines), "what runs is shown before what waits"
    if width == 200:
        assert any("cell 7/12" in line for line in lines)
    if ascii_only:
        assert not {"✓", "·", "…"} & set("".join(lines))


def test_texts_of_others_are_no_markup_and_move_nothing() -> None:
    shown = board(StepBegan(step="train", attempt=1))
    shown.refresh([live("train", last_line="[bold]x[/bold]\x1b[2J\r\n\x07")])
    assert draw(shown)[2].endswith("[bold]x[/bold]")


def plain_lines(*events: RunEvent) -> list[str]:
    out = Console(file=io.StringIO(), width=40)
    with PlainView(MemoryStore(), out) as view:
        for event in events:
            view.observe(event)
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    return [line[9:] for line in lines]


def test_without_a_terminal_each_event_is_one_line() -> None:
    failed = result(Verdict.FAILED, error="no such\ncolumn")
    assert plain_lines(
        RunBegan(pipeline="toy", run=RUN, needs=NEEDS),
        StepReused(step="特徴", run="20260130T041000000Z-aaaaaaaaaaaa", result=result(Verdict.SUCCEEDED)),
        StepBegan(step="features", attempt=1),
        RunWarned(step="features", message="its memory grows towards the limit"),
        RunWarned(step=None, message="something of the run"),
        StepLost(step="features", attempt=1),
        StepBegan(step="features", attempt=2),
        StepRetried(step="features", result=result(Verdict.KERNEL_DIED, attempt=2), wait_seconds=3),
        StepBegan(step="features", attempt=3),
        StepEnded(step="features", result=failed),
        StepSkipped(step="train"),
        RunStopping(reason="cancelled by ann"),
        StepEnded(step="_qualify", result=result(Verdict.SUCCEEDED, rmse=2.5)),
    ) == [
        f"toy {RUN}: 4 steps",
        "特徴: reused from run 20260130T041000000Z-aaaaaaaaaaaa",
        "features: begins",
        "warning: features: its memory grows towards the limit",
        "warning: something of the run",
        "features: the process of attempt 1 is gone and left no result",
        "features: begins (attempt 2)",
        "features: attempt 2 kernel_died; tried again in 3.0 s",
        "features: begins (attempt 3)",
        "features: failed in 12 s, peak 431 MB in cell 7: ValueError: no such column",
        "train: skipped, because of features",
        "stopping: cancelled by ann",
        "_qualify: succeeded in 12 s, peak 431 MB, rmse 2.5",
    ]


def test_of_a_long_step_it_is_said_where_it_is() -> None:
    store = MemoryStore()
    store.write(live_key("toy", RUN, "train"), live("train").to_bytes())
    told = io.StringIO()
    with PlainView(store, Console(file=told, width=200), progress_seconds=0.02) as view:
        view.observe(RunBegan(pipeline="toy", run=RUN, needs=NEEDS))
        view.observe(StepBegan(step="train", attempt=1))
        wait_for(lambda: told.getvalue().count("cell 7 of 12") >= 2)
    assert re.search(r"train: cell 7 of 12, 0\.\d s, 210 MB  epoch 3 of 9\n", told.getvalue())


def test_a_program_is_told_nothing_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with open_view(MemoryStore(), as_json=True) as view:
        view.observe(RunBegan(pipeline="toy", run=RUN, needs=NEEDS))
    assert capsys.readouterr().out == ""


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "what was awaited did not come"
        time.sleep(0.01)


# A run as the view sees it, in a process of its own; it waits until somebody presses Ctrl-C.
SCRIPT = """
import time
from rasen.batch.run_events import *
from rasen.cli.live_view import open_view
from rasen.store import MemoryStore
from rasen.tracking.keys import live_key
from rasen.tracking.records import LiveStep

run = "20260131T041000000Z-0123456789ab"
store = MemoryStore()
step = LiveStep(run=run, pipeline="toy", step="train", attempt=1, phase="running", cell=6, cells=12, last_line="a line")
store.write(live_key("toy", run, "train"), step.to_bytes())
try:
    with open_view(store, as_json=False) as view:
        view.observe(RunBegan(pipeline="toy", run=run, needs={"features": (), "train": ("features",)}))
        view.observe(StepBegan(step="train", attempt=1))
        view.observe(RunWarned(step="train", message="mind the memory"))
        print("a stray print")
        time.sleep(60)
except KeyboardInterrupt:
    print("cancelled")
"""


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, *, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (rows, columns))
        self.before = termios.tcgetattr(slave)
        variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**variables, "TERM": "xterm-256color", **environment},
        )
        self.slave = slave
        self.text = ""

    def read_until(self, pattern: str) -> None:
        until = time.monotonic() + 30
        while not re.search(pattern, self.text):
            assert time.monotonic() < until, self.text
            self._read()

    def end(self) -> str:
        """Press Ctrl-C, wait for the process, and return all that it wrote."""
        self.process.send_signal(signal.SIGINT)
        while self.process.poll() is None:
            self._read()
        self._read()
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.slave)
        os.close(self.master)
        return self.text

    def _read(self) -> None:
        if select.select([self.master], [], [], 0.05)[0]:
            self.text += os.read(self.master, 65536).decode(errors="replace")


def test_ctrl_c_leaves_a_sane_terminal_and_a_summary() -> None:
    terminal = Terminal()
    terminal.read_until(r"cell 7/12")
    written = terminal.end()
    assert terminal.process.returncode == 0
    assert "\x1b[?25l" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "mind the memory" in written
    assert "a stray print" in written
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written[written.rindex("\x1b[?25l") :])
    assert re.search(r"train\s+was running \d", after)
    assert "1 waiting, 1 running in" in after
    assert after.rstrip().endswith("cancelled")


@pytest.mark.parametrize(
    ("columns", "rows", "environment", "pattern"),
    [
        (12, 3, {}, r"train"),
        (80, 24, {"NO_COLOR": "1"}, r"cell 7/12"),
        (80, 24, {"TERM": "dumb"}, r"\d\d:\d\d:\d\d train: begins"),
    ],
    ids=["tiny", "no colour", "dumb"],
)
def test_any_terminal_will_do(columns: int, rows: int, environment: dict[str, str], pattern: str) -> None:
    terminal = Terminal(columns=columns, rows=rows, **environment)
    terminal.read_until(pattern)
    written = terminal.end()
    assert terminal.process.returncode == 0, written
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", written), "no colour, though lines may be bold or dim"
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in written


def test_a_reader_that_goes_does_not_end_the_run() -> None:
    script = (
        "import sys\n"
        "from rasen.cli.output import console\n"
        "out = console()\n"
        "for _ in range(50_000): out.print('x' * 70)\n"
        "sys.stderr.write('went on')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == "went on"
    assert process.wait(30) == 0
    process.stderr.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1:00 min"),
        (187, "3:07 min"),
        (7387, "2:03:07 h"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (431_200_000, "431 MB"),
        (999_700_000, "1.0 GB"),
        (5e12, "5.0 TB"),
    ],
)
def test_sizes_read_well(size: float, text: str) -> None:
    assert show_bytes(size) == text
