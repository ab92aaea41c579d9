"""What a notebook is for, told from the `pipeline.yaml` above it.

Read leniently: the linter runs while the file is being written, and whoever registers the pipeline judges it in full.
What is no YAML at all is said, because the rules about steps cannot look then. The full model of `rasen.pipeline`
would cost 200 ms of imports.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.linter import Stage
from rasen_lint.configuration import Configuration
from rasen_lint.context import Context, Role
from rasen_lint.file_cache import FileCache
from rasen_lint.image_modules import modules_of_lock
from rasen_lint.repository import Listing, find_root, list_files, list_modules

PIPELINE_FILE = "pipeline.yaml"
_LISTED_SECONDS = 30.0
_JUDGE_LOGGED = frozenset({"baseline", "history", "threshold"})
"""Kinds of gates that judge what a notebook logged; the others compute their metric from rows."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One notebook as its pipeline names it; `metrics` are those that it has to log."""

    role: Role
    step: str | None = None
    metrics: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PipelineSketch:
    """What the linter needs of a `pipeline.yaml`; `problem` says why that is nothing."""

    name: str | None = None
    notebooks: Mapping[str, Place] = field(default_factory=dict)
    single: bool = False
    contract: Mapping[str, str] | None = None
    problem: str | None = None


class Contexts:
    """Fills contexts, and remembers what stands in files and folders.

    Modules and files elsewhere are listed again after half a minute, the rest when its file has changed.
    """

    def __init__(self) -> None:
        self._pipelines: FileCache[PipelineSketch] = FileCache()
        self._locks: FileCache[frozenset[str]] = FileCache()
        self._listings: dict[Path, tuple[float, Listing]] = {}
        self._outside_modules: dict[Path, tuple[Listing, frozenset[str]]] = {}

    def of(
        self, path: Path, configuration: Configuration, *, stage: Stage = "editor"
    ) -> tuple[Context, str | None]:
        """Return the context of the notebook at `path`, and what is wrong with its `pipeline.yaml`, if anything."""
        # The name as it was given: a link in a pipeline's folder is the pipeline's.
        path = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow the link
        image = self._image_modules(path, configuration)
        for folder in path.parents:
            sketch = self._pipelines.get(folder / PIPELINE_FILE, _sketch)
            if sketch is None:
                continue
            if sketch.problem is not None:
                return Context(stage=stage, image_modules=image), sketch.problem
            place = sketch.notebooks.get(path.relative_to(folder).as_posix())
            if place is None:
                break
            return self._inside(path, folder, sketch, place, image, stage), None
        return Context(stage=stage, image_modules=image), None

    def _inside(
        self,
        path: Path,
        folder: Path,
        sketch: PipelineSketch,
        place: Place,
        image: frozenset[str] | None,
        stage: Stage,
    ) -> Context:
        files = self._list(folder).files
        below = path.parent.relative_to(folder)
        siblings = None
        if files is not None:
            siblings = frozenset(
                files
                if below == Path()
                else (os.path.relpath(file, below).replace(os.sep, "/") for file in files)
            )
        outside = self._outside(folder)
        return Context(
            role=place.role,
            stage=stage,
            pipeline=sketch.name,
            step=place.step,
            only_step=sketch.single and place.role is Role.STEP,
            gate_metrics=place.metrics,
            contract=sketch.contract,
            siblings=siblings,
            outside_modules=outside - (image or frozenset()),
            image_modules=image,
        )

    def _list(self, folder: Path) -> Listing:
        kept = self._listings.get(folder)
        if kept is None or time.monotonic() - kept[0] > _LISTED_SECONDS:
            kept = (time.monotonic(), list_files(folder))
            self._listings[folder] = kept
        return kept[1]

    def _outside(self, folder: Path) -> frozenset[str]:
        everything = self._list(find_root(folder))
        kept = self._outside_modules.get(folder)
        if kept is None or kept[0] is not everything:
            inside = {file.split("/")[0].removesuffix(".py") for file in self._list(folder).files or ()}
            kept = (everything, list_modules(everything, except_below=folder) - inside)
            self._outside_modules[folder] = kept
        return kept[1]

    def _image_modules(self, path: Path, configuration: Configuration) -> frozenset[str] | None:
        folder = configuration.file.parent if configuration.file is not None else find_root(path.parent)
        return self._locks.get(folder / configuration.lock, modules_of_lock)


def _sketch(file: Path, data: bytes) -> PipelineSketch:
    from rasen.strict_yaml import YamlProblem, parse_yaml

    try:
        document = parse_yaml(data.decode("utf-8-sig")).data
    except UnicodeDecodeError as error:
        return PipelineSketch(problem=f"{file}: not UTF-8: {error.reason}; {_CONSEQUENCE}")
    except YamlProblem as error:
        return PipelineSketch(problem=f"{file}, line {error.line}: {error.message}; {_CONSEQUENCE}")
    content = _mapping(document)
    steps = {name: step for name, step in _mapping(content.get("steps")).items() if isinstance(step, dict)}
    gates = list(_gates(content))
    logged = frozenset(
        name
        for gate in gates
        if gate.get("kind") in _JUDGE_LOGGED
        for name in (gate.get("metric"), gate.get("better_than"))
        if isinstance(name, str)
    )
    notebooks = {}
    for gate in gates:
        if gate.get("kind") == "notebook" and isinstance(gate.get("notebook"), str):
            metric = gate.get("metric")
            metrics = frozenset([metric] if isinstance(metric, str) else [])
            notebooks[_normal(gate["notebook"])] = Place(role=Role.GATE, metrics=metrics)
    evaluate = _mapping(content.get("monitor")).get("evaluate")
    if isinstance(evaluate, str):
        notebooks[_normal(evaluate)] = Place(role=Role.EVALUATION)
    for name, step in reversed(steps.items()):
        if isinstance(step.get("notebook"), str):
            notebooks[_normal(step["notebook"])] = Place(role=Role.STEP, step=name, metrics=logged)
    pipeline = content.get("name")
    return PipelineSketch(
        name=pipeline if isinstance(pipeline, str) else file.parent.name,
        notebooks=notebooks,
        single=len(steps) == 1 and not content.get("tables"),
        contract=_contract(content),
    )


_CONSEQUENCE = "what the notebooks of this folder are for is unknown until it is mended"


def _gates(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:  # Any: YAML
    gates = _mapping(content.get("deploy")).get("gates")
    for gate in gates if isinstance(gates, list) else ():
        if isinstance(gate, dict):
            yield gate


def _contract(content: Mapping[str, Any]) -> dict[str, str] | None:  # Any: YAML
    inputs = _mapping(_mapping(content.get("deploy")).get("contract")).get("inputs")
    return {str(name): str(kind) for name, kind in inputs.items()} if isinstance(inputs, dict) else None


def _mapping(value: Any) -> Mapping[str, Any]:  # Any: YAML
    return value if isinstance(value, dict) else {}


def _normal(path: str) -> str:
    return os.path.normpath(path).replace(os.sep, "/")
