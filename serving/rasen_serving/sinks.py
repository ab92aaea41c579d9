"""Where the prediction log goes: Parquet objects in the store, or rows of a BigQuery table (`bigquery_sink.py`)."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Protocol

from rasen.errors import PreconditionFailed, RasenError
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from rasen.tracking.keys import prediction_key
from rasen_serving.replica import replica_name

logger = logging.getLogger(__name__)

COLUMNS = {
    "request_id": "VARCHAR",
    "row": "INTEGER",
    "at": "TIMESTAMPTZ",
    "key_id": "VARCHAR",
    "address": "VARCHAR",
    "endpoint": "VARCHAR",
    "revision": "INTEGER",
    "model": "VARCHAR",
    "engine": "VARCHAR",
    "batch_rows": "INTEGER",
    "variant": "VARCHAR",
    "reason": "VARCHAR",
    "source": "VARCHAR",
    "status": "INTEGER",
    "latency_us": "BIGINT",
    "data_version": "VARCHAR",
    "traceparent": "VARCHAR",
    "replica": "VARCHAR",
    "inputs": "VARCHAR",
    "outputs": "VARCHAR",
}
"""Columns of the log; `inputs` and `outputs` are the row's JSON, because endpoints differ in their schemas."""


class SegmentRejected(RasenError):
    """The sink is up and will never take these rows."""


class Sink(Protocol):
    """Takes the Parquet of one segment. `partitioned`: one file an endpoint and day, else one for everything."""

    partitioned: bool

    def take(self, segment: str, files: list[Path]) -> None:
        """Take the files of a segment, all of its rows or none twice, however often it is called.

        Raises:
            SegmentRejected: The rows are wrong; trying again is in vain.
            StoreError: The sink is down; trying again later is right.
        """


class StoreSink:
    """Objects of the store, named after the segment and create-only, so that a repetition doubles nothing."""

    partitioned = True

    def __init__(self, store: Store, *, replica: str) -> None:
        self._store = store
        self._replica = replica

    def take(self, segment: str, files: list[Path]) -> None:
        """Upload each file under the endpoint and day that its folders name."""
        taken: Counter[Path] = Counter()
        for path in sorted(files):
            endpoint, day = (part.partition("=")[2] for part in path.parts[-3:-1])
            # A second file of one endpoint and day, which DuckDB makes of very many endpoints, is an object of its own.
            number = taken[path.parent]
            taken[path.parent] += 1
            name = f"{segment}-{number}" if number else segment
            key = prediction_key(endpoint, date.fromisoformat(day), self._replica, name)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            try:
                self._store.upload(path, key, sha256=digest)
            except PreconditionFailed:
                logger.info("%s had been uploaded before", key)


def open_sink(settings: Settings) -> Sink:
    """Return the sink that the settings name.

    Raises:
        PlatformFailed: Its client library is not installed.
    """
    kind, _, table = settings.prediction_log.partition(":")
    if kind == "bigquery":
        from rasen_serving.bigquery_sink import BigQuerySink, make_client

        project = table.partition(".")[0] if table.count(".") == 2 else None
        return BigQuerySink(make_client(project), table, columns=COLUMNS, replica=replica_name(settings))
    return StoreSink(open_store(settings, patient=False), replica=replica_name(settings))
