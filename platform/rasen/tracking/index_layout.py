"""The tables of the index. Another layout is another number: such a file is built anew, never migrated.

Runs are ordered by `id`, which begins with the instant of the run's id, so "the newest twenty" is the end of the table
whatever else is asked. One id of a run may be that of two pipelines: the same schedule gives the same trigger.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zlib import crc32

from rasen.tracking.ids import instant_of

LAYOUT = 3

TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, digest TEXT NOT NULL, pipeline TEXT NOT NULL, release_id TEXT NOT NULL,
    origin TEXT NOT NULL, deploy INTEGER NOT NULL, trigger_key TEXT NOT NULL, trigger_kind TEXT NOT NULL,
    begun_at TEXT NOT NULL, resumes TEXT, qualifies TEXT, verdict TEXT, ended_at TEXT, step TEXT, error TEXT,
    metrics TEXT NOT NULL DEFAULT '{}', has_model INTEGER NOT NULL DEFAULT 0, seconds REAL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_by_name ON runs (pipeline, run);
CREATE TABLE metrics (
    name TEXT NOT NULL, id INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE texts USING fts5 (
    body, content = '', columnsize = 0, detail = none,
    tokenize = "unicode61 remove_diacritics 2 tokenchars '-_.:/=@+'"
);
CREATE TABLE words (word TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE deployments (
    endpoint TEXT NOT NULL, number INTEGER NOT NULL, action TEXT NOT NULL, run TEXT, pipeline TEXT,
    actor TEXT NOT NULL, reason TEXT NOT NULL, decided_at TEXT NOT NULL, from_at INTEGER NOT NULL, champion TEXT,
    variants TEXT NOT NULL, since INTEGER NOT NULL, previous INTEGER NOT NULL, event TEXT NOT NULL, held TEXT,
    frozen TEXT, PRIMARY KEY (endpoint, number)
) WITHOUT ROWID;
CREATE TABLE releases (
    pipeline TEXT NOT NULL, release_id TEXT NOT NULL, origin TEXT NOT NULL, commit_sha TEXT, sequence INTEGER NOT NULL,
    author TEXT, message TEXT, committed_at TEXT, registered_at TEXT NOT NULL, endpoint TEXT NOT NULL,
    PRIMARY KEY (pipeline, release_id)
) WITHOUT ROWID;
CREATE TABLE problems (key TEXT PRIMARY KEY, problem TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stamps (folder TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
"""

# Made after a rebuild has filled the tables, in a fraction of the time that keeping them up to date would take.
LOOKUPS = """
CREATE INDEX runs_by_run ON runs (run);
CREATE INDEX runs_by_digest ON runs (digest);
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);
CREATE INDEX runs_by_pipeline_and_verdict ON runs (pipeline, verdict, id);
CREATE INDEX runs_by_pipeline_and_release ON runs (pipeline, release_id, id);
CREATE INDEX runs_by_verdict ON runs (verdict, id);
CREATE INDEX runs_by_origin ON runs (origin, verdict, id);
CREATE INDEX runs_by_trigger ON runs (trigger_kind, verdict, id);
CREATE INDEX runs_open ON runs (pipeline, run) WHERE verdict IS NULL;
CREATE INDEX metrics_by_value ON metrics (name, value);
CREATE INDEX deployments_by_time ON deployments (from_at, endpoint, number);
CREATE INDEX deployments_by_run ON deployments (run);
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_A_MILLISECOND = 1 << 15  # ids of one millisecond; 2 ** 63 of them last beyond the year 9999


def first_id(at: datetime) -> int:
    """Return the least id of a run whose instant is `at`, aware, or later."""
    return (at - _EPOCH) // timedelta(milliseconds=1) * _A_MILLISECOND


def wanted_id(pipeline: str, run: str) -> int:
    """Return the id of a run; when another one has it, the next free one will do."""
    return first_id(instant_of(run)) + crc32(f"{pipeline}/{run}".encode()) % _A_MILLISECOND


def microseconds(at: datetime) -> int:
    """Return an instant, aware, as a number that compares."""
    return (at - _EPOCH) // timedelta(microseconds=1)
