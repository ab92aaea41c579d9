"""The sample pipelines: written as promised, and run on the real flights, cell by cell as in JupyterLab.

The margins asserted here are those that the notebooks claim, with some room for another processor's last bits.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.local.flights import load_flights
from rasen.model.loading import parse_example
from rasen.model.schema import ModelSchema
from rasen.notebook import Notebook, read_notebook
from rasen.parameters import notebook_parameters
from rasen.pipeline import load_pipeline
from rasen.pipeline_gates_contract import NotebookGate
from rasen.recorder import read_records
from rasen.saved_tables import read_saved_table
from rasen.settings import load_settings
from rasen.store import open_store
from stand.live_models import RUN, LivePlatform

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FOLDERS = sorted(path.parent for path in NOTEBOOKS.glob("*/pipeline.yaml"))
FILES = sorted(NOTEBOOKS.glob("*/*.ipynb"))
AIRPORTS = ("EWR", "JFK", "LGA")
HEADINGS = ["Purpose", "Background", "Data set", "Method", "Result", "Discussion", "Next action"]

every_notebook = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def code_cells(notebook: Notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.type == "code"]


# What they look like


def test_the_samples_are_all_there() -> None:
    assert [folder.name for folder in FOLDERS] == ["flight_delay", "flight_demand", "flight_demand_scores"]
    assert len(FILES) == 6


@every_folder
def test_a_pipeline_is_whole_and_named_like_its_folder(folder: Path) -> None:
    pipeline = load_pipeline(folder)
    assert pipeline.name == folder.name
    of_steps = {step.notebook for step in pipeline.steps.values()}
    of_gates = {gate.notebook for gate in pipeline.deploy.gates or () if isinstance(gate, NotebookGate)}
    assert of_steps | of_gates == {path.name for path in folder.glob("*.ipynb")}


def test_three_lines_make_an_endpoint() -> None:
    lines = (NOTEBOOKS / "flight_delay" / "pipeline.yaml").read_text(encoding="utf-8").splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["name", "owner", "steps"]
    assert load_pipeline(NOTEBOOKS / "flight_delay").deploy.gates is None, (
        "what follows is for the interface test"
    )


@every_notebook
def test_a_notebook_is_committed_as_jupyter_writes_it_and_without_outputs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert text == json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert document["metadata"]["kernelspec"]["name"] == "python3"
    identifiers = [cell["id"] for cell in document["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    for cell in document["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@every_notebook
def test_a_notebook_tells_an_experiment_from_purpose_to_next_action(path: Path) -> None:
    notebook = read_notebook(path)
    headings = [
        line.removeprefix("## ")
        for cell in notebook.cells
        if cell.type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("## ")
    ]
    assert sorted(headings) == sorted(HEADINGS)
    assert (headings[0], headings[-2:]) == ("Purpose", ["Discussion", "Next action"])
    assert notebook.cells[0].type == "markdown"
    assert notebook.title
    assert len(notebook.description) > 80


@every_notebook
def test_a_notebook_explains_each_parameter(path: Path) -> None:
    parameters = notebook_parameters(read_notebook(path))
    assert parameters
    assert [each.name for each in parameters if not each.description] == []


@every_notebook
def test_a_notebook_is_few_short_cells_with_charts(path: Path) -> None:
    cells = code_cells(read_notebook(path))
    assert len(cells) <= 16
    assert max(len(source.splitlines()) for source in cells) <= 30
    assert sum("rasen.log_figure(" in source for source in cells) in {1, 2}
    imports = [
        index
        for index, source in enumerate(cells)
        if any(isinstance(each, ast.Import | ast.ImportFrom) for each in ast.parse(source).body)
    ]
    assert imports == [1]


def test_scoring_sees_what_training_saw() -> None:
    training, scoring = (NOTEBOOKS / name / "demand.py" for name in ("flight_demand", "flight_demand_scores"))
    assert training.read_bytes() == scoring.read_bytes()


# What they do


@contextmanager
def unwarned() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, kw_only=True)
class Session:
    """What the calls of one notebook left behind."""

    folder: Path
    records: list[dict[str, Any]]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]

    def metrics(self, **part: str) -> dict[str, float]:
        return {each["name"]: each["value"] for each in self.of_kind("metric") if each["slice"] == part}


def run_cell_by_cell(home: Path, path: Path) -> Session:
    """Run a notebook in a kernel as JupyterLab would."""
    with unwarned():  # of Jupyter's own imports and sockets
        import nbformat
        from nbclient import NotebookClient

        environment = {name: value for name, value in os.environ.items() if not name.startswith("RASEN_")}
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
        client = NotebookClient(notebook, timeout=110, resources={"metadata": {"path": str(path.parent)}})
        client.execute(env={**environment, "RASEN_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"})
    sessions = load_settings(home=home).interactive_dir / path.parent.name / "sessions"
    newest = max(sessions.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    return Session(folder=newest, records=read_records(newest))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose warehouse holds the flights."""
    home = tmp_path_factory.mktemp("home")
    load_flights(EmbeddedWarehouse(load_settings(home=home).warehouse_dir))
    return home


@pytest.fixture(scope="module")
def demand(home: Path) -> dict[str, Session]:
    """The sessions of `flight_demand`, by notebook."""
    folder = NOTEBOOKS / "flight_demand"
    return {
        name: run_cell_by_cell(home, folder / f"{name}.ipynb") for name in ("features", "train", "evaluate")
    }


@pytest.fixture(scope="module")
def live(home: Path, demand: dict[str, Session]) -> None:
    """The model of the session, live behind `flight_demand`."""
    settings = load_settings(home=home)
    train = demand["train"]
    (record,) = train.of_kind("model")
    folder = train.folder / "model"
    schema = ModelSchema.from_dict(record["schema"])
    example, _ = parse_example((folder / "example.json").read_bytes(), schema)
    with unwarned():
        model = pickle.loads((folder / "model.cloudpickle").read_bytes())
        platform = LivePlatform(open_store(settings), folder)
        digest = platform.publish(model, example, pipeline="flight_demand")
    platform.deploy(digest, endpoint="flight_demand", pipeline="flight_demand")
    settings.trust_file.write_bytes(platform.trust.to_bytes())


def test_demand_features_are_all_there_and_each_group_earns_its_place(demand: dict[str, Session]) -> None:
    assert demand["features"].metrics()["rows"] == 15_561
    groups = [
        "calendar alone",
        "+ recent and usual departures",
        "+ published schedule",
        "+ backlog and delay",
    ]
    calendar, *grown = [demand["train"].metrics(features=group)["validation_rmse"] for group in groups]
    august = demand["train"].metrics()
    profile, model = august["validation_profile_rmse"], august["validation_rmse"]
    assert calendar > profile > grown[0] > grown[1] > grown[2] > model
    assert model < 0.85 * profile


def test_demand_beats_profile_and_timetable_on_a_later_month(demand: dict[str, Session]) -> None:
    september = demand["evaluate"].metrics()
    assert september["rmse"] < 0.72 * september["profile_rmse"]
    assert september["mae"] < 0.72 * september["profile_mae"]
    assert september["rmse"] < 0.9 * september["timetable_rmse"]
    assert september["rmse_gain_low"] > 0.2
    for airport in AIRPORTS:
        part = demand["evaluate"].metrics(origin=airport)
        assert part["rmse"] < 0.8 * part["profile_rmse"]


@pytest.mark.usefixtures("live")
def test_demand_is_worth_money(home: Path) -> None:
    """A gate notebook, run by hand: it asks the live model."""
    costs = run_cell_by_cell(home, NOTEBOOKS / "flight_demand" / "simulate.ipynb").metrics()
    assert costs["staffing_cost"] < 250 < costs["profile_staffing_cost"]


def test_demand_is_asked_with_a_short_request_and_tells_when_its_training_ended(
    demand: dict[str, Session],
) -> None:
    (model,) = demand["train"].of_kind("model")
    inputs = model["schema"]["inputs"]
    assert len(inputs) == 13
    nullable = ["usual_departures", "delay_minutes", "wind_speed", "visibility", "precipitation"]
    assert [column["name"] for column in inputs if column["nullable"]] == nullable
    assert model["trained_until"] == "2013-09-01T03:00:00Z"
    assert model["target"] == "departures"
    assert model["profile"] is not None


def test_delay_beats_its_profile_on_a_later_month(home: Path) -> None:
    session = run_cell_by_cell(home, NOTEBOOKS / "flight_delay" / "flight_delay.ipynb")
    september = session.metrics()
    assert september["log_loss"] < 0.9 * september["profile_log_loss"]
    assert september["brier"] < 0.86 * september["profile_brier"]
    assert september["auc"] > september["profile_auc"] + 0.05
    for airport in AIRPORTS:
        part = session.metrics(origin=airport)
        assert part["log_loss"] < 0.92 * part["profile_log_loss"]

    (model,) = session.of_kind("model")
    columns = model["schema"]["inputs"]
    route = ["origin", "carrier", "dest", "hour", "weekday"]
    assert [column["name"] for column in columns if not column["nullable"]] == route
    assert [column["name"] for column in columns if column["type"] == "string"] == route[:3]
    assert model["schema"]["output"] == {"kind": "scalar", "type": "float64"}


@pytest.mark.usefixtures("live")
def test_scores_come_from_the_live_model_which_beats_a_fresh_profile(home: Path) -> None:
    session = run_cell_by_cell(home, NOTEBOOKS / "flight_demand_scores" / "score.ipynb")
    recent = session.metrics()
    assert recent["rmse"] < 0.9 * recent["profile_rmse"]
    (forecast,) = session.of_kind("table")
    assert (forecast["name"], forecast["rows"]) == ("forecast", 9)
    scores = read_saved_table(session.folder / forecast["path"])
    assert scores["forecast"].between(0, 80).all()
    assert set(scores["model"]) == {RUN}
