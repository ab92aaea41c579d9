"""Each read becomes a snapshot, and is compared with the last good run's before the notebook sees a row."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rasen
from rasen.data.statistics import TableStatistics, describe
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import InvalidInput, NotFound, QueryError, ValidationFailed
from stand.kernel import Kernel

LAST = "20251231T000000000Z-0123456789ab"
SQL = "SELECT origin, hour FROM flights WHERE day >= @since"


def flights(origins: str = "JFK") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "origin": [origins, "LGA"] * 50,
            "hour": [number % 24 for number in range(100)],
            "day": pd.to_datetime(["2013-01-01"] * 100),
        }
    )


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path, warehouse=tmp_path / "warehouse")
    made.enter(monkeypatch)
    monkeypatch.chdir(tmp_path)
    show(made, flights())
    return made


def show(kernel: Kernel, frame: pd.DataFrame) -> None:
    """Put a table into the warehouse."""
    path = kernel.folder / "table.parquet"
    frame.to_parquet(path, index=False)
    EmbeddedWarehouse(kernel.folder / "warehouse").put_table("flights", path, source="test")


def remember(kernel: Kernel, name: str, frame: pd.DataFrame, **parameters: object) -> None:
    """Let the last good run have read `frame`."""
    statistics = describe(frame).to_dict()
    kernel.last_statistics({name: {"run": LAST, "parameters": parameters, "statistics": statistics}})


def read(**options: Any) -> pd.DataFrame:
    return rasen.read_sql(SQL, {"since": "2013-01-01"}, **options)


def test_a_read_leaves_a_snapshot_with_its_statistics(kernel: Kernel) -> None:
    rows = rasen.read_sql(
        "SELECT origin, hour FROM flights WHERE day >= @since AND hour < @most",
        {"since": date(2013, 1, 1), "most": np.int64(12)},
        name="flights",
    )
    assert len(rows) == 52
    (record,) = kernel.records("read")
    assert (record["name"], record["file"]) == ("flights", None)
    assert record["sql"].startswith("SELECT origin")
    assert record["parameters"] == {"since": "2013-01-01", "most": 12}
    assert TableStatistics.from_dict(record["statistics"]) == describe(rows)
    snapshot = kernel.staging / record["path"]
    assert record["path"] == f"tables/{hashlib.sha256(snapshot.read_bytes()).hexdigest()}.parquet"
    assert len(pd.read_parquet(snapshot)) == 52


def test_without_a_name_a_read_is_known_by_its_query(kernel: Kernel) -> None:
    read()
    read()
    identity = hashlib.sha256(SQL.encode()).hexdigest()
    assert [record["name"] for record in kernel.records("read")] == [identity, f"{identity}#2"]


def test_what_is_as_before_passes(kernel: Kernel) -> None:
    remember(kernel, "flights", read(), since="2013-01-01")
    read(name="flights")
    assert kernel.records("anomaly") == []


def test_what_is_not_as_before_stops_the_run_and_leaves_its_record(kernel: Kernel) -> None:
    remember(kernel, "flights", read(), since="2013-01-01")
    show(kernel, flights("SFO"))
    with pytest.raises(ValidationFailed) as caught:
        read(name="flights")
    said = str(caught.value)
    assert "'flights' differs from the last good run" in said
    assert LAST in said
    assert "origin: 50 of 100 rows" in said
    assert "accept=['origin: new categories']" in said
    (anomaly,) = kernel.records("anomaly")
    assert (anomaly["read"], anomaly["anomaly"], anomaly["accepted"]) == (
        "flights",
        "origin: new categories",
        False,
    )
    assert [record["name"] for record in kernel.records("read")][-1] == "flights"


def test_what_is_accepted_is_said_and_recorded(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    remember(kernel, "flights", read(), since="2013-01-01")
    show(kernel, flights("SFO"))
    assert len(read(name="flights", accept=["origin: new categories"])) == 100
    assert [anomaly["accepted"] for anomaly in kernel.records("anomaly")] == [True]
    assert "flights: origin: new categories, accepted: 50 of 100 rows" in capsys.readouterr().out


def test_accepting_one_anomaly_accepts_no_other(kernel: Kernel) -> None:
    remember(kernel, "flights", read().head(20), since="2013-01-01")
    show(kernel, flights("SFO"))
    with pytest.raises(ValidationFailed, match="rows: there are 100 rows") as caught:
        read(name="flights", accept=["origin: new categories"])
    assert "new categories" not in str(caught.value)


def test_words_that_accept_nothing_are_refused_before_the_query_runs(kernel: Kernel) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'origin: new categories'"):
        read(accept=["origin: new category"])
    with pytest.raises(InvalidInput, match="accept="):
        rasen.read_file("nowhere.csv", accept=["x"])
    assert kernel.records("read") == []


def test_a_read_is_compared_with_the_read_of_its_name_only(kernel: Kernel) -> None:
    remember(kernel, "weather", read().head(1), since="2013-01-01")
    read(name="flights")
    read(name="weather#2")
    assert kernel.records("anomaly") == []


def test_files_beside_the_notebook(kernel: Kernel) -> None:
    (kernel.folder / "rates.csv").write_text("currency,rate\nEUR,1.5\nUSD,1\n", encoding="utf-8")
    rates = rasen.read_file("rates.csv")
    assert rates.to_dict("list") == {"currency": ["EUR", "USD"], "rate": [1.5, 1.0]}
    (record,) = kernel.records("read")
    assert (record["name"], record["sql"], record["file"]) == ("rates.csv", None, "rates.csv")
    assert pd.read_parquet(kernel.staging / record["path"])["rate"].tolist() == [1.5, 1.0]
    with pytest.raises(NotFound, match=r"rates\.csv"):
        rasen.read_file("rate.csv")
    with pytest.raises(InvalidInput, match="outside"):
        rasen.read_file("/etc/passwd")


def test_a_query_that_cannot_run_leaves_nothing(kernel: Kernel) -> None:
    with pytest.raises(QueryError, match="flihgts"):
        rasen.read_sql("SELECT * FROM flihgts")
    assert kernel.records("read") == []


def test_a_step_without_a_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(tmp_path).enter(monkeypatch)
    with pytest.raises(QueryError, match="no warehouse"):
        rasen.read_sql("SELECT 1 AS one")


def test_check_lists_every_failure(kernel: Kernel) -> None:
    import pandera.pandas as pandera

    schema = pandera.DataFrameSchema(
        {"hour": pandera.Column(int, pandera.Check.lt(20)), "wind": pandera.Column(float)}
    )
    with pytest.raises(ValidationFailed) as caught:
        rasen.check(flights(), schema)
    assert "wind" in str(caught.value)
    assert "hour" in str(caught.value)
    good = pandera.DataFrameSchema({"hour": pandera.Column(int, pandera.Check.lt(24))})
    pd.testing.assert_frame_equal(rasen.check(flights(), good), flights())
