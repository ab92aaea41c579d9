"""What can be said of a DataFrame without running anything: its columns, and the types of columns written out."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rasen_lint.document import Document

# Methods that leave the columns as they are.
_SAME_COLUMNS = frozenset(
    {
        *{"abs", "astype", "clip", "convert_dtypes", "copy", "drop_duplicates", "dropna", "fillna", "head"},
        *{"nlargest", "nsmallest", "query", "round", "sample", "sort_index", "sort_values", "tail"},
    }
)
# Methods that may change a table, or a list of names, in place.
_CHANGING = frozenset(
    {
        *{"append", "clear", "drop", "eval", "extend", "insert", "pop", "remove", "rename", "reset_index"},
        *{"set_index", "update"},
    }
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A table: its columns in order, and of those that are written out, what kind of values they hold."""

    columns: tuple[str, ...]
    kinds: Mapping[str, type] = field(default_factory=dict)


class Frames:
    """The tables of a notebook that are certain."""

    def __init__(self, document: Document) -> None:
        self._document = document
        stored: Counter[str] = Counter()
        self._changed: set[str] = set()
        self._values: dict[str, tuple[ast.expr, int]] = {}
        for code_cell in document.code_cells:
            nodes, index = code_cell.nodes, code_cell.cell.index
            stored.update(name.id for name in nodes.of(ast.Name) if not isinstance(name.ctx, ast.Load))
            for subscript in nodes.of(ast.Subscript):
                if not isinstance(subscript.ctx, ast.Load):
                    self._changed.update(_root(subscript))
            for attribute in nodes.of(ast.Attribute):
                if attribute.attr in _CHANGING or not isinstance(attribute.ctx, ast.Load):
                    self._changed.update(_root(attribute))
            for assign in nodes.of(ast.Assign):
                if len(assign.targets) == 1 and isinstance(assign.targets[0], ast.Name):
                    self._values[assign.targets[0].id] = assign.value, index
        self._values = {
            name: value
            for name, value in self._values.items()
            if stored[name] == 1 and name not in self._changed
        }

    def read(self, node: ast.expr, *, cell: int, depth: int = 0) -> Frame | None:
        """Return what an expression gives, or `None` when it is not certain."""
        match node:
            case _ if depth > 50:
                return None
            case ast.Name(id=name) if name in self._values:
                value, index = self._values[name]
                return self.read(value, cell=index, depth=depth + 1)
            case ast.Call(func=ast.Attribute(value=table, attr=method), keywords=keywords):
                if self._document.names.full_name(node.func, cell=cell) == "pandas.DataFrame":
                    return self._written(node, cell)
                in_place = any(keyword.arg in {"axis", "inplace", "columns"} for keyword in keywords)
                if method in _SAME_COLUMNS and not in_place:
                    frame = self.read(table, cell=cell, depth=depth + 1)
                    return None if frame is None else Frame(columns=frame.columns)
            case ast.Call() if self._document.names.full_name(node.func, cell=cell) == "pandas.DataFrame":
                return self._written(node, cell)
            case ast.Subscript(value=ast.Attribute(attr="loc"), slice=ast.Tuple(elts=[_, chosen])):
                return self._chosen(chosen)
            case ast.Subscript(value=ast.Attribute(value=table, attr="iloc"), slice=ast.Slice()):
                return self.read(table, cell=cell, depth=depth + 1)
            case ast.Subscript(slice=ast.Slice(), value=table):
                return self.read(table, cell=cell, depth=depth + 1)
            case ast.Subscript(slice=chosen):
                return self._chosen(chosen)
            case _:
                pass
        return None

    def _chosen(self, chosen: ast.expr) -> Frame | None:
        names = self._names(chosen)
        return None if names is None else Frame(columns=tuple(names))

    def _names(self, node: ast.expr, depth: int = 0) -> list[str] | None:
        """Return a list of column names that is written out, perhaps of several lists."""
        match node:
            case ast.Name(id=name) if name in self._values and depth < 50:
                return self._names(self._values[name][0], depth + 1)
            case ast.List(elts=items):
                names: list[str] = []
                for item in items:
                    part = (
                        self._names(item.value, depth + 1) if isinstance(item, ast.Starred) else _text(item)
                    )
                    if part is None:
                        return None
                    names += part
                return names
            case ast.BinOp(left=left, op=ast.Add(), right=right) if depth < 50:
                first, second = self._names(left, depth + 1), self._names(right, depth + 1)
                return None if first is None or second is None else first + second
            case _:
                return None

    def _written(self, call: ast.Call, cell: int) -> Frame | None:
        columns = next((keyword.value for keyword in call.keywords if keyword.arg == "columns"), None)
        if columns is not None:
            return self._chosen(columns)
        data = call.args[0] if call.args else None
        data = next((keyword.value for keyword in call.keywords if keyword.arg == "data"), data)
        match data:
            case ast.Dict(keys=keys, values=values):
                return _from_dictionary(keys, values)
            case ast.List(elts=[ast.Dict(), *_] as rows):
                frames = [
                    _from_dictionary(row.keys, row.values) if isinstance(row, ast.Dict) else None
                    for row in rows
                ]
                certain = [frame for frame in frames if frame is not None]
                if len(certain) < len(frames):
                    return None
                return Frame(
                    columns=tuple(dict.fromkeys(name for frame in certain for name in frame.columns))
                )
            case _:
                return None


def _from_dictionary(keys: Sequence[ast.expr | None], values: Sequence[ast.expr]) -> Frame | None:
    names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
    columns = tuple(name for name in names if isinstance(name, str))
    if len(columns) < len(names):
        return None
    kinds = {}
    for name, value in zip(columns, values, strict=True):
        items = value.elts if isinstance(value, (ast.List, ast.Tuple)) else []
        found = {type(item.value) if isinstance(item, ast.Constant) else object for item in items}
        if len(found - {type(None)}) == 1:
            kinds[name] = (found - {type(None)}).pop()
    return Frame(columns=columns, kinds={name: kind for name, kind in kinds.items() if kind is not object})


def _text(node: ast.expr) -> list[str] | None:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _root(node: ast.expr) -> list[str]:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return [node.id] if isinstance(node, ast.Name) else []
