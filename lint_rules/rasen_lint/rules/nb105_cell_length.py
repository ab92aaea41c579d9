"""NB105: cells stay short."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity

MOST_LINES = 60


class CellLength:
    """Check that no code cell has more than 60 lines.

    What it does:
        Counts the lines of code cells, comments and blank lines within them included.

    Why it is bad:
        A cell is the smallest thing that a notebook can run, show and report as failed. One that reads, joins, trains
        and draws shows nothing until its end, and its error says only that something in it went wrong.

    Example:
        A cell of 150 lines that reads five tables and fits a model.

    Use instead:
        One cell a thought, with a sentence of markdown above it. Functions that are needed twice belong into a `.py`
        file in the pipeline's folder.
    """

    code = "NB105"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each long cell."""
        for cell in document.notebook.cells:
            lines = len(cell.source.strip("\r\n").splitlines())
            if cell.type == "code" and lines > MOST_LINES:
                message = f"this cell has {lines} lines, at most {MOST_LINES} are read easily; split it"
                yield finding_at(self.code, self.severity, message, cell)
