"""What is wrong with a `parameters` cell: the very refusals of `rasen.parameters`, which reads the cell before a run.

The runner stops at the first; here each statement is asked for its own, and told which of three rules speaks of it, so
that the linter refuses what the runner refuses, no more and no less, and says it once and in the same words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from rasen.errors import NotebookError
from rasen.parameter_types import parse_annotation
from rasen.parameters import read_parameters
from rasen_lint.document import CodeCell

_WHERE = "parameters"


class Trouble(Enum):
    """Which part of a parameter is wrong."""

    STATEMENT = auto()
    DEFAULT = auto()
    ANNOTATION = auto()


@dataclass(frozen=True, kw_only=True)
class ParameterProblem:
    """One refusal. `node` is the statement, or `None` for a line that is no Python by itself."""

    trouble: Trouble
    message: str
    node: ast.stmt | None
    line: int


@lru_cache(maxsize=16)
def find_parameter_problems(code_cell: CodeCell) -> tuple[ParameterProblem, ...]:
    """Return what the platform will refuse in a `parameters` cell; nothing of a cell that does not parse at all."""
    return () if code_cell.problem is not None else tuple(_find(code_cell))


def _find(code_cell: CodeCell) -> Iterator[ParameterProblem]:
    yield from _only_ipython_reads(code_cell)
    magic_lines = {magic.line for magic in code_cell.magics}
    seen: set[str] = set()
    for statement in code_cell.tree.body:
        if statement.lineno in magic_lines:
            continue
        refusal, names = _read(statement)
        if refusal is None and names & seen:
            refusal = f"{', '.join(map(repr, sorted(names & seen)))} is assigned twice; keep one"
            yield _problem(Trouble.STATEMENT, refusal, statement)
        elif refusal is not None:
            yield _problem(_trouble(statement), refusal, statement)
        seen |= names


def assigned_names(statement: ast.Assign) -> list[str]:
    """Return the names that an assignment without annotation binds."""
    return [
        node.id
        for target in statement.targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _problem(trouble: Trouble, message: str, statement: ast.stmt) -> ParameterProblem:
    return ParameterProblem(trouble=trouble, message=message, node=statement, line=statement.lineno)


def _only_ipython_reads(code_cell: CodeCell) -> Iterator[ParameterProblem]:
    for magic in code_cell.magics:
        yield ParameterProblem(
            trouble=Trouble.STATEMENT,
            message="magics, shell commands and help do not belong here: the platform reads this cell without IPython; "
            "move the line into another cell",
            node=None,
            line=magic.line,
        )
    if code_cell.magics:
        return
    try:
        ast.parse(code_cell.cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        yield ParameterProblem(
            trouble=Trouble.STATEMENT,
            message="only IPython can read this, and the platform reads this cell without it; write plain Python that "
            "begins at the left margin",
            node=None,
            line=line,
        )


def _read(statement: ast.stmt) -> tuple[str | None, set[str]]:
    """Return the platform's refusal of a statement, or `None`, and the names of its parameters."""
    try:
        parameters = read_parameters(ast.unparse(statement), name=_WHERE)
    except NotebookError as error:
        return str(error).removeprefix(f"{_WHERE}, line 1: "), set()
    except (RecursionError, MemoryError):
        return "nested too deeply for a literal; write a plain value", set()
    return None, {parameter.name for parameter in parameters}


def _trouble(statement: ast.stmt) -> Trouble:
    match statement:
        case ast.Assign() if assigned_names(statement):
            return Trouble.ANNOTATION
        case ast.AnnAssign(target=ast.Name(), simple=1):
            try:
                parse_annotation(ast.unparse(statement.annotation))
            except ValueError:
                # A parameter without default wants that said first, and gets its type looked at once it has one.
                return Trouble.DEFAULT if statement.value is None else Trouble.ANNOTATION
            return Trouble.DEFAULT
        case _:
            return Trouble.STATEMENT


def refused_nodes(code_cell: CodeCell) -> frozenset[ast.AST]:
    """Return the nodes of what NB111 or NB112 refuses as a whole: no other rule needs to speak of them."""
    return frozenset(
        node
        for problem in find_parameter_problems(code_cell)
        if problem.node is not None and problem.trouble is not Trouble.ANNOTATION
        for node in ast.walk(problem.node)
    )
