"""The `notebook` gate: arithmetic on what a simulation logged with the candidate and with the live version."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import NotebookError, PipelineError
from rasen.pipeline import FilesOnDisk, check_folder, load_pipeline
from rasen.pipeline_gates_contract import NotebookGate
from stand.evidence import CHAMPION, evidence, verdict, version
from stand.pipeline_folder import notebook, write_pipeline

LIVE = version(CHAMPION)


def gate(**keys: Any) -> NotebookGate:
    declared = {
        "notebook": "simulate.ipynb",
        "metric": "revenue",
        "direction": "maximize",
        "better_than": "champion",
    }
    return NotebookGate(kind="notebook", **(declared | keys))


def ran(value: object = None, *, verdict: str = "succeeded", **more: object) -> dict[str, object]:
    metrics = {} if value is None else {"revenue": value}
    return {"verdict": verdict, "metrics": metrics, "error": None, "output": "gates/x.ipynb"} | more


def found(candidate: object, champion: object = None, *, run: str = CHAMPION) -> dict[str, Any]:
    return {
        "notebooks": {"simulate.ipynb": {"candidate": candidate, "champion": champion}},
        "champion": {"run": run, "evaluated": True, "reason": ""},
    }


@pytest.mark.parametrize(
    ("own", "live", "keys", "answer", "outcome", "reason"),
    [
        (
            120.0,
            100.0,
            {},
            "pass",
            "better",
            "business metric revenue 120 with the candidate is better than 100 with the live version (maximized)",
        ),
        (
            80.0,
            100.0,
            {},
            "fail",
            "worse",
            "business metric revenue 80 with the candidate is worse than 100 with the live version (maximized)",
        ),
        (
            100.0,
            100.0,
            {"metric_kind": "ml"},
            "fail",
            "equal",
            "revenue 100 with the candidate is equal to 100 with the live version (maximized)",
        ),
        (
            104.0,
            100.0,
            {"margin": "5%"},
            "fail",
            "not enough",
            (
                "business metric revenue 104 with the candidate is better than 100 with the live version (maximized), "
                "by less than the 5 % that are asked for"
            ),
        ),
        (105.0, 100.0, {"margin": "5%"}, "pass", "better", None),
        (2.7, 3.0, {"margin": "10%", "direction": "minimize"}, "pass", "better", None),
        (-5.0, -4.0, {"direction": "minimize", "margin": "20%"}, "pass", "better", None),
        (0.0, 0.0, {}, "fail", "equal", None),
        (
            120.0,
            None,
            {"better_than": 110},
            "pass",
            "better",
            "business metric revenue 120 with the candidate is better than 110 (maximized)",
        ),
        (120.0, None, {"better_than": 120.0}, "fail", "equal", None),
    ],
)
def test_the_number_with_the_candidate_decides(
    own: float, live: float | None, keys: dict[str, Any], answer: str, outcome: str, reason: str | None
) -> None:
    champion = None if live is None else ran(live)
    got = verdict(gate(**keys), evidence(qualification=found(ran(own), champion), champion=LIVE))
    assert (got.gate, got.answer, got.outcome) == ("notebook simulate.ipynb revenue", answer, outcome)
    assert reason is None or got.reason == reason
    assert got.numbers["revenue"] == own


def test_the_first_version_has_nothing_to_beat_but_must_run() -> None:
    first = verdict(gate(), evidence(qualification=found(ran(120.0))))
    assert (first.answer, first.outcome, first.numbers) == ("pass", "first", {"revenue": 120.0})
    failed = verdict(gate(), evidence(qualification=found(ran(verdict="failed"))))
    assert (failed.answer, failed.outcome) == ("fail", "failed")
    assert verdict(gate(better_than=200), evidence(qualification=found(ran(120.0)))).answer == "fail"


def test_a_notebook_that_failed_is_told_with_cell_and_error() -> None:
    error = {"cell": 3, "name": "KeyError", "message": "'origin'"}
    got = verdict(
        gate(),
        evidence(qualification=found(ran(verdict="failed", error=error), ran(1.0)), champion=LIVE),
    )
    assert (got.answer, got.outcome) == ("fail", "failed")
    assert got.reason == "'simulate.ipynb' ended as 'failed' with the candidate in cell 3: KeyError: 'origin'"
    late = verdict(gate(), evidence(qualification=found(ran(verdict="timed_out", error="after 600 s"))))
    assert late.reason == "'simulate.ipynb' ended as 'timed_out' with the candidate: after 600 s"


@pytest.mark.parametrize(
    ("metrics", "outcome", "told"),
    [
        ({}, "missing", "logged no 'revenue' with the candidate; logged are: nothing"),
        ({"cost": 1.0, "rides": 2.0}, "missing", "logged are: cost, rides"),
        ({"revenue": "NaN"}, "not finite", "'revenue' of 'simulate.ipynb' with the candidate is NaN"),
        ({"revenue": float("-inf")}, "not finite", "is -inf"),
        ({"revenue": "120"}, "not a number", "is '120', not a number"),
        ({"revenue": True}, "not a number", "is 'True', not a number"),
        (None, "missing", "logged are: nothing"),
    ],
)
def test_a_number_that_is_none_fails(metrics: object, outcome: str, told: str) -> None:
    for better_than in ("champion", 100):
        got = verdict(
            gate(better_than=better_than),
            evidence(qualification=found(ran(metrics=metrics), ran(100.0)), champion=LIVE),
        )
        assert (got.answer, got.outcome) == ("fail", outcome)
        assert told in got.reason


@pytest.mark.parametrize(
    ("qualification", "told"),
    [
        (
            found(ran(120.0), ran(verdict="failed", error={"cell": 1, "name": "E", "message": "m"})),
            "cell 1: E: m",
        ),
        (found(ran(120.0), ran("NaN")), "with the live version is NaN"),
        (found(ran(120.0), None), "did not run 'simulate.ipynb' with the live version"),
        (found(ran(120.0), ran(100.0), run="older"), "compared it with older; live now is champion"),
        (found(ran(120.0), None) | {"champion": None}, "compared it with no live version"),
        (
            found(ran(120.0), None)
            | {"champion": {"run": CHAMPION, "evaluated": False, "reason": "it hangs"}},
            "got nothing from the live version: it hangs",
        ),
    ],
)
def test_what_goes_wrong_with_the_live_version_alone_is_inconclusive(
    qualification: dict[str, Any], told: str
) -> None:
    known = evidence(qualification=qualification, champion=LIVE)
    held = verdict(gate(), known)
    assert (held.answer, held.outcome) == ("hold", "inconclusive")
    assert held.reason.startswith("business metric revenue is 120 with the candidate; ")
    assert told in held.reason
    assert verdict(gate(inconclusive="pass"), known).answer == "pass"
    gone = evidence(qualification=qualification, problem="its manifest is gone")
    assert verdict(gate(), gone).outcome == "inconclusive"


def test_that_the_live_version_could_not_predict_the_rows_does_not_matter_here() -> None:
    known = found(ran(120.0), ran(100.0)) | {
        "champion": {"run": CHAMPION, "evaluated": False, "reason": "no column 'wind'"}
    }
    assert verdict(gate(), evidence(qualification=known, champion=LIVE)).outcome == "better"


@pytest.mark.parametrize("qualification", [{}, {"notebooks": None}, {"notebooks": {"other.ipynb": {}}}])
def test_a_notebook_that_was_not_run_fails(qualification: dict[str, Any]) -> None:
    got = verdict(gate(), evidence(qualification=qualification, champion=LIVE))
    assert (got.answer, got.outcome) == ("fail", "missing")
    assert got.reason == "`_qualify` did not run 'simulate.ipynb'"


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["verdict", "metrics", "error", "cell", "revenue"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(candidate=json, champion=json, executed=json)
def test_whatever_was_found_a_verdict_comes(candidate: object, champion: object, executed: object) -> None:
    known = found(candidate, champion) | {"champion": executed}
    got = verdict(gate(), evidence(qualification=known, champion=LIVE))
    assert got.answer in {"fail", "hold"}
    assert got.reason


YAML = """\
name: demand
owner: mobility
steps:
  train: {notebook: train.ipynb}
deploy:
  gates:
    - {kind: notebook, notebook: simulate.ipynb, metric: revenue, direction: maximize, better_than: champion,
       parameters: {days: 30}}
"""
NOTEBOOKS = {"train.ipynb": notebook(), "simulate.ipynb": notebook("days: int = 7\n")}


def test_the_notebook_of_a_gate_is_checked_with_the_folder(tmp_path: Path) -> None:
    checked = check_folder(FilesOnDisk(write_pipeline(tmp_path / "demand", YAML, NOTEBOOKS)))
    assert list(checked.gate_notebooks) == ["simulate.ipynb"]
    assert list(checked.notebooks) == ["train"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "simulate.ipynb",
            "simulat.ipynb",
            (
                "line 7: deploy.gates[0].notebook: there is no file 'simulat.ipynb' in the folder: did you mean "
                "'simulate.ipynb'?"
            ),
        ),
        (
            "notebook: simulate.ipynb",
            "notebook: train.ipynb",
            "line 7: deploy.gates[0].notebook: 'train.ipynb' is the notebook of step 'train'; a gate runs a notebook",
        ),
        (
            "{days: 30}",
            "{dys: 30}",
            "deploy.gates[0].parameters.dys: no parameter of the gate's notebook has this name: did you mean 'days'?",
        ),
        (
            "{days: 30}",
            "{days: x}",
            "deploy.gates[0].parameters.days: gate 'notebook simulate.ipynb revenue': parameter 'days'",
        ),
    ],
)
def test_a_wrong_gate_notebook_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = write_pipeline(tmp_path / "demand", YAML.replace(old, new), NOTEBOOKS)
    with pytest.raises(PipelineError) as caught:
        load_pipeline(folder)
    assert message in str(caught.value)


def test_a_gate_notebook_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    broken = NOTEBOOKS | {"simulate.ipynb": notebook(changes={"cells": []})}
    with pytest.raises(NotebookError, match=r"gate 'notebook simulate.ipynb revenue': .* no cell is tagged"):
        load_pipeline(write_pipeline(tmp_path / "demand", YAML, broken))


def test_gates_of_one_notebook_agree_on_how_it_is_run(tmp_path: Path) -> None:
    other = (
        "    - {kind: notebook, notebook: simulate.ipynb, metric: cost, direction: minimize, better_than: 5"
    )
    same = YAML + other + ", parameters: {days: 30}}\n"
    load_pipeline(write_pipeline(tmp_path / "same", same, NOTEBOOKS))
    differ = YAML + other + ", timeout: 5m}\n"
    with pytest.raises(PipelineError) as caught:
        load_pipeline(write_pipeline(tmp_path / "differ", differ, NOTEBOOKS))
    assert "line 9: deploy.gates[1].timeout: 'simulate.ipynb' is run once for all gates" in str(caught.value)
    assert "deploy.gates[1].notebook: 'simulate.ipynb' is run once" in str(caught.value)
