"""NB111: the `parameters` cell holds parameters and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.parameter_problems import Trouble, find_parameter_problems


class ParametersOnly:
    """Check that nothing but parameters stands in the `parameters` cell.

    What it does:
        Finds every statement in the cell tagged `parameters` that is no assignment of a parameter: calls, conditions,
        functions, texts, magics (whatever they do), a name that is assigned twice. Comments are welcome (they describe
        the parameters), and so are the imports that annotations need: of `datetime`, `typing` and `rasen`.

    Why it is bad:
        The platform reads this cell without running it and writes the values of a run behind it. What is computed
        here was computed from the defaults: a run for July then works with a window of June, and nothing says so.

    Example:
        `train_from: str = "2013-06-01"` and, in the same cell, `first_day = pd.Timestamp(train_from)`.

    Use instead:
        The parameters alone; `first_day = …` in the next cell.
    """

    code = "NB111"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each statement that does not belong there."""
        for code_cell in document.parameter_cells():
            for problem in find_parameter_problems(code_cell):
                if problem.trouble is Trouble.STATEMENT:
                    yield finding_at(
                        self.code,
                        self.severity,
                        problem.message,
                        code_cell.cell,
                        node=problem.node,
                        line=problem.line,
                    )
