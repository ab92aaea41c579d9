"""NB113: every parameter has an annotation."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity


class ParameterAnnotation:
    """Check that every parameter says its type.

    What it does:
        Looks for assignments without an annotation in the cell tagged `parameters`.

    Why it is bad:
        The annotation is what a value is checked against before a run starts. Without it `max_depth = "6"` from a
        form or a schedule reaches the training cell as text and fails there, an hour later, or does not fail.

    Example:
        `max_depth = 6`

    Use instead:
        `max_depth: int = 6`
    """

    code = "NB113"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each name that is assigned without an annotation."""
        for code_cell in document.parameter_cells():
            for statement in code_cell.tree.body:
                if not isinstance(statement, ast.Assign):
                    continue
                for target in statement.targets:
                    advice = _advice(target, statement.value)
                    for name in _names(target):
                        yield finding_at(
                            self.code,
                            self.severity,
                            f"parameter {name!r} has no annotation; write {advice}",
                            code_cell.cell,
                            line=statement.lineno,
                            column=statement.col_offset + 1,
                        )


def _names(target: ast.expr) -> Iterator[str]:
    return (
        node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _advice(target: ast.expr, value: ast.expr) -> str:
    if not isinstance(target, ast.Name):
        return "one annotated assignment a line"
    shown = ast.unparse(value)
    return f"`{target.id}: {_annotation(value)} = {shown if len(shown) <= 40 else '...'}`"


def _annotation(value: ast.expr) -> str:
    """Name the type of a literal as a person would annotate it; `str` where the value does not tell."""
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return "str"
    if literal is None:
        return "str | None"
    if isinstance(literal, list):
        kinds = {type(item).__name__ for item in literal}
        return f"list[{kinds.pop() if len(kinds) == 1 else 'str'}]"
    return type(literal).__name__
