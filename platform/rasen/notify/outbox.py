"""The outbox: messages that a receiver has yet to take, in order, for each receiver apart.

A row is there before a message is sent and goes only when the receiver has said yes, so after a kill a message comes
again, with the same id, and is never lost. A receiver that stays away costs a bounded queue: the oldest messages go
first, are counted, and the next message that gets through says how many they were.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rasen.notify.message import Message

_LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a message goes: a receiver, and of mail the mailboxes."""

    receiver: str
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A message that waits for one receiver.

    Args:
        number: Its place.
        message: The message, `dropped` as it is now.
        target: Where it goes.
        attempts: How often it was tried.
        next_try: When it is tried again, by this machine's clock.
        problem: What went wrong the last time.
        set_aside: The receiver does not take it; it is tried again when the configuration changes.
    """

    number: int
    message: Message
    target: Target
    attempts: int
    next_try: float
    problem: str
    set_aside: bool


class Outbox:
    """The messages of one file. Belongs to the thread that opened the connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, message: Message, target: Target, *, most: int) -> None:
        """Add a message within the caller's transaction; a message that is there already stays as it is."""
        self._database.execute(
            "INSERT OR IGNORE INTO outbox (id, receiver, recipients, message) VALUES (?, ?, ?, ?)",
            (message.id, target.receiver, json.dumps(target.recipients), message.model_dump_json()),
        )
        surplus = self._database.execute(
            "DELETE FROM outbox WHERE receiver = ? AND number <= "
            "(SELECT number FROM outbox WHERE receiver = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (target.receiver, target.receiver, most),
        ).rowcount
        if surplus > 0:
            self._database.execute(
                "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (receiver) DO UPDATE SET count = count + excluded.count",
                (target.receiver, surplus),
            )

    def first(self, receiver: str) -> Waiting | None:
        """Return the message that is next for a receiver, due or not; `None` when nothing waits."""
        rows = self._select("WHERE receiver = ? AND NOT set_aside ORDER BY number LIMIT 1", (receiver,))
        return rows[0] if rows else None

    def all(self) -> list[Waiting]:
        """Return everything that waits or was set aside, oldest first."""
        return self._select("ORDER BY number", ())

    def dropped(self) -> dict[str, int]:
        """Return how many messages were dropped since one got through, by receiver."""
        return {row["receiver"]: row["count"] for row in self._database.execute("SELECT * FROM dropped")}

    def taken(self, waiting: Waiting) -> None:
        """Remove a message that its receiver has taken, and what it said of dropped ones."""
        with self._database:
            self._database.execute("DELETE FROM outbox WHERE number = ?", (waiting.number,))
            self._database.execute(
                "UPDATE dropped SET count = max(0, count - ?) WHERE receiver = ?",
                (waiting.message.dropped, waiting.target.receiver),
            )
            self._database.execute("DELETE FROM dropped WHERE count = 0")

    def postpone(self, waiting: Waiting, *, until: float, problem: str) -> None:
        """Have a message tried again later."""
        with self._database:
            self._database.execute(
                "UPDATE outbox SET attempts = attempts + 1, next_try = ?, problem = ? WHERE number = ?",
                (until, problem, waiting.number),
            )

    def set_aside(self, waiting: Waiting, *, problem: str) -> None:
        """Keep a message that its receiver does not take, and go on with the next."""
        with self._database:
            self._database.execute(
                "UPDATE outbox SET attempts = attempts + 1, set_aside = 1, problem = ? WHERE number = ?",
                (problem, waiting.number),
            )

    def try_again(self, receivers: Iterable[str]) -> None:
        """Make everything due, also what was set aside: whoever it goes to is another one now."""
        with self._database:
            self._database.executemany(
                "UPDATE outbox SET set_aside = 0, next_try = 0, attempts = 0 WHERE receiver = ?",
                [(name,) for name in receivers],
            )

    def _select(self, clause: str, values: Sequence[object]) -> list[Waiting]:
        dropped = self.dropped()
        return [
            Waiting(
                number=row["number"],
                message=Message.from_bytes(row["message"].encode()).model_copy(
                    update={"dropped": dropped.get(row["receiver"], 0)}
                ),
                target=Target(receiver=row["receiver"], recipients=tuple(json.loads(row["recipients"]))),
                attempts=row["attempts"],
                next_try=row["next_try"],
                problem=row["problem"],
                set_aside=bool(row["set_aside"]),
            )
            for row in self._database.execute(f"SELECT * FROM outbox {clause}", values)  # noqa: S608 - our own constants
        ]


def wait_seconds(waiting: Waiting, *, now: float) -> float:
    """Return how long to wait for the next try. After a clock was set back, nobody waits for longer than we ever do."""
    left = waiting.next_try - now
    return left if 0 < left <= _LONGEST_WAIT_SECONDS else 0.0
