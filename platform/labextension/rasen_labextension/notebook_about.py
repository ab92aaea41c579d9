"""What a notebook is in its pipeline: which step, which parameters with which values, and how it stands in git.

Asked of the notebook as it is in the browser: what was not saved counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.commit_files import find_checkout, head_commit, list_dirty
from rasen.errors import RasenError
from rasen.notebook import parse_notebook
from rasen.parameter_types import (
    Choice,
    Kind,
    ListOf,
    Nullable,
    ParameterType,
    Scalar,
    is_secret,
    parse_annotation,
)
from rasen.parameters import Parameter, notebook_parameters
from rasen.pipeline import PIPELINE_FILE, FilesOnDisk, PipelineFolder, check_folder
from rasen.strict_yaml import YamlProblem, parse_yaml


@dataclass(frozen=True, kw_only=True)
class AboutParameter:
    """A parameter as a form shows it; `value` is what a run gets if nothing is entered, from `layer`.

    `text` is the value as one would type it: JavaScript has no 1.0.
    """

    name: str
    type: str
    kind: str
    choices: tuple[bool | int | str, ...]
    nullable: bool
    description: str
    value: Any  # Any: JSON
    text: str
    layer: str
    steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class About:
    """What can be said of a notebook without asking the platform; `problem` is why it cannot run."""

    pipeline: str | None = None
    step: str | None = None
    role: str = "exploration"
    folder: str | None = None
    endpoint: str | None = None
    owner: str | None = None
    parameters: tuple[AboutParameter, ...] = ()
    problem: str | None = None
    commit: str | None = None
    changed: tuple[str, ...] = field(default=())


class EditedFiles(FilesOnDisk):
    """The files of a folder, one of them as it is in the browser."""

    def __init__(self, folder: Path, *, edited: str, content: bytes) -> None:
        super().__init__(folder)
        self._edited = edited
        self._content = content

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or `None`."""
        return self._content if path == self._edited else super().read(path)

    def paths(self) -> Iterable[str]:
        """Return the paths of all files."""
        return sorted({*super().paths(), self._edited})


def pipeline_folder(file: Path, *, root: Path) -> Path | None:
    """Return the folder of the pipeline that a file belongs to, looking no higher than `root`."""
    for folder in file.parents:
        if not folder.is_relative_to(root):
            return None
        if (folder / PIPELINE_FILE).is_file():
            return folder
    return None


def describe_notebook(file: Path, content: bytes, *, root: Path) -> About:
    """Say what a notebook is; what is wrong with it or its pipeline becomes the `problem`."""
    folder = pipeline_folder(file, root=root)
    if folder is None:
        return About()
    edited = file.relative_to(folder).as_posix()
    known = _read_names(folder)
    commit, changed = _standing(folder, edited, file, content)
    common: dict[str, Any] = {  # Any: the fields of About
        "folder": folder.relative_to(root).as_posix(),
        "commit": commit,
        "changed": changed,
    }
    try:
        files = EditedFiles(folder, edited=edited, content=content)
        checked = check_folder(files, source=f"{folder.name}/{PIPELINE_FILE}")
    except RasenError as error:
        return About(
            pipeline=known.get("name"),
            owner=known.get("owner"),
            problem=str(error),
            parameters=_own_parameters(content, file.name),
            **common,
        )
    steps = [name for name, step in checked.pipeline.steps.items() if step.notebook == edited]
    return About(
        pipeline=checked.pipeline.name,
        owner=checked.pipeline.owner,
        endpoint=checked.pipeline.endpoint,
        step=steps[0] if steps else None,
        role="step" if steps else "gate" if edited in checked.gate_notebooks else "exploration",
        parameters=tuple(_pipeline_parameters(checked)),
        **common,
    )


def _read_names(folder: Path) -> dict[str, str]:
    """Return what a broken `pipeline.yaml` still says of its name and its owner."""
    try:
        data = parse_yaml((folder / PIPELINE_FILE).read_text(encoding="utf-8-sig")).data
    except (YamlProblem, OSError, UnicodeDecodeError):
        data = None
    found = data if isinstance(data, dict) else {}
    return {key: found[key] for key in ("name", "owner") if isinstance(found.get(key), str)} or {
        "name": folder.name
    }


def _own_parameters(content: bytes, name: str) -> tuple[AboutParameter, ...]:
    try:
        parameters = notebook_parameters(parse_notebook(content, name=name))
    except RasenError:
        return ()
    return tuple(_about(each, each.default, "cell default", ()) for each in parameters)


def _pipeline_parameters(checked: PipelineFolder) -> Iterable[AboutParameter]:
    """Yield each name once, with the value of the first step that knows it."""
    found: dict[str, tuple[Parameter, Any, str]] = {}  # Any: JSON
    steps: dict[str, list[str]] = {}
    for step, parameters in checked.parameters.items():
        own: Mapping[str, Any] = checked.pipeline.steps[step].parameters
        for parameter in parameters:
            steps.setdefault(parameter.name, []).append(step)
            if parameter.name in own:
                value, layer = own[parameter.name], "step.parameters"
            elif parameter.name in checked.pipeline.parameters:
                value, layer = checked.pipeline.parameters[parameter.name], "parameters"
            else:
                value, layer = parameter.default, "cell default"
            found.setdefault(parameter.name, (parameter, value, layer))
    for name, (parameter, value, layer) in found.items():
        yield _about(parameter, value, layer, tuple(steps[name]))


def _about(
    parameter: Parameter, value: Any, layer: str, steps: tuple[str, ...]
) -> AboutParameter:  # Any: JSON
    kind = parse_annotation(parameter.annotation)
    nullable = isinstance(kind, Nullable)
    inner: ParameterType = kind.inner if isinstance(kind, Nullable) else kind
    return AboutParameter(
        name=parameter.name,
        type=parameter.annotation,
        kind=_kind(inner),
        choices=inner.values if isinstance(inner, Choice) else (),
        nullable=nullable,
        description=parameter.description,
        value=value,
        text=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
        layer=layer,
        steps=steps,
    )


def _kind(kind: ParameterType) -> str:
    match kind:
        case Scalar(kind=Kind.SECRET):
            return "secret"
        case Scalar(kind=scalar):
            return scalar.value
        case Choice():
            return "choice"
        case ListOf():
            return "secret" if is_secret(kind) else "list"
        case _:
            return "str"


def _standing(folder: Path, edited: str, file: Path, content: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Return the commit, and the files that are not as in the commit, by their paths in the folder."""
    commit: str | None = None
    dirty: list[str] = []
    try:
        checkout = find_checkout(folder)
        if checkout is not None:
            commit = head_commit(checkout)
            prefix = f"{checkout.path}/" if checkout.path else ""
            dirty = [path.removeprefix(prefix) for path in list_dirty(checkout)]
    except RasenError:  # git refuses, or there is no commit yet: then nothing can be said
        return None, ()
    if commit is not None and edited not in dirty and _is_edited(file, content):
        dirty = sorted([*dirty, edited])
    return commit, tuple(dirty)


def _is_edited(file: Path, content: bytes) -> bool:
    """Tell whether the browser's cells are others than the file's; outputs do not count."""
    try:
        saved = parse_notebook(file.read_bytes(), name=file.name).cells
        return [(cell.type, cell.source, cell.tags) for cell in saved] != [
            (cell.type, cell.source, cell.tags) for cell in parse_notebook(content, name=file.name).cells
        ]
    except (OSError, RasenError):
        return True
