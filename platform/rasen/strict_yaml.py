"""YAML as people mean it: plain data with the line of everything, and nothing surprising.

Differs from PyYAML's `safe_load` where that misleads: a key given twice is refused instead of the first being lost;
scalars are read as in YAML's JSON schema, so `on`, `no`, `007`, `1_000`, `12:30` and `2013-06-01` are the texts that
they look like; anchors, aliases and tags are refused, because nothing here needs them and they can grow without end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]
_MERGE_HINT = "write the value where it is needed"


class YamlProblem(ValueError):
    """A text is not the YAML that is read here; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Document:
    """The data of a YAML text, and the line of each value by its path; of an entry of a mapping, its key's line."""

    data: Any  # Any: what the text holds, checked by whoever asked for it
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """Return the line of the innermost value on the way to `path` that is there."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """The safe loader, with our scalars and without aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own; Any: it declares no type

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse anchors and aliases, and compose the rest."""
        event = self.peek_event()  # type: ignore[no-untyped-call] # its stub has no types
        if getattr(event, "anchor", None) is not None:
            line = event.start_mark.line + 1
            raise YamlProblem(f"anchors and aliases (`&name`, `*name`) are not read; {_MERGE_HINT}", line)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"),
    list("-0123456789"),
)


def parse_yaml(text: str) -> Document:
    """Read one YAML document.

    Raises:
        YamlProblem: It is not YAML, or uses something that is not read here.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(
            f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else 1
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblem(f"character {error.character!r} is not allowed in YAML", line) from None
    except RecursionError:
        raise YamlProblem("nested too deeply", 1) from None
    lines: dict[Path, int] = {}
    return Document(data=None if node is None else _build(node, (), lines), lines=lines)


def _build(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:  # Any: plain data of any shape
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    match node:
        case yaml.MappingNode() if kind == "map":
            return _build_mapping(node, path, lines)
        case yaml.SequenceNode() if kind == "seq":
            return [_build(item, (*path, index), lines) for index, item in enumerate(node.value)]
        case yaml.ScalarNode() if kind in {"str", "null", "bool", "int", "float"}:
            return _build_scalar(node.value, kind, line)
        case _:
            raise YamlProblem(f"tag `{node.tag[:60]}` is not read; write plain data", line)


def _build_mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _build(key_node, (*path, "?"), {})
        if not isinstance(key, str):
            raise YamlProblem(
                f"key {str(key)[:60]!r} is a {type(key).__name__}; keys are texts, quote it", line
            )
        if key == "<<":
            raise YamlProblem(f"merge keys (`<<`) are not read; {_MERGE_HINT}", line)
        if key in mapping:
            raise YamlProblem(
                f"key {key!r} is there twice, first in line {lines[*path, key]}; keep one", line
            )
        lines[*path, key] = line
        mapping[key] = _build(value_node, (*path, key), lines)
    return mapping


def _build_scalar(text: str, kind: str, line: int) -> str | int | float | bool | None:
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text]
            case "int":
                return int(text)
            case "float":
                return float(text)
            case _:
                return text
    except (ValueError, KeyError):
        raise YamlProblem(f"{text[:60]!r} is no {kind}", line) from None
