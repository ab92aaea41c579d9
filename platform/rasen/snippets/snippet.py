"""A snippet: one cell that analysts write again and again, as a file with front matter.

A file that cannot be read is a snippet too, with its `problem`, so that one broken file hides no other and its author
sees where to look. `slots` are found once, when the file is read: where each placeholder stands decides how a value is
written there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

CellType = Literal["code", "markdown"]


class PlaceholderType(StrEnum):
    """What a placeholder's value may be."""

    NAME = "name"  # a Python name: of a variable, a parameter, a module
    TEXT = "text"  # anything; stands inside texts only
    NUMBER = "number"
    LIST = "list"  # texts separated by commas; outside texts they become a Python list
    EXPRESSION = "expression"  # one Python expression


class Place(StrEnum):
    """Where a placeholder stands."""

    CODE = "code"
    TEXT = "text"  # in a string literal
    FORMAT = "format"  # in the format specification of an f-string
    COMMENT = "comment"
    PLAIN = "plain"  # in a cell that is not Python: markdown, or one with a cell magic


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place where a placeholder stands in the body.

    Args:
        name: The placeholder's name.
        start: Index of its first character in the body.
        end: Index behind its last.
        place: What it stands in.
        quote: The quotes of the string literal that it stands in, else empty.
        flags: The letters before the quotes, lower case: `r`, `b`, `f`.
        nested: Whether that literal stands inside an f-string's braces, where Python 3.11 allows no backslash.
    """

    name: str
    start: int
    end: int
    place: Place
    quote: str = ""
    flags: str = ""
    nested: bool = False


@dataclass(frozen=True, kw_only=True)
class Placeholder:
    """What the analyst will change: written `__name__` in the body, replaced by a value or by the default."""

    name: str
    default: str
    description: str
    type: PlaceholderType
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SnippetProblem:
    """Why a file cannot be used as a snippet; `line` counts from 1 in the file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One snippet.

    Args:
        name: The file's name without its ending.
        title: One line.
        description: What it does and why so.
        tags: Words to find it by, sorted.
        placeholders: In the order of the front matter.
        cell_type: What kind of cell it becomes.
        cell_tags: The tags of that cell, for example `parameters`.
        body: The cell's text with the placeholders still in it.
        slots: Where they stand, from the beginning to the end.
        source: Where it comes from: `rasen`, a folder, or the address of a repository.
        path: The file.
        overrides: The source whose snippet of the same name this one stands before, `None` if there is none.
        problem: Why it cannot be used; then only `name`, `source` and `path` say something.
    """

    name: str
    source: str
    path: Path
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()
    cell_type: CellType = "code"
    cell_tags: tuple[str, ...] = ()
    body: str = ""
    slots: tuple[Slot, ...] = ()
    overrides: str | None = None
    problem: SnippetProblem | None = None
