"""Dead letters: events that nobody can answer, kept for a person to look at, to replay, or to discard.

The function acknowledges what trying again cannot change, otherwise the sender would bring it back for a day; but
what it acknowledges it does not forget. The same event leaves the same letter however often it comes. Commands that
were refused are here too: who wanted what, and why it was not done.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rasen.errors import InvalidInput, ObjectNotFound, PlatformFailed
from rasen.events import CloudEvent
from rasen.store import Store
from rasen.tracking.keys import DEAD_LETTERS_PREFIX, dead_letter_key
from rasen.tracking.records import Record, UnreadableRecord

LETTERS_MAX = 1000
"""A flood of nonsense fills the log, not the store."""

REPLAY_ATTRIBUTE = "rasenreplay"
"""Attribute of an event that is a replayed letter; it names the letter, which goes when the event is answered."""

_DATA_MAX_CHARACTERS = 65_536
_TEXT_MAX_CHARACTERS = 2000
_TIMEOUT_SECONDS = 60.0

_log = logging.getLogger(__name__)


class DeadLetter(Record):
    """One event that was not answered.

    Args:
        id: Name of the letter, a digest of the event's source and id.
        kind: `rejected`: asking again changes nothing; `failed`: tried several times, it ended in an error of ours.
        event_id: The event's own id.
        source: Where it came from.
        type: Its type.
        subject: Its subject, `""` for none.
        data: Its data as JSON; `None` when they were too long to keep.
        reason: Why it was not answered.
        times: How often it came.
        first_at: When it came first, by the function's clock.
        last_at: When it came last.
    """

    id: str
    kind: Literal["rejected", "failed"]
    event_id: str
    source: str
    type: str
    subject: str
    data: str | None
    reason: str
    times: int = 1
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of a letter that was replayed: it is gone, or still there with the reason."""

    letter: str
    answered: bool
    reason: str


def letter_id(source: object, event_id: object) -> str:
    """Return the name of the letter that an event would leave."""
    return hashlib.sha256(f"{source}\0{event_id}".encode(errors="surrogatepass")).hexdigest()[:24]


class DeadLetters:
    """The letters of one store, as the function writes them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(
        self,
        attributes: Mapping[str, object],
        data: object,
        reason: str,
        *,
        kind: Literal["rejected", "failed"] = "rejected",
    ) -> str:
        """Write a letter, or count one more arrival of the same event; return its id.

        Raises:
            StoreUnavailable: It could not be kept, so the event must come again.
        """
        letter = letter_id(attributes.get("source"), attributes.get("id"))
        now = datetime.now(tz=UTC)
        before = read_dead_letter(self._store, letter)
        if before is None and len(self._store.children(DEAD_LETTERS_PREFIX)) >= LETTERS_MAX:
            _log.error("there are %d dead letters already; not kept: %s", LETTERS_MAX, reason)
            return letter
        record = DeadLetter(
            id=letter,
            kind=kind,
            event_id=_text(attributes.get("id")),
            source=_text(attributes.get("source")),
            type=_text(attributes.get("type")),
            subject=_text(attributes.get("subject")),
            data=_json(data),
            reason=_text(reason),
            times=1 if before is None else before.times + 1,
            first_at=now if before is None else before.first_at,
            last_at=now,
        )
        self._store.write(dead_letter_key(letter), record.to_bytes())
        return letter

    def answered(self, attributes: Mapping[str, object]) -> None:
        """Remove the letter of which this event is the replay; nothing happens when it is none."""
        letter = attributes.get(REPLAY_ATTRIBUTE)
        if isinstance(letter, str) and len(letter) == 24 and letter.isalnum():
            self._store.delete(dead_letter_key(letter))


def list_dead_letters(store: Store) -> Iterator[DeadLetter]:
    """Yield the letters, the oldest first."""
    found = []
    for name in store.children(DEAD_LETTERS_PREFIX):
        letter = read_dead_letter(store, name.removesuffix(".json"))
        if letter is not None:
            found.append(letter)
    yield from sorted(found, key=lambda each: (each.first_at, each.id))


def read_dead_letter(store: Store, letter: str) -> DeadLetter | None:
    """Return one letter, `None` when there is none, or what is there cannot be read."""
    key = dead_letter_key(letter)
    try:
        return DeadLetter.from_bytes(store.read(key), source=key)
    except (ObjectNotFound, UnreadableRecord):
        return None


def discard_dead_letter(store: Store, letter: str) -> None:
    """Remove a letter without answering it."""
    store.delete(dead_letter_key(letter))


def replay_dead_letter(store: Store, letter: DeadLetter, *, host: str, port: int) -> Replayed:
    """Send a letter's event to the deploy function once more.

    Raises:
        InvalidInput: Its data were too long to keep.
        PlatformFailed: The function does not answer, or asks to try again.
    """
    if letter.data is None:
        raise InvalidInput(f"dead letter {letter.id!r} cannot be replayed: its data were too long to be kept")
    event = CloudEvent(
        id=letter.event_id,
        source=letter.source or "//rasen/unknown",
        type=letter.type,
        subject=letter.subject or None,
        time=letter.first_at,
        data=json.loads(letter.data),
    )
    headers, body = event.to_http()
    headers[f"ce-{REPLAY_ATTRIBUTE}"] = letter.id
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/", body=body, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PlatformFailed(
            f"the deploy function does not answer at {host}:{port} ({error}); `rasen up` starts it"
        ) from error
    finally:
        connection.close()
    after = read_dead_letter(store, letter.id)
    if after is None:
        return Replayed(letter=letter.id, answered=True, reason="answered; the letter is gone")
    if not 200 <= status < 300:
        return Replayed(letter=letter.id, answered=False, reason=f"the function answered {status}")
    return Replayed(letter=letter.id, answered=False, reason=after.reason)


def _text(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else repr(value)
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _TEXT_MAX_CHARACTERS else f"{text[:_TEXT_MAX_CHARACTERS]}…"


def _json(data: Any) -> str | None:  # Any: whatever came
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        text = json.dumps(repr(data))
    return text if len(text) <= _DATA_MAX_CHARACTERS else None
