"""What a rule says about a notebook: one finding, at a place a person can go to, and its remedy if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """An error blocks a merge, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Fix:
    """A safe change: nobody who reads the notebook would object to it, and what it computes stays right.

    Args:
        title: What it does, in the imperative: "Remove the empty cell".
        sources: New sources of cells, by index.
        removed: Cells that go.
        cleared: Cells whose outputs and execution count go.
        metadata: New metadata of the notebook; `None` leaves them.
        cell_metadata: New metadata of cells, by index.
    """

    title: str
    sources: Mapping[int, str] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    cleared: frozenset[int] = frozenset()
    metadata: Mapping[str, Any] | None = None  # Any: JSON
    cell_metadata: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of one rule.

    `cell` counts all cells from 0, as everywhere in Rasen, and is `None` when the whole notebook is meant; `line` and
    `column` count from 1 within the cell, and `end_column` is the one behind the last character. `cell_id` stays the
    same when cells are moved: editors go by it.
    """

    code: str
    severity: Severity
    message: str
    cell: int | None = None
    cell_id: str | None = None
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    fix: Fix | None = None
    url: str | None = None
