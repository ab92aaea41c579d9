"""NB205: every code cell parses."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity


class CellParses:
    """Check that every code cell is Python, IPython's magics and shell commands included.

    What it does:
        Compiles each code cell of a Python notebook without running it.

    Why it is bad:
        The run stops there, after everything above has been computed. Cells that never parsed are left over from
        editing: nobody has run this notebook from top to bottom.

    Example:
        `flights = rasen.read_sql("SELECT …"` with the closing bracket missing.

    Use instead:
        Mend the cell, or delete it; notes belong into a markdown cell. Then restart the kernel and run all cells once.
    """

    code = "NB205"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each cell that does not compile, at the line Python names."""
        for code_cell in document.code_cells:
            problem = code_cell.problem
            if problem is not None:
                yield finding_at(
                    self.code,
                    self.severity,
                    f"this cell does not parse: {problem.message}; mend it or delete the cell",
                    code_cell.cell,
                    line=problem.line,
                    column=problem.column,
                )
