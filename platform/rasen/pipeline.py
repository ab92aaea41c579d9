"""A pipeline's folder: `pipeline.yaml` and its notebooks, read and checked together.

Everything that can be known without running a cell is checked here, and all problems of a file are told at once, each
with its line: a person who edits YAML should not learn them one push at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from rasen.errors import NotebookError, ParameterError, PipelineError
from rasen.notebook import Notebook, check_runnable, parse_notebook
from rasen.parameter_conversion import Clock
from rasen.parameters import Parameter, convert, notebook_parameters
from rasen.pipeline_gates_contract import NotebookGate
from rasen.pipeline_graph import find_cycle
from rasen.pipeline_problems import Location, Problem, explain, refusal, refuse
from rasen.pipeline_schema import Pipeline
from rasen.strict_yaml import Document, YamlProblem, parse_yaml
from rasen.suggestion import suggest

PIPELINE_FILE = "pipeline.yaml"
SCHEMA_FILE = Path(__file__).with_name("pipeline.schema.json")

# Any instant does: it only shows whether `@scheduled-180d` is well written and fits the parameter.
_SOME_CLOCK = Clock(scheduled_at=datetime(2013, 7, 1, tzinfo=UTC), timezone=UTC)


@dataclass(frozen=True, kw_only=True)
class PipelineFolder:
    """A checked pipeline with its notebooks and their parameters, by step, and the notebooks of its gates, by path."""

    pipeline: Pipeline
    notebooks: Mapping[str, Notebook]
    parameters: Mapping[str, tuple[Parameter, ...]]
    gate_notebooks: Mapping[str, Notebook]


class Files(Protocol):
    """The files of a pipeline's folder, on disk or in a commit. Paths are relative, with `/`."""

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or `None` when there is no such file in the folder."""

    def paths(self) -> Iterable[str]:
        """Return the paths of all files."""


class FilesOnDisk:
    """The files of a folder as they are now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or `None`; a link that leads out of the folder is not in the folder."""
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder.resolve()) or not file.is_file():
            return None
        return file.read_bytes()

    def paths(self) -> Iterable[str]:
        """Return the paths of all files."""
        return [
            path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()
        ]


def load_pipeline(folder: Path) -> Pipeline:
    """Read and check the pipeline in `folder`.

    Raises:
        PipelineError: There is no `pipeline.yaml`, or something in it is wrong.
        NotebookError: The notebook of a step or a gate cannot be run as one.
    """
    return check_folder(FilesOnDisk(folder), source=f"{folder.name}/{PIPELINE_FILE}").pipeline


def find_pipelines(path: Path) -> list[Path]:
    """Return the pipelines' folders at `path`: itself when it holds a `pipeline.yaml`, else those right below it.

    Raises:
        PipelineError: There is none.
    """
    if (path / PIPELINE_FILE).is_file():
        return [path]
    folders = sorted(file.parent for file in path.glob(f"*/{PIPELINE_FILE}"))
    if not folders:
        raise PipelineError(f"neither {str(path)!r} nor a folder in it holds a {PIPELINE_FILE}")
    return folders


def check_folder(files: Files, *, source: str = PIPELINE_FILE) -> PipelineFolder:
    """Read and check a pipeline with its notebooks; `source` stands for its `pipeline.yaml` in messages.

    Raises:
        PipelineError: There is no `pipeline.yaml`, or something in it is wrong.
        NotebookError: The notebook of a step or a gate cannot be run as one.
    """
    data = files.read(PIPELINE_FILE)
    if data is None:
        other = files.read("pipeline.yml")
        hint = "; rename pipeline.yml" if other is not None else ""
        raise PipelineError(
            f"{source!r} does not exist{hint}; three lines are enough: name, owner, and steps with a notebook each"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{source}, line {line}: byte {data[error.start]:#04x} is not UTF-8") from None
    document, pipeline = _parse(text, source)
    notebooks, gate_notebooks = _read_notebooks(pipeline, document, files, source)
    parameters = {step: notebook_parameters(notebook) for step, notebook in notebooks.items()}
    refuse(source, document, _check_parameters(pipeline, parameters, gate_notebooks))
    return PipelineFolder(
        pipeline=pipeline, notebooks=notebooks, parameters=parameters, gate_notebooks=gate_notebooks
    )


def parse_pipeline(text: str, *, source: str = PIPELINE_FILE) -> Pipeline:
    """Parse and check the text of a `pipeline.yaml`, without its notebooks; `source` stands for it in messages.

    Raises:
        PipelineError: It is not YAML, has unknown keys or wrong values, or its steps do not make an order.
    """
    return _parse(text, source)[1]


def json_schema() -> dict[str, Any]:  # Any: JSON
    """Return the JSON Schema of `pipeline.yaml`, for editors."""
    schema = Pipeline.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def json_schema_text() -> str:
    """Return what `SCHEMA_FILE` must hold."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _parse(text: str, source: str) -> tuple[Document, Pipeline]:
    try:
        document = parse_yaml(text)
    except YamlProblem as problem:
        raise PipelineError(f"{source}, line {problem.line}: {problem.message}") from None
    if not isinstance(document.data, dict):
        found = "is empty" if document.data is None else f"holds a {type(document.data).__name__}"
        raise PipelineError(f"{source} {found}; it must hold the keys name, owner and steps")
    try:
        pipeline = Pipeline.model_validate(document.data)
    except ValidationError as error:
        raise refusal(source, document, explain(error, document.data)) from None
    refuse(source, document, [*_check_graph(pipeline), *_check_gates(pipeline)])
    return document, pipeline


def _check_graph(pipeline: Pipeline) -> Iterator[Problem]:
    broken = False
    for name, step in pipeline.steps.items():
        for index, need in enumerate(step.needs):
            location: Location = ("steps", name, "needs", index)
            if need not in pipeline.steps:
                broken = True
                others = [other for other in pipeline.steps if other != name]
                yield Problem(
                    location=location, message=f"there is no step {need!r}: {suggest(need, others)}"
                )
            elif need in step.needs[:index]:
                yield Problem(location=location, message=f"{need!r} is named twice")
    if not broken and (cycle := find_cycle(pipeline)):
        yield Problem(
            location=("steps", cycle[0], "needs"),
            message=f"the steps need one another in a circle: {' needs '.join(cycle)}; remove one of these needs",
        )
    for name, table in pipeline.tables.items():
        if table.step not in pipeline.steps:
            yield Problem(
                location=("tables", name, "step"),
                message=f"there is no step {table.step!r}: {suggest(table.step, pipeline.steps)}",
            )


def _check_gates(pipeline: Pipeline) -> Iterator[Problem]:
    """Check that gates of one notebook agree on how it is run: it is run once for all of them."""
    before: dict[str, NotebookGate] = {}
    for index, gate in _notebook_gates(pipeline):
        other = before.setdefault(gate.notebook, gate)
        for key in ("parameters", "timeout"):
            if getattr(gate, key) != getattr(other, key):
                yield Problem(
                    location=("deploy", "gates", index, key if key in gate.model_fields_set else "notebook"),
                    message=(
                        f"{gate.notebook!r} is run once for all gates, and another one before this has other "
                        f"`{key}`; give both the same, or this one a notebook of its own"
                    ),
                )


def _read_notebooks(
    pipeline: Pipeline, document: Document, files: Files, source: str
) -> tuple[dict[str, Notebook], dict[str, Notebook]]:
    """Return the notebooks of the steps, by step, and those of the gates, by path."""
    steps: dict[str, Notebook] = {}
    gates: dict[str, Notebook] = {}
    problems: list[Problem] = []
    unusable: list[str] = []

    def read(path: str, location: Location, owner: str) -> Notebook | None:
        data = files.read(path)
        if data is None:
            there = [
                path for path in files.paths() if path.endswith(".ipynb") and ".ipynb_checkpoints" not in path
            ]
            message = f"there is no file {path!r} in the folder: {suggest(path, there)}"
            problems.append(Problem(location=location, message=message))
            return None
        try:
            notebook = parse_notebook(data, name=path)
            check_runnable(notebook)
            notebook_parameters(notebook)
        except NotebookError as error:
            unusable.append(f"{source}, line {document.line_of(location)}: {owner}: {error}")
            return None
        return notebook

    for name, step in pipeline.steps.items():
        if notebook := read(step.notebook, ("steps", name, "notebook"), f"step {name!r}"):
            steps[name] = notebook
    for index, gate in _notebook_gates(pipeline):
        location: Location = ("deploy", "gates", index, "notebook")
        if owner := next(
            (name for name, step in pipeline.steps.items() if step.notebook == gate.notebook), None
        ):
            message = (
                f"{gate.notebook!r} is the notebook of step {owner!r}; a gate runs a notebook of its own, once with "
                "the candidate and once with the live version"
            )
            problems.append(Problem(location=location, message=message))
        elif notebook := gates.get(gate.notebook) or read(gate.notebook, location, f"gate {gate.label!r}"):
            gates[gate.notebook] = notebook
    refuse(source, document, problems)
    if unusable:
        raise NotebookError("\n".join(unusable))
    return steps, gates


def _notebook_gates(pipeline: Pipeline) -> Iterator[tuple[int, NotebookGate]]:
    """Yield the gates that run a notebook, with their positions."""
    for index, gate in enumerate(pipeline.deploy.gates or ()):
        if isinstance(gate, NotebookGate):
            yield index, gate


def _check_parameters(
    pipeline: Pipeline,
    parameters: Mapping[str, tuple[Parameter, ...]],
    gate_notebooks: Mapping[str, Notebook],
) -> Iterator[Problem]:
    """Check each value in `pipeline.yaml` against the notebooks that it reaches."""
    steps = {f"step {name!r}": each for name, each in parameters.items()}
    yield from _check_values(("parameters",), pipeline.parameters, steps)
    for name, step in pipeline.steps.items():
        own = {f"step {name!r}": parameters[name]}
        yield from _check_values(
            ("steps", name, "parameters"), step.parameters, own, where="the step's notebook"
        )
    if pipeline.sample is not None:
        yield from _check_values(("sample", "parameters"), pipeline.sample.parameters, steps)
    for index, gate in _notebook_gates(pipeline):
        own = {f"gate {gate.label!r}": notebook_parameters(gate_notebooks[gate.notebook])}
        location: Location = ("deploy", "gates", index, "parameters")
        yield from _check_values(location, gate.parameters, own, where="the gate's notebook")


def _check_values(
    location: Location,
    values: Mapping[str, object],
    parameters: Mapping[str, tuple[Parameter, ...]],
    *,
    where: str | None = None,
) -> Iterator[Problem]:
    known = {parameter.name for each in parameters.values() for parameter in each}
    for name, value in values.items():
        if name not in known:
            notebooks = where or ("the step's notebook" if len(parameters) == 1 else "any notebook")
            yield Problem(
                location=(*location, name),
                message=f"no parameter of {notebooks} has this name: {suggest(name, known)}",
            )
        for owner, each in parameters.items():
            for parameter in each:
                if parameter.name == name:
                    try:
                        convert(parameter, value, clock=_SOME_CLOCK)
                    except ParameterError as error:
                        yield Problem(location=(*location, name), message=f"{owner}: {error}")
