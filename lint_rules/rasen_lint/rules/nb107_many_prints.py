"""NB107: a notebook shows results, it does not print a log."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity

MOST_PRINTS = 20


class ManyPrints:
    """Check that a notebook has at most 20 calls of `print`.

    What it does:
        Counts the calls of `print` in all cells and points at the twenty-first.

    Why it is bad:
        Printed numbers are lost to the platform: they cannot be compared between runs, drawn, or judged by a gate. Many
        of them are the traces of debugging, and hide the two that matter.

    Example:
        `print("rmse", rmse)` after every step of a long notebook.

    Use instead:
        `rasen.log_metrics(rmse=rmse)` for numbers, `rasen.log_figure(…)` for charts, a table as the last line of a
        cell for the rest.
    """

    code = "NB107"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield at most one finding, at the first print that is too many."""
        prints = list(document.calls_of("print"))
        if len(prints) > MOST_PRINTS:
            first = prints[MOST_PRINTS]
            message = (
                f"the notebook has {len(prints)} prints, at most {MOST_PRINTS}; log numbers with `rasen.log_metrics` "
                "and show tables as the last line of a cell"
            )
            yield finding_at(self.code, self.severity, message, first.code_cell.cell, node=first.node)
