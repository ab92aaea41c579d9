"""One process on this machine works on a run; whoever comes second learns who that is.

The lock is the kernel's (`flock`), so it goes with its holder however that ends. Beside it lies, for messages only,
who holds it.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rasen.settings import Settings

_LOOK_SECONDS = 0.1


@contextmanager
def work_on(
    settings: Settings, pipeline: str, run: str, *, on_wait: Callable[[str], None] | None
) -> Iterator[None]:
    """Hold the run for as long as the context lasts.

    Args:
        settings: Where the locks lie.
        pipeline: The run's pipeline.
        run: The run's id.
        on_wait: Called once with a description of the holder if there is one, then whenever it may be time to give
            up, with an empty text; it gives up by raising. Without it, a held run is refused.

    Raises:
        Timeout: Somebody else works on it, and there was no `on_wait`.
    """
    path = _path(settings, pipeline, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    told = False
    while True:
        try:
            lock.acquire(timeout=0 if on_wait is None or not told else _LOOK_SECONDS)
            break
        except Timeout:
            if on_wait is None:
                raise
            on_wait("" if told else describe_worker(settings, pipeline, run) or "another process")
            told = True
    try:
        _holder(path).write_text(
            json.dumps({"process": os.getpid(), "user": getpass.getuser()}), encoding="utf-8"
        )
        yield
    finally:
        with suppress(OSError):
            _holder(path).unlink()
        lock.release()


def is_worked_on(settings: Settings, pipeline: str, run: str) -> bool:
    """Return whether a process of this machine works on the run."""
    path = _path(settings, pipeline, run)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def describe_worker(settings: Settings, pipeline: str, run: str) -> str | None:
    """Return who works on the run, such as "process 1234 of ann", or `None`."""
    with suppress(OSError, ValueError, KeyError):
        found = json.loads(_holder(_path(settings, pipeline, run)).read_bytes())
        return f"process {found['process']} of {found['user']}"
    return None


def _path(settings: Settings, pipeline: str, run: str) -> Path:
    return settings.home / "locks" / f"{pipeline}-{run}.lock"


def _holder(path: Path) -> Path:
    return path.with_suffix(".json")
