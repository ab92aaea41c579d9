"""NB113: every parameter has an annotation that the platform can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen.errors import NotebookError
from rasen.parameters import read_parameters
from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.parameter_problems import Trouble, assigned_names, find_parameter_problems


class ParameterAnnotation:
    """Check that every parameter says its type.

    What it does:
        Looks for assignments without an annotation in the cell tagged `parameters`, and for annotations that the
        platform does not know (`dict`, `pd.Timestamp`).

    Why it is bad:
        The annotation is what a value is checked against before a run starts. Without it `max_depth = "6"` from a
        form or a schedule reaches the training cell as text and fails there, an hour later, or does not fail.

    Example:
        `max_depth = 6`

    Use instead:
        `max_depth: int = 6`. `rasen lint --fix` writes it where the value tells the type; it leaves `None`, empty and
        mixed lists to you.
    """

    code = "NB113"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each name that is assigned without a usable annotation."""
        for code_cell in document.parameter_cells():
            problems = [
                each for each in find_parameter_problems(code_cell) if each.trouble is Trouble.ANNOTATION
            ]
            fix = _fix(code_cell) if problems else None
            for problem in problems:
                statement = problem.node
                if isinstance(statement, ast.Assign):
                    advice = _advice(statement)
                    own_fix = fix if _annotation_of(statement) else None
                    for name in assigned_names(statement):
                        message = f"parameter {name!r} has no annotation; write {advice}"
                        yield finding_at(
                            self.code, self.severity, message, code_cell.cell, node=statement, fix=own_fix
                        )
                else:
                    yield finding_at(
                        self.code, self.severity, problem.message, code_cell.cell, node=statement
                    )


def _advice(statement: ast.Assign) -> str:
    if len(statement.targets) > 1 or not isinstance(statement.targets[0], ast.Name):
        return "one annotated assignment a line"
    shown = ast.unparse(statement.value)
    return f"`{statement.targets[0].id}: {_suggestion(statement.value)} = {shown if len(shown) <= 40 else '...'}`"


def _suggestion(value: ast.expr) -> str:
    """Name the type of a literal as a person would annotate it; `str` where the value does not tell."""
    if (known := _type_of(value)) is not None:
        return known
    if isinstance(value, ast.List):
        return "list[str]"
    return "str | None" if isinstance(value, ast.Constant) and value.value is None else "str"


def _type_of(value: ast.expr) -> str | None:
    """Return the type that a literal leaves no doubt about, or `None`."""
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(literal, list):
        return type(literal).__name__ if isinstance(literal, bool | int | float | str) else None
    kinds = {type(item).__name__ for item in literal}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    return f"list[{kinds.pop()}]" if len(kinds) == 1 and kinds <= {"bool", "int", "float", "str"} else None


def _annotation_of(statement: ast.Assign) -> str | None:
    """Return the annotation that can be written by itself: of a single name, and one that the platform takes."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            annotation = _type_of(value)
            if annotation is None:
                return None
            try:
                read_parameters(f"{name}: {annotation} = {ast.unparse(value)}")
            except NotebookError:
                return None
            return annotation
        case _:
            return None


def _fix(code_cell: CodeCell) -> Fix | None:
    """Annotate all parameters of the cell at once: a cell gets one change a round."""
    source = code_cell.cell.source
    lines = source.split("\n")
    for statement in reversed(code_cell.tree.body):
        annotation = _annotation_of(statement) if isinstance(statement, ast.Assign) else None
        if annotation is None or not isinstance(statement, ast.Assign):
            continue
        end = statement.targets[0].end_col_offset or 0
        line = lines[statement.lineno - 1].encode()
        lines[statement.lineno - 1] = (line[:end] + f": {annotation}".encode() + line[end:]).decode()
    changed = "\n".join(lines)
    if changed == source or not _parses(source) or not _parses(changed):
        return None
    return Fix(title="Annotate the parameters of this cell", sources={code_cell.cell.index: changed})


def _parses(source: str) -> bool:
    """Say whether a text is Python as it stands, so that the tree's lines and columns are those of the text."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
