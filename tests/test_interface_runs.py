"""Whole tests with real kernels: what is kept, what is told, and that nothing of it reaches the platform."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.interface_test.checks import CheckBegan, InterfaceReport, TestEvent
from rasen.interface_test.run import run_interface_test
from rasen.settings import Settings, load_settings
from stand.interface import CONTRACT, PUBLISH, TRAIN, by_name, failures, interface_test, outcomes
from stand.pipelines import write_notebook, write_pipeline

READ = """
import rasen
rides = rasen.read_sql("SELECT day, n FROM rides ORDER BY day, n")
rasen.log_metrics(rows=len(rides), days=rides["day"].nunique(), trees=trees)
rasen.save_table("rides", rides)
"""
GOOD = """
sample: {parameters: {trees: 3}, rows: 60}
deploy:
  gates:
    - {kind: threshold, metric: rows, max: 1} # a gate that would refuse it: nobody asks
    - {kind: baseline, metric: rmse, better_than: profile_rmse}
    - {kind: notebook, notebook: judge.ipynb, metric: revenue, direction: maximize, better_than: 1000}
tables: {rides_of_day: {step: read, table: rides}}
"""
FINISH = "rasen.log_metrics(**{'rmse': 3.0, 'profile_rmse': 2.0})"
JUDGE = "import rasen\nrasen.load_model('demand')\nrasen.log_metrics(revenue=1.5, trees=trees)"
PARAMETERS = "slope: float = 2.0\ntrees: int = 500"


@pytest.fixture(scope="module", autouse=True)
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the homes of these tests are made."""
    folder = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("platform")
    made = load_settings(home=folder / "home")
    days = pd.date_range("2013-01-01", periods=30, freq="D").strftime("%Y-%m-%d")
    rides = pd.DataFrame({"day": list(days) * 10, "n": range(300)})
    rides.to_parquet(folder / "rides.parquet", index=False)
    EmbeddedWarehouse(made.warehouse_dir).load_table("rides", folder / "rides.parquet", source="tests")
    return made


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = GOOD.replace("deploy:", f"deploy:{CONTRACT}")
    folder = write_pipeline(
        tmp_path_factory.mktemp("good") / "demand",
        {"read": [READ], "train": [TRAIN, PUBLISH, FINISH]},
        parameters=PARAMETERS,
        more=more,
    )
    write_notebook(folder / "judge.ipynb", [JUDGE], parameters=PARAMETERS)
    return folder


@pytest.fixture(scope="module")
def good(settings: Settings, good_folder: Path, homes: Path) -> InterfaceReport:
    report = interface_test(settings, good_folder)
    assert failures(report) == {}
    assert list(homes.iterdir()) == [], "the home of the test is gone"
    return report


def test_a_good_pipeline_passes_every_check(good: InterfaceReport) -> None:
    assert good.exit_code == 0
    skipped = {check.name: check.message for check in good.checks if check.outcome == "skip"}
    assert skipped == {"live clients": "nothing is live behind endpoint 'demand' here"}
    assert good.contract == {
        "inputs": {"hour": "int64", "origin": "string", "wind": "float64?"},
        "output": "float64",
    }


def test_reads_are_capped_in_the_warehouse_and_the_sample_overrides(good: InterfaceReport) -> None:
    assert by_name(good)["step read"].message == "rows 60  days 30  trees 3"
    assert by_name(good)["gate notebook judge.ipynb revenue"].message == "revenue 1.5"


def test_gates_are_given_what_they_need_and_are_not_asked(good: InterfaceReport) -> None:
    assert by_name(good)["gate threshold rows"].message == "rows 60"
    assert by_name(good)["gate baseline rmse"].message == "rmse 3  profile_rmse 2"


def test_nothing_of_it_reaches_the_platform(settings: Settings, good: InterfaceReport) -> None:
    assert good.kept is None
    assert {path.name for path in settings.home.iterdir()} <= {"warehouse", "interface_tests"}
    assert set(EmbeddedWarehouse(settings.warehouse_dir).tables()) == {"rides"}


BAD_TRAIN = """
def predict(frame):
    import pandera.pandas
    if len(frame) > 5000:
        raise MemoryError("too many rows")
    if frame["wind"].isna().all() or not frame["origin"].isin(["JFK", "EWR"]).all():
        raise KeyError("never seen")
    return frame["hour"] * slope

rasen.publish(predict, example=rows[["hour", "origin", "wind"]].head(2), evaluation=rows[
    ["hour", "origin", "wind", "departures", "day"]], target="departures")
if slope > 1e9:
    rasen.save_table("scored", rows)
"""
BAD = """
deploy:
  contract: {inputs: {hour: float64, origin: string, month: int64}, output: int64}
  gates:
    - {kind: threshold, metric: mae, max: 1}
    - {kind: slice, metric: rmse, by: origin}
    - {kind: champion, metric: rmse, block: 1d}
    - {kind: profile}
    - {kind: data, table: weather}
    - {kind: notebook, notebook: judge.ipynb, metric: revenue, direction: maximize, better_than: 1}
tables: {scores: {step: train, table: scored}}
"""


@pytest.fixture(scope="module")
def bad(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> InterfaceReport:
    folder = write_pipeline(
        tmp_path_factory.mktemp("bad") / "broken",
        {"train": [TRAIN, BAD_TRAIN, "rasen.log_metrics(**{'rmse': 3.0})"]},
        parameters=PARAMETERS,
        more=BAD,
    )
    judge = "import rasen\nrasen.log_metrics(revenue=1)\nraise RuntimeError('no such price')"
    write_notebook(folder / "judge.ipynb", [judge])
    return interface_test(settings, folder)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("contract", "input 'month' is declared as int64, the model has none of this name (and 3 more)"),
        ("gate threshold mae", "'mae' was not logged; logged are "),
        ("gate slice rmse origin", "rasen.publish was not given 'origin' among its `slices`"),
        ("gate champion rmse", "rasen.publish was not given `time`"),
        ("gate profile", "rasen.publish was not given `profile`"),
        ("gate data weather", "no step reads or saves a table 'weather'; there are none"),
        ("gate notebook judge.ipynb revenue", "cell 2: RuntimeError: no such price"),
        ("table scores", "step 'train' did not save 'scored'; it saved none"),
        ("example", "the model raised ModuleNotFoundError: the serving image has no pandera"),
    ],
)
def test_what_only_the_run_can_tell(bad: InterfaceReport, check: str, message: str) -> None:
    assert message in failures(bad)[check]


def test_a_broken_contract_is_told_input_by_input(bad: InterfaceReport) -> None:
    assert by_name(bad)["contract"].details == (
        "input 'hour' is declared as float64, the model's is int64",
        "input 'wind' is float64?, the contract has none of this name",
        "the output is declared as int64, the model's is float64",
    )
    judged = by_name(bad)["gate notebook judge.ipynb revenue"].output
    assert judged is not None
    assert "no such price" in Path(judged).read_text(encoding="utf-8")
    assert outcomes(bad)["step train"] == outcomes(bad)["publish"] == "pass"
    assert bad.exit_code == 42


def test_a_failing_step_is_told_with_its_cell_and_kept(settings: Settings, tmp_path: Path) -> None:
    lost = "import rasen\nn = 1\nrasen.read_sql('SELECT x FROM lost')\nlast = 2"
    folder = write_pipeline(tmp_path / "failing", {"read": ["1", lost], "train": [TRAIN, PUBLISH]})
    events: list[TestEvent] = []
    report = run_interface_test(settings, str(folder), lint=False, observe=events.append)
    checks = by_name(report)
    failed = checks["step read"]
    assert (failed.outcome, failed.cell) == ("fail", 3)
    assert failed.message.startswith("cell 3: QueryError: line 1: unknown table 'lost'")
    assert "`rasen load lost FILE`" in failed.details[0]
    assert any(line.startswith(">   3 rasen.read_sql") for line in failed.details), failed.details
    assert failed.output is not None
    assert "unknown table" in Path(failed.output).read_text(encoding="utf-8")
    assert checks["step train"].message == "it needs step 'read', which did not succeed"
    assert outcomes(report)["publish"] == outcomes(report)["example"] == "skip"
    assert [event.name for event in events if isinstance(event, CheckBegan)] == ["step read"]


def test_a_fault_that_was_found_before_is_passed_over_when_asked(settings: Settings, tmp_path: Path) -> None:
    table = "tables: {scores: {step: train, table: scored}}"
    folder = write_pipeline(tmp_path / "passed", {"train": ["import rasen"]}, more=table)
    report = interface_test(settings, folder, keep_going=True)
    assert outcomes(report)["table scores"] == "fail"
    assert outcomes(report)["step train"] == "pass"


def test_a_step_alone_with_what_it_needs(settings: Settings, good_folder: Path) -> None:
    report = interface_test(settings, good_folder / "read.ipynb")
    assert outcomes(report) == {
        "parameters read": "pass",
        "pipeline.yaml": "pass",
        "step read": "pass",
        "table rides_of_day": "pass",
    }
    assert report.notes == ("only step 'read' and what it needs is run: gates are not looked at",)


def test_a_notebook_that_belongs_to_no_pipeline(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 2\n", encoding="utf-8")
    (tmp_path / "hours.csv").write_text("hour\n1\n2\n3\n", encoding="utf-8")
    cells = [
        "import helper, rasen\nrows = rasen.read_file('hours.csv')",
        "rasen.log_metrics(total=float(rows['hour'].sum() * helper.FACTOR))",
    ]
    write_notebook(tmp_path / "My idea.ipynb", cells)
    report = interface_test(settings, tmp_path / "My idea.ipynb", keep=True)
    assert failures(report) == {}
    assert report.pipeline == "my_idea"
    assert by_name(report)["step notebook"].message == "total 12"
    assert report.kept is not None
    kept = Path(report.kept)
    assert (kept / "lone" / "my_idea" / "pipeline.yaml").is_file()
