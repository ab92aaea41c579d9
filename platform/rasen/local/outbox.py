"""The bridge's outbox: which objects were seen, and which of their events were delivered, in one SQLite file.

A row is written before the event is sent and marked only after the receiver has said 2xx, so a kill in between sends
the event again, which is allowed, and never loses it, which is not. The file is derived: without it every event is
sent once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rasen.errors import PlatformFailed
from rasen.store import Stat

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        generation INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        updated_at TEXT NOT NULL,
        delivered INTEGER NOT NULL DEFAULT 0,
        UNIQUE (key, generation)
    );
    CREATE INDEX IF NOT EXISTS pending ON events (number) WHERE NOT delivered;
"""


@dataclass(frozen=True, kw_only=True)
class PendingEvent:
    """An event that nobody has taken yet."""

    number: int
    stat: Stat


class Outbox:
    """The events of one bridge. Belongs to the thread that opened it.

    Raises:
        PlatformFailed: The file cannot be opened. One that is damaged is made anew instead.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.OperationalError as error:
            raise PlatformFailed(f"outbox {str(path)!r} cannot be opened: {error}") from error
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).unlink()
            self._database = _open(path)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def seen(self) -> set[tuple[str, int]]:
        """Return key and generation of every object that has an event."""
        return set(self._database.execute("SELECT key, generation FROM events"))

    def add(self, stats: Iterable[Stat]) -> None:
        """Keep an event for each object; one that is there already stays as it is.

        Raises:
            PlatformFailed: The file cannot be written; nothing was added.
        """
        rows = [(stat.key, stat.generation, stat.size_bytes, stat.updated_at.isoformat()) for stat in stats]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT OR IGNORE INTO events (key, generation, size_bytes, updated_at) VALUES (?, ?, ?, ?)",
                    rows,
                )
        except sqlite3.DatabaseError as error:
            raise PlatformFailed(f"{len(rows)} events could not be kept in the outbox: {error}") from error

    def pending(self) -> list[PendingEvent]:
        """Return what is yet to be delivered, in the order in which it was seen."""
        rows = self._database.execute(
            "SELECT number, key, generation, size_bytes, updated_at FROM events WHERE NOT delivered ORDER BY number"
        )
        return [
            PendingEvent(
                number=number,
                stat=Stat(
                    key=key,
                    generation=generation,
                    size_bytes=size_bytes,
                    updated_at=datetime.fromisoformat(updated_at),
                ),
            )
            for number, key, generation, size_bytes, updated_at in rows
        ]

    def mark_delivered(self, number: int) -> None:
        """Remember that the receiver has taken the event.

        Raises:
            PlatformFailed: The file cannot be written; the event will be sent again.
        """
        try:
            with self._database:
                self._database.execute("UPDATE events SET delivered = 1 WHERE number = ?", (number,))
        except sqlite3.DatabaseError as error:
            raise PlatformFailed(f"event {number} could not be marked as delivered: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5.0)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
    except BaseException:
        database.close()
        raise
    return database
