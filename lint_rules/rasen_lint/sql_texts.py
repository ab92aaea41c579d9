"""Where a notebook holds queries: arguments of functions that run them, variables, cells of SQL.

A text is put together from what stands in the notebook: `+`, f-strings, `.format`, `" ".join([…])`, a variable that is
assigned once. What is computed leaves a gap in it, and the rules take a gap for whatever would make the query right.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rasen_lint.document import CodeCell, Document, source_lines
from rasen_lint.magics import Magic, MagicKind
from rasen_lint.nodes import Nodes
from rasen_lint.sql import looks_like_query
from rasen_lint.sql_tokens import GAP

# Functions that run a query, by the last part of their name, and the arguments that may hold it.
_RUNNERS = frozenset(
    {"execute", "query", "query_and_wait", "query_df", "read_gbq", "read_sql", "read_sql_query", "sql"}
)
_ARGUMENTS = frozenset({"query", "sql", "statement"})
_SQL_MAGICS = frozenset({"bigquery", "bq", "duckdb", "sparksql", "sql"})
# Engines that query the variables of a notebook like tables.
_QUERY_VARIABLES = frozenset({"chdb", "duckdb", "fugue", "pandasql", "polars"})
_LONGEST = 100_000  # characters of a query that is put together
_SAME_TEXT = frozenset({"cleandoc", "dedent", "text"})
_BREAK = re.compile(rf"[\n{GAP}]")
_FIELD = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
_PERCENT = re.compile(r"%(?:\(\w+\))?[sdrf]")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{[^{}]*\}|\{%.*?%\}|\$\{?\w+\}?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SqlText:
    """A query in a cell.

    Args:
        text: What is known of it, with gaps.
        code_cell: Where it stands.
        line: Its first line in the cell.
        node: The text in the tree, or `None` in a cell of SQL.
        variables: Names of variables that it may query like tables.
    """

    text: str
    code_cell: CodeCell
    line: int
    node: ast.expr | None = None
    variables: frozenset[str] = frozenset()

    def place(self, offset: int) -> tuple[int, int | None]:
        """Return the line and the column in the cell of a place in the text, as far as they are certain."""
        if len(self.text) > _LONGEST:
            return self.line, None
        number = self.text.count("\n", 0, offset)
        lines = source_lines(self.code_cell.cell.source)
        if self.node is not None and (self.node.end_lineno or self.line) - self.line != self.text.count("\n"):
            number = 0  # written with "\\n", or put together of several texts
        line = self.line + number
        # What stands around it, as far as it stands so in the cell; its column if it stands there once.
        before = re.split(_BREAK, self.text[:offset])[-1]
        shown = before + re.split(_BREAK, self.text[offset:], maxsplit=1)[0]
        written = lines[line - 1] if line <= len(lines) else ""
        column = written.find(shown) if shown and written.count(shown) == 1 else -1
        return line, None if column < 0 else column + len(before) + 1


def sql_texts(document: Document) -> Iterator[SqlText]:
    """Yield the queries of a notebook, each once."""
    for code_cell in document.code_cells:
        for magic in code_cell.magics:
            yield from _from_magic(magic, code_cell)
    yield from _StoredTexts(document).queries()


def _from_magic(magic: Magic, code_cell: CodeCell) -> Iterator[SqlText]:
    if magic.name not in _SQL_MAGICS or magic.kind is MagicKind.SHELL:
        return
    arguments = magic.arguments.partition("<<")[2] or magic.arguments
    if magic.kind is MagicKind.CELL and not looks_like_query(arguments + "\n" + magic.body):
        text, line = magic.body, magic.line + 1
    else:
        text, line = f"{arguments}\n{magic.body}", magic.line
    text = _TEMPLATE.sub(lambda found: GAP * len(found[0]), text)
    yield SqlText(text=text, code_cell=code_cell, line=line)


class _StoredTexts:
    """The texts in the code of a notebook, and the variables that hold one."""

    def __init__(self, document: Document) -> None:
        self._document = document
        stored: Counter[str] = Counter()
        self._values: dict[str, tuple[ast.expr, CodeCell]] = {}
        self._extended: set[str] = set()
        for code_cell, assign in self._assignments():
            target, value = _target(assign), assign.value
            if target is not None and value is not None:
                self._values[target] = value, code_cell
        for code_cell in document.code_cells if self._values else ():
            names = code_cell.nodes.of(ast.Name)
            stored.update(name.id for name in names if isinstance(name.ctx, ast.Store))
            self._extended.update(_extended_names(code_cell.nodes))
        self._values = {name: value for name, value in self._values.items() if stored[name] == 1}
        self._texts: dict[str, str | None] = {}
        self._said: set[ast.expr] = set()

    def queries(self) -> Iterator[SqlText]:
        """Yield what is run, then what is only kept in a variable."""
        for code_cell in self._document.code_cells:
            for call in code_cell.nodes.of(ast.Call):
                name = (
                    call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                )
                for argument in _query_arguments(call) if name in _RUNNERS else ():
                    yield from self._run(argument, code_cell, is_local=name not in {"read_gbq", "read_sql"})
        for code_cell, assign in self._assignments():
            yield from self._stored(assign, code_cell)

    def _assignments(self) -> Iterator[tuple[CodeCell, ast.Assign | ast.AnnAssign]]:
        for code_cell in self._document.code_cells:
            yield from ((code_cell, assign) for assign in code_cell.nodes.of(ast.Assign))
            yield from ((code_cell, assign) for assign in code_cell.nodes.of(ast.AnnAssign))

    def _variables(self) -> frozenset[str]:
        """Return the names that an engine which queries variables would find."""
        for code_cell in self._document.code_cells:
            modules = [alias.name for plain in code_cell.nodes.of(ast.Import) for alias in plain.names]
            modules += [each.module or "" for each in code_cell.nodes.of(ast.ImportFrom)]
            if any(module.partition(".")[0] in _QUERY_VARIABLES for module in modules):
                return self._document.variables.bound
        return frozenset()

    def _run(self, argument: ast.expr, code_cell: CodeCell, *, is_local: bool) -> Iterator[SqlText]:
        value = argument
        if isinstance(argument, ast.Name):
            value, code_cell = self._values.get(argument.id, (argument, code_cell))
        if value in self._said:
            return
        text = self._text(value)
        if text is not None and looks_like_query(text):
            self._said.add(value)
            variables = self._variables() if is_local else frozenset()
            yield SqlText(text=text, code_cell=code_cell, line=value.lineno, node=value, variables=variables)

    def _stored(self, assign: ast.Assign | ast.AnnAssign, code_cell: CodeCell) -> Iterator[SqlText]:
        name, value = _target(assign), assign.value
        if name is None or value is None or value in self._said:
            return
        text = self._text(value)
        if text is None or not looks_like_query(text, upper=True):
            return
        if name in self._extended:
            text += f" end {GAP}"
        yield SqlText(
            text=text, code_cell=code_cell, line=value.lineno, node=value, variables=self._variables()
        )

    def _text(self, node: ast.expr, depth: int = 0) -> str | None:
        """Return the text that an expression gives, with gaps; `None` when it need not be one."""
        if depth > 50:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=values):
                return "".join(
                    each.value if isinstance(each, ast.Constant) and isinstance(each.value, str) else GAP
                    for each in values
                )
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                texts = self._text(left, depth + 1), self._text(right, depth + 1)
                return None if texts == (None, None) else (texts[0] or GAP) + (texts[1] or f" {GAP}")
            case ast.BinOp(left=left, op=ast.Mod()):
                before = self._text(left, depth + 1)
                return None if before is None else _PERCENT.sub(GAP, before).replace("%%", "%")
            case ast.Name(id=name) if name in self._values and depth:
                return self._stored_text(name, depth + 1)
            case ast.Call():
                return self._text_of_call(node, depth + 1)
            case _:
                return None

    def _stored_text(self, name: str, depth: int) -> str | None:
        """Return the text of a variable; none of one that is defined by itself, or by doubling without end."""
        if name not in self._texts:
            self._texts[name] = None
            value, _ = self._values[name]
            text = self._text(value, depth)
            self._said.add(value)  # it is spoken of as a part of what uses it
            self._texts[name] = text if text is None or len(text) <= _LONGEST else None
        return self._texts[name]

    def _text_of_call(self, node: ast.Call, depth: int) -> str | None:
        match node:
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                text = self._text(template, depth)
                return None if text is None else _FIELD.sub(_fill, text)
            case ast.Call(func=ast.Attribute(value=template, attr="replace")):
                text = self._text(template, depth)
                return None if text is None else f"{text} end {GAP}"
            case ast.Call(func=ast.Attribute(value=between, attr="join"), args=[ast.List(elts=parts)]):
                glue = self._text(between, depth)
                return None if glue is None else glue.join(self._text(part, depth) or GAP for part in parts)
            case ast.Call(func=ast.Attribute(value=inner, attr="strip" | "lstrip" | "rstrip"), args=[]):
                return self._text(inner, depth)
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[text]) if (
                name in _SAME_TEXT
            ):
                return self._text(text, depth)
            case _:
                return None


def _target(assign: ast.Assign | ast.AnnAssign) -> str | None:
    """Return the one name that an assignment gives a value."""
    targets = assign.targets if isinstance(assign, ast.Assign) else [assign.target]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


def _extended_names(nodes: Nodes) -> Iterator[str]:
    """Yield the variables whose text is not used as it is, but as a part of another."""
    for augmented in nodes.of(ast.AugAssign):
        if isinstance(augmented.target, ast.Name):
            yield augmented.target.id
    for name in nodes.of(ast.Name):
        if isinstance(name.ctx, ast.Load) and not isinstance(
            nodes.parent(name), (ast.Call, ast.keyword, ast.Expr)
        ):
            yield name.id


def _query_arguments(call: ast.Call) -> Iterator[ast.expr]:
    yield from call.args[:1]
    yield from (keyword.value for keyword in call.keywords if keyword.arg in _ARGUMENTS)


def _fill(found: re.Match[str]) -> str:
    return found[0][0] if found[0] in {"{{", "}}"} else GAP
