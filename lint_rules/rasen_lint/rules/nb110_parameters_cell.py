"""NB110: a notebook has exactly one `parameters` cell."""

from __future__ import annotations

from collections.abc import Iterator

from rasen.notebook import PARAMETERS_TAG
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity


class ParametersCell:
    """Check that exactly one code cell is tagged `parameters`.

    What it does:
        Counts the cells tagged `parameters` and looks at what they are.

    Why it is bad:
        The values of a run come in behind this cell. Without one a run cannot be given anything, not even the day it
        is for; with two, only one of them is seen, and the other silently keeps its defaults.

    Example:
        A notebook whose first code cell sets `train_until = "2013-07-01"` and carries no tag.

    Use instead:
        One code cell near the top, tagged `parameters` (in JupyterLab: the gear at the top right, "Cell Tags").
        A notebook without parameters has an empty one.
    """

    code = "NB110"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for a notebook without such a cell, else one for each cell that should not have the tag."""
        tagged = [cell for cell in document.notebook.cells if PARAMETERS_TAG in cell.tags]
        code = [cell for cell in tagged if cell.type == "code"]
        if not tagged:
            yield Finding(
                code=self.code,
                severity=self.severity,
                message="no cell is tagged 'parameters'; tag one code cell so, it may be empty",
            )
        for cell in tagged:
            if cell.type != "code":
                message = f"tagged 'parameters' but a {cell.type} cell; tag a code cell instead"
                yield finding_at(self.code, self.severity, message, cell)
        for cell in code[1:]:
            message = (
                f"cell {code[0].index} is tagged 'parameters' already, only one may be; "
                "move these assignments there and take the tag away"
            )
            yield finding_at(self.code, self.severity, message, cell)
