"""Full names of what a notebook calls: after `from datetime import datetime as dt` is `dt.now` `datetime.datetime.now`.

A kernel has one namespace for all cells, so an import in one cell names things in the others. A name that is also bound
in another way (`date = date.today()`) means whatever was bound last above it; inside a function that binds it, nothing
that is known here. What is not certain has no full name: a rule that asks by name then stays silent.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from rasen_lint.nodes import Nodes

_Position = tuple[int, int, int]  # cell, line, column
_LINE_END = 1 << 30
_Named = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
)
# What has names of its own: what is bound inside says nothing about the cells.
_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


class ImportedNames:
    """What the names of a notebook stand for.

    Args:
        cells: The nodes of each code cell, with the cell's index.
    """

    def __init__(self, cells: Sequence[tuple[int, Nodes]]) -> None:
        # From which place on a name means what; `None` is whatever the notebook computed.
        self._meanings: dict[str, list[tuple[_Position, str | None]]] = {}
        self._locals: dict[tuple[str, int], list[tuple[_Position, _Position]]] = {}
        self._stars: set[str] = set()
        for cell, nodes in cells:
            self._read_imports(cell, nodes)
        self._computed: set[str] = set()
        for cell, nodes in cells:
            self._read_bindings(cell, nodes)
        for meanings in self._meanings.values():
            meanings.sort(key=lambda meaning: meaning[0])

    @property
    def star_modules(self) -> frozenset[str]:
        """The modules of which everything was imported (`from numpy import *`)."""
        return frozenset(self._stars)

    def full_name(self, node: ast.expr, *, cell: int) -> str | None:
        """Return the full name of a name, or of an attribute of one, or `None` when it is not certain.

        A name that nothing in the notebook binds stands for itself: `input`, `get_ipython`.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        meaning = self._meaning(node.id, (cell, node.lineno, node.col_offset))
        return None if meaning is None else ".".join([meaning, *reversed(parts)])

    def is_imported(self, name: str) -> bool:
        """Say whether an import somewhere in the notebook binds the name."""
        return name in self._meanings

    def _meaning(self, name: str, at: _Position) -> str | None:
        meanings = self._meanings.get(name)
        if meanings is None:
            return None if name in self._computed else name
        if any(first <= at <= last for first, last in self._locals.get((name, at[0]), ())):
            return None
        before = bisect_left(meanings, at, key=lambda meaning: meaning[0])
        # What stands above every binding is a function's body, called later.
        return meanings[max(0, before - 1)][1]

    def _read_imports(self, cell: int, nodes: Nodes) -> None:
        for plain in nodes.of(ast.Import):
            for alias in plain.names:
                first = alias.name.partition(".")[0]
                meaning = (alias.asname, alias.name) if alias.asname else (first, first)
                self._meanings.setdefault(meaning[0], []).append((_start(cell, plain), meaning[1]))
        for selective in nodes.of(ast.ImportFrom):
            for alias in selective.names:
                if selective.level or selective.module is None:
                    continue
                if alias.name == "*":
                    self._stars.add(selective.module)
                    continue
                name, full = alias.asname or alias.name, f"{selective.module}.{alias.name}"
                self._meanings.setdefault(name, []).append((_start(cell, selective), full))

    def _read_bindings(self, cell: int, nodes: Nodes) -> None:
        for name, node in _bindings(nodes):
            self._computed.add(name)
            # Only a name that is imported as well is worth the question where it is bound.
            if name not in self._meanings:
                continue
            around = next((above for above in nodes.parents(node) if isinstance(above, _SCOPES)), None)
            if around is None:
                self._meanings[name].append((_after(cell, node, nodes), None))
            else:
                self._locals.setdefault((name, cell), []).append((_start(cell, around), _end(cell, around)))


def _bindings(nodes: Nodes) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that are bound otherwise than by an import, with the node that binds them."""
    for name in nodes.of(ast.Name):
        if isinstance(name.ctx, ast.Store):
            yield name.id, name
    for argument in nodes.of(ast.arg):
        yield argument.arg, argument
    named: list[_Named] = [
        *nodes.of(ast.FunctionDef),
        *nodes.of(ast.AsyncFunctionDef),
        *nodes.of(ast.ClassDef),
        *nodes.of(ast.ExceptHandler),
        *nodes.of(ast.MatchAs),
        *nodes.of(ast.MatchStar),
    ]
    for node in named:
        if node.name is not None:
            yield node.name, node
    for mapping in nodes.of(ast.MatchMapping):
        if mapping.rest is not None:
            yield mapping.rest, mapping
    for relative in nodes.of(ast.ImportFrom):
        for alias in relative.names if relative.level else ():
            yield alias.asname or alias.name, relative


def _after(cell: int, node: ast.AST, nodes: Nodes) -> _Position:
    """Return where a binding takes effect: behind the value that is assigned, which is read with the old meaning."""
    for above in (node, *nodes.parents(node)):
        if isinstance(above, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            return _end(cell, above)
        if isinstance(above, (ast.For, ast.AsyncFor)):
            return (cell, above.iter.end_lineno or above.lineno, _LINE_END)
        if isinstance(above, ast.stmt):
            break
    return (cell, getattr(node, "lineno", 0), _LINE_END)


def _start(cell: int, node: ast.AST) -> _Position:
    return (cell, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


def _end(cell: int, node: ast.AST) -> _Position:
    return (cell, getattr(node, "end_lineno", None) or 0, getattr(node, "end_col_offset", None) or 0)
