"""NB104: a notebook has no empty cells."""

from __future__ import annotations

from collections.abc import Iterator

from rasen.notebook import PARAMETERS_TAG
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity


class EmptyCell:
    """Check that no cell is empty.

    What it does:
        Finds cells of any kind without anything but white space. The cell tagged `parameters` may be empty: a notebook
        without parameters has such a one.

    Why it is bad:
        Empty cells are left over from editing. They move the numbers of all cells behind them, in reviews and in
        messages of errors, and a reader wonders what is missing.

    Example:
        The empty cell that JupyterLab appends when the last one is run.

    Use instead:
        Delete it (in JupyterLab: press D twice), or let `rasen lint --fix` do so.
    """

    code = "NB104"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each empty cell."""
        for cell in document.notebook.cells:
            if not cell.source.strip() and not (cell.type == "code" and PARAMETERS_TAG in cell.tags):
                yield finding_at(
                    self.code,
                    self.severity,
                    f"this {cell.type} cell is empty; delete it",
                    cell,
                    fix=Fix(title="Remove the empty cell", removed=frozenset({cell.index})),
                )
