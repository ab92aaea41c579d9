"""The prediction log in BigQuery, with Google's own client: nothing twice, nothing lost, bad rows aside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from rasen.errors import InvalidInput, StoreUnavailable
from rasen.settings import load_settings
from rasen_serving import bigquery_sink
from rasen_serving.bigquery_sink import BigQuerySink
from rasen_serving.segments import (
    CLOSED_SUFFIX,
    REJECTED_SUFFIX,
    About,
    Tick,
    close_segment,
    encode_tick,
    new_segment,
    write_frame,
)
from rasen_serving.shipping import Report, ship
from rasen_serving.sinks import COLUMNS
from stand.bigquery import PROJECT, BigQuery, running_bigquery

TABLE = "serving.predictions"


@pytest.fixture
def bigquery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuery]:
    monkeypatch.setattr(bigquery_sink, "_RETRIES_SECONDS", 0.1)
    folder = tmp_path / "bigquery"
    folder.mkdir()
    with running_bigquery(folder) as state:
        yield state


@pytest.fixture
def sink(bigquery: BigQuery) -> BigQuerySink:
    client = Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # google-auth is not typed
        client_options={"api_endpoint": f"http://127.0.0.1:{bigquery.port}"},
    )
    return BigQuerySink(client, TABLE, columns=COLUMNS, replica="here-8080")


def spool(folder: Path, *requests: str) -> None:
    """Leave a closed segment with a row for each request."""
    folder.mkdir(exist_ok=True)
    path = new_segment(folder)
    count = len(requests)
    about = About(
        endpoint="demand",
        revision=3,
        model="run-1",
        engine="folded",
        variant="champion",
        reason="only",
        source="model",
        status=200,
    )
    tick = Tick(
        abouts=[about],
        about=[0] * count,
        request_id=list(requests),
        at=[1_795_264_200.25] * count,
        latency_us=[900] * count,
        rows=[1] * count,
        batch_rows=[count] * count,
        key_id=[""] * count,
        address=[""] * count,
        traceparent=[""] * count,
        inputs=[b'{"rows":[{"hour":7}]}'] * count,
        outputs=[b'{"predictions":[31.2]}'] * count,
    )
    with path.open("wb") as file:
        write_frame(file.fileno(), encode_tick(tick))
    close_segment(path, count)


def send(folder: Path, sink: BigQuerySink) -> tuple[list[str], bool]:
    """Ship the folder; return the outcomes, and whether it stopped."""
    said: list[Report] = []
    failure = ship(folder, sink, replica="here-8080", say=said.append)
    assert failure is None or isinstance(failure, StoreUnavailable)
    return [one.outcome for one in said], failure is not None


def loaded(bigquery: BigQuery) -> list[str]:
    return [row["request_id"] for row in bigquery.rows.get(TABLE, [])]


def left(folder: Path) -> list[str]:
    return [path.suffix for path in sorted(folder.iterdir())]


def test_a_segment_is_one_load_job(tmp_path: Path, bigquery: BigQuery, sink: BigQuerySink) -> None:
    spool(tmp_path / "spool", "a", "b")
    spool(tmp_path / "spool", "c")
    assert send(tmp_path / "spool", sink) == (["shipped", "shipped"], False)
    assert loaded(bigquery) == ["a", "b", "c"]
    row = bigquery.rows[TABLE][0]
    assert (json.loads(row["inputs"]), row["outputs"], row["batch_rows"]) == ({"hour": 7}, "31.2", 2)
    assert row["at"].timestamp() == 1_795_264_200.25
    assert row["replica"] == "here-8080"
    job = next(iter(bigquery.jobs.values()))
    assert job["configuration"]["load"]["timePartitioning"]["field"] == "at"
    assert job["jobReference"]["jobId"].startswith("rasen_here-8080_")


def test_an_answer_that_was_lost_doubles_nothing(
    tmp_path: Path, bigquery: BigQuery, sink: BigQuerySink
) -> None:
    spool(tmp_path / "spool", "a")
    bigquery.forget_answer = True
    outcomes, stopped = send(tmp_path / "spool", sink)
    if stopped:  # the client did not try by itself
        outcomes, stopped = send(tmp_path / "spool", sink)
    assert (outcomes, stopped) == (["shipped"], False)
    assert loaded(bigquery) == ["a"]
    assert len(bigquery.jobs) == 1


def test_an_outage_keeps_the_spool_and_nothing_is_lost(
    tmp_path: Path, bigquery: BigQuery, sink: BigQuerySink
) -> None:
    spool(tmp_path / "spool", "a")
    spool(tmp_path / "spool", "b")
    bigquery.down = True
    assert send(tmp_path / "spool", sink) == ([], True)
    assert left(tmp_path / "spool") == [CLOSED_SUFFIX] * 2
    bigquery.down = False
    assert send(tmp_path / "spool", sink) == (["shipped"] * 2, False)
    assert loaded(bigquery) == ["a", "b"]


@pytest.mark.parametrize("reason", ["quotaExceeded", "backendError", "accessDenied"])
def test_a_job_that_bigquery_could_not_do_is_followed_by_another(
    tmp_path: Path, bigquery: BigQuery, sink: BigQuerySink, reason: str
) -> None:
    spool(tmp_path / "spool", "a")
    bigquery.failures = [reason, reason]
    assert send(tmp_path / "spool", sink) == ([], True)
    assert send(tmp_path / "spool", sink) == ([], True)
    assert send(tmp_path / "spool", sink) == (["shipped"], False)
    assert loaded(bigquery) == ["a"]
    assert [job.rpartition("_")[2] for job in bigquery.jobs][1:] == ["1", "2"]


def test_rows_that_bigquery_refuses_are_moved_aside(
    tmp_path: Path, bigquery: BigQuery, sink: BigQuerySink
) -> None:
    spool(tmp_path / "spool", "bad")
    spool(tmp_path / "spool", "good")
    bigquery.failures = ["invalid"]
    assert send(tmp_path / "spool", sink) == (["rejected", "shipped"], False)
    assert loaded(bigquery) == ["good"]
    assert left(tmp_path / "spool") == [REJECTED_SUFFIX, ".reason"]


def test_the_setting_names_a_table() -> None:
    for good in ("store", "bigquery:serving.predictions", "bigquery:my-project.serving.predictions"):
        assert load_settings(prediction_log=good).prediction_log == good
    for bad in ("bigquery", "bigquery:predictions", "bigquery:a.b.c.d", "kafka:topic"):
        with pytest.raises(InvalidInput, match="no place for the prediction log"):
            load_settings(prediction_log=bad)
