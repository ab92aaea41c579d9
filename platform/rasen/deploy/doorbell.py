"""What the deploy function does with an event: find out which pipeline it is about, decide, tell serving to look.

Whether the sender should try again is the one thing that the answer says. What trying again cannot change (a name
that is no manifest's, a ledger that does not verify) is acknowledged and kept as a dead letter, otherwise it would come
back for a day; what it can change (the store is down) is raised. An error that nobody expected is raised too, a few
times: it may be the machine's; then it is kept like the others, so that no event comes for ever.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from rasen.deploy.dead_letters import DeadLetters, letter_id
from rasen.deploy.decide import Decider
from rasen.errors import InvalidInput, StoreUnavailable, TrustError
from rasen.events import EndpointCommanded, ObjectFinalized, Tick, read_event
from rasen.store import open_store
from rasen.tracking.ids import check_name, check_run_id
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import UnreadableRecord
from rasen.tracking.signature import Role, load_trust, open_signer

if TYPE_CHECKING:
    from rasen.settings import Settings

_HINT_TIMEOUT_SECONDS = 0.5
_FAILURES_MAX = 5
_FAILURES_REMEMBERED = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an event that was acknowledged."""

    kind: Literal["decided", "nothing_new", "ignored", "rejected", "failed", "busy"]
    records: tuple[LedgerRecord, ...] = ()
    reason: str = ""


class Doorbell:
    """Answers events for one store. Safe to call from many threads; decides in one at a time."""

    def __init__(self, decider: Decider, letters: DeadLetters, *, send_hint: Callable[[], None]) -> None:
        self._decider = decider
        self._letters = letters
        self._send_hint = send_hint
        self._deciding = threading.Lock()
        self._failures: dict[str, int] = {}

    def answer(self, attributes: Mapping[str, object], data: object) -> Outcome:
        """Do what an event calls for.

        Args:
            attributes: The event's attributes, as CloudEvents names them.
            data: Its data: parsed JSON, or whatever came instead.

        Raises:
            StoreUnavailable: The store is down; the sender must try again.
            Exception: Something that nobody expected; the sender should try again, which it may a few times.
        """
        try:
            outcome = self._answer(attributes, read_event(attributes, data))
        except (InvalidInput, TrustError, UnreadableRecord) as error:
            _log.error("rejected for good: %s", error)
            self._letters.keep(attributes, data, str(error))
            return Outcome(kind="rejected", reason=str(error))
        except StoreUnavailable:
            raise
        except Exception as error:
            if self._may_come_again(attributes):
                raise
            reason = f"failed {_FAILURES_MAX} times, last with {type(error).__name__}: {error}"
            _log.exception("given up: %s", reason)
            self._letters.keep(attributes, data, reason, kind="failed")
            return Outcome(kind="failed", reason=reason)
        self._letters.answered(attributes)
        if outcome.records:
            self._send_hint()
        return outcome

    def _may_come_again(self, attributes: Mapping[str, object]) -> bool:
        """Count an unexpected failure of an event, and return whether it may be tried once more."""
        name = letter_id(attributes.get("source"), attributes.get("id"))
        count = self._failures.pop(name, 0) + 1
        if count >= _FAILURES_MAX:
            return False
        self._failures[name] = count
        while len(self._failures) > _FAILURES_REMEMBERED:
            self._failures.pop(next(iter(self._failures)))
        return True

    def _answer(
        self, attributes: Mapping[str, object], event: ObjectFinalized | Tick | EndpointCommanded
    ) -> Outcome:
        event_id = str(attributes.get("id") or "")[:100]
        match event:
            case ObjectFinalized():
                pipeline = _pipeline_of(event.name)
                if pipeline is None:
                    return Outcome(kind="ignored", reason="not a manifest")
                with self._deciding:
                    return _outcome(self._decider.decide(pipeline, event=event_id))
            case EndpointCommanded():
                with self._deciding:
                    return _outcome(self._decider.obey(event.text, event=event_id))
            case Tick():
                # Ticks must not pile up behind a decision that takes longer than their period.
                if not self._deciding.acquire(blocking=False):
                    return Outcome(kind="busy", reason="a decision is under way")
                try:
                    return _outcome(self._decider.reconcile())
                finally:
                    self._deciding.release()
            case _:
                assert_never(event)


def open_doorbell(settings: Settings) -> Doorbell:
    """Return the doorbell of the store that the settings name.

    Raises:
        KeyRefused: There is no key here that may sign the ledger.
    """
    store = open_store(settings, patient=False)  # whoever rings comes back
    decider = Decider(
        store,
        open_signer(settings, Role.DECIDER),
        trust=lambda: load_trust(settings),
        environment=settings.environment,
        scratch_dir=settings.scratch_dir,
    )
    return Doorbell(
        decider, DeadLetters(store), send_hint=lambda: send_reload_hint(settings.host, settings.admin_port)
    )


def send_reload_hint(host: str, port: int) -> None:
    """Tell serving that there is something new. It polls anyway, so nothing is lost when it does not hear."""
    connection = http.client.HTTPConnection(host, port, timeout=_HINT_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/-/reload")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        _log.info("serving did not take the hint: %r", error)
    finally:
        connection.close()


def _pipeline_of(name: str) -> str | None:
    """Return the pipeline of a manifest's object name, `None` for any other object.

    Raises:
        InvalidInput: It lies where manifests lie, but names neither a pipeline nor a run.
    """
    prefix, _, rest = name.partition("/")
    if prefix != "manifests":
        return None
    pipeline, _, file = rest.partition("/")
    check_run_id(file.removesuffix(".json"))
    return check_name("pipeline", pipeline)


def _outcome(records: list[LedgerRecord]) -> Outcome:
    return Outcome(kind="decided" if records else "nothing_new", records=tuple(records))
