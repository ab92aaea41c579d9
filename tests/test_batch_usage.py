"""What a kernel takes: its own memory and its children's, peaks that nobody saw, and which deaths were of memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rasen.batch.memory import count_oom_kills, private_bytes, read_status, shared_bytes
from rasen.batch.usage import Usage
from stand.zygotes import until

MEGABYTE = 1_000_000


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python that runs `code`, a line of which is run at each call of `step`."""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.communicate()


def step(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    child.stdout.readline()


SHORT_PEAK = """
print(flush=True); input()
bytearray(200_000_000)
print(flush=True); input()
print(flush=True); input()
held = bytearray(60_000_000)
print(flush=True); input()
"""


def test_a_short_peak_belongs_to_its_cell() -> None:
    with process(SHORT_PEAK) as child:
        usage = Usage(child.pid, memory_limit_bytes=None)
        try:
            peaks = []
            for _ in range(3):
                usage.begin_cell()
                step(child)
                peaks.append(usage.end_cell())
        finally:
            usage.close()
    assert 200 * MEGABYTE <= peaks[0] < 260 * MEGABYTE
    assert peaks[1] < 60 * MEGABYTE, "a peak is not the next cell's"
    assert 60 * MEGABYTE <= peaks[2] < 120 * MEGABYTE
    assert usage.peak_bytes == max(peaks)


FORK = """
import os, sys
held = bytearray(b"x") * 200_000_000
os.write(1, b"\\n")
sys.stdin.readline()
child = os.fork()
if child == 0:
    own = bytearray(b"x") * 50_000_000
    os.write(1, b"%d\\n" % os.getpid())
    sys.stdin.read()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_fork_takes_only_what_is_its_own() -> None:
    child = subprocess.Popen([sys.executable, "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        whole = Usage(child.pid, memory_limit_bytes=None)
        child.stdin.write(b"\n")
        child.stdin.flush()
        fork = int(child.stdout.readline())
        status = read_status(fork)
        assert status is not None
        assert status.anonymous > 250 * MEGABYTE
        assert 50 * MEGABYTE <= private_bytes(fork) < 100 * MEGABYTE
        assert shared_bytes(fork) > 190 * MEGABYTE
        usage = Usage(fork, memory_limit_bytes=None)
        usage.begin_cell()
        peak = usage.end_cell()
        usage.close()
        assert 50 * MEGABYTE <= peak < 120 * MEGABYTE
        until(lambda: whole.last_bytes > 250 * MEGABYTE)  # its own and its child's, what they share only once
        assert whole.last_bytes < 320 * MEGABYTE
        whole.close()
    finally:
        child.kill()
        child.communicate()


def test_processor_time_counts_children() -> None:
    count = "sum(range(3_000_000))"
    code = f"""
import subprocess, sys
print(flush=True); input()
subprocess.run([sys.executable, "-c", {count!r}])
print(flush=True); input()
"""
    with process(code) as child:
        usage = Usage(child.pid, memory_limit_bytes=None)
        before = usage.begin_cell()
        step(child)
        spent = usage.cpu_seconds() - before
        usage.close()
    assert spent > 0.02


def test_whoever_takes_too_much_is_ended() -> None:
    with process(
        "print(flush=True); input(); held = bytearray(300_000_000); print(flush=True); input()"
    ) as child:
        usage = Usage(child.pid, memory_limit_bytes=100 * MEGABYTE)
        step(child)
        assert child.wait(30) == -signal.SIGKILL
        usage.close()
        assert usage.over_limit
        assert "its limit is 100,000,000" in str(usage.died_of_memory(signal.SIGKILL))


def test_which_deaths_are_of_memory() -> None:
    kills = iter([0, 0, 1, 1])
    usage = Usage(os.getpid(), memory_limit_bytes=None, oom_kills=lambda: next(kills))
    usage.close()
    assert usage.died_of_memory(signal.SIGSEGV) is None
    assert usage.died_of_memory(None) is None
    assert usage.died_of_memory(signal.SIGABRT, "what(): std::bad_alloc") is not None
    assert usage.died_of_memory(signal.SIGABRT, "assertion failed") is None
    assert usage.died_of_memory(signal.SIGKILL) is None
    assert "the system killed it" in str(usage.died_of_memory(signal.SIGKILL))
    assert usage.oom_killed


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/pod/one", "pod/one/memory.events"), ("4:memory:/pod/one", "memory/pod/one/memory.oom_control")],
    ids=["version 2", "version 1"],
)
def test_the_counter_of_the_control_group(line: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(f"9:cpu:/other\n{line}\n")
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.write_text("low 0\noom 4\noom_kill 3\noom_group_kill 1\n")
    assert count_oom_kills(tmp_path / "own", tmp_path) == 3
    place.unlink()
    assert count_oom_kills(tmp_path / "own", tmp_path) >= 0, "the machine's own"


OVER = """
import os, sys
sys.stdin.readline()
held = bytearray(b"x") * 200_000_000
"""


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/memory", os.W_OK), reason="needs control groups that are ours to make"
)
def test_the_system_says_when_it_has_killed_for_want_of_memory(tmp_path: Path) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"rasen-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("100000000")
        (tmp_path / "own").write_text(f"4:memory:/{group.name}\n")
        child = subprocess.Popen([sys.executable, "-c", OVER], stdin=subprocess.PIPE)
        (group / "cgroup.procs").write_text(str(child.pid))
        usage = Usage(child.pid, memory_limit_bytes=None, oom_kills=lambda: count_oom_kills(tmp_path / "own"))
        child.communicate(b"\n")
        usage.close()
        assert child.returncode == -signal.SIGKILL
        assert "the system killed it" in str(usage.died_of_memory(signal.SIGKILL))
    finally:
        until(lambda: not (group / "cgroup.procs").read_text())
        time.sleep(0.05)
        group.rmdir()
