"""Changes in the text of a cell at a node of its tree; none where the text is not certainly what was parsed."""

from __future__ import annotations

import ast
import re

from rasen_lint.document import CodeCell

_LONGEST = 100_000  # characters of a cell that is still changed: each change keeps a copy of it
_NOTHING_MORE = re.compile(rb"\s*,?(?:\s*\#[^()\n]*\n)*\s*\)")


def insert_argument(code_cell: CodeCell, call: ast.Call, argument: str) -> str | None:
    """Return the source of a cell with one more argument at the end of a call, or `None` if it cannot be done."""
    if len(code_cell.cell.source) > _LONGEST:
        return None
    given: list[ast.expr] = [*call.args, *(keyword.value for keyword in call.keywords)]
    last = max(given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0), default=None)
    text = code_cell.cell.source.encode(errors="surrogatepass")
    starts = _line_starts(text)
    begin = _offset(starts, call.lineno, call.col_offset)
    end = _offset(starts, call.end_lineno, call.end_col_offset)
    after = end - 1 if last is None else _offset(starts, last.end_lineno, last.end_col_offset)
    # IPython takes indentation away and rewrites magics: then the places in the tree are not those in the text.
    is_call = text[begin:].startswith(_first_name(call).encode()) and text[end - 1 : end] == b")"
    if not is_call or _NOTHING_MORE.fullmatch(text[after:end]) is None:
        return None
    piece = argument if last is None else f", {argument}"
    return (text[:after] + piece.encode() + text[after:]).decode(errors="surrogatepass")


def _line_starts(text: bytes) -> list[int]:
    return [0, *(found.end() for found in re.finditer(rb"\n", text))]


def _offset(starts: list[int], line: int | None, column: int | None) -> int:
    if line is None or column is None or line > len(starts):
        return -1
    return starts[line - 1] + column


def _first_name(call: ast.Call) -> str:
    node: ast.expr = call
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else "\0"
