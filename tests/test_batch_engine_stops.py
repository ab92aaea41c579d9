"""The end of the runner itself: told to stop, killed at any moment, out of disk. What was done is kept, and is true."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from rasen.batch.execution import Options, Progress, execute_notebook
from rasen.batch.outcome import Outcome
from rasen.batch.salvage import main, salvage_notebook
from rasen.batch.single import journal_of
from rasen.batch.stopping import Stopped
from rasen.errors import PlatformFailed
from rasen.tracking.records import Verdict
from stand.engine import Executed, few_imports, make_notebook
from stand.platform_process import RASEN
from stand.zygotes import is_running, runtime_folder, until


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[Path]:
    with runtime_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def warm(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    few_imports(tmp_path_factory.getbasetemp(), monkeypatch)


def start(folder: Path, *cells: str, kernel: str = "rasen") -> subprocess.Popen[bytes]:
    """Start `rasen notebook run` for cells."""
    nbformat.write(make_notebook(*cells), folder / "in.ipynb")  # type: ignore[no-untyped-call] # nbformat annotates little
    command = [*RASEN, "notebook", "run", "in.ipynb", "out.ipynb", "-k", kernel]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)


RUNNER = """
import json, sys
from pathlib import Path
from rasen.batch.execution import Options, execute_notebook
from stand.engine import make_notebook
options = Options(output=Path("out.ipynb"), journal=Path(sys.argv[2]))
execute_notebook(make_notebook(*json.loads(sys.argv[1])), "rasen", options)
"""


def start_engine(folder: Path, *cells: str) -> subprocess.Popen[bytes]:
    """Start the engine alone, which takes half the time of the command."""
    command = [sys.executable, "-c", RUNNER, json.dumps(cells), str(journal_of(folder / "out.ipynb"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def read(path: Path) -> Executed:
    """Return an executed notebook from its file."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # as above
    nbformat.validate(notebook)
    outcome = Outcome.find(notebook)
    assert outcome is not None
    return Executed(notebook, outcome)


DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(f"pid={os.getpid()} pid={child.pid}", flush=True)
open("begun", "w").close()
while True: time.sleep(1)
"""


# papermill: the current cell's output is lost, the file stays at "running".
@pytest.mark.parametrize("kernel", ["rasen", "python3"])
def test_a_runner_that_is_told_to_stop_in_a_cell_that_will_not(kernel: str, tmp_path: Path) -> None:
    process = start(tmp_path, "print('first')", DEAF, "1", kernel=kernel)
    until((tmp_path / "begun").exists)
    time.sleep(0.2)  # the kernel sends what was printed
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    done = read(tmp_path / "out.ipynb")
    assert done.verdict is Verdict.INTERRUPTED
    assert done.statuses == ["completed", "interrupted", "not reached"]
    assert done.printed(0) == "first\n"
    pids = [int(pid) for pid in re.findall(r"pid=(\d+)", done.printed(1))]
    assert len(pids) == 2
    until(lambda: not any(map(is_running, pids)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "in.ipynb", "out.ipynb"]


def test_a_cell_that_listens_says_where_it_was(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.last_line == "begun":
            raise Stopped(Verdict.CANCELLED)

    code = "print('begun', flush=True)\nimport time\ntry: time.sleep(1000)\nfinally: print('tidied up', flush=True)"
    notebook = make_notebook("1", code, "2")
    with pytest.raises(Stopped):
        execute_notebook(notebook, "rasen", Options(observe=stop, output=tmp_path / "out.ipynb"))
    done = read(tmp_path / "out.ipynb")
    assert (done.verdict, done.outcome.error_name) == (Verdict.CANCELLED, "Cancelled")
    assert done.statuses == ["completed", "interrupted", "not reached"]
    assert done.printed(1) == "begun\ntidied up\n"
    assert done.errors(1) == ["KeyboardInterrupt"]


def test_whatever_breaks_the_runner_stands_in_the_notebook(tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        raise RecursionError("of somebody's observer")

    with pytest.raises(RecursionError):
        execute_notebook(
            make_notebook("1", "2"), "rasen", Options(observe=fail, output=tmp_path / "out.ipynb")
        )
    done = read(tmp_path / "out.ipynb")
    assert (done.verdict, done.outcome.error_name) == (Verdict.FAILED, "RecursionError")
    assert done.statuses[1] == "not reached"


SLOW = "import time; time.sleep(0.05); print({number})"


# papermill: what was saved before the current cell, each cell "completed" or "running".
@pytest.mark.endurance
def test_a_runner_that_is_killed_at_any_moment_leaves_all_that_was_done(tmp_path: Path) -> None:
    chance = random.Random(3)
    reached = set()
    for turn in range(10):
        place = tmp_path / str(turn)
        place.mkdir()
        progress = "open('done', 'a').write('.')\n"
        process = (start if turn < 2 else start_engine)(
            place, *(progress + SLOW.format(number=number) for number in range(20))
        )
        until(lambda place=place: (place / "done").exists())  # type: ignore[misc] # a default of an argument
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.wait()
        begun = (place / "done").stat().st_size
        journal, output = journal_of(place / "out.ipynb"), place / "out.ipynb"
        outcome = salvage_notebook(journal, output)
        done = read(output)
        assert done.outcome == outcome
        assert done.verdict is Verdict.INTERRUPTED
        completed = done.statuses.count("completed")
        assert begun - 2 <= completed <= begun
        assert [done.printed(number) for number in range(completed)] == [
            f"{number}\n" for number in range(completed)
        ]
        rest = ["interrupted"] if done.outcome.cell == completed else []
        assert done.statuses == ["completed"] * completed + rest + ["not reached"] * (
            20 - completed - len(rest)
        )
        reached.add(completed)
    assert len(reached) > 1


def test_salvaging_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = make_notebook("print('done')")
    execute_notebook(notebook, "rasen", Options(journal=tmp_path / "journal"))
    assert main([str(tmp_path / "journal"), str(tmp_path / "out.ipynb")]) == 0
    assert "succeeded" in capsys.readouterr().out, "it had ended before its runner was killed"
    assert read(tmp_path / "out.ipynb").printed(0) == "done\n"
    assert main([str(tmp_path / "none"), str(tmp_path / "out.ipynb")]) == 2
    assert main([]) == 2


# A limit for files stands for a full disk: both end a write in the middle, this one for one process only.
FULL = """
import json, resource, signal, sys
from pathlib import Path
from rasen.batch.execution import Options, execute_notebook
from rasen.errors import PlatformFailed
from stand.engine import make_notebook
notebook = make_notebook("print('x' * 1000)", "print('y' * 2_000_000)", "import time; time.sleep(1.2)", "1")
options = Options(output=Path("out.ipynb"), journal=Path("journal"), spill=Path("spill"))
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    execute_notebook(notebook, "rasen", options)
except PlatformFailed as error:
    print(error)
    print(notebook.metadata.rasen.verdict)
"""


# papermill: truncates the file and dies.
def test_a_full_disk_is_said_to_be_one_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "out.ipynb").write_text("the old one")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    message, verdict = done.stdout.splitlines()
    assert "cannot be saved" in message
    assert "out.ipynb" in message
    assert "it had ended as 'succeeded'" in message
    assert verdict == "succeeded"
    assert (tmp_path / "out.ipynb").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "out.ipynb", "spill"]
    outcome = salvage_notebook(tmp_path / "journal", tmp_path / "again.ipynb")
    assert outcome is not None
    # IPython's own history may not fit any more either, and says so in the cell.
    assert read(tmp_path / "again.ipynb").printed(0).startswith("x" * 1000 + "\n")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    place = tmp_path / "gone" / "out.ipynb"
    with pytest.raises(PlatformFailed, match=r"cannot be saved.*No such file"):
        execute_notebook(make_notebook("1"), "rasen", Options(output=place, journal=place, spill=place))
