"""NB106: imports stand at the top."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity

_INJECTED_TAG = "injected-parameters"  # what papermill calls the cell with a run's values


class ImportPlace:
    """Check that imports stand above the code that computes something.

    What it does:
        Looks for imports in cells behind the first one that computes: that holds a statement other than an import, a
        docstring or the setting of an imported library (`plt.rcParams.update(…)`, `warnings.simplefilter("ignore")`).
        The `parameters` cell and magics do not count. Imports inside functions, and those that an `if` makes, are left
        alone.

    Why it is bad:
        A library that is missing or broken is found after an hour of training instead of in the first second, and a
        reader who wants to know what a notebook needs has to read all of it.

    Example:
        `from sklearn.metrics import root_mean_squared_error` in the cell that prints the result.

    Use instead:
        All imports in one cell right below the parameters.
    """

    code = "NB106"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each cell with late imports, at the first of them."""
        computing: CodeCell | None = None
        for code_cell in document.other_cells():
            if _INJECTED_TAG in code_cell.cell.tags:
                continue
            if computing is not None:
                imports = list(_imports(code_cell.tree.body))
                if imports:
                    shown = ", ".join(f"`{ast.unparse(each)}`" for each in imports[:3])
                    more = f" and {len(imports) - 3} more" if len(imports) > 3 else ""
                    yield finding_at(
                        self.code,
                        self.severity,
                        f"{shown}{more} below cell {computing.cell.index}, the first that computes something; move "
                        "imports to the top",
                        code_cell.cell,
                        node=imports[0],
                    )
            elif not all(_prepares(statement, document) for statement in code_cell.tree.body):
                computing = code_cell


def _imports(statements: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in statements:
        match statement:
            case ast.Import() | ast.ImportFrom():
                yield statement
            case ast.Try(body=body, handlers=handlers):
                yield from _imports(body)
                for handler in handlers:
                    yield from _imports(handler.body)
            case _:
                pass


def _prepares(statement: ast.stmt, document: Document) -> bool:
    """Say whether a statement may stand above imports: it imports, says something, or sets up a library."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Try(body=body):
            return any(isinstance(each, ast.Import | ast.ImportFrom) for each in body)
        case ast.If(body=body, orelse=orelse):
            return all(_prepares(each, document) for each in (*body, *orelse))
        case ast.With(body=body):
            return all(_prepares(each, document) for each in body)
        case ast.Expr(value=ast.Call(func=function, args=arguments, keywords=keywords)):
            return _is_of_import(function, document) and all(
                _is_plain(each) for each in (*arguments, *(keyword.value for keyword in keywords))
            )
        case ast.Assign(targets=targets, value=value):
            return all(
                isinstance(target, ast.Attribute | ast.Subscript) and _is_of_import(target, document)
                for target in targets
            ) and _is_plain(value)
        case _:
            return False


def _is_of_import(node: ast.expr, document: Document) -> bool:
    """Say whether a function or an attribute belongs to something imported, or to `get_ipython()`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "get_ipython"
    return isinstance(node, ast.Name) and document.names.is_imported(node.id)


def _is_plain(value: ast.expr) -> bool:
    """Say whether a value is a literal, or names from which one is made up: nothing is computed."""
    return not any(
        isinstance(node, ast.Call | ast.Lambda | ast.Await | ast.comprehension) for node in ast.walk(value)
    )
