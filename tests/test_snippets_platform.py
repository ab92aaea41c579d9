"""Snippets that meet the rest of the platform: a real service and its log, BigQuery, secrets, helper files."""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from google.api_core.exceptions import NotFound as TableNotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJobConfig

import rasen
from rasen.errors import InvalidInput, NotFound, RequestRefused, ServiceUnavailable
from stand.bigquery import PROJECT, BigQuery, running_bigquery
from stand.kernel import Kernel
from stand.serving import Server, bring_up, new_settings, running_server, wait_until
from stand.snippets import enter_step, execute

ASKED = pd.DataFrame({"origin": ["JFK", "EWR", "JFK"], "hour": [7, 8, 9]})


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return enter_step(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(
        tmp_path_factory.mktemp("home"), environment="dev", serving_workers=1, prediction_log_seconds=1
    )
    with running_server(settings) as server:
        bring_up(server, "flight_demand")
        yield server


def test_call_prediction_api(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"rows": ASKED, "inputs": ["origin", "hour"]}
    rows = execute("call_prediction_api", dict(names), url=server.url, batch="2")["rows"]
    assert rows["predicted"].tolist() == [7.0, 8.0, 9.0]
    assert capsys.readouterr().out.startswith("3 rows from the model of run 2026")
    with pytest.raises(ValueError, match="no row to ask for"):
        execute("call_prediction_api", names | {"rows": ASKED.head(0)}, url=server.url)
    with pytest.raises(NotFound, match="flight_delay"):
        execute("call_prediction_api", dict(names), url=server.url, endpoint="flight_delay")
    with pytest.raises(RequestRefused, match="hour"):
        execute("call_prediction_api", names | {"inputs": ["origin"]}, url=server.url)


def test_a_service_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(rasen.Client):
        def __init__(self, url: str, *, api_key: str | None = None) -> None:
            super().__init__(url, api_key=api_key, retry_seconds=0)

    monkeypatch.setattr(rasen, "Client", Impatient)
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9 does not answer"):
        execute("call_prediction_api", {"rows": ASKED, "inputs": ["hour"]}, url="http://127.0.0.1:9")


def test_read_prediction_log(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with rasen.Client(server.url) as client:
        client.predict("flight_demand", ASKED, request_id="mine")
    wait_until(lambda: any(server.store.list("predictions/flight_demand/")))
    monkeypatch.setenv("RASEN_HOME", str(server.settings.home))
    now = datetime.now(UTC)
    days = {
        "first_day": f"{now - timedelta(days=1):%Y-%m-%d}",
        "last_day": f"{now + timedelta(days=1):%Y-%m-%d}",
    }

    def mine() -> pd.DataFrame:
        answers = execute("read_prediction_log", {}, **days)["answers"]
        found: pd.DataFrame = answers[answers["request_id"] == "mine"]
        return found

    wait_until(lambda: len(mine()) == 3)
    assert mine()[["input_origin", "input_hour"]].to_numpy().tolist() == ASKED.to_numpy().tolist()
    assert set(mine()["source"]) == {"model"}
    assert "100.0% model" in capsys.readouterr().out
    with pytest.raises(LookupError, match="nobody asked flight_delay from"):
        execute("read_prediction_log", {}, **days, endpoint="flight_delay")


def test_merge_in_bigquery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_bigquery(tmp_path) as state:
        client = Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # google-auth is not typed
            client_options={"api_endpoint": f"http://127.0.0.1:{state.port}"},
        )
        check_merge(state, client, capsys)


def check_merge(state: BigQuery, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.to_datetime(["2013-08-01", "2013-08-02", "2013-08-03"], utc=True)
    present = pd.DataFrame({"origin": "JFK", "time_hour": days[:2], "score": [1.0, 2.0]})
    rows = pd.DataFrame({"origin": "JFK", "time_hour": days[1:], "score": [20.0, 30.0], "other": 1})
    names = {"rows": rows, "my_client": client}
    with pytest.raises(TableNotFound):
        execute("merge_in_bigquery", dict(names), client="my_client")
    file = io.BytesIO()
    present.to_parquet(file, index=False, coerce_timestamps="us")
    there = LoadJobConfig(source_format="PARQUET")
    table = "analytics.daily_scores"
    client.load_table_from_file(file, table, size=file.tell(), rewind=True, job_config=there).result()
    for _ in range(2):
        execute("merge_in_bigquery", dict(names), client="my_client")
        assert "2 rows of analytics.daily_scores updated or inserted" in capsys.readouterr().out
        assert [row[2] for row in state.rows_of("daily_scores")] == [1.0, 20.0, 30.0]
    for wrong in (rows.head(0), pd.concat([rows, rows]), rows.assign(origin=None)):
        with pytest.raises(ValueError, match="each new row must have its own origin and time_hour"):
            execute("merge_in_bigquery", names | {"rows": wrong}, client="my_client")


def test_read_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path))
    monkeypatch.setenv("RASEN_SECRETS", "API_KEY")
    monkeypatch.setenv("API_KEY", "abcdefgh12345678")
    names = execute("read_secret", {"api_key": "secret://env/API_KEY"})
    assert names["headers"] == {"Authorization": "Bearer abcdefgh12345678"}
    with pytest.raises(ValueError, match="never the secret itself") as caught:
        execute("read_secret", {"api_key": "abcdefgh12345678"})
    assert "abcdefgh" not in str(caught.value)
    with pytest.raises(InvalidInput, match="is not allowed"):
        execute("read_secret", {"api_key": "secret://env/HOME"})


def test_import_helper_module(step: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, name in ((Path.cwd(), "beside_it"), (elsewhere, "far_away")):
        (folder / f"{name}.py").write_text("INPUTS = ['origin']\n")
        monkeypatch.syspath_prepend(folder)
    names = execute("import_helper_module", {}, helper="beside_it")
    assert names["beside_it"].INPUTS == ["origin"]
    with pytest.raises(ImportError, match=r"far_away came from .* not from the notebook's folder"):
        execute("import_helper_module", {}, helper="far_away")
    with pytest.raises(ModuleNotFoundError):
        execute("import_helper_module", {}, helper="not_there_at_all")
