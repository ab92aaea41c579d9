"""No process of ours outlives the supervisor, and what the kernel says of them, where Python has no call for it.

A worker is forked by the nursery and then orphaned on purpose, so that its parent is the supervisor, which has
declared itself the reaper of orphans: the supervisor learns how each worker ended, the nursery may die without
taking a worker along, and each worker is killed by the kernel when the supervisor is gone, even from within a model
that never returns.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from rasen.errors import PlatformFailed

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ADOPTION_SECONDS = 5.0

KILLED = "killed by SIGKILL"


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends.

    Raises:
        PlatformFailed: The kernel refused.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(supervisor_pid: int) -> None:
    """Be killed by the kernel as soon as the supervisor, by now or within moments the parent, has ended.

    Raises:
        PlatformFailed: The kernel refused, or the supervisor did not become the parent.
    """
    deadline = time.monotonic() + _ADOPTION_SECONDS
    while os.getppid() != supervisor_pid:
        if time.monotonic() > deadline:
            raise PlatformFailed(
                f"process {os.getpid()} has parent {os.getppid()}, expected the supervisor {supervisor_pid}"
            )
        time.sleep(0.001)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor_pid:  # it ended between the two lines above
        raise PlatformFailed(f"the supervisor {supervisor_pid} has ended")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise PlatformFailed(f"prctl({option}, {value}) failed: {os.strerror(ctypes.get_errno())}")


def reap(pid: int) -> str:
    """Wait for a child's end and return how it ended."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return "ended"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    return KILLED if code == -signal.SIGKILL else f"killed by {signal.Signals(-code).name}"


def memory_of(pid: int) -> int:
    """Return what a process has taken of the memory besides files, in bytes; 0 when it is gone."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
