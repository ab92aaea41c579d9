"""Snippets that read and shape data, executed against an embedded warehouse: what they give, and what they refuse."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from rasen.errors import InvalidInput, NotFound, ValidationFailed
from rasen.parameters import read_parameters
from rasen.snippets import render
from stand.kernel import Kernel
from stand.snippets import enter_step, execute, put_table, shipped

PERIOD = {"train_from": "2013-08-01", "test_until": "2013-08-04"}
EMPTY = {"train_from": "2014-08-01", "test_until": "2014-08-04"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of a few flights, clicks and scores."""
    root = tmp_path_factory.mktemp("warehouse")
    days = [datetime(2013, 8, day, 5, tzinfo=UTC) for day in (1, 2, 3, 4)]
    origins = {"flights": ["JFK", "EWR", "LGA", "JFK"], "gaps": ["JFK", None, "LGA", "JFK"]}
    for name, origin in origins.items():
        delays = [1.0, None, -3.0, 12.5]
        put_table(root, name, pd.DataFrame({"time_hour": days, "origin": origin, "dep_delay": delays}))
    noon = datetime(2013, 8, 1, 12, tzinfo=UTC)
    clicks = [("a", 0), ("a", 10), ("a", 41), ("a", 71), ("b", 5), (None, 6), ("b", 5)]
    put_table(
        root,
        "events",
        pd.DataFrame(
            {"user_id": [who for who, _ in clicks], "at": [noon + timedelta(minutes=m) for _, m in clicks]}
        ),
    )
    hourly = [noon + timedelta(hours=number // 2) for number in range(8)]
    put_table(
        root,
        "hourly",
        pd.DataFrame({"time_hour": hourly, "origin": "JFK", "dep_delay": [1.0, 3, 4, 4, 6, 6, 9, 9]}),
    )
    put_table(
        root,
        "daily_scores",
        pd.DataFrame({"origin": ["EWR", "JFK"], "time_hour": days[1:3], "score": [1.0, 2]}),
    )
    return root


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warehouse: Path) -> Kernel:
    return enter_step(tmp_path, monkeypatch, warehouse=warehouse)


def test_read_and_check_table(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    names = execute("read_and_check_table", dict(PERIOD))
    assert sorted(names["rows"]["origin"]) == ["EWR", "JFK", "LGA"]
    assert "3 rows, 33.3% of dep_delay missing" in capsys.readouterr().out
    with pytest.raises(ValidationFailed, match="origin"):
        execute("read_and_check_table", dict(PERIOD), table="gaps")
    with pytest.raises(ValidationFailed, match="there is not a single row in that time"):
        execute("read_and_check_table", dict(EMPTY))


def test_compute_window_features(step: Kernel) -> None:
    rows = execute("compute_window_features", dict(PERIOD), table="hourly", past="2")["rows"]
    assert rows["dep_delay"].tolist() == [2.0, 4.0, 6.0, 9.0]
    assert rows["previous_dep_delay"].tolist()[1:] == [2.0, 4.0, 6.0]
    assert rows["recent_dep_delay"].tolist()[1:] == [2.0, 3.0, 5.0]  # never the row's own
    assert rows.iloc[0][["previous_dep_delay", "recent_dep_delay"]].isna().all()
    with pytest.raises(ValueError, match="hourly has no rows from 2014-08-01"):
        execute("compute_window_features", dict(EMPTY), table="hourly")


def test_sessionise_events(step: Kernel) -> None:
    sessions = execute("sessionise_events", dict(PERIOD))["sessions"]
    assert sessions[["user_id", "session", "events"]].to_numpy().tolist() == [
        ["a", 1, 2],
        ["a", 2, 2],
        ["b", 1, 2],
    ]
    assert (sessions["ended"] - sessions["began"]).dt.total_seconds().tolist() == [600.0, 1800.0, 0.0]
    with pytest.raises(ValueError, match="events has no events from 2014-08-01"):
        execute("sessionise_events", dict(EMPTY))


def test_merge_rows_into_table(step: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.to_datetime(["2013-08-03 05:00", "2013-08-04 05:00"], utc=True)
    rows = pd.DataFrame({"score": [7.0, 8.0], "origin": "JFK", "time_hour": days, "other": 1})
    merged = execute("merge_rows_into_table", {**PERIOD, "rows": rows})["merged"]
    assert merged[["origin", "score"]].to_numpy().tolist() == [["EWR", 1.0], ["JFK", 7.0], ["JFK", 8.0]]
    assert "1 rows added, 1 replaced, 1 kept" in capsys.readouterr().out
    (saved,) = step.records("table")
    assert (saved["name"], saved["rows"]) == ("daily_scores", 3)
    fresh = execute("merge_rows_into_table", {**EMPTY, "rows": rows})["merged"]
    assert fresh["score"].tolist() == [7.0, 8.0]
    with pytest.raises(ValueError, match="the new rows hold a key twice"):
        execute("merge_rows_into_table", {**PERIOD, "rows": pd.concat([rows, rows])})


def test_read_file_beside_notebook(step: Kernel) -> None:
    Path("airports.csv").write_text("origin,name,other\nJFK,Kennedy,1\nEWR,Newark,2\n")
    names = execute("read_file_beside_notebook", {})
    assert names["airports"].to_numpy().tolist() == [["JFK", "Kennedy"], ["EWR", "Newark"]]
    with pytest.raises(ValueError, match=r"lacks the columns \['city'\]; it has"):
        execute("read_file_beside_notebook", {}, columns="origin, city")
    Path("twice.csv").write_text("origin,name\nJFK,a\nJFK,b\n")
    with pytest.raises(ValueError, match=r"several rows for \['JFK'\]"):
        execute("read_file_beside_notebook", {}, path="twice.csv")
    with pytest.raises(InvalidInput, match="lies outside the pipeline's folder"):
        execute("read_file_beside_notebook", {}, path="../airports.csv")


def test_inspect_table() -> None:
    rows = pd.DataFrame(
        {"origin": ["JFK", None], "time_hour": [1, 2], "delay": [1.5, None], "empty": [None, None]}
    )
    shown = execute("inspect_table", {"rows": rows})["shown"]
    assert shown.loc["delay"].to_list() == ["float64", "50.0%", 1, 1.5, 1.5]
    assert shown.loc["origin", ["missing", "least", "greatest"]].to_list() == ["50.0%", "JFK", "JFK"]
    assert shown.loc["empty", "least"] is None
    with pytest.raises(ValueError, match="1 of 3 rows repeat origin, time_hour"):
        execute("inspect_table", {"rows": pd.concat([rows, rows[:1]])})


def test_add_local_time() -> None:
    # The clock is put back at 06:00 UTC of 3 November: the hour from one to two happens twice.
    instants = pd.to_datetime(["2013-11-03 05:30", "2013-11-03 06:30", "2013-11-04 04:30"], utc=True)
    rows = execute("add_local_time", {"rows": pd.DataFrame({"time_hour": instants})})["rows"]
    assert rows["hour"].tolist() == [1, 1, 23]
    assert rows["weekday"].tolist() == [6, 6, 6]
    assert rows["day"].nunique() == 1
    for wrong in (instants.tz_localize(None), ["2013-11-03"] * 3):
        with pytest.raises(ValueError, match="time_hour is no instant with a time zone"):
            execute("add_local_time", {"rows": pd.DataFrame({"time_hour": wrong})})


def test_split_by_time(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"rows": "flights", "time": "departed_at", "test_from": "first_day"}

    def flights(*times: str | None) -> pd.DataFrame:
        at = pd.to_datetime(pd.Series(times), utc=True, format="ISO8601")
        return pd.DataFrame({"departed_at": at, "row": range(len(times))})

    four = flights("2013-08-31 23:59", "2013-09-01 00:00", "2013-08-01", "2013-09-02")
    names = execute("split_by_time", {"flights": four, "first_day": "2013-09-01"}, **values)
    assert names["train"]["row"].tolist() == [0, 2]
    assert names["held_out"]["row"].tolist() == [1, 3]
    assert capsys.readouterr().out.startswith(
        "train: 2 rows until 2013-08-31 23:59:00+00:00, held out: 2 from 2013-09-01 00:00:00+00:00"
    )
    gap = flights("2013-08-01", None, "2013-09-02")
    with pytest.raises(ValueError, match="rows without departed_at belong to neither side"):
        execute("split_by_time", {"flights": gap, "first_day": "2013-09-01"}, **values)
    for day in ("2013-01-01", "2014-01-01"):
        with pytest.raises(ValueError, match="is empty"):
            execute("split_by_time", {"flights": four, "first_day": day}, **values)


def test_tables_pass_to_the_next_step(step: Kernel) -> None:
    features = pd.DataFrame(
        {
            "origin": ["JFK", "EWR"],
            "time_hour": pd.to_datetime(["2013-08-01"] * 2, utc=True),
            "departures": [1, 2],
        },
        index=[5, 3],
    )
    execute("save_table_for_next_step", {"features": features})
    names = execute("load_table_of_step", {})
    pd.testing.assert_frame_equal(names["features"], features.reset_index(drop=True), check_dtype=False)
    with pytest.raises(ValueError, match="each its own origin, time_hour"):
        execute("save_table_for_next_step", {"features": pd.concat([features, features])})
    with pytest.raises(ValueError, match=r"lacks \['late'\]; it has \['origin'"):
        execute("load_table_of_step", {}, columns="origin, late")
    with pytest.raises(NotFound, match="there is no table 'labels'"):
        execute("load_table_of_step", {}, table="labels")


def test_declare_parameters() -> None:
    names = execute("declare_parameters", {})
    assert (names["train_from"], names["test_until"], names["seed"]) == ("2013-01-01", "2013-10-01", 7)
    snippet = shipped()["declare_parameters"]
    assert snippet.cell_tags == ("parameters",)
    declared = read_parameters(render(snippet))
    assert [each.name for each in declared] == [
        "train_from",
        "validation_from",
        "test_from",
        "test_until",
        "seed",
    ]
    with pytest.raises(InvalidInput, match="placeholder 'seed' = 'seven' must be a number"):
        execute("declare_parameters", {}, seed="seven")


def test_headings_are_those_of_an_experiment() -> None:
    text = render(shipped()["write_experiment_headings"], {"question": "Will it `rain`?"})
    assert text.startswith("# Will it `rain`?\n\n")
    headings = [line.removeprefix("## ") for line in text.split("\n") if line.startswith("## ")]
    assert headings == ["Purpose", "Background", "Data set", "Method", "Result", "Discussion", "Next action"]
