"""NB507: a helper file lies in the pipeline's folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.context import Context, Role
from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.imports import imported_modules, is_standard, sibling_modules

_PATH_CALLS = ("sys.path.append", "sys.path.extend", "sys.path.insert", "site.addsitedir")


class FileOutside:
    """Check that a pipeline's notebook imports helper files from its own folder only.

    What it does:
        Looks for imports of Python files that lie in the repository but not beside the notebook, for relative imports,
        for `%run` of a file elsewhere, and for changes of `sys.path`, which are there to reach such files. One finding
        a file; a changed `sys.path` is only spoken of when no such import is.

    Why it is bad:
        A release is the pipeline's folder: what lies outside it is not there when the run happens, on another machine
        and perhaps next year. The run stops at the import, or finds another file of the same name.

    Example:
        `sys.path.append("../shared")` and `import cleaning`

    Use instead:
        Copy the file into the pipeline's folder (two pipelines that share one hold a copy each, kept equal by a test),
        or make it a package in the image.
    """

    code = "NB507"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each file, or else for the change of the path."""
        context = document.context
        if context.role is Role.EXPLORATION:
            return
        found = [*self._imports(document), *self._runs(document)]
        yield from found or self._paths(document)

    def _imports(self, document: Document) -> Iterator[Finding]:
        context = document.context
        near = {"rasen", *sibling_modules(context), *(context.image_modules or ())}
        for imported in imported_modules(document):
            if imported.level:
                message = (
                    "a notebook belongs to no package, so a relative import fails; put the file beside it"
                )
            elif imported.package in context.outside_modules and imported.package not in near:
                if is_standard(imported.package):
                    continue
                near.add(imported.package)
                message = (
                    f"the file {imported.package!r} lies outside the pipeline's folder, and a run has nothing else; "
                    "copy it beside the notebook"
                )
            else:
                continue
            yield finding_at(self.code, self.severity, message, imported.code_cell.cell, node=imported.node)

    def _runs(self, document: Document) -> Iterator[Finding]:
        for code_cell in document.code_cells:
            for magic in code_cell.magics:
                file = _run_file(magic.arguments) if magic.name in {"run", "load"} else None
                if file is not None and _is_elsewhere(file, document.context):
                    message = (
                        f"{file!r} is not in the pipeline's folder, and a run has nothing else; copy it there"
                    )
                    yield finding_at(self.code, self.severity, message, code_cell.cell, line=magic.line)

    def _paths(self, document: Document) -> Iterator[Finding]:
        message = "changing `sys.path` reaches files that a run does not have; put them beside the notebook"
        for code_cell, node in _path_changes(document):
            yield finding_at(self.code, self.severity, message, code_cell.cell, node=node)


def _run_file(arguments: str) -> str | None:
    return next((word.strip("'\"") for word in arguments.split() if not word.startswith("-")), None)


def _is_elsewhere(file: str, context: Context) -> bool:
    if file.startswith(("/", "~", "../", "..\\")):
        return True
    names = {file, f"{file}.py", file.removeprefix("./")}
    return (
        context.siblings is not None and not names & context.siblings and "$" not in file and "{" not in file
    )


def _path_changes(document: Document) -> Iterator[tuple[CodeCell, ast.stmt | ast.expr]]:
    for call in document.calls_of(*_PATH_CALLS):
        yield call.code_cell, call.node
    for code_cell in document.code_cells:
        assigned: list[tuple[ast.stmt, ast.expr]] = [
            (assign, target) for assign in code_cell.nodes.of(ast.Assign) for target in assign.targets
        ]
        assigned += [(assign, assign.target) for assign in code_cell.nodes.of(ast.AugAssign)]
        for statement, target in assigned:
            value = target.value if isinstance(target, ast.Subscript) else target
            if document.names.full_name(value, cell=code_cell.cell.index) == "sys.path":
                yield code_cell, statement
