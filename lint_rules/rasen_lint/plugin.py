"""The linter as the rest of the platform asks for it (entry point group `rasen.linters`): JupyterLab, review, API.

Lives in warm processes, is called from threads, and keeps what it read of configurations, pipelines and lock files
until they change. One notebook takes about 20 ms, half of which is ruff.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rasen.errors import InvalidInput, RasenError
from rasen.linter import LintFinding, LintReport, Stage
from rasen.notebook import parse_notebook
from rasen_lint.checking import Checked, Fault
from rasen_lint.finding import Finding
from rasen_lint.fixing import mend
from rasen_lint.linting import ALL_RULES, Linting, Wishes
from rasen_lint.ruff_rules import explain_ruff_rule
from rasen_lint.rule import documentation
from rasen_lint.selection import OURS, find_rule


class RasenLinter:
    """`rasen lint` without a terminal. Implements `rasen.linter.Linter`."""

    def __init__(self) -> None:
        self._lintings: dict[Stage, Linting] = {
            "editor": Linting(Wishes(stage="editor")),
            "review": Linting(Wishes(stage="review")),
        }

    def check(self, data: bytes, *, path: Path, stage: Stage = "editor") -> LintReport:
        """Check the bytes of a notebook; a wrong configuration is a `problem` too, because an editor cannot exit."""
        try:
            linted = self._lintings[stage].check_bytes(data, path=path, name=path.name)
        except RasenError as error:
            return LintReport(problem=str(error))
        (checked,) = linted.results
        problem = checked.problem
        if problem is None and linted.incomplete:
            problem = linted.notices[0]
        return LintReport(
            findings=tuple(_finding(finding) for finding in checked.findings),
            faults=tuple(_told(fault) for fault in checked.faults),
            problem=problem,
        )

    def fix(
        self, data: bytes, *, path: Path, codes: Sequence[str] | None = None, cell: int | None = None
    ) -> bytes:
        """Return the notebook with the safe fixes made: of all rules or of `codes`, in all cells or in one.

        Raises:
            NotebookError: The bytes are no notebook.
            InvalidInput: The configuration of the folder is wrong.
        """
        parse_notebook(data, name=path.name)
        linting = self._lintings["editor"]

        def check(current: bytes) -> Checked:
            return linting.check_bytes(current, path=path, name=path.name).results[0]

        return mend(data, check, codes=codes, cell=cell).data

    def explain(self, code: str) -> str:
        """Return the documentation of a rule, ours or ruff's.

        Raises:
            InvalidInput: There is no such rule.
        """
        if code.upper() in ALL_RULES or code.upper().startswith(OURS):
            return documentation(find_rule(ALL_RULES, code))
        try:
            return explain_ruff_rule(code)
        except InvalidInput:
            return documentation(find_rule(ALL_RULES, code))


def _finding(finding: Finding) -> LintFinding:
    return LintFinding(
        code=finding.code,
        severity=str(finding.severity),
        message=finding.message,
        cell=finding.cell,
        cell_id=finding.cell_id,
        line=finding.line,
        column=finding.column,
        end_line=finding.end_line,
        end_column=finding.end_column,
        fixable=finding.fix is not None,
        url=finding.url,
    )


def _told(fault: Fault) -> str:
    return f"rule {fault.code} failed with {fault.error} ({fault.place})"
