"""Models that misbehave while they are qualified: each is refused, the reason is told, and no process stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rasen.tracking.records import Verdict
from rasen.versions import serving_versions
from stand.qualifying import Qualifying

EXAMPLE = pd.DataFrame({"hour": [7, 8]})


@pytest.fixture
def qualifying(tmp_path: Path) -> Iterator[Qualifying]:
    yield Qualifying(tmp_path)
    assert living(tmp_path) == [], "every process that was started has ended"


def living(folder: Path) -> list[int]:
    """Return the processes that work in the folder or below: what a qualification starts, and all that comes of it."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


ZOO = {
    "hang with children": (
        "import subprocess, time; subprocess.Popen(['sleep', '3600'], start_new_session=True); time.sleep(3600)"
    ),
    "leave": "import os; os._exit(0)",
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "call sys.exit": "import sys; sys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "take memory": "import time; taken = [b'x' * 10_000_000 for _ in range(60)]; time.sleep(3600)",
    "fork and go on": "import os; os.fork()",
    "leave a daemon": "import subprocess; subprocess.Popen(['sleep', '3600'], start_new_session=True)",
    "flood": "for _ in range(1000): print('x' * 1_000_000)",
    "leave a thread": "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()",
    "use processes": "import subprocess; subprocess.run(['true'], check=True)",
    "nothing": "pass",
}
"""What a model does when it is asked for a thousand rows; fewer it answers."""


def model_that(act: str) -> Callable[[pd.DataFrame], Any]:
    """Return a model of the zoo, as if it were defined in a notebook."""
    source = (
        f"def predict(frame):\n    if len(frame) == 1000:\n        {ZOO[act]}\n    return frame['hour'] * 1.0"
    )
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    model: Callable[[pd.DataFrame], Any] = namespace["predict"]
    return model


DIED = "the process that executed the model ended with "
STAGE = "the process did not come back from predicting 1000 rows"


@pytest.mark.parametrize(
    ("act", "verdict", "told"),
    [
        ("leave", Verdict.KERNEL_DIED, f"ModelDied: {DIED}0: {STAGE}"),
        ("crash", Verdict.KERNEL_DIED, f"ModelDied: {DIED}-11: {STAGE}"),
        ("call sys.exit", Verdict.FAILED, "NotQualified: ModelFailed: the model raised SystemExit: 0"),
        ("interrupt", Verdict.KERNEL_DIED, f"ModelDied: {DIED}"),
        ("fork and go on", Verdict.FAILED, "NotQualified: the model starts processes and leaves them"),
        ("leave a daemon", Verdict.FAILED, "NotQualified: the model starts processes and leaves them"),
        ("flood", Verdict.FAILED, f"NotQualified: the model printed more than 50,000,000 bytes: {STAGE}"),
    ],
)
def test_what_misbehaves_is_refused(qualifying: Qualifying, act: str, verdict: Verdict, told: str) -> None:
    ending = qualifying.run(model_that(act), EXAMPLE)
    assert qualifying.error.startswith(told), qualifying.error
    assert ending.verdict is verdict
    assert qualifying.found["passed"] is False


def test_without_a_warm_process_it_is_the_same(tmp_path: Path) -> None:
    cold = Qualifying(tmp_path, warm=False)
    ending = cold.run(model_that("leave a daemon"), EXAMPLE)
    assert ending.verdict is Verdict.FAILED
    assert cold.error.startswith("NotQualified: the model starts processes and leaves them")
    assert living(tmp_path) == []


def test_what_hangs_is_ended(qualifying: Qualifying) -> None:
    ending = qualifying.run(
        model_that("hang with children"), EXAMPLE, deploy={"qualification": {"timeout": "4s"}}
    )
    assert (
        qualifying.error
        == f"QualificationTimeout: the model did not answer within 4 s of qualification: {STAGE}"
    )
    assert ending.verdict is Verdict.TIMED_OUT


def test_what_takes_too_much_memory_is_ended(qualifying: Qualifying) -> None:
    ending = qualifying.run(
        model_that("take memory"), EXAMPLE, deploy={"qualification": {"timeout": "1m", "memory": "400Mi"}}
    )
    assert ending.verdict is Verdict.OUT_OF_MEMORY
    assert "bytes, its limit is 419,430,400" in qualifying.error
    assert qualifying.error.endswith(STAGE)
    assert ending.peak_bytes > 400 * 2**20


def test_a_thread_that_runs_on_is_no_end(qualifying: Qualifying) -> None:
    qualifying.run(model_that("leave a thread"), EXAMPLE, deploy={"qualification": {"timeout": "5s"}})
    assert "every check passed, but the process did not end" in qualifying.error


def test_a_model_that_uses_processes_and_ends_them_is_fine(qualifying: Qualifying) -> None:
    assert qualifying.run(model_that("use processes"), EXAMPLE).verdict is Verdict.SUCCEEDED


def test_other_libraries_than_those_of_serving_are_named_and_refused(qualifying: Qualifying) -> None:
    made_with = {"numpy": "1.24.3", "pandas": "absent", "unknown": "1"}
    ending = qualifying.run(model_that("nothing"), EXAMPLE, versions=made_with)
    assert ending.verdict is Verdict.FAILED
    assert "made with other libraries than it would be served with: numpy was 1.24.3, is " in qualifying.error
    assert qualifying.found["versions_differ"].startswith("numpy was 1.24.3, is ")


def test_a_difference_in_the_last_place_is_told(qualifying: Qualifying) -> None:
    here = serving_versions()["numpy"]
    other = ".".join([*here.split(".")[:2], "99"])
    ending = qualifying.run(model_that("nothing"), EXAMPLE, versions={"numpy": other})
    assert ending.verdict is Verdict.SUCCEEDED
    assert qualifying.found["versions_differ"] == f"numpy was {other}, is {here}"
    assert any(f"numpy was {other}, is {here}" in finding for finding in qualifying.found["findings"])
