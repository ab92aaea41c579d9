"""NB201: the cells were run in the order in which they stand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity


class ExecutionOrder:
    """Check that the execution counts rise from cell to cell.

    What it does:
        Compares the number of each code cell (`[7]`) with those above it: each must be higher. Gaps are allowed, for a
        cell may be run again before the next, and so are cells without a number. A warning while the notebook is being
        edited, an error before a merge.

    Why it is bad:
        What is shown came about in another order than the reader's and the run's. A lower cell may have changed what an
        upper one shows, so the same result need not come out again.

    Example:
        Cells with the numbers `[1]`, `[3]`, `[2]`.

    Use instead:
        Restart the kernel and run all cells, or commit without outputs (in JupyterLab: Edit, "Clear Outputs of All
        Cells"); `rasen lint --fix` does the latter.
    """

    code = "NB201"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding, at the first cell that was run before one above it."""
        counts = sorted(document.execution_counts.items())
        for (above, higher), (index, count) in pairwise(counts):
            if count > higher:
                continue
            severity = Severity.ERROR if document.context.stage == "review" else self.severity
            message = (
                f"this cell was run as [{count}], cell {above} above it as [{higher}]; restart the kernel and run all "
                "cells, or clear the outputs"
            )
            fix = Fix(
                title="Clear the outputs and execution counts",
                cleared=frozenset(document.execution_counts) | frozenset(document.outputs),
            )
            yield finding_at(self.code, severity, message, document.notebook.cells[index], fix=fix)
            return
