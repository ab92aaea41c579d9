"""Processes as forks of a warm process: what they are, how they end, and what happens when there is no warm one."""

import json
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rasen.batch
from rasen.batch.process_tree import descendants
from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.zygote_client import start_module
from rasen.batch.zygote_identity import start_environment
from rasen.errors import PlatformFailed
from stand.zygotes import WAIT_SECONDS, Warm, is_running, python, runtime_folder, until, zygotes

WHERE = "import json, os, sys; print(json.dumps({'pid': os.getpid(), 'numpy': 'numpy' in sys.modules}))"
SLEEP = "import sys, time; print('up', flush=True); time.sleep(1000)"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with runtime_folder() as path:
        yield path


@pytest.fixture(scope="module")
def warm(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Warm:
    found = Warm(tmp_path_factory.mktemp("home"))
    found.warm_up()
    return found


def zygote_of(process: SupervisedProcess) -> int:
    return parent_of(parent_of(process.pid))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


# What a forked process is


def test_a_fork_has_what_was_imported_and_nothing_else_of_its_origin(warm: Warm, tmp_path: Path) -> None:
    code = """
import json, os, resource, signal, sys
print(json.dumps({
    "numpy": "numpy" in sys.modules,
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
    "argv": sys.argv[1:][1:],
    "leads": [os.getpid() == os.getsid(0), os.getpid() == os.getpgrp()],
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    "stdin": sys.stdin.read(),
    "handlers": [signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGCHLD)],
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "umask": os.umask(0),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "processors": sorted(os.sched_getaffinity(0)),
    "main": sys.modules["__main__"].__spec__ is None,
    "path": [place for place in sys.path if place in ("", "/", os.getcwd())],
}))
"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    umask = os.umask(0o027)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        found = json.loads(warm.run(code, "one", "two", cwd=tmp_path))
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    environment = found.pop("environment")
    fixed = {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}
    assert environment == {**fixed, **warm.environment} | {
        name: value for name, value in environment.items() if name.startswith("KMP_")
    }
    assert found == {
        "numpy": True,
        "cwd": str(tmp_path),
        "argv": ["one", "two"],
        "leads": [True, True],
        "descriptors": [0, 1, 2],
        "stdin": "",
        "handlers": [True, True],
        "interrupt": True,
        "blocked": 0,
        "umask": 0o027,
        "files": soft - 1,
        "processors": sorted(os.sched_getaffinity(0)),
        "main": True,
        "path": [],
    }


def test_forks_draw_different_numbers_and_hash_alike(warm: Warm) -> None:
    code = """
import multiprocessing, random, tempfile, uuid, numpy
print(random.random(), numpy.random.rand(), uuid.uuid4(), uuid.uuid1(), multiprocessing.current_process().authkey.hex())
print(hash("the same text"))
"""
    drawn, hashes = zip(*(warm.run(code).splitlines() for _ in range(3)), strict=True)
    columns = list(zip(*(line.split() for line in drawn), strict=True))
    assert [len(set(column)) for column in columns] == [3, 3, 3, 3, 3]
    assert len(set(hashes)) == 1


def test_a_fork_computes_with_as_many_threads_as_a_new_process(warm: Warm) -> None:
    code = """
import json, numpy, threadpoolctl
numpy.ones((200, 200)) @ numpy.ones((200, 200))
print(json.dumps([pool["num_threads"] for pool in threadpoolctl.threadpool_info()]))
"""
    assert json.loads(warm.run(code)) == json.loads(warm.run(code, cold=False))
    one = Warm(warm.settings.home, zygote=False)
    assert json.loads(warm.run(code)) == json.loads(one.run(code, cold=True))
    warm.environment["OPENBLAS_NUM_THREADS"] = "1"
    try:
        assert set(json.loads(warm.run(code))) == {1}
    finally:
        del warm.environment["OPENBLAS_NUM_THREADS"]


def test_the_warm_process_holds_no_secret(warm: Warm) -> None:
    environment = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/x",
        "RASEN_HOME": "/y",
        "DB_PASSWORD": "canary",
        "SLACK_TOKEN": "canary",
        "GOOGLE_APPLICATION_CREDENTIALS": "canary",
        "PYTHON_SECRET": "canary",
    }
    assert start_environment(environment) == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/x",
        "OPENBLAS_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
    warm.environment["CANARY_OF_A_TEST"] = "canary"
    try:
        process = warm.start(SLEEP, stdout=subprocess.DEVNULL)
    finally:
        del warm.environment["CANARY_OF_A_TEST"]
    held = Path(f"/proc/{zygote_of(process)}/environ").read_bytes()
    assert b"canary" not in held
    assert b"RASEN_" not in held
    process.close()


def test_only_the_owner_can_reach_the_socket(warm: Warm, folder: Path) -> None:
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes[".sock"] == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_many_ask_at_once(warm: Warm) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(warm.run(WHERE))) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [json.loads(text) for text in found]
    assert len({answer["pid"] for answer in answers}) == 32
    assert all(answer["numpy"] for answer in answers)


def test_of_many_who_need_it_first_one_starts_it(folder: Path, tmp_path: Path) -> None:
    fresh = Warm(tmp_path, zygote_preload=("stand.forked", "numpy"))
    processes: list[SupervisedProcess] = []
    threads = [threading.Thread(target=lambda: processes.append(fresh.start(SLEEP))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.cold_reason for process in processes] == [None] * 8
    assert len({zygote_of(process) for process in processes}) == 1
    for process in processes:
        process.close()


# How it ends


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("code = 7", 7),
        ("raise SystemExit(3)", 3),
        ("1 / 0", 1),
        ("import os; os._exit(5)", 5),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 15)", -15),
    ],
)
def test_the_exit_code_is_that_of_the_process(warm: Warm, code: str, status: int) -> None:
    process = warm.start(code, stderr=subprocess.DEVNULL)
    assert process.wait(WAIT_SECONDS) == status
    assert process.poll() == status
    assert not is_running(process.pid)


def test_it_ends_as_every_python_does(warm: Warm, tmp_path: Path) -> None:
    code = """
import atexit, sys, threading, time
kept = open(arguments[0], "w")
kept.write("flushed, though nobody closed it\\n")
atexit.register(print, "atexit", flush=True)
threading.Thread(target=lambda: (time.sleep(0.05), print("thread", flush=True))).start()
"""
    assert warm.run(code, tmp_path / "kept").split() == ["thread", "atexit"]
    assert (tmp_path / "kept").read_text() == "flushed, though nobody closed it\n"


def test_signals_reach_it(warm: Warm) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(21))
def wait():
    while True:
        time.sleep(0.05)  # short: a signal that comes just before a sleep begins is only seen after it
try:
    print("up", flush=True)
    wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
wait()
"""
    read, write = os.pipe()
    process = warm.start(code, stdout=write)
    os.close(write)
    with os.fdopen(read) as output:
        assert output.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert output.readline() == "interrupted\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(WAIT_SECONDS) == 21


# Three ways to get away from a process group: a session of its own, a daemon that forked twice, a shell that
# ignores SIGTERM.
BROOD = """
import os, subprocess, sys, time
subprocess.Popen(["sleep", "1000"], start_new_session=True)
subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"])
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, b"x")
        time.sleep(1000)
    os._exit(0)
os.read(read, 1)
print("up", flush=True)
if arguments[0] == "wait":
    time.sleep(1000)
if arguments[0] == "die":
    os._exit(4)
"""


def brood(warm: Warm, what: str) -> tuple[SupervisedProcess, int, list[int]]:
    """Start a process with its brood; return it, its supervisor, and all of them."""
    read, write = os.pipe()
    process = warm.start(BROOD, what, stdout=write)
    supervisor = parent_of(process.pid)
    os.close(write)
    with os.fdopen(read) as output:
        assert output.readline() == "up\n"
    return process, supervisor, [supervisor, *descendants(supervisor)]


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize(
    "end",
    [
        SupervisedProcess.kill,
        SupervisedProcess.close,
        lambda process: os.kill(process.pid, signal.SIGKILL),
    ],
    ids=["kill", "close", "killed"],
)
def test_nothing_that_it_started_outlives_it(
    warm: Warm, end: Callable[[SupervisedProcess], None], cold: bool
) -> None:
    asked = Warm(warm.settings.home, zygote=not cold)
    process, _, everybody = brood(asked, "wait")
    assert (process.cold_reason is not None) is cold
    assert len(everybody) >= 5
    end(process)
    assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    until(lambda: not any(map(is_running, everybody)))


@pytest.mark.parametrize(("what", "status"), [("die", 4), ("end", 0)])
def test_its_end_is_told_when_nothing_is_left(warm: Warm, what: str, status: int) -> None:
    process = warm.start(BROOD, what, stdout=subprocess.DEVNULL)
    supervisor = parent_of(process.pid)
    assert process.wait(WAIT_SECONDS) == status
    assert process.usage is not None
    assert process.usage.swept >= 3
    assert process.usage.left == 0
    until(lambda: not is_running(supervisor))


def test_a_lost_supervisor_takes_the_tree_with_it(warm: Warm) -> None:
    process, supervisor, everybody = brood(warm, "wait")
    other = warm.start(SLEEP, stdout=subprocess.DEVNULL)
    os.kill(supervisor, signal.SIGKILL)
    assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    until(lambda: not any(map(is_running, everybody)))
    assert other.poll() is None
    other.close()


def test_a_lost_client_takes_the_tree_with_it(warm: Warm) -> None:
    client = python(
        "import json, os, sys, time\n"
        "from pathlib import Path\n"
        "from rasen.batch.process_tree import descendants\n"
        "from stand.zygotes import Warm\n"
        "from test_batch_zygote import brood\n"
        f"process, supervisor, everybody = brood(Warm(Path({str(warm.settings.home)!r})), 'wait')\n"
        "copy = os.fork()\n"  # it holds the connection, too
        "if copy: print(json.dumps([everybody, copy, process.cold_reason]), flush=True)\n"
        "time.sleep(1000)\n"
    )
    assert client.stdout is not None
    everybody, copy, cold = json.loads(client.stdout.readline())
    assert cold is None
    client.kill()
    client.wait()
    client.stdout.close()
    until(lambda: not any(map(is_running, everybody)))
    os.kill(copy, signal.SIGKILL)


# When there is no warm process to be had


def test_off_by_one_setting(warm: Warm, folder: Path) -> None:
    before = set(zygotes(folder))
    cold = Warm(warm.settings.home, zygote=False)
    assert json.loads(cold.run(WHERE, cold=True))["numpy"] is False
    assert set(zygotes(folder)) == before


def test_a_second_thread_makes_it_refuse(folder: Path, tmp_path: Path) -> None:
    threaded = Warm(tmp_path, zygote_preload=("stand.forked", "stand.threaded"))
    until(lambda: "threads" in (threaded_reason(threaded) or ""))
    assert json.loads(threaded.run(WHERE, cold=True))["pid"]


def threaded_reason(warm: Warm) -> str | None:
    process = warm.start("pass")
    assert process.wait(WAIT_SECONDS) == 0
    return process.cold_reason


def test_a_module_beside_the_notebook_wins_over_one_that_is_loaded(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("mine = True\n")
    code = "import sys; sys.path.insert(0, ''); import numpy; print(numpy.mine)"
    assert warm.run(code, cwd=tmp_path, cold=True) == "True\n"


def test_a_folder_that_others_may_enter_is_not_used(warm: Warm, folder: Path) -> None:
    folder.chmod(0o755)
    try:
        process = warm.start("pass")
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        folder.chmod(0o700)
    assert "mode 0755" in (process.cold_reason or "")


def test_what_is_preloaded_may_be_missing(folder: Path, tmp_path: Path) -> None:
    partly = Warm(tmp_path, zygote_preload=("stand.forked", "no_such_library", "numpy"))
    partly.warm_up()
    assert json.loads(partly.run(WHERE))["numpy"] is True


def test_what_cannot_be_started_is_an_error(warm: Warm, tmp_path: Path) -> None:
    for zygote in (True, False):
        asked = Warm(warm.settings.home, zygote=zygote)
        with pytest.raises(PlatformFailed, match="gone"):
            asked.start("pass", cwd=tmp_path / "gone")
    process = start_module(
        warm.settings, "no_such_module", [], environment=warm.environment, stderr=subprocess.DEVNULL
    )
    assert process.wait(WAIT_SECONDS) == 1


def test_what_a_supervisor_runs_starts_no_warm_process(warm: Warm, folder: Path, tmp_path: Path) -> None:
    # It would be a descendant of the supervisor, and end with it, while others use it.
    code = """
import sys
from pathlib import Path
from stand.zygotes import Warm
process = Warm(Path(arguments[0]), zygote_preload=tuple(arguments[1:])).start("pass")
print(process.wait(), process.cold_reason)
"""
    assert "starts none" in warm.run(code, tmp_path, "json")
    inside = warm.run(code, tmp_path, *warm.settings.zygote_preload)
    assert inside == "0 None\n"


# How the warm process leaves


def test_it_leaves_when_it_is_idle(folder: Path, tmp_path: Path) -> None:
    idle = Warm(tmp_path, zygote_preload=("stand.forked",), zygote_idle_seconds=0.2)
    process = idle.start(SLEEP, stdout=subprocess.DEVNULL)
    zygote = zygote_of(process)
    idle.run("import time; time.sleep(0.4)")
    assert is_running(zygote)  # somebody is still at work
    process.close()
    until(lambda: not is_running(zygote))
    assert idle.run("print(1)") == "1\n"


def test_it_makes_room_after_many_forks(folder: Path, tmp_path: Path) -> None:
    few = Warm(tmp_path, zygote_preload=("stand.forked", "json"), zygote_forks=2)
    processes = [few.start(SLEEP, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.cold_reason for process in processes] == [None] * 3
    old, same, new = map(zygote_of, processes)
    assert old == same != new
    assert processes[0].poll() is None  # it drains: what runs goes on
    for process in processes:
        process.close()
    until(lambda: not is_running(old))


def test_it_is_replaced_when_what_is_installed_changes(folder: Path, tmp_path: Path) -> None:
    changing = Warm(tmp_path, zygote_preload=("stand.forked", "math"))
    process = changing.start(SLEEP, stdout=subprocess.DEVNULL)
    zygote = zygote_of(process)
    file = Path(str(rasen.batch.__file__))
    before = file.stat()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    try:
        second = changing.start(SLEEP, stdout=subprocess.DEVNULL)
        assert second.cold_reason is None
        assert zygote_of(second) != zygote
        assert process.poll() is None
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    process.close()
    second.close()


def test_a_killed_one_is_replaced_and_its_processes_go_on(folder: Path, tmp_path: Path) -> None:
    killed = Warm(tmp_path, zygote_preload=("stand.forked", "cmath"))
    process = killed.start(SLEEP, stdout=subprocess.DEVNULL)
    os.kill(zygote_of(process), signal.SIGKILL)
    assert killed.run("print(1)") == "1\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait(WAIT_SECONDS) == -signal.SIGTERM
