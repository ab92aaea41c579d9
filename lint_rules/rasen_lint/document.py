"""A notebook as the rules see it: parsed once, each code cell as a syntax tree, and the size of its outputs.

What is wrong with the file itself (not JSON, nbformat 3, a merge conflict) is found by `rasen.notebook`, so that the
linter and the runner say the same about the same file.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from rasen.notebook import PARAMETERS_TAG, Cell, Notebook, build_notebook, parse_document
from rasen_lint.context import Context
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.magics import Magic, mask_magics
from rasen_lint.names import ImportedNames
from rasen_lint.nodes import Nodes

if TYPE_CHECKING:
    from rasen_lint.scope_names import Variables

NOBODY_KNOWS = Context()


@dataclass(frozen=True, kw_only=True)
class SyntaxProblem:
    """Why a cell is no Python; line and column count from 1."""

    message: str
    line: int | None
    column: int | None


@dataclass(frozen=True, kw_only=True)
class CodeCell:
    """A code cell: its tree, or the problem that kept it from having one."""

    cell: Cell
    magics: tuple[Magic, ...]
    tree: ast.Module
    problem: SyntaxProblem | None

    @property
    def is_parameters(self) -> bool:
        """Whether the cell is tagged `parameters`."""
        return PARAMETERS_TAG in self.cell.tags

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes of the tree by their type, walked once for all rules."""
        return Nodes(self.tree)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call whose full name is certain: `name` is `os.chdir`, whatever `os` is called in the notebook."""

    code_cell: CodeCell
    node: ast.Call
    name: str


@dataclass(frozen=True)
class Document:
    """A notebook with what the rules ask of it.

    Args:
        notebook: The cells.
        output_sizes: Size in bytes of each cell's outputs, as JSON without white space; cells without are left out.
        context: What the notebook is for and where it is looked at.
        metadata: The notebook's metadata as they stand in the file.
        outputs: The outputs of the cells that have some, as they stand in the file.
        execution_counts: The execution counts of the cells that have one.
    """

    notebook: Notebook
    output_sizes: Mapping[int, int]
    context: Context = NOBODY_KNOWS
    metadata: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    outputs: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # Any: JSON
    execution_counts: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def code_cells(self) -> tuple[CodeCell, ...]:
        """The code cells of a Python notebook, parsed; none of a notebook in another language."""
        if self.notebook.language not in {None, "python"}:
            return ()
        return tuple(_parse_cell(cell) for cell in self.notebook.cells if cell.type == "code")

    @cached_property
    def names(self) -> ImportedNames:
        """What the names of the notebook stand for, by the imports of all cells."""
        return ImportedNames([(code.cell.index, code.nodes) for code in self.code_cells])

    @cached_property
    def variables(self) -> Variables:
        """Where the names of the notebook get their values, and where they are read."""
        from rasen_lint.scopes import read_variables  # which reads cells, and so imports this file

        return read_variables(self.code_cells)

    def calls_of(self, *names: str) -> Iterator[Call]:
        """Yield the calls of functions with these full names, name by name in the order of the cells."""
        for name in names:
            yield from self.calls.get(name, ())
            for module in self.names.star_modules:
                if name.startswith(f"{module}."):
                    yield from self.calls.get(name.removeprefix(f"{module}."), ())

    @cached_property
    def calls(self) -> Mapping[str, Sequence[Call]]:
        """The calls whose full names are certain, by these names, each in the order of the cells."""
        found: dict[str, list[Call]] = {}
        for code in self.code_cells:
            for node in code.nodes.of(ast.Call):
                name = self.names.full_name(node.func, cell=code.cell.index)
                if name is not None:
                    found.setdefault(name, []).append(Call(code_cell=code, node=node, name=name))
        return found

    def parameter_cells(self) -> Iterator[CodeCell]:
        """Yield the code cells that are tagged `parameters`: one in a notebook that runs."""
        return (code for code in self.code_cells if code.is_parameters)

    def other_cells(self) -> Iterator[CodeCell]:
        """Yield the code cells that are not: what may only stand in these is NB111's to say of the others."""
        return (code for code in self.code_cells if not code.is_parameters)

    def excerpt(self, finding: Finding, *, around: int = 1) -> list[tuple[int, str]]:
        """Return the numbered lines around a finding, none when it means no cell."""
        if finding.cell is None:
            return []
        lines = self.notebook.cells[finding.cell].source.splitlines()
        line = finding.line or 1
        first, last = max(1, line - around), min(len(lines), line + around)
        return [(number, lines[number - 1]) for number in range(first, last + 1)]


def read_document(data: bytes, *, name: str, context: Context = NOBODY_KNOWS) -> Document:
    """Parse the bytes of a notebook; `name` stands for it in messages.

    Raises:
        NotebookError: The file is no notebook of nbformat 4.
    """
    content = parse_document(data, name=name)
    notebook = build_notebook(content, name=name)
    metadata = content.get("metadata")
    outputs = {index: cell["outputs"] for index, cell in enumerate(content["cells"]) if cell.get("outputs")}
    counts = {
        index: cell["execution_count"]
        for index, cell in enumerate(content["cells"])
        if isinstance(cell.get("execution_count"), int)
    }
    return Document(
        notebook,
        {index: _size(each) for index, each in outputs.items()},
        context=context,
        metadata=metadata if isinstance(metadata, dict) else {},
        # What is malformed there has a size, and nothing that a rule could read.
        outputs={
            index: [output for output in each if isinstance(output, dict)]
            for index, each in outputs.items()
            if isinstance(each, list)
        },
        execution_counts=counts,
    )


def finding_at(
    code: str,
    severity: Severity,
    message: str,
    cell: Cell,
    *,
    node: ast.expr | ast.stmt | None = None,
    line: int | None = None,
    column: int | None = None,
    fix: Fix | None = None,
) -> Finding:
    """Build the finding of a rule in a cell: at a node of its tree, at a line, or in the whole cell."""
    end_line = end_column = None
    if node is not None:
        line, column = node.lineno, _column(cell, node.lineno, node.col_offset)
        if node.end_lineno is not None and node.end_col_offset is not None:
            end_line, end_column = node.end_lineno, _column(cell, node.end_lineno, node.end_col_offset)
    return Finding(
        code=code,
        severity=severity,
        message=message,
        cell=cell.index,
        cell_id=cell.id,
        line=line,
        column=column,
        end_line=end_line,
        end_column=end_column,
        fix=fix,
    )


@lru_cache(maxsize=4)  # a cell may have thousands of findings
def source_lines(source: str) -> tuple[str, ...]:
    """Return the lines of a cell as `ast` counts them."""
    return tuple(source.split("\n"))


def _column(cell: Cell, line: int, offset_bytes: int) -> int:
    """Return a column in characters, from 1, for the byte that `ast` counts: they differ behind an umlaut."""
    lines = source_lines(cell.source)
    text = lines[line - 1] if line <= len(lines) else ""
    first = next((each for each in lines if each.strip()), "")
    indent = first[: len(first) - len(first.lstrip(" \t"))]
    if not text.startswith(indent):  # IPython takes the first line's indentation from those that have it
        indent = ""
    before = text[len(indent) :].encode(errors="surrogatepass")[:offset_bytes]
    return len(indent) + len(before.decode(errors="replace")) + 1


def _size(outputs: Any) -> int:  # Any: a piece of JSON
    return len(json.dumps(outputs, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass"))


def _parse_cell(cell: Cell) -> CodeCell:
    masked = mask_magics(cell.source)
    tree, problem = _parse(masked.python)
    if problem is not None and (transformed := _transform(cell.source)) is not None:
        other_tree, other_problem = _parse(transformed)
        if other_problem is None:
            tree, problem = other_tree, None
    return CodeCell(cell=cell, magics=masked.magics, tree=tree, problem=problem)


def _parse(python: str) -> tuple[ast.Module, SyntaxProblem | None]:
    """Parse and compile; compiling finds the rest (`return` outside a function), await at the top is allowed."""
    empty = ast.Module(body=[], type_ignores=[])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(python)
            compile(tree, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError as error:
            return empty, SyntaxProblem(
                message=error.msg, line=error.lineno or None, column=error.offset or None
            )
        except ValueError as error:  # null bytes, lone surrogates, numbers of thousands of digits
            return empty, SyntaxProblem(message=str(error), line=None, column=None)
        except (RecursionError, MemoryError):
            return empty, SyntaxProblem(message="nested too deeply", line=None, column=None)
    return tree, None


def _transform(source: str) -> str | None:
    """Let IPython turn the cell into Python; `None` where it is not installed.

    The body of a `%%time` goes in without its first line: with it IPython would make one long string of the cell.
    """
    if source.lstrip().startswith("%%"):
        first, _, body = source.lstrip().partition("\n")
        transformed = _transform(body)
        return None if transformed is None else f"# {first}\n{transformed}"
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # IPython leaves this one constructor without annotations.
            manager = TransformerManager()  # type: ignore[no-untyped-call]
            return manager.transform_cell(source)
        except (SyntaxError, ValueError, RecursionError):
            # ValueError: since Python 3.12 the tokenizer encodes the text, which a lone surrogate does not survive.
            return None
