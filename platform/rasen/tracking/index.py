"""The index: one SQLite file over the store's records, for lists and search. Derived; delete it and nothing is lost.

One process writes it, the holder of the lock beside the file; the others read. It catches up by listing what is new in
the store, and a file of another layout is rebuilt, never migrated.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rasen.errors import NotFound, ObjectNotFound, RasenError
from rasen.store import Store
from rasen.tracking.ids import instant_of, run_id
from rasen.tracking.keys import deployment_key, end_key, manifest_key, result_key, start_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import End, Manifest, Start, StepResult, Verdict
from rasen.tracking.signature import Role, TrustStore, read_signed

_LAYOUT = 2
_STAMP_CHARACTERS = len("20260131T041000000Z")  # ids of runs begin with their instant, so they sort by it
_WAIT_SECONDS = 10.0
_TABLES = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, release_id TEXT NOT NULL, origin TEXT NOT NULL,
    deploy INTEGER NOT NULL, trigger_key TEXT NOT NULL, started_at TEXT NOT NULL, verdict TEXT, ended_at TEXT,
    step TEXT, error TEXT, metrics TEXT NOT NULL DEFAULT '{}', has_model INTEGER NOT NULL DEFAULT 0,
    resumes TEXT, begun_at TEXT NOT NULL, seconds REAL
) WITHOUT ROWID;
CREATE INDEX runs_by_pipeline ON runs (pipeline, run);
CREATE INDEX runs_open ON runs (run) WHERE verdict IS NULL;
CREATE TABLE deployments (
    endpoint TEXT NOT NULL, number INTEGER NOT NULL, action TEXT NOT NULL, run TEXT, actor TEXT NOT NULL,
    reason TEXT NOT NULL, decided_at TEXT NOT NULL, champion TEXT, PRIMARY KEY (endpoint, number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run as lists show it; `verdict` is `None` while it has no end.

    `started_at` is the instant in the run's id, which a schedule may have set. `begun_at` is when its start was
    written, and `seconds` how long after that its end was, both by the store's clock.
    """

    run: str
    pipeline: str
    release: str
    origin: str
    started_at: datetime
    begun_at: datetime
    seconds: float | None
    resumes: str | None
    verdict: Verdict | None
    ended_at: datetime | None
    step: str | None
    error: str | None
    metrics: dict[str, float]
    has_model: bool


@dataclass(frozen=True, kw_only=True)
class DeploymentRow:
    """One record of a ledger as lists show it."""

    endpoint: str
    number: int
    action: str
    run: str | None
    actor: str
    reason: str
    decided_at: datetime
    champion: str | None


class Index:
    """Lists of runs and deployments.

    Args:
        path: The file.
        wait_seconds: How long to wait for another process that is catching up.
    """

    def __init__(self, path: Path, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.path = path
        self._wait_seconds = wait_seconds

    def catch_up(self, store: Store, trust: TrustStore, *, environment: str) -> bool:
        """Read what is new in the store; return whether this process was the writer.

        When another process holds the lock for long, it is catching up with much, and nothing happens here.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path.with_suffix(".lock"), timeout=self._wait_seconds):
                if not self._usable():
                    self._rebuild(store, trust, environment)
                else:
                    with self._open(self.path) as database:
                        _fill(database, store, trust, environment)
                return True
        except Timeout:
            return False

    def rebuild(self, store: Store, trust: TrustStore, *, environment: str) -> int:
        """Fill a new file from the whole store, put it in the old one's place, and return the number of runs."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            return self._rebuild(store, trust, environment)

    def runs(
        self,
        *,
        pipeline: str | None = None,
        verdict: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """Return the newest runs, newest first; those that started from `since` on and before `until`, both aware."""
        conditions: dict[str, str | None] = {}
        if pipeline:
            conditions["pipeline IS ?"] = pipeline
        if verdict:
            conditions["verdict IS ?"] = None if verdict == "running" else verdict
        if since:
            conditions["run >= ?"] = run_id(since, "")[:_STAMP_CHARACTERS]
        if until:
            conditions["run < ?"] = run_id(until, "")[:_STAMP_CHARACTERS]
        clause = " WHERE " + " AND ".join(conditions) if conditions else ""
        rows = self._select(
            f"SELECT * FROM runs{clause} ORDER BY run DESC LIMIT ?",  # noqa: S608 - the clause is made of constants
            *conditions.values(),
            limit,
        )
        return [_run_row(row) for row in rows]

    def find_run(self, beginning: str) -> RunRow:
        """Return the one run whose id begins, or whose digest ends, with `beginning`.

        Raises:
            NotFound: There is none, or more than one.
        """
        rows = self._select(
            "SELECT * FROM runs WHERE substr(run, 1, ?) = ? OR substr(run, -12, ?) = ? LIMIT 3",
            len(beginning),
            beginning,
            len(beginning),
            beginning,
        )
        if not rows:
            raise NotFound(f"no run begins with {beginning!r}; `rasen runs` lists them")
        if len(rows) > 1:
            raise NotFound(
                f"{beginning!r} fits more than one run; give more of the id, as `rasen runs` shows it"
            )
        return _run_row(rows[0])

    def deployments(self, endpoint: str | None = None, *, limit: int = 50) -> list[DeploymentRow]:
        """Return the newest ledger records, newest first."""
        if endpoint:
            text = "SELECT * FROM deployments WHERE endpoint = ? ORDER BY number DESC LIMIT ?"
            rows = self._select(text, endpoint, limit)
        else:
            rows = self._select(
                "SELECT * FROM deployments ORDER BY decided_at DESC, number DESC LIMIT ?", limit
            )
        return [
            DeploymentRow(**{**dict(row), "decided_at": datetime.fromisoformat(row["decided_at"])})
            for row in rows
        ]

    def _usable(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with self._open(self.path) as database:
                return int(database.execute("PRAGMA user_version").fetchone()[0]) == _LAYOUT
        except sqlite3.DatabaseError:
            return False

    def _rebuild(self, store: Store, trust: TrustStore, environment: str) -> int:
        part = self.path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with self._open(part) as database:
            database.executescript(_TABLES)
            _fill(database, store, trust, environment)
            database.execute(f"PRAGMA user_version = {_LAYOUT}")
            count = int(database.execute("SELECT count(*) FROM runs").fetchone()[0])
        part.replace(self.path)
        return count

    @contextmanager
    def _open(self, path: Path) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            with database:
                yield database

    def _select(self, text: str, *values: object) -> list[sqlite3.Row]:
        if not self.path.exists():
            return []
        with self._open(self.path) as database:
            return database.execute(text, values).fetchall()


def _fill(database: sqlite3.Connection, store: Store, trust: TrustStore, environment: str) -> None:
    for pipeline in store.children("starts/"):
        newest = database.execute("SELECT max(run) FROM runs WHERE pipeline = ?", (pipeline,)).fetchone()[0]
        for stat in store.list(f"starts/{pipeline}/", after=start_key(pipeline, newest) if newest else ""):
            _add_start(database, Start.from_bytes(store.read(stat.key), source=stat.key), stat.updated_at)
    for run, pipeline in database.execute("SELECT run, pipeline FROM runs WHERE verdict IS NULL").fetchall():
        _add_end(database, store, trust, pipeline, run, environment)
    for endpoint in store.children("endpoints/"):
        prefix = f"endpoints/{endpoint}/deployments/"
        newest = database.execute(
            "SELECT max(number) FROM deployments WHERE endpoint = ?", (endpoint,)
        ).fetchone()[0]
        for stat in store.list(prefix, after=deployment_key(endpoint, newest) if newest else ""):
            payload = read_signed(store, stat.key, trust=trust, role=Role.DECIDER, environment=environment)
            _add_deployment(database, LedgerRecord.from_bytes(payload, source=stat.key))


def _add_start(database: sqlite3.Connection, start: Start, begun_at: datetime) -> None:
    database.execute(
        "INSERT OR IGNORE INTO runs (run, pipeline, release_id, origin, deploy, trigger_key, started_at, resumes, "
        "begun_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            start.run,
            start.pipeline,
            start.release,
            start.origin,
            start.deploy,
            start.trigger,
            instant_of(start.run).isoformat(),
            start.resumes,
            begun_at.isoformat(),
        ),
    )


def _add_end(
    database: sqlite3.Connection, store: Store, trust: TrustStore, pipeline: str, run: str, environment: str
) -> None:
    metrics: dict[str, float] = {}
    has_model = False
    step: str | None = None
    error: str | None = None
    written = store.stat(manifest_key(pipeline, run))
    if written is not None:
        try:
            manifest = read_manifest(store, trust, pipeline, run, environment=environment).manifest
        except RasenError as refused:
            verdict, ended_at, error = Verdict.FAILED, instant_of(run), f"its manifest is refused: {refused}"
        else:
            verdict, ended_at, has_model = (
                Verdict.SUCCEEDED,
                manifest.published_at,
                manifest.model is not None,
            )
            metrics = _metrics(store, manifest)
    else:
        key = end_key(pipeline, run)
        try:
            end = End.from_bytes(store.read(key), source=key)
        except ObjectNotFound:
            return
        verdict, ended_at, step, error = end.verdict, end.ended_at, end.step, end.error
        written = store.stat(key)
    begun = database.execute("SELECT begun_at FROM runs WHERE run = ?", (run,)).fetchone()[0]
    seconds = (written.updated_at - datetime.fromisoformat(begun)).total_seconds() if written else None
    database.execute(
        "UPDATE runs SET verdict = ?, ended_at = ?, step = ?, error = ?, metrics = ?, has_model = ?, seconds = ? "
        "WHERE run = ?",
        (verdict.value, ended_at.isoformat(), step, error, json.dumps(metrics), has_model, seconds, run),
    )


def _metrics(store: Store, manifest: Manifest) -> dict[str, float]:
    """Return the metrics of all rows, those recomputed by the qualification last, because they count."""
    metrics: dict[str, float] = {}
    for step, published in manifest.steps.items():
        key = result_key(manifest.pipeline, published.reused_from or manifest.run, step, published.attempt)
        try:
            result = StepResult.from_bytes(store.read(key), source=key)
        except RasenError:
            continue  # removed or damaged: the list goes on without its numbers
        metrics |= {metric.name: metric.value for metric in result.metrics if not metric.slice}
    return metrics


def _add_deployment(database: sqlite3.Connection, record: LedgerRecord) -> None:
    champion = next((variant.run for variant in record.state.variants if variant.role == "champion"), None)
    database.execute(
        "INSERT OR IGNORE INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.endpoint,
            record.number,
            record.action,
            record.run,
            record.actor,
            record.reason,
            record.decided_at.isoformat(),
            champion,
        ),
    )


def _run_row(row: Any) -> RunRow:  # Any: sqlite3.Row has no types
    return RunRow(
        run=row["run"],
        pipeline=row["pipeline"],
        release=row["release_id"],
        origin=row["origin"],
        started_at=datetime.fromisoformat(row["started_at"]),
        begun_at=datetime.fromisoformat(row["begun_at"]),
        seconds=row["seconds"],
        resumes=row["resumes"],
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        ended_at=datetime.fromisoformat(row["ended_at"]) if row["ended_at"] else None,
        step=row["step"],
        error=row["error"],
        metrics=json.loads(row["metrics"]),
        has_model=bool(row["has_model"]),
    )
