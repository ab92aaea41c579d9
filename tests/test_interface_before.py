"""What is known before a cell runs is said before: each fault is provoked, and no kernel is started for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasen.errors import InvalidInput, NotFound
from rasen.interface_test.checks import CheckBegan, TestBegan, TestEnded, TestEvent
from rasen.interface_test.run import plan_checks, run_interface_test
from rasen.interface_test.subject import Subject, find_subjects
from rasen.settings import Settings, load_settings
from stand.interface import PUBLISH, TRAIN, WordLinter, by_name, failures, interface_test, outcomes
from stand.pipelines import write_notebook, write_pipeline

GATE = "deploy: {gates: [{kind: baseline, metric: rmse, better_than: profile_rmse}]}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def refused(settings: Settings, folder: Path) -> dict[str, str]:
    """Test a pipeline that must fail before anything is run; return the failures."""
    events: list[TestEvent] = []
    report = run_interface_test(settings, str(folder), lint=False, observe=events.append)
    assert not any(isinstance(event, CheckBegan) for event in events), "a step was begun"
    assert report.exit_code == 42
    assert {outcomes(report)[name] for name in outcomes(report) if name.startswith("step ")} <= {"skip"}
    assert isinstance(events[0], TestBegan)
    assert isinstance(events[-1], TestEnded)
    assert [each.name for each in events[0].planned] == list(outcomes(report)), "what is planned is made"
    assert not (settings.home / "store").exists(), "the platform's own store is not touched"
    return failures(report)


@pytest.mark.parametrize(
    ("cells", "more", "check", "message"),
    [
        ([TRAIN], GATE, "publish", "no notebook calls rasen.publish"),
        (
            [TRAIN, PUBLISH, PUBLISH],
            "",
            "publish",
            "publish is called 2 times: train.ipynb, cell 3; train.ipynb, cell 4",
        ),
        (
            [TRAIN, PUBLISH, "rasen.log_metrics(mae=1.0)"],
            GATE,
            "gate baseline rmse",
            "'rmse' and 'profile_rmse' is never logged; logged are mae",
        ),
        (
            [TRAIN, "rasen.save_table('rows', rows)"],
            "tables: {scores: {step: train, table: scored}}",
            "table scores",
            "step 'train' never saves 'scored'; it calls save_table with rows",
        ),
        (
            [TRAIN, "rasen.save_table('scored', rows)"],
            "tables: {scores: {step: train, table: scored, gates: [{kind: threshold, metric: rows, min: 1}]}}",
            "gate threshold rows of table scores",
            "'rows' is never logged; logged are none",
        ),
    ],
)
def test_a_certain_fault_is_told_and_nothing_is_trained(
    settings: Settings, tmp_path: Path, cells: list[str], more: str, check: str, message: str
) -> None:
    folder = write_pipeline(tmp_path / "demand", {"train": cells}, parameters="slope: float = 2.0", more=more)
    said = refused(settings, folder)
    assert message in said[check]


def test_a_metric_that_the_notebook_of_a_gate_never_logs(settings: Settings, tmp_path: Path) -> None:
    gate = "{kind: notebook, notebook: judge.ipynb, metric: revenue, direction: maximize, better_than: 1}"
    folder = write_pipeline(
        tmp_path / "demand", {"train": [TRAIN, PUBLISH]}, parameters="slope: float = 2.0",
        more=f"deploy: {{gates: [{gate}]}}",
    )  # fmt: skip
    write_notebook(folder / "judge.ipynb", ["import rasen\nrasen.log_metrics(cost=1)"])
    assert "logged are cost" in refused(settings, folder)["gate notebook judge.ipynb revenue"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [("slope = 2.0", "'slope' has no annotation"), ("slope: float = 1 + 1", "is not a literal")],
)
def test_a_parameter_without_a_type_is_told_of_its_own_step(
    settings: Settings, tmp_path: Path, parameters: str, message: str
) -> None:
    folder = write_pipeline(tmp_path / "demand", {"save": ["1"], "train": [TRAIN]}, parameters="n: int = 1")
    write_notebook(folder / "train.ipynb", [TRAIN], parameters=parameters)
    said = refused(settings, folder)
    assert set(said) == {"parameters train"}
    assert message in said["parameters train"]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("name: demand\n", "`owner` is missing"),
        ("name: demand\nowner: us\nsteps: {train: {notebook: trian.ipynb}}\n", "did you mean 'train.ipynb'"),
        (
            "name: demand\nowner: us\nsteps: {train: {notebook: train.ipynb}}\nsample: {parameters: {slop: 1}}\n",
            "no parameter of the step's notebook has this name: did you mean 'slope'",
        ),
        ("name: [", "not YAML"),
    ],
)
def test_a_folder_that_makes_no_release(settings: Settings, tmp_path: Path, yaml: str, message: str) -> None:
    folder = write_pipeline(tmp_path / "demand", {"train": [TRAIN]}, parameters="slope: float = 2.0")
    (folder / "pipeline.yaml").write_text(yaml, encoding="utf-8")
    report = interface_test(settings, folder)
    said = failures(report)
    assert message in " ".join(said.values())
    assert "step train" not in outcomes(report) or outcomes(report)["step train"] == "skip"


def test_the_linters_errors_fail_and_its_warnings_are_counted(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", {"save": ["'odd'"], "train": ["'bad'"]})
    report = run_interface_test(settings, str(folder), linter=WordLinter())
    checks = by_name(report)
    assert (checks["lint save.ipynb"].outcome, checks["lint save.ipynb"].message) == ("pass", "1 warning")
    assert checks["lint train.ipynb"].outcome == "fail"
    assert checks["lint train.ipynb"].message == "NB0 cell 2, line 1: it says bad"
    assert checks["step save"].message == "nothing was run: 'lint train.ipynb' failed before"
    without = plan_checks(Subject(path="demand", folder=folder), lint=False)
    assert "lint save.ipynb" not in [planned.name for planned in without]


def test_a_step_that_loads_a_model_is_skipped_where_none_is_live(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", {"score": ["1"], "after": ["2"]})
    text = (folder / "pipeline.yaml").read_text(encoding="utf-8")
    (folder / "pipeline.yaml").write_text(
        text.replace("score.ipynb", "score.ipynb, models: [delay]"), encoding="utf-8"
    )
    report = interface_test(settings, folder)
    checks = by_name(report)
    assert "nothing is live behind endpoint 'delay'" in checks["step score"].message
    assert checks["step after"].message == "it needs step 'score', which was skipped"
    assert report.exit_code == 0


def test_a_working_copy_is_tested_in_dev_only(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", {"train": ["1"]})
    with pytest.raises(InvalidInput, match="in the environment 'dev' only; this is 'staging'"):
        interface_test(load_settings(home=tmp_path / "home", environment="staging"), folder)


def test_what_a_path_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebooks = tmp_path / "notebooks"
    folder = write_pipeline(notebooks / "demand", {"save": ["1"], "train": ["2"]})
    write_pipeline(notebooks / "delay", {"train": ["1"]})
    write_notebook(notebooks / "idea.ipynb", ["1"])
    write_notebook(folder / "idea.ipynb", ["1"])
    monkeypatch.chdir(tmp_path)

    def found(path: str) -> list[tuple[str, str | None, bool]]:
        return [(one.folder.name, one.step, one.lone is not None) for one in find_subjects(path)]

    assert found("notebooks") == [("delay", None, False), ("demand", None, False)]
    assert found("demand") == found("notebooks/demand") == found("notebooks/demand/pipeline.yaml")
    assert found("notebooks/demand/train.ipynb") == [("demand", "train", False)]
    assert found("notebooks/demand/idea.ipynb") == [("demand", None, True)]
    assert found("notebooks/idea.ipynb") == [("notebooks", None, True)]
    with pytest.raises(NotFound, match="did you mean 'demand'"):
        find_subjects("demnd")
    with pytest.raises(NotFound, match="does not exist"):
        find_subjects("notebooks/nothing.ipynb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=r"pipeline\.yaml"):
        find_subjects("empty")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidInput, match="neither a notebook"):
        find_subjects("notes.txt")
    with pytest.raises(InvalidInput, match="holds 2 pipelines"):
        run_interface_test(load_settings(home=tmp_path / "home"), "notebooks")
    assert Subject(path="x", folder=folder).title == "demand"
