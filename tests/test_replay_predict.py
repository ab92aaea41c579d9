"""`rasen predict`: any rows on any version, each in a process of its own, refused in the words of serving."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.errors import DigestMismatch, InvalidInput, ModelFailed, NotFound, RasenError
from rasen.replay.inputs import Input, read_input, rows_for
from rasen.replay.predicting import predict_input
from rasen.replay.versions import Ledger
from stand.published import Trap
from stand.replayable import SECONDS, Replayable, classes, deadly, shifted, with_wind
from stand.versions import with_model_bytes

ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 18}]
DEADLY_ROWS = [{"origin": "JFK", "hour": 7}, {"origin": "EWR", "hour": 19}]


def rows_of(rows: Sequence[dict[str, Any]]) -> Input:
    return Input(source="rows.json", kind="json", data=json.dumps({"rows": rows}).encode())


JSON = rows_of(ROWS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Replayable:
    """Return an endpoint whose records are: 1 and 2 good, 3 another schema, 4 deadly, 5 hangs, 6 good."""
    found = Replayable(tmp_path_factory.mktemp("home"))
    found.publish("demand", 1, shifted(0.0))
    found.publish("demand", 2, shifted(0.5))
    found.publish("demand", 3, shifted(1.0), example=with_wind())
    found.publish("demand", 4, deadly(19, hangs=False))
    found.publish("demand", 5, deadly(19, hangs=True))
    found.publish("demand", 6, shifted(3.0))
    return found


def schema(home: Replayable, number: str = "1") -> Any:
    ledger = Ledger(home.settings, "demand")
    return ledger.verify(ledger.find(number)).schema


def values(predicted: Any) -> list[list[Any]]:
    return [[answer.value for answer in one.answers] for one in predicted.answered]


def test_the_live_version_answers_unless_others_are_named(home: Replayable) -> None:
    assert values(predict_input(home.settings, "demand", JSON)) == [[10.0, 21.0]]


def test_versions_that_are_not_live_answer_and_what_goes_wrong_is_their_own(home: Replayable) -> None:
    given = rows_of(DEADLY_ROWS)
    found = predict_input(home.settings, "demand", given, versions="3,1,2,4", seconds=SECONDS)
    assert values(found) == [[None, None], [7.0, 19.0], [7.5, 19.5], [None, None]]
    assert found.first == 1
    assert found.comparisons[2].spreads[""].mean == 0.5
    problem = found.answered[0].answers[0].problem
    assert "rows[0].wind: missing; rows[1].wind: missing" in problem
    assert "takes 'origin', 'hour', 'wind'" in problem
    died = str(found.answered[3].failure)
    assert "the process of version 4 (" in died
    assert "ended with 3 while it was asked for one of the 2 rows" in died
    assert '"hour": 7' in died


def test_a_version_that_hangs_is_ended(home: Replayable) -> None:
    with pytest.raises(ModelFailed, match=r"version 5 \(.*\) did not answer within 6 s: it hung while"):
        predict_input(home.settings, "demand", rows_of(DEADLY_ROWS), versions="5", seconds=6)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"rows": [{"origin": "JFK"}]}', r"1 bad field; .*'origin', 'hour': rows\[0\].hour: missing"),
        ('{"rows": [{"origin": "JFK", "hour": "7"}]}', r"rows\[0\].hour: '7' is not a whole number"),
        ('{"rows": [{"origin": "JFK", "hour": 7, "hours": 8}]}', "unknown field; did you mean 'hour'"),
        ('{"columns": {"origin": ["JFK"], "hour": [7, 8]}}', "columns.origin: has 1 values"),
        ('{"rows": []}', "must hold at least one row"),
        ('{"rows": [{"origin": "JFK", "hour": NaN}]}', "holds NaN"),
        ("[7]", r"rows\[0\]: must be an object"),
        ("{", "not JSON"),
        ("7", "must be an object"),
    ],
)
def test_rows_are_refused_in_the_words_of_serving(home: Replayable, body: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        rows_for(schema(home), Input(source="rows.json", kind="json", data=body.encode()))


def test_rows_come_as_json_csv_or_parquet(home: Replayable, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "columns").write_text(json.dumps({"columns": {"hour": [7, 18], "origin": ["JFK", "EWR"]}}))
    for name in ("rows.csv", "rows.parquet", "rows.json", "columns"):
        assert rows_for(schema(home), read_input(str(tmp_path / name))) == ROWS


def test_tables_are_refused_by_their_places(home: Replayable, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS).assign(target=1.0)
    frame.to_parquet(tmp_path / "more.parquet")
    with pytest.raises(InvalidInput, match=r"more.parquet: .*columns.target: unknown field"):
        rows_for(schema(home), read_input(str(tmp_path / "more.parquet")))
    (tmp_path / "bad.csv").write_text("origin,hour\nJFK,soon\n")
    with pytest.raises(InvalidInput, match=r"csv.hour\[0\]: 'soon' is not a whole number"):
        rows_for(schema(home), read_input(str(tmp_path / "bad.csv")))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidInput, match="it is not Parquet"):
        rows_for(schema(home), read_input(str(tmp_path / "bad.parquet")))


def test_files_that_are_not_there_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_input(str(tmp_path / "no.json"))
    (tmp_path / "empty.csv").write_text(" \n")
    with pytest.raises(InvalidInput, match="is empty; rows are"):
        read_input(str(tmp_path / "empty.csv"))


def test_what_was_changed_in_the_store_is_never_unpickled(home: Replayable, tmp_path: Path) -> None:
    version = home.publish("trapped", 1, shifted(0.0))
    trap = tmp_path / "sprung"
    key = version.files["model"].key
    home.store.delete(key)
    home.store.write(key, cloudpickle.dumps(Trap(trap)))
    with pytest.raises(DigestMismatch):
        predict_input(home.settings, "trapped", JSON)
    home.store.delete(key)
    with pytest.raises(NotFound, match=r"its file .* was removed"):
        predict_input(home.settings, "trapped", JSON)
    assert not trap.exists()


def test_a_model_that_cannot_be_rebuilt_says_so(home: Replayable) -> None:
    home.publish("broken", 1, shifted(0.0), change=with_model_bytes(b"\x80\x05cno_such_module\nModel\n."))
    with pytest.raises(ModelFailed, match="cannot be loaded here: ModuleNotFoundError"):
        predict_input(home.settings, "broken", JSON)


def run(home: Replayable, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("RASEN_ZYGOTE", "false")
    monkeypatch.setenv("COLUMNS", "140")
    done = CliRunner().invoke(build_app(), ["predict", *arguments])
    if isinstance(done.exception, RasenError):
        return done.exception.exit_code, str(done.exception)
    assert not isinstance(done.exception, Exception), done.exception
    return done.exit_code, done.output


def test_the_command_prints_a_table_and_writes_files(
    home: Replayable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = home.file("rows.json", ROWS)
    table, plot = tmp_path / "table.csv", tmp_path / "plot.png"
    code, text = run(
        home, monkeypatch, "demand", rows, "--versions", "1,6", "--out", str(table), "--plot", str(plot)
    )
    assert code == 0, text
    assert "version 1" in text
    assert "2 of 2 rows compared, 0.00% equal within 1e-6" in text
    assert "largest 3" in text
    assert pd.read_csv(table).to_dict("list") == {
        "origin": ["JFK", "EWR"],
        "hour": [7, 18],
        "prediction 1": [7.0, 18.0],
        "prediction 6": [10.0, 21.0],
    }
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_command_says_the_same_to_programs(home: Replayable, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = home.file("rows.json", ROWS)
    code, text = run(home, monkeypatch, "demand", rows, "--versions", "1,3,6", "--json")
    assert code == 0, text
    said = json.loads(text)
    assert [one["predictions"] for one in said["versions"]] == [[7.0, 18.0], [None, None], [10.0, 21.0]]
    assert "wind: missing" in said["versions"][1]["failure"]
    last = said["comparisons"][-1]
    assert (last["compared"], last["equal"], last["spreads"][""]["largest"]) == (2, 0, 3.0)


def test_wrong_options_are_refused_before_anything_is_loaded(
    home: Replayable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = home.file("rows.json", ROWS)
    for options, reason in (
        (("--out", str(tmp_path / "x.xlsx")), "must end in .csv or .parquet"),
        (("--plot", str(tmp_path / "x.png")), "draws two versions"),
        (("--versions", "1,99"), "no record 99"),
    ):
        code, text = run(home, monkeypatch, "demand", rows, *options)
        assert code == 2
        assert reason in text


def test_classes_are_compared_by_pairs(home: Replayable, monkeypatch: pytest.MonkeyPatch) -> None:
    home.publish("late", 1, classes(10))
    home.publish("late", 2, classes(20))
    code, text = run(home, monkeypatch, "late", home.file("rows.json", ROWS), "--versions", "1,2")
    assert code == 0, text
    assert "50.00% equal" in text
    assert [line.split() for line in text.splitlines() if line.startswith("late")][-1] == [
        "late",
        "early",
        "1",
    ]
