"""NB208: a name is used below the cell that gives it a value, not above."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity


class UsedBeforeCell:
    """Check that a name gets its value above the line that uses it.

    What it does:
        Reads the cells from top to bottom, as a run does, and looks for names that only a later line gives a value.
        Bodies of functions may use what any cell defines, for they run later. NB212 finds the names that no cell
        defines.

    Why it is bad:
        It works while it is being written, because the kernel still knows the name from an hour ago. A run starts with
        an empty kernel, goes through the cells in their order, and stops here with a NameError.

    Example:
        A cell with `daily.plot()`, and below it the cell with `daily = flights.groupby("day").size()`.

    Use instead:
        Move the cell that defines the name above its first use; then restart the kernel and run all cells once.
    """

    code = "NB208"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each such name, at its first use."""
        for wrong in document.variables.wrong:
            if wrong.defined is None:
                continue
            cell = wrong.place.code_cell.cell
            later = wrong.defined.cell
            where = "a later line of this cell" if later.index == cell.index else f"cell {later.index}"
            message = f"{wrong.name!r} is used here but gets its value in {where}; move that above this line"
            yield finding_at(self.code, self.severity, message, cell, node=wrong.place.node)
