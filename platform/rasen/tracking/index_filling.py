"""Filling the index: what of the store it does not have yet.

Names are compared, not ends of lists: a run may be started today under the id of last week (a resumed run, a scheduler
that catches up), and whoever asks only for what comes after the newest never sees it. Stamps of the folders, taken
before they are listed, make that cheap where nothing has changed.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from rasen.store.folder_stamps import folder_stamp
from rasen.tracking.index_layout import microseconds, wanted_id
from rasen.tracking.index_reading import (
    FoundEnd,
    FoundRelease,
    FoundRun,
    Source,
    join_words,
    read_deployment,
    read_end,
    read_release_summary,
    read_runs,
)
from rasen.tracking.index_rows import Problem
from rasen.tracking.ledger_records import LedgerRecord

_TRANSACTION_RUNS = 1000
_LISTED_OPEN_RUNS = (
    50  # more open runs of a pipeline than this are looked for in one list each of ends and manifests
)

ReadRuns = Callable[[str, list[str]], Iterable[list[FoundRun | Problem]]]
"""From a pipeline and names in its folder of starts to what lies there, in pieces and in that order."""


def fill(database: sqlite3.Connection, source: Source, *, read: ReadRuns | None = None) -> None:
    """Bring the database up to what the store has; a kill in between loses nothing."""
    store = source.store
    stamps: dict[str, str | None] = {}
    pipelines = store.children("starts/")
    for pipeline in pipelines:
        for folder in _folders(pipeline):
            # Before anything is listed: what comes later must look new to the next call.
            stamps[folder] = folder_stamp(store, folder)
    known = dict(database.execute("SELECT folder, stamp FROM stamps"))

    def is_unchanged(folder: str) -> bool:
        return stamps[folder] is not None and known.get(folder) == stamps[folder]

    for pipeline in pipelines:
        starts, ends, manifests = _folders(pipeline)
        if not is_unchanged(starts):
            _add_runs(database, source, pipeline, read or reader(source))
        if not (is_unchanged(ends) and is_unchanged(manifests)):
            _end_runs(database, source, pipeline)
        _remember(database, {folder: stamps[folder] for folder in (starts, ends, manifests)})
    _add_releases(database, source)
    for endpoint in store.children("endpoints/"):
        if not endpoint.endswith(".json"):
            _add_deployments(database, source, endpoint)
    database.commit()


def reader(source: Source) -> ReadRuns:
    """Return a function that reads runs in this process."""

    def read(pipeline: str, names: list[str]) -> Iterator[list[FoundRun | Problem]]:
        for first in range(0, len(names), _TRANSACTION_RUNS):
            yield read_runs(source, pipeline, names[first : first + _TRANSACTION_RUNS])

    return read


def _folders(pipeline: str) -> tuple[str, str, str]:
    return f"starts/{pipeline}/", f"ends/{pipeline}/", f"manifests/{pipeline}/"


def _remember(database: sqlite3.Connection, stamps: dict[str, str | None]) -> None:
    for folder, stamp in stamps.items():
        if stamp is None:
            database.execute("DELETE FROM stamps WHERE folder = ?", (folder,))
        else:
            database.execute("INSERT OR REPLACE INTO stamps VALUES (?, ?)", (folder, stamp))
    database.commit()


def _add_runs(database: sqlite3.Connection, source: Source, pipeline: str, read: ReadRuns) -> None:
    for found in read(pipeline, _unknown_names(database, source, pipeline)):
        for one in found:
            match one:
                case FoundRun():
                    _add_run(database, one)
                case Problem():
                    _add_problem(database, one)
        database.commit()


def _unknown_names(database: sqlite3.Connection, source: Source, pipeline: str) -> list[str]:
    """Return the names in a pipeline's folder of starts that were not read yet, oldest first."""
    names = source.store.children(f"starts/{pipeline}/")
    prefix = f"starts/{pipeline}/"
    bad = {
        key.removeprefix(prefix)
        for (key,) in database.execute("SELECT key FROM problems WHERE key GLOB ?", (f"{prefix}*",))
    }
    count, newest = database.execute(
        "SELECT count(*), max(run) FROM runs WHERE pipeline = ?", (pipeline,)
    ).fetchone()
    later = names[bisect_right(names, f"{newest}.json") :] if newest else names
    # Starts are never removed: if the numbers fit, what is known is exactly what is not later.
    if count + len(bad.difference(later)) + len(later) != len(names):
        known = {
            f"{run}.json"
            for (run,) in database.execute("SELECT run FROM runs WHERE pipeline = ?", (pipeline,))
        }
        later = [name for name in names if name not in known]
    return [name for name in later if name not in bad]


def _add_run(database: sqlite3.Connection, found: FoundRun) -> None:
    identifier = wanted_id(found.pipeline, found.run)
    columns = found.columns
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    insert = f"INSERT INTO runs (id, {names}) VALUES (?, {places}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
    while not database.execute(insert, (identifier, *columns.values())).rowcount:
        if database.execute(
            "SELECT 1 FROM runs WHERE pipeline = ? AND run = ?", (found.pipeline, found.run)
        ).fetchone():
            return
        identifier += 1
    body = str(columns["body"])
    database.execute("INSERT INTO texts (rowid, body) VALUES (?, ?)", (identifier, body))
    _add_words(database, body, digest=columns["digest"])
    _add_end_parts(database, identifier, found)


def _end_runs(database: sqlite3.Connection, source: Source, pipeline: str) -> None:
    """Add the ends of the runs that have none yet."""
    opened = database.execute(
        "SELECT run FROM runs WHERE pipeline = ? AND verdict IS NULL", (pipeline,)
    ).fetchall()
    runs = [run for (run,) in opened]
    if len(runs) > _LISTED_OPEN_RUNS:
        _, ends, manifests = _folders(pipeline)
        ended = {*source.store.children(ends), *source.store.children(manifests)}
        runs = [run for run in runs if f"{run}.json" in ended]
    for number, run in enumerate(runs, start=1):
        _add_end(database, source, pipeline, run)
        if number % _TRANSACTION_RUNS == 0:
            database.commit()


def _add_end(database: sqlite3.Connection, source: Source, pipeline: str, run: str) -> None:
    identifier, before, begun_at = database.execute(
        "SELECT id, body, begun_at FROM runs WHERE pipeline = ? AND run = ?", (pipeline, run)
    ).fetchone()
    end = read_end(source, pipeline, run, begun_at=datetime.fromisoformat(begun_at))
    if end is None:
        return
    body = join_words(before, end.body)
    columns = {**end.columns, "body": body}
    changes = ", ".join(f"{name} = ?" for name in columns)
    database.execute(
        f"UPDATE runs SET {changes} WHERE id = ?",  # noqa: S608 - the names stand in `index_reading`
        (*columns.values(), identifier),
    )
    if body != before:
        # A table without content of its own must be told what it holds: https://sqlite.org/fts5.html#contentless_tables
        database.execute(
            "INSERT INTO texts (texts, rowid, body) VALUES ('delete', ?, ?)", (identifier, before)
        )
        database.execute("INSERT INTO texts (rowid, body) VALUES (?, ?)", (identifier, body))
        _add_words(database, end.body)
    _add_end_parts(database, identifier, end)


def _add_end_parts(database: sqlite3.Connection, identifier: int, end: FoundEnd | FoundRun) -> None:
    database.executemany(
        "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)",
        [(name, identifier, value) for name, value in end.metrics.items()],
    )
    for problem in end.problems:
        _add_problem(database, problem)


def _add_words(database: sqlite3.Connection, body: str, *, digest: object = None) -> None:
    """Remember the words, by which beginnings are completed; digests stand in `runs` already."""
    words = [(word,) for word in body.split() if word != digest]
    database.executemany("INSERT OR IGNORE INTO words VALUES (?)", words)


def _add_problem(database: sqlite3.Connection, problem: Problem) -> None:
    database.execute("INSERT OR REPLACE INTO problems VALUES (?, ?)", (problem.key, problem.problem))


def _add_releases(database: sqlite3.Connection, source: Source) -> None:
    known = {
        (pipeline, release)
        for pipeline, release in database.execute("SELECT pipeline, release_id FROM releases")
    }
    bad = {key for (key,) in database.execute("SELECT key FROM problems WHERE key GLOB 'releases/*'")}
    for pipeline in source.store.children("releases/"):
        for release in source.store.children(f"releases/{pipeline}/"):
            if (pipeline, release) in known or f"releases/{pipeline}/{release}/release.json" in bad:
                continue
            match read_release_summary(source, pipeline, release):
                case FoundRelease() as found:
                    _add_release(database, found)
                case Problem() as problem:
                    _add_problem(database, problem)
                case None:
                    pass  # `current.json`, or a registration that is not over


def _add_release(database: sqlite3.Connection, found: FoundRelease) -> None:
    summary = found.summary
    database.execute(
        "INSERT OR IGNORE INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            summary.pipeline,
            summary.release,
            summary.origin,
            summary.commit,
            summary.sequence,
            summary.author,
            summary.message,
            summary.committed_at.isoformat() if summary.committed_at else None,
            found.registered_at.isoformat(),
            summary.spec.endpoint,
        ),
    )


def _add_deployments(database: sqlite3.Connection, source: Source, endpoint: str) -> None:
    """Add the records after the newest known one. Numbers have no gap, so the first that is absent ends the ledger."""
    newest, from_at = database.execute(
        "SELECT max(number), max(from_at) FROM deployments WHERE endpoint = ?", (endpoint,)
    ).fetchone()
    prefix = f"endpoints/{endpoint}/deployments/"
    worst = database.execute("SELECT max(key) FROM problems WHERE key GLOB ?", (f"{prefix}*",)).fetchone()[0]
    number = max(newest or 0, int(worst.removeprefix(prefix).removesuffix(".json")) if worst else 0)
    while (found := read_deployment(source, endpoint, number + 1)) is not None:
        number += 1
        match found:
            case LedgerRecord():
                # Numbers are the order. A ledger of several machines may have times that go back; this one never does.
                from_at = max(from_at or 0, microseconds(found.decided_at))
                _add_deployment(database, found, from_at)
            case Problem():
                _add_problem(database, found)
        if number % _TRANSACTION_RUNS == 0:
            database.commit()


def _add_deployment(database: sqlite3.Connection, record: LedgerRecord, from_at: int) -> None:
    state = record.state
    champion = next((variant.run for variant in state.variants if variant.role == "champion"), None)
    variants = [
        {"run": one.run, "pipeline": one.pipeline, "role": one.role, "weight": one.weight}
        for one in state.variants
    ]
    database.execute(
        "INSERT OR IGNORE INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.endpoint,
            record.number,
            record.action,
            record.run,
            _pipeline_of(record),
            record.actor,
            record.reason,
            record.decided_at.isoformat(),
            from_at,
            champion,
            json.dumps(variants),
            state.since,
            record.previous,
            record.event,
            state.held.run if state.held else None,
            state.frozen.by if state.frozen else None,
        ),
    )


def _pipeline_of(record: LedgerRecord) -> str | None:
    """Return whose run a record is about; older records name the run alone."""
    state, run = record.state, record.run
    if record.pipeline is not None or run is None:
        return record.pipeline or state.pipeline
    for variant in state.variants:
        if variant.run == run:
            return variant.pipeline
    if state.held is not None and state.held.run == run:
        return state.held.pipeline
    for pipeline, newest in state.claims.items():
        if newest == run:
            return pipeline
    for name in state.unverified:
        if name.endswith(f"/{run}"):
            return name.partition("/")[0]
    return state.pipeline
