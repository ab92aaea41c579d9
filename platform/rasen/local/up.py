"""`rasen up`: the whole platform on one machine, in the foreground.

Besides supervising the processes it does what a cluster does on a schedule: it makes published tables visible that a
kill has left behind, keeps the index up to date, and runs what was asked for: runs that people want, and
qualifications for the deploy function.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from filelock import FileLock, Timeout

from rasen.batch.tables import stale_pipelines
from rasen.errors import PlatformFailed, RasenError
from rasen.local.processes import Group, check_ports, platform_programs
from rasen.local.requested_runs import RequestedRuns
from rasen.settings import Settings, platform_environment
from rasen.store import Store, open_store
from rasen.tracking.api_tokens import make_api_token
from rasen.tracking.index import Index
from rasen.tracking.signature import Role, load_trust, open_signer

_HEALTHY_SECONDS = 60.0
_TICK_SECONDS = 0.2

Tell = Callable[[str], None]


@contextmanager
def running_platform(settings: Settings, *, tell: Tell) -> Iterator[Group]:
    """Start the platform, wait until it is healthy, and stop it when the block ends.

    Raises:
        PlatformFailed: It runs already for this home, a port is in use, or a process does not come up.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.home / ".up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PlatformFailed(f"a platform is already running for {str(settings.home)!r}") from None
    try:
        check_ports(settings)
        for role in Role:  # the keys are made before anybody needs them
            open_signer(settings, role)
        make_api_token(settings)
        group = Group(settings, platform_programs(settings))
        try:
            group.start()
            tell("starting serving, the deploy function, the control API, the event bridge and the notifier")
            group.wait_until_healthy(timeout_seconds=_HEALTHY_SECONDS)
            yield group
        finally:
            group.stop()
    finally:
        lock.release()


def platform_is_running(settings: Settings) -> bool:
    """Return whether some process holds this home's platform."""
    if not settings.home.exists():
        return False
    lock = FileLock(settings.home / ".up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def run_platform(settings: Settings, *, tell: Tell, ready: Callable[[Group], None]) -> None:
    """Run the platform until SIGINT or SIGTERM, and stop it cleanly."""
    stop = False

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    with running_platform(settings, tell=tell) as group:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        ready(group)
        store = open_store(settings)
        requested = RequestedRuns(settings, store, tell=tell)
        look_due = 0.0
        try:
            while not stop:
                for name in group.supervise():
                    tell(f"{name} had ended and was started again; its log: {settings.logs_dir / name}.log")
                room = requested.poll()
                if time.monotonic() >= look_due:
                    look_due = time.monotonic() + settings.reconcile_seconds
                    look_for_missed(settings, store, requested, tell=tell)
                elif requested.is_rung() or room:
                    look_at_requests(requested, tell=tell)
                time.sleep(_TICK_SECONDS)
            tell("stopping")
        finally:
            requested.stop()


def look_at_requests(requested: RequestedRuns, *, tell: Tell) -> None:
    """Work on what was asked for a moment ago."""
    try:
        requested.look()
    except (RasenError, OSError) as error:
        tell(f"the requests could not be looked at, and will be again: {error}")


def look_for_missed(settings: Settings, store: Store, requested: RequestedRuns, *, tell: Tell) -> None:
    """Bring the warehouse and the index up to what the store says, and work on what was asked for."""
    try:
        for pipeline in stale_pipelines(settings, store):
            # In a process of its own: the warehouse needs libraries that an idle supervisor should not hold.
            subprocess.run(
                [sys.executable, "-m", "rasen.batch.tables", pipeline],
                env=platform_environment(settings),
                check=False,
            )
        index = Index(settings.index_file)
        index.catch_up(store, load_trust(settings), environment=settings.environment)
        requested.look()
    except (RasenError, OSError) as error:
        tell(f"the regular look at the store failed, and will be repeated: {error}")
