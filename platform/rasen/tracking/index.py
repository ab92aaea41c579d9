"""The index: one SQLite file over the store's records, for lists and search. Derived; delete it and nothing is lost.

One process writes it, the holder of the lock beside the file; the others read, also while it is built anew: that
happens in a file of its own, to which the name is pointed when it is complete. So each file keeps the journal that
belongs to it, and whoever still reads an old one reads it to its end.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from rasen.errors import NotFound, PlatformFailed, StoreUnavailable
from rasen.store import Store
from rasen.tracking.index_filling import fill
from rasen.tracking.index_layout import LAYOUT, LOOKUPS, TABLES, microseconds
from rasen.tracking.index_parallel import reading_together
from rasen.tracking.index_queries import RunFilter, select_runs
from rasen.tracking.index_reading import Source
from rasen.tracking.index_rows import (
    DeploymentRow,
    Problem,
    ReleaseRow,
    RunRow,
    deployment_row,
    release_row,
    run_row,
)
from rasen.tracking.signature import TrustStore

_WAIT_SECONDS = 10.0
_BUSY_SECONDS = 10.0
_Answer = TypeVar("_Answer")
_CACHE = "PRAGMA cache_size = -65536"  # 64 MB, for the moment of a rebuild


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuild found."""

    runs: int
    deployments: int
    releases: int
    problems: tuple[Problem, ...]


class Index:
    """Lists of runs, deployments and releases.

    Args:
        path: The file.
        wait_seconds: How long to wait for another process that is catching up.
        processes: How many may read the store together while the index is built anew; more than one only where this
            process has no threads.
    """

    def __init__(self, path: Path, *, wait_seconds: float = _WAIT_SECONDS, processes: int = 1) -> None:
        self.path = path
        self._wait_seconds = wait_seconds
        self._processes = processes

    def catch_up(self, store: Store, trust: TrustStore, *, environment: str) -> bool:
        """Read what is new in the store; return whether this process was the writer.

        When another process builds it anew, or catches up for long, nothing happens: the present one is read.

        Raises:
            StoreUnavailable: There is no index yet, and another process is building it.
            PlatformFailed: The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        source = Source(store=store, trust=trust, environment=environment)
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0 if self._is_being_built() and self._usable() else self._wait_seconds)
        except Timeout:
            if not self._usable():
                raise StoreUnavailable(
                    f"the index {str(self.path)!r} is being built by another process; ask again in a moment"
                ) from None
            return False
        try:
            if not self._usable() or not self._fill(source):
                self._rebuild(source)
        finally:
            lock.release()
        return True

    def rebuild(self, store: Store, trust: TrustStore, *, environment: str) -> Rebuilt:
        """Fill a new file from the whole store, and let it take the old one's place."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            return self._rebuild(Source(store=store, trust=trust, environment=environment))

    def runs(self, wanted: RunFilter = RunFilter(), *, limit: int = 50) -> list[RunRow]:  # noqa: B008 - frozen
        """Return the newest runs that are asked for, newest first.

        Raises:
            InvalidInput: There is nothing to search for in the text.
        """

        def ask(database: sqlite3.Connection) -> list[sqlite3.Row]:
            return select_runs(
                lambda text, *values: database.execute(text, values).fetchall(), wanted, limit=limit
            )

        return [run_row(row) for row in self._ask(ask)]

    def find_run(self, beginning: str) -> RunRow:
        """Return the one run whose id, or its last part, begins with `beginning`; `pipeline/` may stand before it.

        Raises:
            NotFound: There is none, or more than one.
        """
        pipeline, slash, part = beginning.rpartition("/")
        where, values = ("pipeline = ? AND ", [pipeline]) if slash else ("", [])
        rows = self._select(
            f"SELECT * FROM runs WHERE {where}run >= ? AND run < ? "  # noqa: S608 - `where` is one of two constants
            f"UNION SELECT * FROM runs WHERE {where}digest >= ? AND digest < ? LIMIT 3",
            *(*values, part, part + "~", *values, part, part + "~"),
        )
        if not rows:
            raise NotFound(f"no run begins with {beginning!r}; `rasen runs` lists them")
        if len(rows) > 1:
            same = len({row["run"] for row in rows}) == 1
            more = (
                f"write {rows[0]['pipeline']}/{part} or {rows[1]['pipeline']}/{part}"
                if same
                else "give more of the id, as `rasen runs` shows it"
            )
            raise NotFound(f"{beginning!r} fits more than one run; {more}")
        return run_row(rows[0])

    def deployments(
        self,
        endpoint: str | None = None,
        *,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        limit: int | None = 50,
    ) -> list[DeploymentRow]:
        """Return the newest ledger records, newest first; those that were decided from `since` on, before `until`.

        Within a ledger the numbers are the order; `run` and `pipeline` say whose decisions are asked for.
        """
        conditions: list[tuple[str, object]] = []
        if endpoint is not None:
            conditions.append(("endpoint = ?", endpoint))
        if action is not None:
            conditions.append(("action = ?", action))
        if since is not None:
            conditions.append(("from_at >= ?", microseconds(since)))
        if until is not None:
            conditions.append(("from_at < ?", microseconds(until)))
        if run is not None:
            conditions.append(("run = ?", run))
        if pipeline is not None:
            conditions.append(("pipeline = ?", pipeline))
        where = f" WHERE {' AND '.join(clause for clause, _ in conditions)}" if conditions else ""
        order = "number DESC" if endpoint is not None else "from_at DESC, endpoint, number DESC"
        rows = self._select(
            f"SELECT * FROM deployments{where} ORDER BY {order} LIMIT ?",  # noqa: S608 - made of constants
            *(value for _, value in conditions),
            -1 if limit is None else limit,
        )
        return [deployment_row(row) for row in rows]

    def deployment_at(self, endpoint: str, at: datetime) -> DeploymentRow | None:
        """Return the record that was in force at an instant, `None` when it was before the first."""
        rows = self._select(
            "SELECT * FROM deployments WHERE endpoint = ? AND from_at <= ? ORDER BY number DESC LIMIT 1",
            endpoint,
            microseconds(at),
        )
        return deployment_row(rows[0]) if rows else None

    def deployment(self, endpoint: str, number: int) -> DeploymentRow | None:
        """Return one record of a ledger, `None` when it cannot be read."""
        text = "SELECT * FROM deployments WHERE endpoint = ? AND number = ?"
        return next(map(deployment_row, self._select(text, endpoint, number)), None)

    def first_deployment(self, endpoint: str) -> DeploymentRow | None:
        """Return the first record of a ledger, `None` when it has none."""
        text = "SELECT * FROM deployments WHERE endpoint = ? ORDER BY number LIMIT 1"
        return next(map(deployment_row, self._select(text, endpoint)), None)

    def live_since(self, row: DeploymentRow) -> int:
        """Return the number of the record from which on the variants of `row` answer; old records do not say it."""
        if row.since:
            return row.since
        found = self._select(
            "SELECT max(number) FROM deployments WHERE endpoint = ? AND number < ? AND variants <> "
            "(SELECT variants FROM deployments WHERE endpoint = ? AND number = ?)",
            *(row.endpoint, row.number, row.endpoint, row.number),
        )[0][0]
        first = self._select("SELECT min(number) FROM deployments WHERE endpoint = ?", row.endpoint)[0][0]
        return int(first if found is None else found + 1)

    def endpoints(self) -> list[str]:
        """Return the names of all endpoints that have a ledger, sorted."""
        return [row[0] for row in self._select("SELECT DISTINCT endpoint FROM deployments ORDER BY endpoint")]

    def releases(self, pipeline: str) -> list[ReleaseRow]:
        """Return the releases of a pipeline, the latest registered first."""
        rows = self._select(
            "SELECT * FROM releases WHERE pipeline = ? ORDER BY registered_at DESC, sequence DESC, release_id",
            pipeline,
        )
        return [release_row(row) for row in rows]

    def answered_requests(self, prefix: str) -> set[tuple[str, str]]:
        """Return pipeline and id of the requests, of those whose id begins so, whose runs have ended."""
        beginning = f"request:{prefix}"
        rows = self._select(
            "SELECT pipeline, trigger_key FROM runs WHERE trigger_kind = 'request' AND verdict IS NOT NULL "
            "AND trigger_key >= ? AND trigger_key < ?",
            beginning,
            beginning + "~",
        )
        return {(row[0], row[1].removeprefix("request:")) for row in rows}

    def pipelines(self) -> list[str]:
        """Return the names of all pipelines that have a release or a run, sorted."""
        text = "SELECT pipeline FROM releases UNION SELECT DISTINCT pipeline FROM runs ORDER BY 1"
        return [row[0] for row in self._select(text)]

    def known_runs(self, pipeline: str, runs: Iterable[str]) -> set[str]:
        """Return those of some runs of a pipeline whose start was read."""
        rows = self._select(
            "SELECT run FROM runs WHERE pipeline = ? AND run IN (SELECT value FROM json_each(?))",
            pipeline,
            json.dumps(list(runs)),
        )
        return {row[0] for row in rows}

    def released_without_run(self, pipeline: str) -> list[ReleaseRow]:
        """Return the releases of a pipeline that were never run, the latest registered first."""
        rows = self._select(
            "SELECT * FROM releases WHERE pipeline = ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.pipeline = "
            "releases.pipeline AND runs.release_id = releases.release_id) ORDER BY registered_at DESC, release_id",
            pipeline,
        )
        return [release_row(row) for row in rows]

    def problems(self, prefix: str = "") -> list[Problem]:
        """Return what could not be read or believed under the keys that begin with `prefix`."""
        rows = self._select(
            "SELECT * FROM problems WHERE key >= ? AND key < ? ORDER BY key", prefix, prefix + "~"
        )
        return [Problem(key=row["key"], problem=row["problem"]) for row in rows]

    def _usable(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with self._open() as database:
                return int(database.execute("PRAGMA user_version").fetchone()[0]) == LAYOUT
        except sqlite3.DatabaseError:
            return False

    def _is_being_built(self) -> bool:
        lock = FileLock(self.path.with_suffix(".building"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def _fill(self, source: Source) -> bool:
        """Catch up; return `False` when the file turns out to be damaged."""
        try:
            with self._open() as database:
                fill(database, source)
        except sqlite3.OperationalError as error:
            raise PlatformFailed(f"the index {str(self.path)!r} cannot be written: {error}") from error
        except sqlite3.DatabaseError:
            return False
        return True

    def _rebuild(self, source: Source) -> Rebuilt:
        folder, name = self.path.parent, self.path.stem
        with FileLock(self.path.with_suffix(".building")):
            part = folder / f"{name}-{secrets.token_hex(4)}.sqlite"
            self._remove_others(keep=self._target())
            try:
                with closing(sqlite3.connect(part)) as database:
                    database.row_factory = sqlite3.Row
                    # Nobody sees this file before it is complete; a half one is thrown away.
                    database.executescript(
                        f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_CACHE}; {TABLES}"
                    )
                    fill(database, source, read=reading_together(source, self._processes))
                    database.executescript(f"{LOOKUPS} PRAGMA analysis_limit = 1000; ANALYZE;")
                    database.execute(f"PRAGMA user_version = {LAYOUT}")
                    database.commit()
                    database.execute("PRAGMA journal_mode = WAL")
                    found = _describe(database)
            except sqlite3.OperationalError as error:
                raise PlatformFailed(f"the index {str(self.path)!r} cannot be written: {error}") from error
            _sync(part)
            pointer = folder / f".{name}-{part.stem}"
            pointer.symlink_to(part.name)
            pointer.replace(self.path)
            self._remove_others(keep=part)
        return found

    def _target(self) -> Path | None:
        return self.path.resolve() if self.path.is_symlink() else None

    def _remove_others(self, *, keep: Path | None) -> None:
        """Remove the files of rebuilds that are over, or were killed."""
        for path in self.path.parent.glob(f"{self.path.stem}-*.sqlite*"):
            if keep is None or not path.name.startswith(keep.name):
                path.unlink(missing_ok=True)
        for pointer in self.path.parent.glob(f".{self.path.stem}-*"):
            pointer.unlink(missing_ok=True)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # "rw": a file that is gone is not made anew, empty.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA synchronous = NORMAL")
            yield database

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        tries = 3
        while True:
            tries -= 1
            try:
                with self._open() as database:
                    return question(database)
            except sqlite3.DatabaseError as error:
                # The name may have been looked up just before a rebuild removed the file behind it.
                if tries and isinstance(error, sqlite3.OperationalError):
                    continue
                raise PlatformFailed(
                    f"the index {str(self.path)!r} cannot be read: {error}; `rasen reindex` builds it anew"
                ) from error

    def _select(self, text: str, *values: object) -> list[sqlite3.Row]:
        return self._ask(lambda database: database.execute(text, values).fetchall())


def _describe(database: sqlite3.Connection) -> Rebuilt:
    runs, deployments, releases = (
        int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - the names follow
        for table in ("runs", "deployments", "releases")
    )
    problems = database.execute("SELECT * FROM problems ORDER BY key").fetchall()
    return Rebuilt(
        runs=runs,
        deployments=deployments,
        releases=releases,
        problems=tuple(Problem(key=row["key"], problem=row["problem"]) for row in problems),
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
