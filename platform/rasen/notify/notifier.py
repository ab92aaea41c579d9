"""The notifier: looks at the store again and again, turns what it finds into messages, and has couriers bring them.

One thread watches, one brings for each receiver. Nothing is asked of anybody who works, and nobody waits for us: a
notifier that is down only tells later. What the first look finds is history, and nobody is told of it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filelock import FileLock, Timeout

from rasen.batch.masking import Mask
from rasen.errors import InvalidInput, PlatformFailed, RasenError
from rasen.notify.changes import Findings
from rasen.notify.channels import open_channel
from rasen.notify.configuration import Configuration, read_configuration
from rasen.notify.courier import FIRST_PAUSE_SECONDS, Courier
from rasen.notify.database import open_database
from rasen.notify.folders import Doorbell
from rasen.notify.incidents import Incidents, Teller
from rasen.notify.ledger_watch import LedgerWatch
from rasen.notify.letter_watch import LetterWatch
from rasen.notify.links import Links
from rasen.notify.outbox import Outbox
from rasen.notify.replica_watch import ReplicaWatch
from rasen.notify.run_story import Stories
from rasen.notify.run_watch import RunWatch
from rasen.secret_values import environment_secrets
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.signature import TrustStore, load_trust

_BEGUN = "begun"
_KEPT = "configuration"

_log = logging.getLogger(__name__)


class Notifier:
    """Watches one store. Belongs to one thread; close it when done.

    Args:
        settings: Where everything is.
        database: The notifier's file.
        store: What is watched.
        now: Returns seconds since 1970, for reminders.
        clock: Returns monotonic seconds, for what replicas report.
        first_pause_seconds: How long a courier waits after its first failure.
    """

    def __init__(
        self,
        settings: Settings,
        database: sqlite3.Connection,
        store: Store,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._first_pause_seconds = first_pause_seconds
        self._incidents = Incidents(database)
        self._outbox = Outbox(database)
        self._mask = make_mask(settings)
        self._file = _File(settings.alerts_file)
        self._trust = _Trust(settings)
        self._couriers: dict[str, Courier] = {}
        self._problem = ""
        self._configuration = Configuration()
        self._read_configuration()
        self._doorbell = Doorbell(store)
        runs = RunWatch(
            store,
            self._doorbell,
            self._incidents,
            self._stories,
            development=lambda: self._configuration.development,
        )
        ledgers = LedgerWatch(store, self._incidents, self._stories)
        letters = LetterWatch(store, self._doorbell, self._incidents)
        self._replicas = ReplicaWatch(
            store,
            self._stories,
            quiet_seconds=lambda: self._configuration.quiet_seconds,
            open_keys=self._incidents.open_keys,
            clock=clock,
        )
        self._begin = (runs.begin, ledgers.begin, letters.begin)
        self._look = (runs.look, ledgers.look, self._replicas.look, letters.look)

    def step(self) -> None:
        """Look once, and ring the couriers. What could not be read or kept is found again the next time."""
        if self._file.changed():
            self._read_configuration()
        teller = Teller(
            configuration=self._configuration,
            environment=self._settings.environment,
            mask=self._mask,
            now=self._now,
        )
        try:
            if self._incidents.position(_BEGUN) is None:
                self._take_as_seen(teller)
            for look in self._look:
                found = look()
                if not found.empty:
                    self._incidents.apply(found, teller)
            self._incidents.tell_due(teller)
            self._problem = ""
        except (RasenError, OSError, sqlite3.Error) as error:
            problem = self._mask(str(error))
            if problem != self._problem:  # an outage is one line, not one every two seconds
                _log.error("a look at the store failed, and will be repeated: %s", problem)
            self._problem = problem
            self._doorbell.forget()
            self._replicas.forget()
        for courier in self._couriers.values():
            courier.ring()

    def close(self) -> None:
        """Stop the couriers, without waiting for what is on its way."""
        for courier in self._couriers.values():
            courier.stop()

    def _take_as_seen(self, teller: Teller) -> None:
        findings = Findings(positions={_BEGUN: "1"})
        for begin in self._begin:
            found = begin()
            findings.seen += found.seen
            findings.positions |= found.positions
        self._incidents.apply(findings, teller)

    def _stories(self) -> Stories:
        return Stories(
            store=self._store,
            trust=self._trust.read(),
            environment=self._settings.environment,
            links=Links(public_url=self._settings.public_url),
        )

    def _read_configuration(self) -> None:
        """Read the operator's file; one that is wrong changes nothing, and our log says what is wrong."""
        before = self._configuration
        try:
            self._configuration = read_configuration(self._settings.alerts_file)
        except InvalidInput as error:
            _log.error("%s\nthe configuration from before stays in force", error)
            if self._couriers:
                return
            self._configuration = self._kept()
        else:
            self._incidents.keep(_KEPT, self._configuration.model_dump_json())
        self._change_couriers(before)

    def _kept(self) -> Configuration:
        """Return the configuration that was in force before this process began, else that without a file."""
        text = self._incidents.position(_KEPT)
        return Configuration() if text is None else Configuration.model_validate_json(text)

    def _change_couriers(self, before: Configuration) -> None:
        """Have a courier for each receiver; what waits for a receiver that is another one now is tried again."""
        after = self._configuration
        for name in list(self._couriers):
            if after.receiver(name) != before.receiver(name):
                self._couriers.pop(name).stop()
        new = [name for name in after.names if name not in self._couriers]
        self._outbox.try_again(new)
        for name in new:
            receiver = after.receiver(name)
            assert receiver is not None  # it is one of its names
            courier = self._couriers[name] = Courier(
                name,
                open_channel(receiver, self._settings, self._mask),
                self._settings.alerts_database,
                mask=self._mask,
                first_pause_seconds=self._first_pause_seconds,
            )
            courier.start()


class _File:
    """Notices that a file has changed, by its name, time and size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._state()

    def changed(self) -> bool:
        """Return whether it has changed since the last call."""
        before, self._known = self._known, self._state()
        return before != self._known

    def _state(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


class _Trust:
    """The trusted keys, read again when their file has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = _File(settings.trust_file)
        self._known: TrustStore | None = None

    def read(self) -> TrustStore:
        if self._known is None or self._file.changed():
            self._known = load_trust(self._settings)
        return self._known


def make_mask(settings: Settings) -> Mask:
    """Return what takes secrets out of texts: those of the environment, those by form, and those learned later."""
    mask = Mask(patterns=settings.mask_patterns)
    for reference, value in environment_secrets(settings).items():
        mask.learn(reference, value)
    return mask


def run_notifier(settings: Settings, *, stop: threading.Event) -> None:
    """Watch until `stop` is set. May be killed at any instant: what was seen and not yet told is in the outbox.

    Raises:
        PlatformFailed: The notifier's file cannot be opened, or another notifier works with it.
    """
    path = settings.alerts_database
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PlatformFailed(f"a notifier is already at work with {str(path)!r}") from None
    with lock, closing(open_database(path)) as database:
        notifier = Notifier(settings, database, open_store(settings, patient=False))
        try:
            while not stop.is_set():
                notifier.step()
                stop.wait(settings.alert_seconds)
        finally:
            notifier.close()
