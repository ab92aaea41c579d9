"""NB212: every name is defined somewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen.suggestion import suggest
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.parameter_problems import refused_nodes


class NeverDefined:
    """Check that every name that is used has a value in some cell.

    What it does:
        Looks for names that no cell defines or imports and that neither Python nor IPython brings, in the cells and in
        the bodies of functions; also for names that were deleted. Where names may come from somewhere that cannot be
        seen (`from module import *`, `exec`, `%run`), it says nothing. NB208 finds the names that are defined too late.

    Why it is bad:
        The cell that defined it was deleted or renamed, and the kernel still knows it. A run starts with an empty
        kernel and stops here with a NameError, inside a function perhaps only after an hour.

    Example:
        `flihgts.head()`, or `np.log(delay)` without `import numpy as np`.

    Use instead:
        Write the name that is meant, bring the lost cell back, or add the import; then restart the kernel and run all
        cells once.
    """

    code = "NB212"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each such name, at its first use."""
        variables = document.variables
        for wrong in variables.wrong:
            if wrong.defined is not None or _is_told(wrong.name, wrong.place.node, document):
                continue
            cell = wrong.place.code_cell.cell
            if wrong.deleted is not None:
                message = f"{wrong.name!r} has no value here any more: cell {wrong.deleted.cell.index} takes it away"
            else:
                message = f"{wrong.name!r} is defined in no cell; {_advice(wrong.name, variables.bound)}"
            yield finding_at(self.code, self.severity, message, cell, node=wrong.place.node)


def _is_told(name: str, node: ast.AST, document: Document) -> bool:
    """Return whether NB111 or NB112 tells of it: a statement that they refuse, or a parameter without a default."""
    for code_cell in document.parameter_cells():
        if node in refused_nodes(code_cell) or any(
            isinstance(statement, ast.AnnAssign)
            and statement.value is None
            and isinstance(statement.target, ast.Name)
            and statement.target.id == name
            for statement in code_cell.tree.body
        ):
            return True
    return False


def _advice(name: str, bound: frozenset[str]) -> str:
    if name == "__file__":
        return "a notebook has no file; read files by a path from its folder"
    hint = suggest(name, bound)
    return hint if hint.startswith("did you mean") else "define or import it above this line"
