"""The notifier's file: where reading goes on, what incidents there are, and what has yet to be delivered.

One transaction keeps what was seen together with the messages that follow from it, so a kill at any line loses no
message. The file holds no secret; it is 0600 because messages quote errors of notebooks.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from rasen.errors import PlatformFailed

_BUSY_SECONDS = 10.0
_LAYOUT = 1
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS positions (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS seen (folder TEXT, name TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS incidents (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, mark TEXT NOT NULL, content TEXT NOT NULL,
        targets TEXT NOT NULL, count INTEGER NOT NULL, opened_at TEXT NOT NULL, last_at TEXT NOT NULL,
        recovered_at TEXT, ended TEXT NOT NULL DEFAULT '', told INTEGER NOT NULL DEFAULT 0, told_at REAL,
        told_count INTEGER NOT NULL DEFAULT 0, acknowledged_by TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS open_incidents ON incidents (key) WHERE recovered_at IS NULL;
    CREATE INDEX IF NOT EXISTS newest_incidents ON incidents (opened_at);
    CREATE TABLE IF NOT EXISTS outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, receiver TEXT NOT NULL, recipients TEXT NOT NULL,
        message TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0,
        problem TEXT NOT NULL DEFAULT '', set_aside INTEGER NOT NULL DEFAULT 0, UNIQUE (id, receiver)
    );
    CREATE INDEX IF NOT EXISTS waiting ON outbox (receiver, number) WHERE NOT set_aside;
    CREATE TABLE IF NOT EXISTS dropped (receiver TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS mutes (pipeline TEXT PRIMARY KEY, until REAL NOT NULL, by TEXT NOT NULL) WITHOUT ROWID;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, making it when there is none; one connection a thread.

    Raises:
        PlatformFailed: It cannot be opened. A damaged file is put aside, and a new one begun.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path)
    except sqlite3.OperationalError as error:
        raise PlatformFailed(f"{str(path)!r} cannot be opened: {error}") from error
    except sqlite3.DatabaseError:
        # What it said is lost for us, not for people: the messages in it may be looked for.
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(path.with_name(path.name + ".damaged" + suffix))
        return _open(path)


def look_into_database(path: Path) -> sqlite3.Connection:
    """Open the file for somebody who only looks: where there is none, none is made, and there is nothing in it.

    Raises:
        PlatformFailed: It cannot be opened.
    """
    if path.exists():
        return open_database(path)
    empty = sqlite3.connect(":memory:")
    empty.row_factory = sqlite3.Row
    empty.executescript(_SCHEMA)
    return empty


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        layout = int(database.execute("PRAGMA user_version").fetchone()[0])
        if layout not in (0, _LAYOUT):
            raise PlatformFailed(
                f"{str(path)!r} has layout {layout}; this version of Rasen reads {_LAYOUT}: move it away to begin anew"
            )
        database.executescript(_SCHEMA)
        if layout == 0:
            (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            database.execute(f"PRAGMA user_version = {_LAYOUT}")
    except BaseException:
        database.close()
        raise
    return database
