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
from typing import Any, Protocol, TypeAlias

from pydantic import ValidationError

from rasen.errors import NotebookError, ParameterError, PipelineError
from rasen.notebook import Notebook, check_runnable, parse_notebook
from rasen.parameter_conversion import Clock
from rasen.parameters import Parameter, convert, notebook_parameters
from rasen.pipeline_alerts import Alerts
from rasen.pipeline_deploy import (
    AB,
    AbortOn,
    Bandit,
    Canary,
    Deploy,
    Fallback,
    Log,
    Shadow,
)
from rasen.pipeline_gates import GATES
from rasen.pipeline_graph import find_cycle
from rasen.pipeline_schema import Pipeline, Resources, Sample, Step, Table
from rasen.pipeline_values import OWN_PROBLEMS
from rasen.strict_yaml import Document, YamlProblem, parse_yaml
from rasen.suggestion import suggest

PIPELINE_FILE = "pipeline.yaml"
SCHEMA_FILE = Path(__file__).with_name("pipeline.schema.json")

_Location: TypeAlias = tuple[str | int, ...]
# Any instant does: it only shows whether `@scheduled-180d` is well written and fits the parameter.
_SOME_CLOCK = Clock(scheduled_at=datetime(2013, 7, 1, tzinfo=UTC), timezone=UTC)


@dataclass(frozen=True, kw_only=True)
class PipelineFolder:
    """A checked pipeline with its notebooks and their parameters, by step."""

    pipeline: Pipeline
    notebooks: Mapping[str, Notebook]
    parameters: Mapping[str, tuple[Parameter, ...]]


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
        NotebookError: A step's notebook cannot be run as a step.
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
        NotebookError: A step's notebook cannot be run as a step.
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
    notebooks = _read_notebooks(pipeline, document, files, source)
    parameters = {step: notebook_parameters(notebook) for step, notebook in notebooks.items()}
    _refuse(source, document, _check_parameters(pipeline, parameters))
    return PipelineFolder(pipeline=pipeline, notebooks=notebooks, parameters=parameters)


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


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What is wrong with the value at `location`; `place`, if given, is named instead of it."""

    location: _Location
    message: str
    place: _Location | None = None


def _refuse(source: str, document: Document, problems: Iterable[_Problem]) -> None:
    """Raise one error with all problems, if there are any."""
    found = list(problems)
    if found:
        raise _refusal(source, document, found)


def _refusal(source: str, document: Document, problems: Iterable[_Problem]) -> PipelineError:
    """Return one error with all problems, in the order of their lines."""
    lines: set[tuple[int, str, str]] = set()
    for problem in problems:
        place = problem.location if problem.place is None else problem.place
        lines.add((document.line_of(problem.location), _dotted(place), problem.message))
    return PipelineError(
        "\n".join(
            f"{source}, line {line}: {f'{place}: ' if place else ''}{said}"
            for line, place, said in sorted(lines)
        )
    )


def _dotted(location: _Location) -> str:
    text = "".join(f"[{element}]" if isinstance(element, int) else f".{element}" for element in location)
    return text.removeprefix(".")


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
        raise _refusal(source, document, _explain(error, document.data)) from None
    _refuse(source, document, _check_graph(pipeline))
    return document, pipeline


def _explain(error: ValidationError, data: Any) -> Iterator[_Problem]:  # Any: the document
    for each in error.errors(include_url=False):
        location, value = _locate(each["loc"], data)
        parent, last = each["loc"][:-1], str(each["loc"][-1]) if each["loc"] else ""
        place = None
        match each["type"]:
            case "extra_forbidden":
                message = _model_at(parent).refuse_key(last, value)
                place = location[:-1]
            case "missing":
                message = (
                    f"`{last}` is missing: {_model_at(parent).model_fields[last].description or 'required'}"
                )
            case "union_tag_not_found":
                message = "`kind` is missing: baseline or threshold"
            case "too_short" if value:
                continue  # pydantic counts only the items that were right
            case "too_short":
                message = "is empty; leave it out, or fill it"
            case kind if kind in _WANTED:
                message = f"must be {_WANTED[kind]}, not {value!r:.60}"
            case kind:
                message = each["msg"] if kind in OWN_PROBLEMS else f"{each['msg']}, not {value!r:.60}"
        yield _Problem(location=location, message=message, place=place)


_WANTED = {
    "string_type": "a text",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _locate(location: tuple[int | str, ...], data: Any) -> tuple[_Location, Any]:  # Any: the document
    """Return the part of a pydantic location that is in the document (unions add their tag), and its value."""
    path: list[str | int] = []
    for element in location:
        match data:
            case dict() if element in data:
                data = data[element]
            case list() if isinstance(element, int) and element < len(data):
                data = data[element]
            case _:
                continue
        path.append(element)
    return tuple(path), data


def _model_at(location: tuple[int | str, ...]) -> type[Any]:  # Any: the models' common base is private
    match location:
        case ("steps", _, "resources"):
            return Resources
        case ("steps", _):
            return Step
        case ("sample",):
            return Sample
        case ("alerts",):
            return Alerts
        case ("deploy",):
            return Deploy
        case ("deploy", "rollout", *_, "abort_on"):
            return AbortOn
        case ("deploy", "rollout", str(kind)):
            return _ROLLOUTS[kind]
        case ("deploy", "fallback"):
            return Fallback
        case ("deploy", "log"):
            return Log
        case ("tables", _):
            return Table
        case (*_, "gates", int(), str(kind)):
            return GATES[kind]
        case _:
            return Pipeline


_ROLLOUTS: Mapping[str, type[Any]] = {  # Any: as above
    "canary": Canary,
    "ab": AB,
    "shadow": Shadow,
    "bandit": Bandit,
}


def _check_graph(pipeline: Pipeline) -> Iterator[_Problem]:
    broken = False
    for name, step in pipeline.steps.items():
        for index, need in enumerate(step.needs):
            location: _Location = ("steps", name, "needs", index)
            if need not in pipeline.steps:
                broken = True
                others = [other for other in pipeline.steps if other != name]
                yield _Problem(
                    location=location, message=f"there is no step {need!r}: {suggest(need, others)}"
                )
            elif need in step.needs[:index]:
                yield _Problem(location=location, message=f"{need!r} is named twice")
    if not broken and (cycle := find_cycle(pipeline)):
        yield _Problem(
            location=("steps", cycle[0], "needs"),
            message=f"the steps need one another in a circle: {' needs '.join(cycle)}; remove one of these needs",
        )
    for name, table in pipeline.tables.items():
        if table.step not in pipeline.steps:
            yield _Problem(
                location=("tables", name, "step"),
                message=f"there is no step {table.step!r}: {suggest(table.step, pipeline.steps)}",
            )


def _read_notebooks(pipeline: Pipeline, document: Document, files: Files, source: str) -> dict[str, Notebook]:
    notebooks: dict[str, Notebook] = {}
    missing: list[_Problem] = []
    unusable: list[str] = []
    for name, step in pipeline.steps.items():
        location: _Location = ("steps", name, "notebook")
        data = files.read(step.notebook)
        if data is None:
            there = [
                path for path in files.paths() if path.endswith(".ipynb") and ".ipynb_checkpoints" not in path
            ]
            missing.append(
                _Problem(
                    location=location,
                    message=f"there is no file {step.notebook!r} in the folder: {suggest(step.notebook, there)}",
                )
            )
            continue
        try:
            notebook = parse_notebook(data, name=step.notebook)
            check_runnable(notebook)
            notebook_parameters(notebook)
        except NotebookError as error:
            unusable.append(f"{source}, line {document.line_of(location)}: step {name!r}: {error}")
            continue
        notebooks[name] = notebook
    _refuse(source, document, missing)
    if unusable:
        raise NotebookError("\n".join(unusable))
    return notebooks


def _check_parameters(
    pipeline: Pipeline, parameters: Mapping[str, tuple[Parameter, ...]]
) -> Iterator[_Problem]:
    """Check each value in `pipeline.yaml` against the notebooks that it reaches."""
    yield from _check_values(("parameters",), pipeline.parameters, parameters)
    for name, step in pipeline.steps.items():
        yield from _check_values(("steps", name, "parameters"), step.parameters, {name: parameters[name]})
    if pipeline.sample is not None:
        yield from _check_values(("sample", "parameters"), pipeline.sample.parameters, parameters)


def _check_values(
    location: _Location, values: Mapping[str, object], parameters: Mapping[str, tuple[Parameter, ...]]
) -> Iterator[_Problem]:
    known = {parameter.name for each in parameters.values() for parameter in each}
    for name, value in values.items():
        if name not in known:
            where = "the step's notebook" if len(parameters) == 1 else "any notebook"
            yield _Problem(
                location=(*location, name),
                message=f"no parameter of {where} has this name: {suggest(name, known)}",
            )
        for step, each in parameters.items():
            for parameter in each:
                if parameter.name == name:
                    try:
                        convert(parameter, value, clock=_SOME_CLOCK)
                    except ParameterError as error:
                        yield _Problem(location=(*location, name), message=f"step {step!r}: {error}")
