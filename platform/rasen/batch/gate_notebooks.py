"""Gate notebooks: what a version is worth in the business's own number, run with the candidate and with the live one.

A notebook named by a gate runs as a step's notebook does, after the model was qualified. Inside, `rasen.load_model` of
the pipeline's own endpoint returns the version that is judged, the tables of the run's steps can be loaded, and
`rasen.log_metrics` gives the number. It publishes nothing. That it fails is no failure of the run: its gate says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path, PurePosixPath
from typing import Any

from rasen.batch.inputs import fetch_tables, write_context
from rasen.batch.outcome import Outcome
from rasen.batch.start import scheduled_instant
from rasen.batch.step_notebook import Asked, execute_in_context
from rasen.batch.work import Work
from rasen.errors import RasenError, StoreError
from rasen.notebook import read_notebook
from rasen.parameters import Layer, notebook_parameters, resolve_steps
from rasen.pipeline_gates_contract import NotebookGate
from rasen.pipeline_graph import topological_order
from rasen.recorder import read_records
from rasen.release import unpack_bundle
from rasen.tracking.records import Verdict

OUTPUTS_FOLDER = "gates"
"""Below an attempt's folder and prefix: the executed gate notebooks."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A version that gate notebooks use: its files lie in `folder`, `described` names them with their digests."""

    folder: Path
    described: Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class GateNotebook:
    """A notebook that a gate names."""

    notebook: str
    parameters: Mapping[str, Any]  # Any: JSON
    timeout_seconds: float

    def output(self, side: str) -> str:
        """Return the name of the executed notebook, such as `gates/simulate-candidate.ipynb`."""
        return f"{OUTPUTS_FOLDER}/{PurePosixPath(self.notebook).with_suffix('')}-{side}.ipynb"


def run_gate_notebooks(
    work: Work, judged: Mapping[str, Judged], *, memory_bytes: int
) -> dict[str, dict[str, Any]]:  # Any: JSON
    """Run each gate notebook with each version; return by notebook and side what the gates are told.

    Args:
        work: The attempt of `_qualify`; the executed notebooks lie in its folder afterwards.
        judged: The versions, under `candidate` and, where there is one that can be loaded, `champion`.
        memory_bytes: The most memory that a notebook may take.

    Raises:
        StoreError: The notebooks or tables could not be fetched.
    """
    notebooks = _declared(work)
    if not notebooks:
        return {}
    source, tables = work.folder / "work", work.folder / "tables"
    unpack_bundle(work.store, work.release, source)
    fetch_tables(work.store, map(work.result_of, topological_order(work.release.spec)), tables)
    told: dict[str, dict[str, Any]] = {}  # Any: JSON
    for notebook in notebooks:
        told[notebook.notebook] = {
            side: _run(work, notebook, side, judged[side], memory_bytes) if side in judged else None
            for side in ("candidate", "champion")
        }
    return told


def _declared(work: Work) -> list[GateNotebook]:
    """Return the notebooks that gates name, each once."""
    found: dict[str, GateNotebook] = {}
    for gate in work.release.spec.deploy.gates or ():
        if isinstance(gate, NotebookGate):
            one = GateNotebook(
                notebook=gate.notebook, parameters=gate.parameters, timeout_seconds=gate.timeout_seconds
            )
            found.setdefault(one.notebook, one)
    return list(found.values())


def _run(
    work: Work, notebook: GateNotebook, side: str, version: Judged, memory_bytes: int
) -> dict[str, Any]:  # Any: JSON
    folder = work.folder / "judging"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "staging").mkdir(parents=True)
    output = work.folder / notebook.output(side)
    output.parent.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        "verdict": Verdict.FAILED.value,
        "metrics": {},
        "error": None,
        "output": None,
    }  # Any: JSON
    try:
        outcome, leak = _execute(work, notebook, version, folder, output, memory_bytes)
        told["output"] = notebook.output(side)
        if outcome.verdict is not Verdict.SUCCEEDED:
            told |= {
                "verdict": outcome.verdict.value,
                "error": {
                    "cell": outcome.cell,
                    "name": outcome.error_name,
                    "message": outcome.error_message,
                },
            }
        elif leak:
            told["error"] = {"cell": None, "name": "SecretSaved", "message": leak}
        else:
            told["verdict"] = Verdict.SUCCEEDED.value
            told["metrics"] = {
                record["name"]: record["value"]
                for record in read_records(folder / "staging")
                if record["kind"] == "metric" and not record["slice"]
            }
    except StoreError:
        raise
    except RasenError as error:
        told["error"] = {"cell": None, "name": type(error).__name__, "message": str(error)}
    return told


def _execute(
    work: Work, notebook: GateNotebook, version: Judged, folder: Path, output: Path, memory_bytes: int
) -> tuple[Outcome, str]:
    source, inputs = work.folder / "work", folder / "inputs"
    shutil.copytree(work.folder / "tables", inputs / "tables")
    (inputs / "judged").mkdir()
    files = version.described["files"]
    for role, file in files.items():
        if role != "evaluation":
            shutil.copyfile(version.folder / file["path"], inputs / "judged" / file["path"])
    (inputs / "statistics.json").write_text("{}", encoding="utf-8")
    parameters = _parameters(work, notebook, source / notebook.notebook)
    context = folder / "context.json"
    write_context(
        context,
        work.settings,
        run=work.run,
        pipeline=work.pipeline,
        step=work.step,
        parameters=parameters,
        folder=folder,
        judged={
            "endpoint": work.release.spec.endpoint,
            "schema": version.described["schema"],
            "files": {role: file for role, file in files.items() if role != "evaluation"},
        },
        most_rows=work.most_rows,
    )
    asked = Asked(
        notebook=source / notebook.notebook,
        folder=source,
        context=context,
        staging=folder / "staging",
        output=output,
        journal=folder / "journal.jsonl",
        spill=work.folder / "spilled.txt",
        parameters=parameters,
        timeout_seconds=notebook.timeout_seconds,
        memory_limit_bytes=memory_bytes,
    )
    return execute_in_context(work, asked)


def _parameters(work: Work, notebook: GateNotebook, path: Path) -> dict[str, Any]:  # Any: JSON
    """Return the values that the notebook is given: the gate's above the pipeline's, what was asked for above both."""
    declared = notebook_parameters(read_notebook(path))
    names = {parameter.name for parameter in declared}
    shared = {name: value for name, value in work.release.spec.parameters.items() if name in names}
    asked = {name: value for name, value in work.start.parameters.items() if name in names}
    sample = work.release.spec.sample if work.start.sample else None
    sampled = (
        [(Layer.SAMPLE, {name: value for name, value in sample.parameters.items() if name in names})]
        if sample is not None
        else []
    )
    resolved = resolve_steps(
        {notebook.notebook: declared},
        pipeline=shared,
        own={notebook.notebook: notebook.parameters},
        layers=[*sampled, (Layer.REQUEST, asked)],
        scheduled_at=scheduled_instant(work.start),
        timezone=UTC,
    )
    return dict(resolved[notebook.notebook].values)
