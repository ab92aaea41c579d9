"""What a receiver answers to a message, and what every receiver must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rasen.notify.message import Message


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The receiver has the message; `said` is what it answered."""

    said: str


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """The receiver cannot take anything now; `after_seconds` is how long it asks to be left alone, if it does."""

    problem: str
    after_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The receiver does not take this message, and will not the next time either."""

    problem: str


Answer = Taken | Postponed | Refused


class Channel(Protocol):
    """A way to a receiver. Used by one thread at a time; it raises nothing and never waits longer than its time-out."""

    def deliver(self, message: Message, recipients: tuple[str, ...]) -> Answer:
        """Send a message and return what the receiver answered."""
