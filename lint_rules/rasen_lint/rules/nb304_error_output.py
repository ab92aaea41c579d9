"""NB304: no error is committed as an output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.scopes import RAISES_TAG


class ErrorOutput:
    """Check that no cell was saved with an error as its output.

    What it does:
        Looks for outputs that are errors. A cell tagged `raises-exception` shows one on purpose.

    Why it is bad:
        Either the notebook does not run, or the error is old; a reader cannot tell which. Tracebacks also show paths
        and values that belong to nobody else.

    Example:
        A cell that ends in `KeyError: 'departures'`.

    Use instead:
        Mend the cell and run the notebook from the top, or clear the output; tag the cell `raises-exception` if the
        error is what it is to show.
    """

    code = "NB304"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each cell with an error."""
        for index, outputs in document.outputs.items():
            cell = document.notebook.cells[index]
            error = next((output for output in outputs if output.get("output_type") == "error"), None)
            if error is None or RAISES_TAG in cell.tags:
                continue
            message = f"an error was saved with this cell: {_name(error)}; mend the cell or clear its output"
            fix = Fix(title="Clear the outputs of this cell", cleared=frozenset({index}))
            yield finding_at(self.code, self.severity, message, cell, fix=fix)


def _name(error: Any) -> str:  # Any: JSON
    name = error.get("ename")
    return name if isinstance(name, str) and name else "of unknown kind"
