"""A small linter for tests of JupyterLab: the real engine with one real rule, and easily broken rules of its own.

It stands in place of the installed one, so that these tests say nothing about which rules there are. A notebook says in
its metadata what shall go wrong: `{"stand": {"fault": true}}`.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any  # JSON of notebooks

from rasen.errors import InvalidInput, NotebookError
from rasen.linter import LintFinding, LintReport, Stage
from rasen_lint.checking import check_notebook
from rasen_lint.rules.nb205_cell_parses import CellParses

NONE = "== None"
RULES = {
    "NB205": "NB205 (error)\n\nA cell parses.",
    "ST001": "ST001 (warning)\n\nA comparison with None is one of identity.\n\nEquality can mean anything.",
    "ST002": "ST002 (warning)\n\nA cell is not empty.",
    "ST003": "ST003 (warning)\n\nA notebook has a title.",
}


class LabLinter:
    """Implements `rasen.linter.Linter`."""

    def check(self, data: bytes, *, path: Path, stage: Stage = "editor") -> LintReport:
        """Check a notebook with the rules above."""
        checked = check_notebook(data, name=path.name, rules=[CellParses()])
        if checked.problem is not None:
            return LintReport(problem=checked.problem)
        notebook = json.loads(data)
        wish = notebook["metadata"].get("stand", {})
        time.sleep(wish.get("seconds", 0))
        parsed = [
            LintFinding(
                code=finding.code,
                severity=finding.severity,
                message=finding.message,
                cell=finding.cell,
                cell_id=finding.cell_id,
                line=finding.line,
                column=finding.column,
                end_line=finding.end_line,
                end_column=finding.end_column,
            )
            for finding in checked.findings
        ]
        faults = (
            ("ST009: ZeroDivisionError: division by zero (st009.py, line 7)",) if wish.get("fault") else ()
        )
        return LintReport(findings=(*parsed, *_own(notebook)), faults=faults)

    def fix(
        self, data: bytes, *, path: Path, codes: Sequence[str] | None = None, cell: int | None = None
    ) -> bytes:
        """Compare with `is`, and remove empty cells."""
        try:
            notebook = json.loads(data)
            cells = notebook["cells"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotebookError(f"{path.name} is no notebook: {error}") from None
        kept = []
        for index, one in enumerate(cells):
            is_meant = cell in (None, index)
            if is_meant and _wanted("ST001", codes) and one["cell_type"] == "code":
                one["source"] = _text(one).replace(NONE, "is None")
            if not (is_meant and _wanted("ST002", codes) and _is_empty(one)):
                kept.append(one)
        return json.dumps({**notebook, "cells": kept}).encode()

    def explain(self, code: str) -> str:
        """Return a rule's documentation."""
        if code not in RULES:
            raise InvalidInput(f"there is no rule {code!r}")
        return RULES[code]


def _own(notebook: Mapping[str, Any]) -> Iterator[LintFinding]:
    cells = notebook["cells"]
    if not any(cell["cell_type"] == "markdown" and _text(cell).startswith("#") for cell in cells[:3]):
        yield LintFinding(code="ST003", severity="warning", message="the notebook has no title")
    for index, cell in enumerate(cells):
        place: dict[str, Any] = {"cell": index, "cell_id": cell.get("id")}
        if _is_empty(cell):
            message = "the cell is empty"
            yield LintFinding(code="ST002", severity="warning", message=message, fixable=True, **place)
        for number, line in enumerate(_text(cell).splitlines(), 1):
            column = line.find(NONE)
            if column >= 0 and cell["cell_type"] == "code":
                place |= {"line": number, "column": column + 1, "end_line": number}
                message = "None is compared by ==; identity is meant"
                end = column + 1 + len(NONE)
                yield LintFinding(
                    code="ST001", severity="warning", message=message, fixable=True, end_column=end, **place
                )


def _is_empty(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and not _text(cell).strip()


def _text(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _wanted(code: str, codes: Sequence[str] | None) -> bool:
    return codes is None or code in codes
