"""The prediction log, read back: the requests that somebody has asked an endpoint within some time.

The log is not signed, so nothing in it is believed but what it says of itself: which version answered is looked up in
the ledger, whose records are. Only the days and columns that are needed are read.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rasen.errors import NotFound, PlatformFailed
from rasen.settings import Settings
from rasen.store import Store

_OBJECT = re.compile(r"-([0-9a-f]{13,14})[0-9a-f]{8}(?:-\d+)?\.parquet$")
"""Ends in the segment's id: when it was begun, in microseconds, and eight random digits."""

_SEGMENT_MARGIN = timedelta(hours=1)
"""Rows lie so close to when their segment was begun, whatever `RASEN_PREDICTION_LOG_SECONDS` says beyond."""

FIELDS = (
    *("request_id", "row", "at", "revision", "model", "engine", "batch_rows", "variant"),
    *("reason", "source", "status", "replica", "inputs", "outputs"),
)


class LoggedRow(NamedTuple):
    """A row of the log; `at` in microseconds since 1970, `inputs` and `outputs` JSON."""

    request_id: str
    row: int
    at: int
    revision: int
    model: str
    engine: str
    batch_rows: int
    variant: str
    reason: str
    source: str
    status: int
    replica: str
    inputs: str
    outputs: str | None

    @property
    def request(self) -> tuple[str, int, str, str]:
        """What the rows of one request have in common; a caller may send the same request id twice."""
        return self.request_id, self.at, self.replica, self.variant

    @property
    def time(self) -> datetime:
        """When the request had arrived."""
        return datetime.fromtimestamp(self.at / 1e6, tz=UTC)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which requests: of a window, newest first up to `limit`, a share of them, or the one with an id.

    Args:
        first: From then on, aware.
        last: Before then, aware.
        request_id: Only this one.
        limit: Most requests.
        sample: A share of them between 0 and 1; the same requests each time.
    """

    first: datetime
    last: datetime
    request_id: str = ""
    limit: int = 10_000
    sample: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Rows in the order in which they were asked, and how many requests there are altogether."""

    rows: list[LoggedRow]
    requests: int


class RequestLog(Protocol):
    """Where the log is."""

    def read(self, endpoint: str, wanted: Wanted) -> Found:
        """Return the rows.

        Raises:
            StoreUnavailable: It cannot be asked now.
        """

    def days(self, endpoint: str) -> list[date]:
        """Return the days of which there is anything, in order.

        Raises:
            StoreUnavailable: It cannot be asked now.
        """


class StoreLog:
    """Parquet objects of the store."""

    def __init__(self, store: Store, *, segment_seconds: float) -> None:
        """Read from `store` what was gathered for `segment_seconds` each."""
        self._store = store
        self._margin = _SEGMENT_MARGIN + timedelta(seconds=segment_seconds)

    def days(self, endpoint: str) -> list[date]:
        """Return the days of which there is anything, in order."""
        found = []
        for name in self._store.children(f"predictions/{endpoint}/"):
            try:
                found.append(date.fromisoformat(name.partition("=")[2]))
            except ValueError:
                continue  # nothing of ours
        return sorted(found)

    def read(self, endpoint: str, wanted: Wanted) -> Found:
        """Return the rows.

        Raises:
            PlatformFailed: An object of the log is damaged.
        """
        first, last = wanted.first.astimezone(UTC).date(), wanted.last.astimezone(UTC).date()
        keys = [
            stat.key
            for day in self.days(endpoint)
            if first <= day <= last
            for stat in self._store.list(f"predictions/{endpoint}/date={day.isoformat()}/")
            if self._may_hold(stat.key, wanted)
        ]
        if not keys:
            return Found(rows=[], requests=0)
        with tempfile.TemporaryDirectory(prefix="rasen-replay-log-") as folder:
            paths: dict[str, str] = {}
            for number, key in enumerate(keys):
                path = Path(folder) / f"{number}.parquet"
                path.write_bytes(self._store.read(key))
                paths[str(path)] = key
            return _select(paths, wanted)

    def _may_hold(self, key: str, wanted: Wanted) -> bool:
        match = _OBJECT.search(key)
        if match is None:
            return key.endswith(".parquet")
        begun = datetime.fromtimestamp(int(match[1], 16) / 1e6, tz=UTC)
        return wanted.first - self._margin <= begun <= wanted.last + self._margin


SELECTED = """
WITH chosen AS (
  SELECT {fields} FROM {source}
  WHERE {conditions}
), picked AS (
  SELECT "request_id", "at", "replica", "variant", COUNT(*) OVER () AS "total"
  FROM (SELECT DISTINCT "request_id", "at", "replica", "variant" FROM chosen) AS single
  ORDER BY "at" DESC, "request_id", "replica", "variant" LIMIT {limit}
)
SELECT {result}, "total"
FROM chosen JOIN picked USING ("request_id", "at", "replica", "variant")
ORDER BY "at", "request_id", "replica", "variant", "row"
"""
"""The one query, in DuckDB's words; BigQuery differs in its quotation marks."""


def _select(paths: Mapping[str, str], wanted: Wanted) -> Found:
    """Return the rows in some files; the keys that they were read under are for messages."""
    import duckdb

    conditions = ['"at" >= make_timestamptz($first)', '"at" < make_timestamptz($last)']
    parameters: dict[str, Any] = {  # Any: what DuckDB takes
        "files": list(paths),
        "first": _micros(wanted.first),
        "last": _micros(wanted.last),
    }
    if wanted.request_id:
        conditions.append("request_id = $request")
        parameters["request"] = wanted.request_id
    if wanted.sample < 1.0:
        conditions.append("md5_number_lower(request_id) < $sample * 18446744073709551616.0")
        parameters["sample"] = wanted.sample
    query = SELECTED.format(
        fields=", ".join(f'"{name}"' for name in FIELDS),
        source="read_parquet($files, union_by_name = true)",
        conditions=" AND ".join(conditions),
        limit=wanted.limit,
        result=", ".join('epoch_us("at")' if name == "at" else f'"{name}"' for name in FIELDS),
    )
    try:
        with duckdb.connect(config={"threads": 2}) as connection:
            rows = connection.execute(query, parameters).fetchall()
    except duckdb.Error as error:
        told = str(error).partition("\n\nLINE")[0]
        for path, key in paths.items():
            told = told.replace(path, key)
        raise PlatformFailed(f"the prediction log cannot be read: {told[:300]}") from error
    return as_found(rows)


def as_found(rows: Sequence[tuple[Any, ...]]) -> Found:  # Any: what a database gave
    """Return what the query gave, its last column being how many requests there are."""
    return Found(rows=[LoggedRow(*row[:-1]) for row in rows], requests=rows[0][-1] if rows else 0)


def open_log(settings: Settings, store: Store) -> RequestLog:
    """Return the log that the settings name.

    Raises:
        PlatformFailed: The client library of where it is is not installed.
        StoreUnavailable: There are no credentials for it.
    """
    kind, _, table = settings.prediction_log.partition(":")
    if kind == "bigquery":
        from rasen.replay.bigquery_log import open_bigquery_log

        return open_bigquery_log(table)
    return StoreLog(store, segment_seconds=settings.prediction_log_seconds)


def refuse_nothing(log: RequestLog, endpoint: str, wanted: Wanted) -> NotFound:
    """Return the error of a window without a request, with what there is instead."""
    days = log.days(endpoint)
    what = f"request {wanted.request_id!r} of" if wanted.request_id else "no request of"
    window = f"between {wanted.first.astimezone():%Y-%m-%d %H:%M:%S} and {wanted.last.astimezone():%Y-%m-%d %H:%M:%S}"
    if not days:
        return NotFound(
            f"the prediction log holds nothing of endpoint {endpoint!r}; an answer is there some seconds after it was "
            "given, unless deploy.log.sample leaves it out"
        )
    there = (
        f"there are logs of {len(days)} days from {days[0]} to {days[-1]}"
        if len(days) > 1
        else f"there is a log of {days[0]}"
    )
    missing = "is not in the prediction log" if wanted.request_id else "is in the prediction log"
    return NotFound(f"{what} endpoint {endpoint!r} {missing} {window}; {there} (UTC)")


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1e6)
