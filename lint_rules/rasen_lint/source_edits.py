"""Changes in the text of a cell at a node of its tree; none where the text is not certainly what was parsed."""

from __future__ import annotations

import ast

from rasen_lint.document import CodeCell
from rasen_lint.magics import mask_magics


def insert_argument(code_cell: CodeCell, call: ast.Call, argument: str) -> str | None:
    """Return the source of a cell with one more argument at the end of a call, or `None` if it cannot be done."""
    given: list[ast.expr] = [*call.args, *(keyword.value for keyword in call.keywords)]
    last = max(given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0), default=None)
    after = call if last is None else last
    line, offset = after.end_lineno, after.end_col_offset
    lines = code_cell.cell.source.split("\n")
    if line is None or offset is None or line > len(lines):
        return None
    text = lines[line - 1].encode(errors="surrogatepass")
    offset -= last is None  # before the bracket
    piece = argument if last is None else f", {argument}"
    changed = text[:offset] + piece.encode() + text[offset:]
    lines[line - 1] = changed.decode(errors="surrogatepass")
    source = "\n".join(lines)
    return source if _adds_one_argument(source, code_cell.tree, call) else None


def _adds_one_argument(source: str, before: ast.Module, call: ast.Call) -> bool:
    """Return whether a source is what it was but for the last argument of a call."""
    try:
        after = ast.parse(mask_magics(source).python)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(after):
        same_place = (
            getattr(node, "lineno", 0) == call.lineno and getattr(node, "col_offset", 0) == call.col_offset
        )
        if isinstance(node, ast.Call) and same_place and ast.dump(node.func) == ast.dump(call.func):
            added = node.keywords if len(node.keywords) > len(call.keywords) else node.args
            if added:
                added.pop()
                return ast.dump(after) == ast.dump(before)
    return False
