"""What is tested: a pipeline's folder, some of its steps, or a notebook that belongs to no pipeline.

A notebook outside of any pipeline is given one: a folder with a copy of it, of the modules and small data files beside
it, and the `pipeline.yaml` that it would need. So everything is tested by the same code.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rasen.data.files import FORMATS
from rasen.errors import InvalidInput, NotebookError, NotFound, PipelineError
from rasen.interface_test.notebook_calls import read_calls
from rasen.notebook import read_notebook
from rasen.pipeline import PIPELINE_FILE, find_pipelines, parse_pipeline
from rasen.pipeline_schema import Pipeline
from rasen.settings import find_home
from rasen.strict_yaml import YamlProblem, parse_yaml
from rasen.suggestion import suggest

_COPIED_MOST_BYTES = 20_000_000
_NAME = re.compile(r"[^a-z0-9_]+")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something to test.

    Args:
        path: As it was asked for.
        folder: The pipeline's folder, or that of a lone notebook.
        step: The only step that is asked for, with what it needs; `None` for all.
        lone: The notebook, when it belongs to no pipeline.
        notes: What a reader of the report has to know.
    """

    path: str
    folder: Path
    step: str | None = None
    lone: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is called before its `pipeline.yaml` has been read."""
        return self.lone.stem if self.lone is not None else self.folder.resolve().name


def find_subjects(path: str) -> list[Subject]:
    """Return what a path or a pipeline's name stands for.

    Raises:
        NotFound: There is nothing of that name.
        InvalidInput: It is something that cannot be tested.
    """
    place = Path(path)
    if place.is_dir():
        return [Subject(path=_relative(path, folder), folder=folder) for folder in _pipelines(place)]
    if place.name == PIPELINE_FILE and place.is_file():
        return [Subject(path=str(place.parent), folder=place.parent)]
    if place.suffix == ".ipynb" and place.is_file():
        return [_of_notebook(place)]
    if place.is_file():
        raise InvalidInput(
            f"{path!r} is neither a notebook (.ipynb) nor a {PIPELINE_FILE}; name one, or a pipeline's folder"
        )
    named = dict(_named_pipelines())
    if path in named:
        return [Subject(path=str(named[path]), folder=named[path])]
    if "/" in path or place.suffix:
        raise NotFound(f"{path!r} does not exist; name a pipeline, its folder or a notebook")
    raise NotFound(f"there is no folder and no pipeline {path!r} here: {suggest(path, sorted(named))}")


def _pipelines(folder: Path) -> list[Path]:
    try:
        return find_pipelines(folder)
    except PipelineError as error:
        raise NotFound(str(error)) from None


def _relative(path: str, folder: Path) -> str:
    return path if Path(path) == folder else str(folder)


def _named_pipelines() -> Iterator[tuple[str, Path]]:
    """Yield the pipelines of the repository that one works in, by name: those of `notebooks/` and of this folder."""
    here = Path.cwd()
    top = find_home(here).parent
    for root in dict.fromkeys((here, here / "notebooks", top / "notebooks")):
        for file in sorted(root.glob(f"*/{PIPELINE_FILE}")):
            try:
                data = parse_yaml(file.read_text(encoding="utf-8")).data
            except (YamlProblem, OSError, UnicodeDecodeError):
                continue
            if isinstance(data, dict) and isinstance(data.get("name"), str):
                yield data["name"], file.parent


def _of_notebook(notebook: Path) -> Subject:
    """Return the step that a notebook is, its whole pipeline when it is a gate's, or the notebook alone."""
    for folder in notebook.resolve().parents:
        file = folder / PIPELINE_FILE
        if not file.is_file():
            continue
        relative = notebook.resolve().relative_to(folder).as_posix()
        try:
            pipeline = parse_pipeline(file.read_text(encoding="utf-8-sig"))
        except (PipelineError, UnicodeDecodeError):
            # The test of the folder says what is wrong with it.
            return Subject(path=str(notebook), folder=folder)
        for name, step in pipeline.steps.items():
            if step.notebook == relative:
                return Subject(
                    path=str(notebook), folder=folder, step=name, notes=_notes_of_step(pipeline, name)
                )
        if any(getattr(gate, "notebook", None) == relative for gate in pipeline.deploy.gates or ()):
            note = f"{relative} is the notebook of a gate: it runs with the model that the pipeline publishes"
            return Subject(path=str(notebook), folder=folder, notes=(note,))
        break
    note = "the notebook belongs to no pipeline: it is tested by itself, on all rows that it asks for"
    return Subject(path=str(notebook), folder=notebook.parent, lone=notebook, notes=(note,))


def _notes_of_step(pipeline: Pipeline, step: str) -> tuple[str, ...]:
    if len(pipeline.steps) == 1:
        return ()
    return (f"only step {step!r} and what it needs is run: gates are not looked at",)


def write_lone_pipeline(notebook: Path, folder: Path) -> Path:
    """Write a pipeline of one step around a notebook into `folder` and return its folder.

    Raises:
        NotebookError: The file cannot be read.
    """
    stem = _NAME.sub("_", notebook.stem.lower()).strip("_")[:30]
    name = stem if re.match(r"[a-z]", stem) else f"notebook_{stem}".rstrip("_")
    made = folder / name
    made.mkdir(parents=True)
    try:
        shutil.copyfile(notebook, made / notebook.name)
        for file in sorted(notebook.parent.iterdir()):
            wanted = file.suffix == ".py" or file.name.lower().endswith(FORMATS)
            if wanted and file.is_file() and file.stat().st_size <= _COPIED_MOST_BYTES:
                shutil.copyfile(file, made / file.name)
    except OSError as error:
        raise NotebookError(f"{str(notebook)!r} cannot be read: {error.strerror or error}") from None
    try:
        endpoints = sorted(read_calls(read_notebook(made / notebook.name)).endpoints)
    except NotebookError:
        endpoints = []  # what is wrong with it is said by a check
    step = {"notebook": notebook.name, "models": endpoints}
    document = {"name": name, "owner": "interface test", "steps": {"notebook": step}}
    (made / PIPELINE_FILE).write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    return made
