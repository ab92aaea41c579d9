"""Logged requests come from BigQuery where the log is there: the same rows as from the store, with Google's client."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from rasen.errors import NotFound, StoreUnavailable
from rasen.replay.bigquery_log import BigQueryLog
from rasen.replay.request_log import StoreLog, Wanted, refuse_nothing
from rasen.store import MemoryStore
from rasen_serving.bigquery_sink import BigQuerySink
from rasen_serving.sinks import COLUMNS
from stand.bigquery import PROJECT, BigQuery, running_bigquery
from stand.request_log import NOON, entry, log_entries

TABLE = "serving.predictions"
DAY = Wanted(first=NOON, last=NOON + timedelta(hours=1))


@pytest.fixture
def bigquery(tmp_path: Path) -> Iterator[BigQuery]:
    with running_bigquery(tmp_path) as state:
        yield state


@pytest.fixture
def client(bigquery: BigQuery) -> Client:
    return Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # google-auth is not typed
        client_options={"api_endpoint": f"http://127.0.0.1:{bigquery.port}"},
    )


def test_both_logs_give_the_same_rows(bigquery: BigQuery, client: Client) -> None:
    store = MemoryStore()
    sink = BigQuerySink(client, TABLE, columns=COLUMNS, replica="here-8080")
    rows = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 8}]
    entries = [entry(n, rows, [7.0, 8.5], model="run-1", revision=1) for n in range(8)]
    entries += [entry(9, rows, None, model="run-1", revision=1)]
    entries += [entry(10, rows, [7.0, 8.0], model="run-1", revision=1, endpoint="other")]
    for part in (entries[:5], entries[5:]):
        log_entries(store, part)
        log_entries(store, part, sink=sink)
    here, there = StoreLog(store, segment_seconds=10.0), BigQueryLog(client, TABLE)
    for wanted in (
        DAY,
        Wanted(first=DAY.first, last=DAY.last, limit=3),
        Wanted(first=DAY.first + timedelta(seconds=2), last=DAY.first + timedelta(seconds=4)),
        Wanted(first=DAY.first, last=DAY.last, request_id="request-9"),
    ):
        found = there.read("demand", wanted)
        assert found == here.read("demand", wanted)
        assert found.rows
    assert there.days("demand") == here.days("demand") == [NOON.date()]
    some = there.read("demand", Wanted(first=DAY.first, last=DAY.last, sample=0.5))
    assert some == there.read("demand", Wanted(first=DAY.first, last=DAY.last, sample=0.5))
    assert some.requests < 9


def test_nothing_there_and_nobody_there_are_told_apart(bigquery: BigQuery, client: Client) -> None:
    sink = BigQuerySink(client, TABLE, columns=COLUMNS, replica="here-8080")
    log = BigQueryLog(client, TABLE, retry_seconds=0.1)
    with pytest.raises(StoreUnavailable, match=r"has no table 'test-project.serving.predictions' yet"):
        log.read("demand", DAY)
    log_entries(MemoryStore(), [entry(1, [{"hour": 7}], [7.0], model="run-1", revision=1)], sink=sink)
    late = Wanted(first=DAY.last, last=DAY.last + timedelta(hours=1))
    assert log.read("demand", late).rows == []
    with pytest.raises(NotFound, match="there is a log of 2026-03-01"):
        raise refuse_nothing(log, "demand", late)
    bigquery.down = True
    with pytest.raises(StoreUnavailable, match="BigQuery did not answer"):
        log.read("demand", DAY)
