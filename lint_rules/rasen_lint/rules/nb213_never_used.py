"""NB213: every variable is used."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity

# Assigned only so that nothing is shown below the cell: the idiom of plotting.
_PLOTS = re.compile(r"(ax|axs|axes|fig|figure|plot)_?\d*")


class NeverUsed:
    """Check that every variable of the notebook, and every parameter, is read somewhere.

    What it does:
        Looks for names that a cell assigns (`name = …`) and that nothing reads: no cell, no function, no f-string, no
        `@name` or `{name}` in a text, no magic. Names that begin with `_`, `fig` and `ax` of plots, and the parts of
        `a, b = pair` are left alone. ruff's F841 sees the variables inside functions, F401 the imports.

    Why it is bad:
        What nobody reads was left over, or another name was meant. A parameter that nothing reads is worse: whoever
        sets it for a run believes that it does something.

    Example:
        `holidays = rasen.read_sql(…)` in a notebook that never uses the holidays.

    Use instead:
        Delete the line, or use the value; if only its side effect is wanted, assign it to `_`.
    """

    code = "NB213"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each variable that nothing reads, where it is first assigned."""
        variables = document.variables
        if variables.everything_read:
            return
        parameters = {code_cell.cell.index for code_cell in document.parameter_cells()}
        for name, place in variables.assigned.items():
            if name in variables.read or name.startswith("_") or _PLOTS.fullmatch(name):
                continue
            cell = place.code_cell.cell
            if cell.index in parameters:
                message = (
                    f"parameter {name!r} is read nowhere, so setting it changes nothing; use it or delete it"
                )
            else:
                message = f"{name!r} is assigned and never read; delete the line or use the value"
            yield finding_at(self.code, self.severity, message, cell, node=place.node)
