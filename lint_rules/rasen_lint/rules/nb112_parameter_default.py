"""NB112: the default of a parameter is a literal of its type."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.parameter_problems import Trouble, find_parameter_problems


class ParameterDefault:
    """Check that every parameter has a default, and that it is a literal of the annotated type.

    What it does:
        Finds parameters without a default, defaults that are computed (calls, names, arithmetic, f-strings), defaults
        that do not fit their annotation, and `"@scheduled"`, which means something in `pipeline.yaml` only.

    Why it is bad:
        Defaults are shown in forms, compared between runs and recorded, all without running the cell. One that is
        computed differs from day to day and from machine to machine, and nobody can say which one a run had.

    Example:
        `train_until: str = str(date.today())`

    Use instead:
        `train_until: str = "2013-07-01"` here, and `train_until: "@scheduled"` under `parameters` in `pipeline.yaml`.
    """

    code = "NB112"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each parameter whose default the platform will refuse."""
        for code_cell in document.parameter_cells():
            for problem in find_parameter_problems(code_cell):
                if problem.trouble is Trouble.DEFAULT:
                    value = problem.node.value if isinstance(problem.node, ast.AnnAssign) else None
                    yield finding_at(
                        self.code, self.severity, problem.message, code_cell.cell, node=value or problem.node
                    )
