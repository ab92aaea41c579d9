"""Finding and ending everything that a process has started, however it tried to get away.

A process group is not enough: a shell with job control, `multiprocessing`, loky and every daemon make groups or
sessions of their own. So whoever answers for a process makes itself the *subreaper* of all that comes from it (Linux,
`prctl`): an orphan becomes its child instead of init's, and "no child left" is then the same as "nothing is left".
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 0.5
_GIVE_UP_SECONDS = 5.0
MARK_VARIABLE = "RASEN_PROCESS_MARK"  # in the environment of a process, and so of all that it starts


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was left of a tree.

    Args:
        statuses: Exit codes of the processes that ended meanwhile, by process id; negative for a signal.
        found: Number of processes that had to be told to end.
        left: Number of processes that would not end: of another user, or stuck in the system.
    """

    statuses: dict[int, int]
    found: int
    left: int


def adopt_orphans() -> None:
    """Make this process the one that orphans among its descendants become children of."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_process(name: str) -> None:
    """Set what `top` shows as this process's name: a fork would go by that of what it was forked from."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()))


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    argument = ctypes.c_ulong(value) if isinstance(value, int) else value
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def reap() -> dict[int, int] | None:
    """Collect the children that have ended: exit codes by process id; `None` when there is no child at all."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended or None
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def descendants(root: int, *, spare: Collection[int] = ()) -> list[int]:
    """Return the process ids of all that comes from `root`, parents first, without the trees of those in `spare`."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, parent in _parents():
        children[parent].append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = [pid for pid in children[waiting.pop()] if pid not in spare]
        found += below
        waiting += below
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                stat = (folder / "stat").read_bytes()
                # The command's name, in parentheses, may hold anything; what follows it is regular (man 5 proc).
                state, parent = stat.rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    yield int(folder.name), int(parent)


def end_descendants(*, spare: Collection[int] = ()) -> Swept:
    """End everything that comes from this process, which must be a subreaper, and collect it.

    They are asked first (SIGTERM) and killed half a second later: the resource trackers of `multiprocessing` and loky
    leave by themselves as soon as everybody else is gone, and only they know which shared memory to remove.
    """
    begun = time.monotonic()
    asked: set[int] = set()
    statuses: dict[int, int] = {}
    pause_seconds = 0.001
    while True:
        ended = reap()
        statuses |= ended or {}
        if ended is None:
            return Swept(statuses=statuses, found=len(asked), left=0)
        alive = descendants(os.getpid(), spare=spare)
        if not alive and spare:
            return Swept(statuses=statuses, found=len(asked), left=0)
        elapsed = time.monotonic() - begun
        if elapsed > _GIVE_UP_SECONDS:
            return Swept(statuses=statuses, found=len(asked), left=len(alive))
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                if elapsed > _GRACE_SECONDS:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in asked:
                    os.kill(pid, signal.SIGTERM)
                asked.add(pid)
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, 0.02)


def end_marked(mark: str) -> int:
    """Kill every process that was started with `mark` in its environment; return how many there were.

    For processes that no supervisor answers for: the kernels of others. What has cleared its environment is not found.
    """
    sought = f"{MARK_VARIABLE}={mark}".encode()
    killed: set[int] = set()
    begun = time.monotonic()
    while time.monotonic() - begun < _GIVE_UP_SECONDS:
        found = [pid for pid, _ in _parents() if _has_in_environment(pid, sought)]
        if not found:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.002)
    return len(killed)


def _has_in_environment(pid: int, sought: bytes) -> bool:
    with suppress(OSError):
        return pid != os.getpid() and sought in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
