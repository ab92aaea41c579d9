"""The rows of a sample: so many and no more, spread over all of them, the same each time, in the query's order."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen import reads
from rasen.data.drawing import draw_places, draw_rows
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.settings import CONTEXT_VARIABLE

DAYS, AIRPORTS, HOURS = 30, ("EWR", "JFK", "LGA"), 24


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    """A month of three airports, every hour once, in no order."""
    folder = tmp_path_factory.mktemp("warehouse")
    rows = [
        {"day": f"2013-01-{day + 1:02}", "origin": airport, "hour": hour}
        for day in range(DAYS)
        for airport in AIRPORTS
        for hour in range(HOURS)
    ]
    pd.DataFrame(rows).sample(frac=1, random_state=1).to_parquet(folder / "hours.parquet", index=False)
    made = EmbeddedWarehouse(folder / "tables")
    made.load_table("hours", folder / "hours.parquet", source="tests")
    return made


def test_every_day_and_every_airport_keep_their_share(warehouse: EmbeddedWarehouse) -> None:
    drawn = warehouse.query("SELECT day, origin, hour FROM hours", most_rows=DAYS * 12)
    assert len(drawn) == DAYS * 12
    assert set(drawn["day"].value_counts()) == {12}
    shares = drawn["origin"].value_counts()
    assert shares.min() > 0.9 * len(drawn) / 3, (
        "no airport is missed because it always stands at the same place"
    )


def test_what_is_drawn_depends_on_the_rows_alone_and_comes_in_the_querys_order(
    warehouse: EmbeddedWarehouse,
) -> None:
    drawn = warehouse.query("SELECT * FROM hours", most_rows=100)
    backwards = warehouse.query("SELECT * FROM hours ORDER BY day DESC, hour, origin", most_rows=100)
    columns = ["day", "origin", "hour"]
    assert sorted(map(tuple, drawn[columns].to_numpy())) == sorted(map(tuple, backwards[columns].to_numpy()))
    assert backwards["day"].is_monotonic_decreasing
    for _, day in backwards.groupby("day"):
        assert day.sort_values(["hour", "origin"]).equals(day)


def test_duplicates_share_the_places_and_few_rows_all_stay(warehouse: EmbeddedWarehouse) -> None:
    origins = warehouse.query("SELECT origin FROM hours", most_rows=9)["origin"]
    assert origins.value_counts().to_dict() == dict.fromkeys(AIRPORTS, 3)
    few = "SELECT origin, COUNT(*) AS n FROM hours GROUP BY origin ORDER BY origin"
    assert warehouse.query(few, most_rows=3).equals(warehouse.query(few))
    assert warehouse.query("SELECT hour FROM hours WHERE hour > 99", most_rows=3).empty


@given(total=st.integers(0, 5000), rows=st.integers(1, 500))
def test_one_row_of_each_equal_part_is_drawn(total: int, rows: int) -> None:
    places = draw_places(total, rows)
    assert len(places) == min(total, rows)
    assert all(one < following for one, following in pairwise(places))
    if total > rows:
        assert [place * rows // total in (part - 1, part) for part, place in enumerate(places)] == [
            True
        ] * rows
    assert all(0 <= place < total for place in places)


def test_the_engine_and_python_draw_alike(warehouse: EmbeddedWarehouse) -> None:
    columns = ["day", "origin", "hour"]
    everything = warehouse.query("SELECT day, origin, hour FROM hours ORDER BY day, origin, hour")
    drawn = warehouse.query("SELECT day, origin, hour FROM hours ORDER BY day, origin, hour", most_rows=77)
    assert drawn[columns].equals(draw_rows(everything, 77)[columns])


def test_the_context_of_a_step_caps_queries_and_files(
    warehouse: EmbeddedWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("staging", "inputs"):
        (tmp_path / name).mkdir()
    context = {
        "format": 1, "run": "r", "pipeline": "p", "step": "s", "environment": "dev",
        "inputs": str(tmp_path / "inputs"), "staging": str(tmp_path / "staging"),
        "warehouse": str(warehouse._root), "most_rows": 50,
    }  # fmt: skip
    (tmp_path / "context.json").write_text(json.dumps(context), encoding="utf-8")
    (tmp_path / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(200))), encoding="utf-8")
    monkeypatch.setenv(CONTEXT_VARIABLE, str(tmp_path / "context.json"))
    monkeypatch.chdir(tmp_path)
    assert len(reads.read_sql("SELECT * FROM hours")) == 50
    numbers = reads.read_file("numbers.csv")["n"]
    assert len(numbers) == 50
    assert numbers.is_monotonic_increasing
    assert numbers.max() > 190
