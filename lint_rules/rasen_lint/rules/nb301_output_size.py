"""NB301: the outputs of a notebook stay small."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity

LIMIT_BYTES = 200_000


class OutputSize:
    """Check that the outputs saved in the notebook take at most 200 kB together.

    What it does:
        Adds up the size of all outputs as JSON and points at the cell that has most of it.

    Why it is bad:
        Outputs in the repository are kept for ever, make every diff unreadable, and may hold customers' rows. The
        output notebook of every run is kept in the store, where it belongs.

    Example:
        A committed notebook with twelve charts of a megabyte.

    Use instead:
        Commit without outputs (in JupyterLab: Edit, "Clear Outputs of All Cells"), show `head()` instead of the
        whole table, and draw charts at screen resolution.
    """

    code = "NB301"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding, at the cell with the largest outputs."""
        total = sum(document.output_sizes.values())
        if total <= LIMIT_BYTES:
            return
        largest = max(document.output_sizes, key=lambda index: document.output_sizes[index])
        share = document.output_sizes[largest]
        message = (
            f"the outputs take {_kilobytes(total)}, {_kilobytes(share)} of it in this cell; at most "
            f"{_kilobytes(LIMIT_BYTES)} may be saved, clear them"
        )
        yield finding_at(
            self.code,
            self.severity,
            message,
            document.notebook.cells[largest],
            fix=Fix(title="Clear the outputs of all cells", cleared=frozenset(document.output_sizes)),
        )


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1000:,.0f} kB"
