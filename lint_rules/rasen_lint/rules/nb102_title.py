"""NB102: a notebook begins with a heading."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document
from rasen_lint.finding import Finding, Severity
from rasen_lint.headings import find_headings

FIRST_CELLS = 3


def has_title(document: Document) -> bool:
    """Return whether one of the first cells holds a heading."""
    return any(True for cell in document.notebook.cells[:FIRST_CELLS] for _ in find_headings(cell))


class Title:
    """Check that a heading stands in one of the first three cells.

    What it does:
        Looks for a markdown heading: `# Title`, a title underlined with `===` or `---`, or `<h1>`, at any level.

    Why it is bad:
        The title and the paragraph below it are what lists of runs, the review and the model card show. A notebook
        that begins with imports tells a reader how, and never what for.

    Example:
        A notebook whose first cell is `import pandas as pd`.

    Use instead:
        A first markdown cell with `# Departures per hour` and a sentence on what the notebook finds out.
    """

    code = "NB102"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield at most one finding, for the whole notebook."""
        if not has_title(document):
            yield Finding(
                code=self.code,
                severity=self.severity,
                message=f"no heading in the first {FIRST_CELLS} cells; begin with a markdown cell such as "
                "`# Departures per hour` and a sentence on what the notebook is for",
            )
