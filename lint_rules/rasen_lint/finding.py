"""What a rule says about a notebook: one finding, at a place that a person can go to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error blocks a merge, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of one rule.

    `cell` counts all cells from 0, as everywhere in Rasen, and is `None` when the whole notebook is meant; `line` and
    `column` count from 1 within the cell. `cell_id` stays the same when cells are moved: editors go by it.
    """

    code: str
    severity: Severity
    message: str
    cell: int | None = None
    cell_id: str | None = None
    line: int | None = None
    column: int | None = None
