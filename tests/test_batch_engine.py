"""Faults that a notebook may bring upon its kernel: the verdict, what each cell says, and that no process is left.

Beside each stands what papermill 2.7.0 does there. Kernels are forks of the warm process; where it matters, cold too.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jupyter_core.utils import ensure_event_loop

from rasen.batch.execution import Options, Progress, execute_notebook
from rasen.batch.journal import recover
from rasen.batch.outcome import Outcome
from rasen.batch.zygote_client import warm_up
from rasen.settings import load_settings
from rasen.tracking.records import Verdict
from stand.engine import Executed, execute, few_imports, make_notebook
from stand.zygotes import runtime_folder

KERNELS = ["rasen", "python3"]
PID = "import os; print(f'pid={os.getpid()}', flush=True)"


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[Path]:
    with runtime_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def warm(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    few_imports(tmp_path_factory.getbasetemp(), monkeypatch)


# papermill: every cell "completed", the one that died and those that never ran, exception none.
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("import os; os._exit(0)", "exited with code 0"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ],
    ids=["kill", "exit", "segfault"],
)
def test_a_kernel_that_dies(kernel: str, code: str, how: str) -> None:
    done = execute(
        PID,
        f"print('begun', flush=True)\nimport time; time.sleep(0.1)\n{code}",
        "print('never')",
        kernel=kernel,
    )
    assert done.verdict is Verdict.KERNEL_DIED
    assert how in done.outcome.error_message
    assert (done.outcome.cell, done.outcome.executed) == (1, 1)
    assert done.statuses == ["completed", "failed", "not reached"]
    assert done.printed(1) == "begun\n"
    assert done.errors(1) == ["KernelDied"]
    assert done.notebook.cells[2].outputs == []
    if kernel == "rasen" and "SEGV" in how:
        assert "Segmentation fault" in done.outcome.traceback, "and where it was, as faulthandler says"


def test_a_kernel_that_somebody_else_kills(tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.last_line.startswith("pid="):
            with suppress(ProcessLookupError):
                os.kill(int(progress.last_line[4:]), 9)

    done = execute(PID + "; import time; time.sleep(1000)", "1", observe=kill)
    assert (done.verdict, done.statuses) == (Verdict.KERNEL_DIED, ["failed", "not reached"])


# papermill: has no limit; the whole machine's comes, and then as for any kernel that dies.
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_cell_that_takes_more_memory_than_it_may(kernel: str) -> None:
    grow = "data = []\nwhile True: data.append(bytearray(20_000_000))"
    done = execute(PID, grow, "1", kernel=kernel, memory_limit_bytes=400_000_000)
    assert done.verdict is Verdict.OUT_OF_MEMORY
    assert done.statuses == ["completed", "failed", "not reached"]
    assert "400,000,000" in done.outcome.error_message
    assert 300_000_000 < done.outcome.peak_bytes < 2_000_000_000


def test_children_count_towards_the_limit() -> None:
    child = "import time; held = bytearray(500_000_000); time.sleep(99)"
    wait = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert execute(wait, memory_limit_bytes=400_000_000).verdict is Verdict.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "code",
    [
        "raise MemoryError('no more')",
        "class ArrowMemoryError(MemoryError): ...\nraise ArrowMemoryError('malloc of 1 GB failed')",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**32, -1))\nbytearray(2**33)",
    ],
    ids=["MemoryError", "ArrowMemoryError", "RLIMIT_AS"],
)
def test_a_memory_error_is_out_of_memory(code: str) -> None:
    done = execute(code, "1")
    assert (done.verdict, done.statuses) == (Verdict.OUT_OF_MEMORY, ["failed", "not reached"])


def test_an_interpreter_that_aborts_for_want_of_memory() -> None:
    said = "terminate called after throwing an instance of 'std::bad_alloc'\\n"  # as the C++ library does
    # Without the pause ipykernel, which reads descriptor 2 in a thread, would have no time to pass it on: then the
    # death is told as what it looks like, `kernel_died` by SIGABRT.
    code = f'import os, time; os.write(2, b"{said}"); time.sleep(0.2); os.abort()'
    assert execute(code).verdict is Verdict.OUT_OF_MEMORY
    assert execute("import os; os.abort()").verdict is Verdict.KERNEL_DIED


# papermill: never ends without a time-out; with one every cell is "completed".
def test_a_loop_without_an_end_is_timed_out_by_its_cell() -> None:
    done = execute(PID, "print('begun', flush=True)\nwhile True: pass", "1", cell_timeout_seconds=0.5)
    assert done.verdict is Verdict.TIMED_OUT
    assert done.statuses == ["completed", "failed", "not reached"]
    assert done.printed(1) == "begun\n"
    assert done.errors(1) == ["KeyboardInterrupt", "CellTimeout"], "where it was, and why it ended"
    assert "0.5 s" in done.outcome.error_message


def test_a_step_has_a_limit_of_its_own() -> None:
    done = execute("1", "import time; time.sleep(0.4)", "time.sleep(1000)", "1", step_timeout_seconds=1.5)
    assert (done.verdict, done.outcome.error_name) == (Verdict.TIMED_OUT, "StepTimeout")
    assert done.statuses == ["completed", "completed", "failed", "not reached"]


# Children of every kind; papermill: loky's and a shell's stay alive.
LEAVE_BEHIND = """
import multiprocessing, os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
context = multiprocessing.get_context("fork")
worker = context.Process(target=time.sleep, args=(1000,), daemon=True)
worker.start()
print(f"pid={worker.pid}")
pool = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1000,))
pool.start()
print(f"pid={pool.pid}")
subprocess.run(["sh", "-c", "sleep 1000 & echo pid=$!"])
subprocess.Popen(["setsid", "sh", "-c", "setsid sleep 1000 & echo pid=$!; sleep 1000"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(1, f"pid={os.getpid()}\\n".encode())
        time.sleep(1000)
    os._exit(0)
from joblib import Parallel, delayed
print(*Parallel(n_jobs=2)(delayed(lambda: f"pid={os.getpid()}")() for _ in range(4)), sep="\\n", flush=True)
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_that_a_cell_has_started_outlives_it(kernel: str) -> None:
    done = execute(LEAVE_BEHIND + "while True: time.sleep(1)", kernel=kernel, cell_timeout_seconds=5.0)
    assert done.verdict is Verdict.TIMED_OUT, done.outcome
    assert len(set(re.findall(r"pid=\d+", done.printed(0)))) >= 6, done.printed(0)


def test_what_was_left_behind_ends_with_a_good_notebook_too() -> None:
    assert execute(LEAVE_BEHIND).verdict is Verdict.SUCCEEDED


# papermill: waits for its start_timeout and says that the kernel did not answer, whatever the kernel said.
def install_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch, *argv: str) -> str:
    spec = folder / "kernels" / "strange"
    spec.mkdir(parents=True)
    document = {"argv": [*argv, "{connection_file}"], "display_name": "Strange", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(document))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    return "strange"


def test_a_kernel_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, time; print(f'waiting for a licence', flush=True); time.sleep(1000)"
    kernel = install_kernel(tmp_path, monkeypatch, sys.executable, "-c", code)
    done = execute("1", kernel=kernel, start_timeout_seconds=1.0)
    assert (done.verdict, done.outcome.error_name) == (Verdict.FAILED, "PlatformFailed")
    assert "did not answer within 1 s" in done.outcome.error_message
    assert "waiting for a licence" in done.outcome.error_message
    assert (done.outcome.cell, done.statuses) == (None, ["not reached"])


def test_a_kernel_that_ends_at_its_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = install_kernel(tmp_path, monkeypatch, sys.executable, "-c", "import sys; sys.exit('no licence')")
    done = execute("1", kernel=kernel)
    assert done.verdict is Verdict.KERNEL_DIED
    assert "exited with code 1 before it answered; it wrote: no licence" in done.outcome.error_message
    assert done.statuses == ["not reached"]


def test_a_kernel_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = install_kernel(tmp_path, monkeypatch, str(tmp_path / "nothing"))
    for name, said in ((kernel, "cannot be started"), ("cobol", "not installed here; there are")):
        done = execute("1", kernel=name)
        assert (done.verdict, done.statuses) == (Verdict.FAILED, ["not reached"])
        assert said in done.outcome.error_message


# papermill: "Address already in use" in about one of twenty (jupyter_client's ports).
def test_many_at_once_do_not_clash(tmp_path: Path) -> None:
    def run(number: int) -> tuple[str, str]:
        notebook = make_notebook(f"x = {number}", "print(x)")
        options = Options(output=tmp_path / f"{number}.ipynb", journal=tmp_path / f"{number}.journal")
        outcome = execute_notebook(notebook, "rasen", options)
        assert Outcome.read(options.output) == outcome
        ensure_event_loop().close()  # jupyter_core leaves one behind in every thread that it was called in
        asyncio.set_event_loop(None)
        return outcome.verdict.value, Executed(notebook, outcome).printed(1)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(32))) == [("succeeded", f"{number}\n") for number in range(32)]
    assert len(list(tmp_path.iterdir())) == 64


def test_a_long_name_of_the_temporary_folder_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))  # where TMPDIR has led once
    assert execute("1").verdict is Verdict.SUCCEEDED


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=hours) for hours in range(100))
    done = execute("import time; time.sleep(0.05)", "1", now=lambda: next(times), cell_timeout_seconds=30.0)
    assert done.verdict is Verdict.SUCCEEDED
    assert done.outcome.seconds > 0.05
    instants = [done.notebook.metadata.papermill.start_time]
    for cell in done.notebook.cells:
        instants += [cell.metadata.papermill.start_time, cell.metadata.papermill.end_time]
        assert cell.metadata.papermill.duration >= 0
    instants.append(done.notebook.metadata.papermill.end_time)
    assert instants == sorted(instants)
    assert instants[0] == "2026-01-01T00:00:00+00:00"


# papermill: `raises-exception` goes on and then fails the run, naming the last such cell; `skip` is unknown to it.
def test_tags_are_honoured() -> None:
    done = execute(
        ("1 / 0", ["raises-exception"]),
        ("print('never')", ["skip"]),
        ("print('never')", ["skip-execution"]),
        "print('here')",
    )
    assert done.verdict is Verdict.SUCCEEDED
    assert done.statuses == ["completed", "skipped", "skipped", "completed"]
    assert done.errors(0) == ["ZeroDivisionError"]
    assert [cell.outputs for cell in done.notebook.cells[1:3]] == [[], []]


# papermill: goes on after exit(), until the kernel is gone in the middle of some later cell, which is "completed".
@pytest.mark.parametrize("code", ["exit()", "quit()", "import sys; sys.exit()", "import sys; sys.exit(0)"])
def test_an_author_may_end_a_notebook(code: str) -> None:
    done = execute("1", code, "print('never')", "1 / 0")
    assert (done.verdict, done.outcome.cell) == (Verdict.SUCCEEDED, None)
    assert done.statuses == ["completed", "completed", "not reached", "not reached"]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import sys; sys.exit('the data are late')", "SystemExit"),
        ("import asyncio\nasync def f(): raise KeyError('x')\nawait asyncio.gather(f())", "KeyError"),
        ("%%bash\necho out\nexit 3", "CalledProcessError"),
        ("input('name? ')", "StdinNotImplementedError"),  # nobody is there to answer
        ("import getpass; getpass.getpass()", "StdinNotImplementedError"),
        ("def f(:", "SyntaxError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
    ids=lambda value: value[:18],
)
def test_an_error_ends_the_notebook(code: str, name: str) -> None:
    done = execute(code, "print('never')", cell_timeout_seconds=30.0)
    assert (done.verdict, done.outcome.error_name) == (Verdict.FAILED, name)
    assert done.errors(0) == [name]
    assert done.statuses == ["failed", "not reached"]


def test_notebooks_of_every_size() -> None:
    assert execute().verdict is Verdict.SUCCEEDED
    large = execute("x = '" + "a" * 1_000_000 + "'\nprint(len(x))", "")
    assert (large.verdict, large.printed(0)) == (Verdict.SUCCEEDED, "1000000\n")
    texts = make_notebook("a", "b")
    for cell in texts.cells:
        cell.cell_type = "markdown"
        del cell["outputs"], cell["execution_count"]
    assert execute_notebook(texts, "rasen", Options()).verdict is Verdict.SUCCEEDED


def test_a_notebook_forgets_how_it_went_the_last_time() -> None:
    first = execute("print('old')", "print('old')")
    cells = first.notebook.cells
    cells[0].source = "1 / 0"
    outcome = execute_notebook(first.notebook, "rasen", Options())
    again = Executed(first.notebook, outcome)
    assert again.statuses == ["failed", "not reached"]
    assert (again.errors(0), again.printed(0), cells[1].outputs) == (["ZeroDivisionError"], "", [])
    assert cells[1].metadata.papermill.start_time is None


# papermill: what is late is shown by whichever cell runs by then, if by any.
def test_what_is_late_is_shown_by_the_cell_that_began_it(tmp_path: Path) -> None:
    start = """
import asyncio
go = asyncio.Event()
async def work():
    await go.wait(); print("late")
task = asyncio.create_task(work())
print("early")
"""
    finish = "go.set(); await task; import sys; sys.stdout.flush()"
    done = execute(start, finish, "1", journal=tmp_path / "journal")
    assert [done.printed(number) for number in range(3)] == ["early\nlate\n", "", ""]
    found = recover(tmp_path / "journal")
    assert found is not None
    assert found.notebook["cells"] == json.loads(json.dumps(done.notebook.cells))


def test_nothing_that_a_thread_shows_is_lost() -> None:
    start = """
import threading
go, done = threading.Event(), threading.Event()
def work():
    go.wait(); print("late"); done.set()
threading.Thread(target=work).start()
print("early")
"""
    finished = execute(start, "go.set(); done.wait(); import sys; sys.stdout.flush()")
    assert finished.printed(0) + finished.printed(1) == "early\nlate\n"


def test_a_display_is_updated_from_a_later_cell(tmp_path: Path) -> None:
    first = "from IPython.display import display\nhandle = display('one', display_id=True)"
    done = execute(first, "handle.update('two')", journal=tmp_path / "journal", output=tmp_path / "out.ipynb")
    assert done.shown(0) == ["'two'"]
    assert done.notebook.cells[1].outputs == []
    assert "'two'" in (tmp_path / "journal").read_text()
    assert "'two'" in (tmp_path / "out.ipynb").read_text()


def test_what_cells_show() -> None:
    done = execute(
        "from IPython.display import clear_output\nfor n in range(3):\n    clear_output(wait=True); print(n)",
        "import sys\nfrom tqdm import tqdm\nfor n in tqdm(range(50), file=sys.stdout): pass",
        "print('\\x1b[31mred\\x1b[0m'); import os; os.system('printf caf\\\\351')",
        "import comm; c = comm.create_comm(target_name='widget', data={'state': {}}); c.send({'a': 1}); print('sent')",
        "print('half a character: \\udcff')",
    )
    assert done.verdict is Verdict.SUCCEEDED
    assert done.printed(0) == "2\n"
    assert done.printed(1).count("\n") == 1
    assert "100%" in done.printed(1)
    assert "\r" not in done.printed(1)
    assert done.printed(2).startswith("\x1b[31mred\x1b[0m\n")
    assert done.printed(3) == "sent\n"
    assert done.printed(4).startswith("half a character: ")


def test_half_a_character_can_be_saved(tmp_path: Path) -> None:
    code = (
        "from IPython.display import publish_display_data\npublish_display_data({'text/plain': 'x\\udcffy'})"
    )
    output = tmp_path / "out.ipynb"
    assert execute(code, output=output, journal=tmp_path / "journal").verdict is Verdict.SUCCEEDED
    shown = json.loads(output.read_bytes())["cells"][0]["outputs"][0]["data"]["text/plain"]
    assert "".join(shown).startswith("x")


def test_whoever_watches_is_told() -> None:
    told: list[Progress] = []
    done = execute("print('begun', flush=True); import time; time.sleep(1.2)", "1", observe=told.append)
    assert done.verdict is Verdict.SUCCEEDED
    during = [progress for progress in told if progress.cell == 0]
    assert len(during) >= 3
    assert during[0].last_line == "begun"
    assert during[0].memory_bytes > 1_000_000
    assert (told[-1].cell, told[-1].cells) == (1, 2)


# papermill: secrets stand in the outputs as they were shown.
def test_what_is_masked_is_seen_by_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard, told = [], []
    cells = (
        "secret = 'tok-' + 'en123'\nprint(secret); print('to', end='', flush=True)",
        "import time; print('tok-', end='', flush=True); time.sleep(0.2); print('en123', end='')",
        "from IPython.display import HTML, display\ndisplay(HTML(f'<b>{secret}</b>'))\n{'key': [secret]}",
        "print('x' * 3000 + secret + 'y' * 3000)",
        "import os; os.system('echo ' + secret)",
        "raise ValueError(secret)",
    )
    done = execute(
        *cells,
        mask=lambda text: text.replace("tok-en123", "[secret]"),
        hear=lambda message: heard.append(json.dumps(message.content)),
        observe=lambda progress: told.append(progress.last_line),
        output=tmp_path / "out.ipynb",
        journal=tmp_path / "journal",
        spill=tmp_path / "spill",
    )
    assert (done.verdict, done.outcome.error_message) == (Verdict.FAILED, "[secret]")
    assert done.printed(0) == "[secret]\nto"
    assert done.printed(1) == "[secret]"
    assert done.shown(2, "text/html") == ["<b>[secret]</b>"]
    written = "".join(path.read_text() for path in sorted(tmp_path.iterdir()))
    everything = (
        written + "".join(heard) + "".join(told) + done.outcome.traceback + "".join(capfd.readouterr())
    )
    assert "[secret]" in everything
    assert "tok-en123" not in everything


def test_pandas_knows_that_this_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import pandas as pd\nprint(pd.get_option('display.max_columns'))\n"
        "pd.reset_option('display.max_columns')\nprint(pd.get_option('display.max_columns'))\n"
        "print(pd.DataFrame([range(1000, 1030)]))"
    )
    cold = execute(code, kernel="python3").printed(0)
    monkeypatch.setenv("RASEN_ZYGOTE_PRELOAD", "pandas,rasen.batch.kernel_main")
    assert warm_up(load_settings())
    done = execute("import sys; print('pandas' in sys.modules)", code)
    assert done.printed(0) == "True\n"
    assert done.printed(1) == cold
