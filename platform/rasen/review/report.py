"""What a review says, as data: for the page, for programs (`--json`) and for the summary on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from rasen.batch.comparison import Change, MetricChange
from rasen.linter import LintFinding
from rasen.review.comparing import CellChange, CellState, NotebookChange, Side
from rasen.review.lines import unified_lines

_MOST_TITLE = 80


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the linter says of the head's version.

    Args:
        new: What the base's version had not.
        old: What it had as well; nobody's business here.
        solved: How many of the base's are gone.
        note: Why the notebook could not be checked, or which rules failed.
    """

    new: tuple[LintFinding, ...] = ()
    old: tuple[LintFinding, ...] = ()
    solved: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class FileReview:
    """One file that differs: a notebook, or a text with `old` and `new`; `note` says what else is to be known."""

    path: str
    old_path: str | None
    change: Literal["added", "changed", "removed", "renamed"]
    notebook: NotebookChange | None = None
    old: str | None = None
    new: str | None = None
    note: str = ""
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, kw_only=True)
class SideRun:
    """The newest run that succeeded of one version of a pipeline."""

    run: str
    release: str
    started_at: datetime
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PipelineRuns:
    """What the runs of both versions of a pipeline's folder have measured; `note` says what is missing, or differs."""

    pipeline: str
    base: SideRun | None
    head: SideRun | None
    metrics: tuple[MetricChange, ...] = ()
    parameters: tuple[Change, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One side: what was asked for, and the commit that it is, `None` for the work tree."""

    name: str
    commit: str | None
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class Review:
    """All that differs between two revisions; `base` is the last commit that both have in common."""

    asked_base: str
    base: Revision
    head: Revision
    files: tuple[FileReview, ...]
    runs: tuple[PipelineRuns, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def new_findings(self) -> list[LintFinding]:
        """Every finding that the change brings."""
        return [finding for file in self.files for finding in file.findings.new]

    def blocks(self, severity: Literal["error", "warning"]) -> bool:
        """Tell whether there are new findings of a severity or worse, or a notebook that cannot be read any more."""
        wanted = ("error",) if severity == "error" else ("error", "warning")
        unreadable = any(file.notebook and file.notebook.new_problem for file in self.files)
        return unreadable or any(finding.severity in wanted for finding in self.new_findings)


def review_json(review: Review) -> dict[str, Any]:  # Any: JSON
    """Return a review for programs: everything but the outputs, sources as unified differences."""
    return {
        "format": 1,
        "asked_base": review.asked_base,
        "base": asdict(review.base),
        "head": asdict(review.head),
        "files": [_file_json(file) for file in review.files],
        "runs": [asdict(one) for one in review.runs],
        "notes": list(review.notes),
        "new_errors": sum(finding.severity == "error" for finding in review.new_findings),
        "new_warnings": sum(finding.severity == "warning" for finding in review.new_findings),
    }


def count_cells(notebook: NotebookChange) -> str:
    """Say how many cells have become what: `2 changed, 1 with other outputs`."""
    return ", ".join(
        f"{count} {'with other outputs' if state is CellState.OUTPUTS else state.value}"
        for state, count in notebook.counts.items()
    )


def title_of(source: str) -> str:
    """Return the first line of a source that says something, for lists of cells."""
    line = next((line.strip() for line in source.split("\n") if line.strip()), "(empty)")
    return line if len(line) <= _MOST_TITLE else line[: _MOST_TITLE - 1] + "…"


def _file_json(file: FileReview) -> dict[str, Any]:  # Any: JSON
    written: dict[str, Any] = {  # Any: as above
        "path": file.path,
        "old_path": file.old_path,
        "change": file.change,
        "note": file.note,
        "findings": asdict(file.findings),
    }
    if file.notebook is None:
        return written | {"kind": "file", "diff": unified_lines(file.old or "", file.new or "")}
    return written | {
        "kind": "notebook",
        "counts": {state.value: count for state, count in file.notebook.counts.items()},
        "only_outputs": not file.notebook.is_real,
        "parameters": [asdict(one) for one in file.notebook.parameters],
        "kernel": file.notebook.kernel,
        "old_problem": file.notebook.old_problem,
        "new_problem": file.notebook.new_problem,
        "cells": list(_cells_json(file.notebook.cells)),
    }


def _cells_json(cells: Iterable[CellChange]) -> Iterator[dict[str, Any]]:  # Any: JSON
    for cell in cells:
        if cell.state is not CellState.SAME:
            yield {
                "state": cell.state.value,
                "moved": cell.moved,
                "outputs_changed": cell.outputs_changed,
                "old": _side_json(cell.old),
                "new": _side_json(cell.new),
                "diff": unified_lines(
                    cell.old.cell.source if cell.old else "", cell.new.cell.source if cell.new else ""
                ),
            }


def _side_json(side: Side | None) -> dict[str, Any] | None:  # Any: JSON
    if side is None:
        return None
    return {
        "index": side.cell.index,
        "id": side.cell.id,
        "type": side.cell.type,
        "tags": list(side.cell.tags),
        "title": title_of(side.cell.source),
    }
