"""The event bridge of one machine: what Eventarc and Cloud Scheduler are in the cloud.

It sees new objects under `manifests/`, keeps an event for each in an outbox, and posts it to the function until the
function says 2xx. Looking is cheap, because it happens ten times a second for ever: a folder is listed only when its
modification time has moved. One thread does everything; it is slow only while the function is at work.
"""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.errors import PlatformFailed
from rasen.events import CloudEvent, object_finalized, scheduler_tick
from rasen.local.outbox import Outbox
from rasen.store import DirectoryStore, Stat

if TYPE_CHECKING:
    from rasen.settings import Settings

SCAN_SECONDS = 0.1
_BACK_OFF_FIRST_SECONDS = 0.1
_BACK_OFF_LONGEST_SECONDS = 5.0
_POST_TIMEOUT_SECONDS = 60.0
# A folder that changed this recently may change again without a new modification time: the kernel's clock for
# files moves in steps of up to 10 ms.
_TIME_STEP_NANOSECONDS = 50_000_000

_log = logging.getLogger(__name__)


class ManifestWatch:
    """Notices objects under `manifests/` of a directory store."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store
        self._modified: dict[Path, int] = {}

    def changed(self) -> list[Stat]:
        """Return the objects of every folder that may have changed since the last call; all of them at first."""
        root = self._store.root / "manifests"
        found: list[Stat] = []
        if self._may_have_changed(root):
            names = self._store.children("manifests/")
            self._modified |= {root / name: 0 for name in names if root / name not in self._modified}
        for folder in [path for path in self._modified if path != root]:
            if self._may_have_changed(folder):
                found += self._store.list(f"manifests/{folder.name}/")
        return found

    def _may_have_changed(self, folder: Path) -> bool:
        """Say whether the folder must be listed, and remember that it will be."""
        now = time.time_ns()
        try:
            modified = folder.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self._modified.get(folder) == modified:
            return False
        settled = modified < now - _TIME_STEP_NANOSECONDS
        self._modified[folder] = modified if settled else 0
        return True


class _Unanswered(Exception):
    """Nobody said anything: the function is down, starting, or hanging."""


class Bridge:
    """From new objects to answered events. Call `step` again and again from one thread."""

    def __init__(
        self,
        store: DirectoryStore,
        outbox: Outbox,
        *,
        host: str,
        port: int,
        bucket: str,
        reconcile_seconds: float,
    ) -> None:
        self._outbox = outbox
        self._host = host
        self._port = port
        self._bucket = bucket
        self._reconcile_seconds = reconcile_seconds
        self._watch = ManifestWatch(store)
        self._seen = outbox.seen()
        self._found: list[Stat] = []
        self._pending = outbox.pending()
        # Back-off lives in memory only: after a restart everything is due at once. Times are monotonic seconds.
        self._line = _BackOff()
        self._events: dict[int, _BackOff] = {}
        self._next_tick = 0.0

    def step(self) -> None:
        """Look for new objects, deliver what is due, and ring the reconciler when it is time."""
        self._collect()
        if not self._line.due():
            return
        try:
            self._deliver()
            if time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + self._reconcile_seconds
                self._post(scheduler_tick(job="reconcile", at=datetime.now(tz=UTC)))
            self._line = _BackOff()
        except _Unanswered:
            self._line.failed()

    def _collect(self) -> None:
        self._found += [
            stat for stat in self._watch.changed() if (stat.key, stat.generation) not in self._seen
        ]
        if not self._found:
            return
        try:
            self._outbox.add(self._found)
        except PlatformFailed as error:
            _log.error("%s; trying again", error)
            return
        self._seen |= {(stat.key, stat.generation) for stat in self._found}
        self._found = []
        self._pending = self._outbox.pending()

    def _deliver(self) -> None:
        for event in list(self._pending):
            back_off = self._events.setdefault(event.number, _BackOff())
            if not back_off.due():
                continue
            # Before the attempt: an event that makes the function hang must not stay the first in the line.
            back_off.failed()
            stat = event.stat
            taken = self._post(
                object_finalized(
                    bucket=self._bucket,
                    name=stat.key,
                    generation=stat.generation,
                    size_bytes=stat.size_bytes,
                    created_at=stat.updated_at,
                )
            )
            if taken:
                self._pending.remove(event)
                del self._events[event.number]
                try:
                    self._outbox.mark_delivered(event.number)
                except PlatformFailed as error:
                    _log.error("%s", error)

    def _post(self, event: CloudEvent) -> bool:
        """Send one event and return whether the function has taken it.

        Raises:
            _Unanswered: There was no answer.
        """
        headers, body = event.to_http()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_POST_TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/", body=body, headers=headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            _log.info("event %s (%s) was not delivered: %r", event.id, event.subject or event.type, error)
            raise _Unanswered from error
        finally:
            connection.close()
        if 200 <= response.status < 300:
            return True
        what = event.subject or event.type
        _log.warning("event %s (%s) was answered %d and will come again", event.id, what, response.status)
        return False


class _BackOff:
    """When to try again: soon at first, then ever later, never in step with somebody else."""

    def __init__(self) -> None:
        self._attempts = 0
        self._not_before = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._not_before

    def failed(self) -> None:
        wait = min(_BACK_OFF_FIRST_SECONDS * 2 ** min(self._attempts, 10), _BACK_OFF_LONGEST_SECONDS)
        self._attempts += 1
        self._not_before = time.monotonic() + wait * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret


def run_bridge(settings: Settings, *, stop: threading.Event) -> None:
    """Bridge until `stop` is set. May be killed at any instant: what was seen is in the outbox or still in the store.

    Raises:
        PlatformFailed: The outbox cannot be opened.
    """
    outbox = Outbox(settings.outbox_file)
    try:
        bridge = Bridge(
            DirectoryStore(settings.store_dir),
            outbox,
            host=settings.host,
            port=settings.function_port,
            bucket=f"rasen-{settings.environment}",
            reconcile_seconds=settings.reconcile_seconds,
        )
        while not stop.is_set():
            bridge.step()
            stop.wait(SCAN_SECONDS)
    finally:
        outbox.close()


def main() -> None:
    """Run the bridge as a process of its own, with the settings of the environment."""
    from rasen.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with suppress(KeyboardInterrupt):
        run_bridge(load_settings(), stop=threading.Event())


if __name__ == "__main__":
    main()
