"""Which names a piece of Python binds in its own scope, wherever in it: what a function holds as its local names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from rasen_lint.below import children

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound_names(body: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names that statements bind in the scope they stand in, and those they declare to be of another."""
    bound: set[str] = set()
    elsewhere: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
            continue
        bound.update(names_bound_by(node))
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            waiting += [*node.decorator_list]
        elif isinstance(node, COMPREHENSIONS):
            waiting += _walrus_of(node)
        elif not isinstance(node, ast.Lambda):
            waiting += children(node)
    return bound - elsewhere, elsewhere


def names_bound_by(node: ast.AST) -> Iterable[str]:
    """Return the names that one node binds by itself, those of its children left out."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return (name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Import() | ast.ImportFrom():
            return imported_names(node)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return (name,)
        case ast.MatchMapping(rest=str(name)):
            return (name,)
        case _:
            return ()


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names that an import binds; a star binds none that is known."""
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [alias.asname or alias.name for alias in node.names if alias.name != "*"]


def argument_names(arguments: ast.arguments) -> set[str]:
    """Return the parameters of a function."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return {argument.arg for argument in every}


def _walrus_of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the targets of `:=` in a comprehension: they belong to the scope around it."""
    waiting = children(node)
    while waiting:
        child = waiting.pop()
        if isinstance(child, ast.NamedExpr):
            yield child.target
        if not isinstance(child, ast.Lambda):
            waiting += children(child)
