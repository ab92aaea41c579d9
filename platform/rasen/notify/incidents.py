"""Incidents: what happens again and again is told once, then now and then, and once more when it is over."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rasen.notify.changes import Ended, Findings, Happened
from rasen.notify.configuration import Configuration
from rasen.notify.message import Content, Event, Message
from rasen.notify.outbox import Outbox, Target
from rasen.notify.routing import route
from rasen.pipeline_alerts import AlertKind

_GOES_ON = frozenset(
    {AlertKind.HOLD, AlertKind.FALLBACK, AlertKind.QUARANTINE, AlertKind.SERVING, AlertKind.TRUST}
)
"""What lasts by itself and is told again while it does; of the others only a new occurrence is news."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One incident.

    Args:
        id: What people call it by.
        key: What makes two occurrences one incident.
        content: What there was to say the last time.
        targets: Who was told.
        count: How often it happened.
        opened_at: The first time, by the store's clock.
        last_at: The last time, by the store's clock.
        recovered_at: When it was over, by the store's clock; `None` while it is open.
        ended: Why it was over.
        told: How many messages there were.
        acknowledged_by: Who sees to it: it is told again only when it is over.
    """

    id: str
    key: str
    content: Content
    targets: tuple[Target, ...]
    count: int
    opened_at: datetime
    last_at: datetime
    recovered_at: datetime | None
    ended: str
    told: int
    acknowledged_by: str


@dataclass(frozen=True, kw_only=True)
class Teller:
    """What turning incidents into messages takes.

    Args:
        configuration: Who is told what.
        environment: Of the platform.
        mask: Takes secrets out of a text.
        now: Returns seconds since 1970 by this machine's clock; compared with its own earlier answers only.
    """

    configuration: Configuration
    environment: str
    mask: Callable[[str], str]
    now: Callable[[], float]


class Incidents:
    """The incidents of one file. Belongs to the thread that opened the connection."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._outbox = Outbox(database)

    def position(self, name: str) -> str | None:
        """Return where reading goes on, `None` when it has not begun."""
        row = self._database.execute("SELECT value FROM positions WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def keep(self, name: str, value: str) -> None:
        """Keep a position of its own."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (name, value))

    def last_at(self, key: str) -> datetime | None:
        """Return when an open incident happened last, by the store's clock."""
        row = self._database.execute(
            "SELECT last_at FROM incidents WHERE recovered_at IS NULL AND key = ?", (key,)
        ).fetchone()
        return None if row is None else datetime.fromisoformat(row["last_at"])

    def seen(self, folder: str) -> set[str]:
        """Return the names in a folder of the store that need not be looked at again."""
        return {
            row["name"] for row in self._database.execute("SELECT name FROM seen WHERE folder = ?", (folder,))
        }

    def open_keys(self, prefix: str) -> list[str]:
        """Return the keys of the open incidents that begin with a text."""
        rows = self._database.execute(
            "SELECT key FROM incidents WHERE recovered_at IS NULL AND substr(key, 1, ?) = ?",
            (len(prefix), prefix),
        )
        return [row["key"] for row in rows]

    def apply(self, findings: Findings, teller: Teller) -> None:
        """Keep what was found together with the messages that follow from it: all of it, or nothing.

        Raises:
            StoreError: What there is to say could not be read; nothing was kept.
        """
        with self._database:
            for change in findings.changes:
                match change:
                    case Happened():
                        self._happened(change, teller)
                    case Ended():
                        self._ended(change, teller)
            self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", findings.seen)
            self._database.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)", list(findings.positions.items())
            )

    def tell_due(self, teller: Teller) -> None:
        """Tell what goes on for longer than it is said to be left alone, and what was muted and no longer is."""
        now = teller.now()
        remind_before = now - teller.configuration.remind_seconds
        with self._database:
            self._database.execute("DELETE FROM mutes WHERE until <= ?", (now,))
            rows = self._database.execute(
                "SELECT * FROM incidents WHERE recovered_at IS NULL AND "
                "(told_at IS NULL OR (told_at <= ? AND acknowledged_by = ''))",
                (remind_before,),
            ).fetchall()
            for row in rows:
                if row["told_at"] is None:
                    self._tell(_incident(row), "opened", teller)
                elif row["count"] > row["told_count"] or row["kind"] in _GOES_ON:
                    self._tell(_incident(row), "reminder", teller)

    def list_incidents(self, *, limit: int = 50) -> list[Incident]:
        """Return the incidents, open ones first, each group newest first."""
        rows = self._database.execute(
            "SELECT * FROM incidents ORDER BY recovered_at IS NOT NULL, opened_at DESC LIMIT ?", (limit,)
        )
        return [_incident(row) for row in rows]

    def acknowledge(self, beginning: str, *, by: str) -> Incident | None:
        """Note who sees to an open incident; return it, or `None` when none, or more than one, begins like that."""
        with self._database:
            rows = self._database.execute(
                "SELECT * FROM incidents WHERE recovered_at IS NULL AND substr(id, 1, ?) = ?",
                (len(beginning), beginning),
            ).fetchall()
            if len(rows) != 1:
                return None
            self._database.execute(
                "UPDATE incidents SET acknowledged_by = ? WHERE id = ?", (by, rows[0]["id"])
            )
            return self._read(rows[0]["id"])

    def mute(self, pipeline: str, *, until: float, by: str) -> None:
        """Send nothing about a pipeline until then; what is still open then is told then."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO mutes VALUES (?, ?, ?)", (pipeline, until, by))

    def unmute(self, pipeline: str) -> None:
        """Send messages about a pipeline again."""
        with self._database:
            self._database.execute("DELETE FROM mutes WHERE pipeline = ?", (pipeline,))

    def mutes(self) -> dict[str, tuple[float, str]]:
        """Return until when which pipelines are muted, in seconds since 1970, and by whom."""
        rows = self._database.execute("SELECT * FROM mutes ORDER BY pipeline")
        return {row["pipeline"]: (row["until"], row["by"]) for row in rows}

    def _happened(self, change: Happened, teller: Teller) -> None:
        content, alerts = change.describe()
        routed = route(teller.configuration, content, alerts)
        if content.kind == AlertKind.SUCCESS and not routed.targets:
            return
        if routed.unfulfilled:
            said = {f"not told {number}": why for number, why in enumerate(routed.unfulfilled, 1)}
            content = content.model_copy(update={"facts": content.facts | said})
        if change.over:
            content = content.model_copy(update={"facts": content.facts | {"over": change.over}})
        content = content.cleaned(teller.mask)
        targets = _targets_as_json(routed.targets)
        at = change.at.isoformat()
        row = self._database.execute(
            "SELECT * FROM incidents WHERE key = ? AND recovered_at IS NULL", (change.key,)
        ).fetchone()
        if row is not None:
            self._database.execute(
                "UPDATE incidents SET count = count + 1, last_at = max(last_at, ?), mark = max(mark, ?), content = ? "
                "WHERE id = ?",
                (at, change.mark, content.model_dump_json(), row["id"]),
            )
            return
        identity = hashlib.sha256(f"{change.key}\0{at}\0{change.mark}".encode()).hexdigest()[:12]
        self._database.execute(
            "INSERT OR IGNORE INTO incidents (id, key, kind, mark, content, targets, count, opened_at, last_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
            (identity, change.key, content.kind, change.mark, content.model_dump_json(), targets, at, at),
        )
        self._tell(self._read(identity), "opened", teller)
        if change.over or not change.lasting:
            self._database.execute(
                "UPDATE incidents SET recovered_at = ?, ended = ? WHERE id = ?", (at, change.over, identity)
            )

    def _ended(self, change: Ended, teller: Teller) -> None:
        prefix = change.key.endswith("/")
        same = "substr(key, 1, ?) = ?" if prefix else "length(key) = ? AND key = ?"
        rows = self._database.execute(
            f"SELECT * FROM incidents WHERE recovered_at IS NULL AND {same}",  # noqa: S608 - one of two constants
            (len(change.key), change.key),
        ).fetchall()
        for row in rows:
            if change.mark and row["mark"] >= change.mark:
                continue
            at = change.at.isoformat()
            why = teller.mask(change.why)
            self._database.execute(
                "UPDATE incidents SET recovered_at = ?, last_at = max(last_at, ?), ended = ? WHERE id = ?",
                (at, at, why, row["id"]),
            )
            if row["told_at"] is not None:
                self._tell(self._read(row["id"]), "recovered", teller)

    def _tell(self, incident: Incident, event: Event, teller: Teller) -> None:
        """Put a message about an incident into the outbox, for everybody whom it concerns."""
        now = teller.now()
        if event != "recovered" and self._muted(incident.content.pipeline, now):
            return
        message = Message(
            id=f"{incident.id}-{event}-{incident.told + 1}",
            event=event,
            incident=incident.id,
            environment=teller.environment,
            content=incident.content,
            count=incident.count,
            opened_at=incident.opened_at,
            at=incident.last_at,
            ended=incident.ended,
        )
        for target in incident.targets:
            receiver = teller.configuration.receiver(target.receiver)
            if receiver is not None:
                self._outbox.add(message, target, most=receiver.queue)
        self._database.execute(
            "UPDATE incidents SET told = told + 1, told_at = ?, told_count = count WHERE id = ?",
            (now, incident.id),
        )

    def _muted(self, pipeline: str, now: float) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM mutes WHERE pipeline = ? AND until > ?", (pipeline, now)
        )
        return bool(pipeline) and found.fetchone() is not None

    def _read(self, identity: str) -> Incident:
        row = self._database.execute("SELECT * FROM incidents WHERE id = ?", (identity,)).fetchone()
        return _incident(row)


def _targets_as_json(targets: Sequence[Target]) -> str:
    return json.dumps([[target.receiver, list(target.recipients)] for target in targets])


def _incident(row: sqlite3.Row) -> Incident:
    return Incident(
        id=row["id"],
        key=row["key"],
        content=Content.model_validate_json(row["content"]),
        targets=tuple(
            Target(receiver=receiver, recipients=tuple(recipients))
            for receiver, recipients in json.loads(row["targets"])
        ),
        count=row["count"],
        opened_at=datetime.fromisoformat(row["opened_at"]),
        last_at=datetime.fromisoformat(row["last_at"]),
        recovered_at=None if row["recovered_at"] is None else datetime.fromisoformat(row["recovered_at"]),
        ended=row["ended"],
        told=row["told"],
        acknowledged_by=row["acknowledged_by"],
    )
