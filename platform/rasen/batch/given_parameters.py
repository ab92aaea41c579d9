"""Parameters for a single notebook, given in papermill's ways, with our types where the notebook states them.

A `parameters` cell that holds annotated literals only is a promise: a value that does not fit, or that the cell has no
name for, is an error before a kernel starts. For any other cell papermill's rules hold, its guesses included, because
that notebook was written for them.
"""

from __future__ import annotations

import base64
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nbformat
import yaml
from papermill.iorw import NoDatesSafeLoader, read_yaml_file
from papermill.utils import find_first_tagged_cell_index

from rasen.errors import NotebookError, ParameterError
from rasen.notebook import PARAMETERS_TAG
from rasen.parameters import Layer, Parameter, read_parameters, resolve

_TYPED, _RAW = str(Layer.COMMAND_LINE), "-r"
_NAME = re.compile(r"[^\W\d][\w.]*")  # R's names have dots
_INPUT, _OUTPUT = "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"


@dataclass(frozen=True, kw_only=True)
class GivenParameters:
    """What was given on a command line, lowest precedence first.

    Args:
        base64_texts: YAML mappings, in base64.
        files: Paths of YAML files.
        yaml_texts: YAML mappings.
        assignments: Texts `name=value`; the value is read by the notebook's annotation, else guessed.
        raw_assignments: Texts `name=value`; the value is a text whatever it looks like.
        inject_input_path: Give the notebook its own path as `PAPERMILL_INPUT_PATH`.
        inject_output_path: Give the notebook its output's path as `PAPERMILL_OUTPUT_PATH`.
    """

    base64_texts: Sequence[str] = ()
    files: Sequence[str] = ()
    yaml_texts: Sequence[str] = ()
    assignments: Sequence[str] = ()
    raw_assignments: Sequence[str] = ()
    inject_input_path: bool = False
    inject_output_path: bool = False

    def untyped(self, *, source: str, target: str) -> dict[str, Any]:  # Any: what JSON holds
        """Return the values as papermill would read them.

        Raises:
            ParameterError: A text is not what it should be, or something would not become a literal in the notebook.
        """
        values: dict[str, Any] = self.paths(source=source, target=target)
        for option, given in self.layers():
            for name, value in given.items():
                _check_literal(name, value, option)
            values |= {name: _guess(value) for name, value in given.items()} if option == _TYPED else given
        return values

    def paths(self, *, source: str, target: str) -> dict[str, Any]:  # Any: as above
        """Return the paths that the notebook is told."""
        asked = {_INPUT: (self.inject_input_path, source), _OUTPUT: (self.inject_output_path, target)}
        return {name: path for name, (wanted, path) in asked.items() if wanted}

    def layers(self) -> list[tuple[str, dict[str, Any]]]:  # Any: whatever YAML holds
        """Return what each option gave, lowest precedence first; the values of `-p` and `-r` are texts as typed.

        Raises:
            ParameterError: Something is not YAML, holds no mapping, or has no `=`.
        """
        return [
            *(("-b", _mapping(_load("-b", text, _base64_yaml), "-b", text)) for text in self.base64_texts),
            *(("-f", _mapping(_load("-f", path, read_yaml_file), "-f", path)) for path in self.files),
            *(("-y", _mapping(_load("-y", text, _yaml), "-y", text)) for text in self.yaml_texts),
            (_TYPED, split(self.assignments, option=_TYPED)),
            (_RAW, split(self.raw_assignments, option=_RAW)),
        ]


def read_given(
    notebook: nbformat.NotebookNode, given: GivenParameters, *, language: str, source: str, target: str
) -> dict[str, Any]:  # Any: whatever YAML holds
    """Return the values to put into the notebook, checked where its `parameters` cell states types.

    Raises:
        ParameterError: A text is not what it should be; a value does not fit; nobody asked for it.
    """
    stated = _stated_parameters(notebook, language, source)
    if not stated:
        values = given.untyped(source=source, target=target)
        for name in values:
            if _is_python(language) and (not name.isidentifier() or keyword.iskeyword(name)):
                raise ParameterError(
                    f"unknown parameter {name[:80]!r}: that is no name of a variable in Python"
                )
        return values
    layers = given.layers()
    resolved = resolve(stated, layers, scheduled_at=datetime.now(tz=UTC), timezone=UTC)
    asked = {name: None for _, values in layers for name in values}
    return given.paths(source=source, target=target) | {name: resolved.values[name] for name in asked}


def read_defaults(
    notebook: nbformat.NotebookNode, *, language: str, source: str
) -> dict[str, Any]:  # Any: JSON
    """Return the defaults of a notebook whose `parameters` cell states types; of any other cell nothing is known."""
    return {parameter.name: parameter.default for parameter in _stated_parameters(notebook, language, source)}


def split(assignments: Sequence[str], *, option: str) -> dict[str, str]:
    """Read texts `name=value`; as with papermill the last one of a name counts.

    Raises:
        ParameterError: One has no `=`.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ParameterError(
                f"{option} {assignment!r} is not of the form name=value, such as {option} alpha=0.6"
            )
        values[name.strip()] = text
    return values


def _stated_parameters(notebook: nbformat.NotebookNode, language: str, source: str) -> Sequence[Parameter]:
    """Return the parameters of a cell that holds annotated literals only, else none."""
    index = find_first_tagged_cell_index(notebook, PARAMETERS_TAG)
    if index < 0 or not _is_python(language):
        return ()
    try:
        return read_parameters(notebook.cells[index].source, name=f"{source}, cell {index}")
    except NotebookError:
        return ()


def _is_python(language: str) -> bool:
    return language.lower() in ("python", "ipython")


def _check_literal(name: object, value: object, option: str) -> None:
    """Refuse what papermill would put into the notebook as something else than `name = literal`.

    papermill takes any text for a name, and an object of YAML's for the text that Python shows of it: both are code.

    Raises:
        ParameterError: It is no name, or no value of JSON.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterError(
            f"unknown parameter {str(name)[:80]!r} (from {option}): that is no name of a variable"
        )
    waiting = [value]
    while waiting:
        match waiting.pop():
            case None | bool() | int() | float() | str():
                pass
            case list() as items:
                waiting += items
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case other:
                raise ParameterError(
                    f"parameter {name!r} (from {option}) holds a {type(other).__name__}; it may hold texts, numbers, "
                    "true, false, null, lists and mappings"
                )


def _guess(text: str) -> Any:  # Any: a value of whatever type papermill would see in it
    """Return what papermill takes a typed text for, underscores and leading zeros included."""
    constants: Mapping[str, bool | None] = {"True": True, "False": False, "None": None}
    if text in constants:
        return constants[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _yaml(text: str | bytes) -> Any:  # Any: whatever YAML holds
    return yaml.load(text, Loader=NoDatesSafeLoader)  # noqa: S506  # a safe loader of papermill's


def _base64_yaml(text: str) -> Any:  # Any: whatever YAML holds
    return _yaml(base64.b64decode(text))


def _load(option: str, text: str, load: Any) -> Any:  # Any: functions of papermill's, and what YAML holds
    try:
        return load(text)
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ParameterError(f"{option} {text!r} cannot be read: {error}") from None


def _mapping(value: Any, option: str, text: str) -> dict[str, Any]:  # Any: whatever YAML holds
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParameterError(
            f"{option} {text!r} holds {type(value).__name__}; it must be a mapping of names to values, "
            "such as 'alpha: 0.6'"
        )
    return value
