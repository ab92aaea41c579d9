"""What a notebook's source says that it will call, where that is certain before a cell has run.

Nothing is executed. A name is *certainly* missing only when every way to bring it in has been looked at: calls with
`**values`, functions handed on, `%run`, `exec` and libraries that are built on Rasen all make it uncertain, and then
the run decides. To stop somebody's training for what was no fault would be worse than to learn of a fault later.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata

from rasen.notebook import Notebook

_WATCHED = ("publish", "log_metrics", "save_table", "load_model")
_OPAQUE = re.compile(
    r"^\s*%run\b|\bexec\s*\(|\beval\s*\(|\bimport_module\b|\b__import__\b|\bgetattr\s*\(\s*rasen\b",
    re.MULTILINE,
)
_MAGIC = re.compile(r"^\s*[%!?].*$", re.MULTILINE)
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(kw_only=True)
class Calls:
    """What is called in some source.

    Args:
        metrics: Names given to `log_metrics` as keywords.
        tables: Names given to `save_table` as literals.
        endpoints: Names given to `load_model` as literals.
        published_at: Places of calls of `publish` that every run makes, such as `train.ipynb, cell 4`.
        may_publish: Whether `publish` is called or handed on somewhere.
        mentions_publish: Whether the word occurs at all, also in a text or as a part of another.
        open: Of which of the functions not all calls can be seen.
        imported: Top-level names of the modules that are imported.
    """

    metrics: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    endpoints: set[str] = field(default_factory=set)
    published_at: list[str] = field(default_factory=list)
    may_publish: bool = False
    mentions_publish: bool = False
    open: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)

    def join(self, other: Calls) -> Calls:
        """Return what is called in either."""
        return Calls(
            metrics=self.metrics | other.metrics,
            tables=self.tables | other.tables,
            endpoints=self.endpoints | other.endpoints,
            published_at=[*self.published_at, *other.published_at],
            may_publish=self.may_publish or other.may_publish,
            mentions_publish=self.mentions_publish or other.mentions_publish,
            open=self.open | other.open,
            imported=self.imported | other.imported,
        )

    def knows_all(self, function: str) -> bool:
        """Return whether every call of one of the functions can be seen here."""
        return function not in self.open and not _built_on_rasen(self.imported)


def read_calls(notebook: Notebook) -> Calls:
    """Return what a notebook's cells call."""
    found = Calls()
    for cell in notebook.cells:
        if cell.type == "code":
            found = found.join(_read(cell.source, f"{notebook.name}, cell {cell.index}", certain=True))
    return found


def read_module_calls(source: str) -> Calls:
    """Return what a helper module calls; whether its functions are called is not known, so no `publish` is certain."""
    return _read(source, "", certain=False)


def join_calls(several: Iterable[Calls]) -> Calls:
    """Return what is called in any of them."""
    joined = Calls()
    for each in several:
        joined = joined.join(each)
    return joined


def _read(source: str, place: str, *, certain: bool) -> Calls:
    found = Calls(mentions_publish="publish" in source.lower())
    if _OPAQUE.search(source):
        found.open.update(_WATCHED)
    try:
        tree = ast.parse(_MAGIC.sub("pass", source) if _MAGIC.search(source) else source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found.open.update(_WATCHED)
        return found
    seen = dict.fromkeys(_WATCHED, 0)
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                name = _called(node)
                if name in seen:
                    seen[name] += 1
                    _READERS[name](node, found)
            case ast.Import(names=names):
                found.imported.update(alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                found.imported.add(module.partition(".")[0])
            case _:
                pass
    found.may_publish = seen["publish"] > 0 or _mentions(tree, "publish") > 0
    for name, calls in seen.items():
        if calls < _mentions(tree, name):
            found.open.add(name)
    if certain:
        found.published_at = [place] * sum(1 for each in _unconditional(tree) if _called(each) == "publish")
    return found


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _mentions(tree: ast.AST, name: str) -> int:
    """Count where a function is named, an import under its own name aside."""
    return sum(
        (isinstance(node, ast.Attribute) and node.attr == name)
        or (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Constant) and node.value == name)
        or (isinstance(node, ast.alias) and node.name == name and node.asname not in {None, name})
        for node in ast.walk(tree)
    )


def _unconditional(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of a cell that are made whenever it runs to its end."""
    for statement in tree.body:
        if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign):
            pending: list[ast.AST] = [statement]
            while pending:
                node = pending.pop()
                if isinstance(node, ast.Call):
                    yield node
                if not isinstance(node, (*_BLOCKS, ast.IfExp, ast.BoolOp)):
                    pending.extend(ast.iter_child_nodes(node))


def _read_metrics(call: ast.Call, found: Calls) -> None:
    for keyword in call.keywords:
        if keyword.arg is None:
            found.open.add("log_metrics")
        elif keyword.arg != "slice":
            found.metrics.add(keyword.arg)


def _read_name(call: ast.Call, found: Calls, *, function: str, into: Callable[[Calls], set[str]]) -> None:
    given = [
        *call.args[:1],
        *(keyword.value for keyword in call.keywords if keyword.arg in ("name", "endpoint")),
    ]
    match given:
        case [ast.Constant(value=str(name))]:
            into(found).add(name)
        case _:
            found.open.add(function)


_READERS: dict[str, Callable[[ast.Call, Calls], None]] = {
    "publish": lambda _call, _found: None,
    "log_metrics": _read_metrics,
    "save_table": lambda call, found: _read_name(
        call, found, function="save_table", into=lambda calls: calls.tables
    ),
    "load_model": lambda call, found: _read_name(
        call, found, function="load_model", into=lambda calls: calls.endpoints
    ),
}


@cache
def _owners() -> Mapping[str, list[str]]:
    """Return the distributions by the modules that they brought; to look at all of them takes a quarter of a second."""
    return metadata.packages_distributions()


def _built_on_rasen(imported: set[str]) -> bool:
    """Return whether one of the modules comes from a distribution that requires Rasen, and may call it."""
    foreign = imported - sys.stdlib_module_names - {"rasen"}
    if not foreign:
        return False
    owners = _owners()
    for name in {owner for module in foreign for owner in owners.get(module, ())} - {"rasen"}:
        required = metadata.requires(name) or ()
        if any(re.match(r"rasen\b", requirement) for requirement in required):
            return True
    return False
