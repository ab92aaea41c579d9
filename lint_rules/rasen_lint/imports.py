"""The modules that a notebook imports, and whether it can do without them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rasen_lint.context import Context
from rasen_lint.document import CodeCell, Document
from rasen_lint.nodes import Nodes

_IMPORT_ERRORS = frozenset({"BaseException", "Exception", "ImportError", "ModuleNotFoundError"})


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One import of a module.

    Args:
        path: What is imported, with dots: `torch.distributed`; for `from torch import nn` it is `torch.nn`.
        level: The dots before a relative import.
        optional: The notebook goes on without it: it stands under `except ImportError`, or never runs.
    """

    path: str
    level: int
    optional: bool
    node: ast.stmt | ast.expr
    code_cell: CodeCell

    @property
    def package(self) -> str:
        """The first part of the path: what must be installed, or lie beside the notebook."""
        return self.path.partition(".")[0]


def imported_modules(document: Document) -> Iterator[Imported]:
    """Yield every import of a notebook, cell by cell."""
    for code_cell in document.code_cells:
        for plain in code_cell.nodes.of(ast.Import):
            for alias in plain.names:
                yield _imported(alias.name, 0, plain, code_cell)
        for selective in code_cell.nodes.of(ast.ImportFrom):
            for alias in selective.names:
                path = ".".join(part for part in (selective.module, alias.name) if part and part != "*")
                yield _imported(path, selective.level, selective, code_cell)
    for call in document.calls_of("importlib.import_module"):
        match call.node.args:
            case [ast.Constant(value=str(path)), *_] if path and not path.startswith("."):
                yield _imported(path, 0, call.node, call.code_cell)


def sibling_modules(context: Context) -> frozenset[str]:
    """Return the names of the modules and packages that lie beside the notebook."""
    names = set()
    for path in context.siblings or ():
        first, _, rest = path.partition("/")
        if rest:
            names.add(first)
        elif path.endswith(".py"):
            names.add(path.removesuffix(".py"))
    return frozenset(names)


def is_standard(package: str) -> bool:
    """Return whether a package comes with Python."""
    return package in sys.stdlib_module_names or package == "__future__"


def _imported(path: str, level: int, node: ast.stmt | ast.expr, code_cell: CodeCell) -> Imported:
    optional = _is_optional(node, code_cell.nodes)
    return Imported(path=path, level=level, optional=optional, node=node, code_cell=code_cell)


def _is_optional(node: ast.AST, nodes: Nodes) -> bool:
    """Return whether an import stands in a `try` for it, in the handler of one, or where nothing runs."""
    for above in nodes.parents(node):
        match above:
            case ast.Try(handlers=handlers) if any(_catches(handler) for handler in handlers):
                return True
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                return True
            case ast.If(test=ast.Constant(value=value)) if not value:
                return True
            case ast.With(items=items) if any(_suppresses(item.context_expr) for item in items):
                return True
            case _:
                pass
    return False


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _IMPORT_ERRORS) for kind in kinds)


def _suppresses(expression: ast.expr) -> bool:
    arguments = expression.args if isinstance(expression, ast.Call) else []
    return any(isinstance(each, ast.Name) and each.id in _IMPORT_ERRORS for each in arguments)
