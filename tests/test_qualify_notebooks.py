"""Gate notebooks: run with the version that is judged, once a version, and what they say is kept for the gates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rasen.batch.execute import Executed
from rasen.settings import load_settings
from rasen.store import open_store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import StepResult, Verdict
from rasen.tracking.results import newest_attempt
from stand.pipelines import write_notebook, write_pipeline
from stand.runs import run_working_copy
from stand.versions import linear, publish_and_deploy

TRAIN = """
import pandas as pd, rasen
rows = pd.DataFrame({"hour": range(24), "origin": ["JFK", "EWR"] * 12})
rasen.save_table("rows", rows)
rasen.publish(lambda frame: frame["hour"] * slope, example=rows[["origin", "hour"]].head(2))
rasen.log_metrics(rmse=1.0)
"""
JUDGE = """
import rasen
model = rasen.load_model("shop")
rows = rasen.load_table("rows")
total = float(model.predict(rows).sum())
print("total", total)
rasen.log_metrics(revenue=total * price, slope=slope)
rasen.log_metrics(revenue=1.0, slice={"origin": "JFK"})
"""
GATES = """
deploy:
  gates:
    - {kind: notebook, notebook: judge.ipynb, metric: revenue, direction: maximize, better_than: champion,
       parameters: {price: 3.0}}
    - {kind: notebook, notebook: wrong/broken.ipynb, metric: revenue, direction: maximize, better_than: 1}
    - {kind: notebook, notebook: wrong/greedy.ipynb, metric: revenue, direction: maximize, better_than: 1}
"""
PARAMETERS = "slope: float = 2.0\nprice: float = 1.0"
GREEDY = """
import rasen
model = rasen.load_model("shop")
for call in (
    lambda: rasen.publish(model, example=model.example),
    lambda: rasen.save_table("rows", rasen.load_table("rows")),
    lambda: rasen.load_model("flight_demand"),
):
    try:
        call()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""
WRONG = {
    "broken": ["import rasen", "rasen.log_metrics(revenue=5.0)\nraise KeyError('no such airport')"],
    "greedy": [GREEDY],
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """A run whose pipeline has all these gates, while another version is live."""
    folder = tmp_path_factory.mktemp("gates")
    settings = load_settings(home=folder / "home")
    pipeline = write_pipeline(folder / "shop", {"train": [TRAIN]}, parameters=PARAMETERS, more=GATES)
    write_notebook(pipeline / "judge.ipynb", [JUDGE], parameters=PARAMETERS)
    for name, cells in WRONG.items():
        write_notebook(pipeline / "wrong" / f"{name}.ipynb", cells)
    publish_and_deploy(open_store(settings), settings, number=1, pipeline="shop", model=linear(1.0))
    return run_working_copy(settings, pipeline, "slope=4")


@pytest.fixture(scope="module")
def result(executed: Executed) -> StepResult:
    attempt = newest_attempt(executed.store, "shop", executed.run, QUALIFY_STEP)
    assert attempt is not None
    assert attempt.result is not None
    return attempt.result


def told(result: StepResult, notebook: str, side: str = "candidate") -> dict[str, Any]:
    assert result.qualification is not None
    found: dict[str, Any] = result.qualification["notebooks"][notebook][side]
    return found


def printed(executed: Executed, result: StepResult, notebook: str, side: str) -> str:
    key = next(file.key for file in result.files if file.key.endswith(told(result, notebook, side)["output"]))
    cells = json.loads(executed.store.read(key))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join("".join(output["text"]) for output in outputs)


REFUSALS = (
    "PublishError: publish in a gate notebook: it judges what the run has published, and publishes nothing",
    "PublishError: save_table('rows') in a gate notebook: ",
    "NotFound: a gate notebook loads the version that is judged, rasen.load_model('shop'), and no other",
)


def test_a_failing_gate_notebook_fails_no_run(executed: Executed, result: StepResult) -> None:
    assert executed.verdict is Verdict.SUCCEEDED
    assert result.verdict is Verdict.SUCCEEDED


def test_each_version_gets_its_number_and_the_runs_parameters(result: StepResult) -> None:
    hours = sum(range(24))
    candidate = told(result, "judge.ipynb")
    assert candidate["verdict"] == "succeeded"
    assert candidate["metrics"] == {"revenue": 3.0 * 4.0 * hours, "slope": 4.0}
    assert candidate["error"] is None
    assert told(result, "judge.ipynb", "champion")["metrics"]["revenue"] == 3.0 * hours
    assert {metric.name for metric in result.metrics} == set(), (
        "numbers of a gate notebook are its gate's alone"
    )


def test_the_executed_notebooks_are_kept(executed: Executed, result: StepResult) -> None:
    kept = {file.key.partition(f"/{QUALIFY_STEP}/1/")[2] for file in result.files}
    sides = {
        f"gates/{name}-{side}.ipynb"
        for name in ("judge", *(f"wrong/{each}" for each in WRONG))
        for side in ("candidate", "champion")
    }
    assert sides <= kept
    assert printed(executed, result, "judge.ipynb", "champion") == f"total {float(sum(range(24)))}\n"


def test_what_fails_is_told_with_its_cell(result: StepResult) -> None:
    broken = told(result, "wrong/broken.ipynb")
    assert broken["verdict"] == "failed"
    assert broken["metrics"] == {}
    assert broken["error"] == {"cell": 3, "name": "KeyError", "message": "'no such airport'"}
    assert broken["output"] == "gates/wrong/broken-candidate.ipynb"


def test_a_gate_notebook_only_judges(executed: Executed, result: StepResult) -> None:
    told_for = printed(executed, result, "wrong/greedy.ipynb", "candidate").splitlines()
    assert [line[: len(start)] for line, start in zip(told_for, REFUSALS, strict=True)] == list(REFUSALS)
