"""Reads the names in an expression, from left to right: what is used now, what later, what is bound by the way."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from rasen_lint.below import children
from rasen_lint.bindings import argument_names, bound_names
from rasen_lint.scope_magics import line_may_define_anything, words
from rasen_lint.scope_names import Later, NameTable, Scope

_MENTIONED = re.compile(r"[@{$]\s*([^\W\d]\w*)")
_ALL_READ = frozenset({"dir", "eval", "exec", "globals", "locals", "vars"})
# Of the notebook's own names they know, and may change them; inside a function most speak of the function's.
_ANYWHERE_UNCERTAIN = frozenset({"exec", "globals"})
_HERE_UNCERTAIN = frozenset({"dir", "locals", "vars"})
_SHELLS = frozenset({"_ip", "get_ipython", "ip", "ipython", "shell"})
_SHELL_METHODS = frozenset(
    {"ex", "magic", "push", "run_cell", "run_cell_magic", "run_line_magic", "safe_execfile"}
)
# What takes the items of a generator at once.
_EAGER = frozenset({"all", "any", "dict", "frozenset", "list", "max", "min", "set", "sorted", "sum", "tuple"})


class ExpressionReader:
    """Reads expressions into a table of names."""

    def __init__(self, names: NameTable) -> None:
        self._names = names
        self._eager: set[ast.AST] = set()

    def read(self, node: ast.AST, scope: Scope | None) -> None:
        """Read an expression, without recursion where it is only long: a sum may have a thousand terms."""
        waiting: list[ast.AST] = [node]
        while waiting:
            node = waiting.pop()
            match node:
                case ast.Name(ctx=ast.Load()):
                    self._names.use(node, scope)
                case ast.Name(ctx=ast.Store()):
                    self._names.bind([node.id], scope)
                case ast.Constant(value=str(text)):
                    self._mention(text)
                case ast.Lambda():
                    self._lambda(node, scope)
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    self._comprehension(node, scope)
                case ast.BoolOp() | ast.IfExp():
                    self._condition(node, scope)
                case ast.NamedExpr():
                    waiting += [node.target, node.value]
                case _:
                    if isinstance(node, ast.Call):
                        self._call(node)
                    waiting += reversed(children(node))

    def later(self, body: Sequence[ast.AST], scope: Scope) -> None:
        """Keep the body of a function until all cells have been read."""
        if self._names.guards:
            found = (node for part in body for node in ast.walk(part) if isinstance(node, ast.Name))
            self._names.read.update(node.id for node in found)
            return
        self._names.waiting.append(Later(body=body, scope=scope, code_cell=self._names.cell))

    def _condition(self, node: ast.BoolOp | ast.IfExp, scope: Scope | None) -> None:
        first, *others = node.values if isinstance(node, ast.BoolOp) else (node.test, node.body, node.orelse)
        self.read(first, scope)
        self._names.conditions += 1
        for other in others:
            self.read(other, scope)
        self._names.conditions -= 1

    def _lambda(self, node: ast.Lambda, scope: Scope | None) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.read(default, scope)
        names = argument_names(node.args) | bound_names([node.body])[0]
        self.later([ast.Expr(value=node.body)], Scope(names=names, outer=scope))

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: Scope | None
    ) -> None:
        first = node.generators[0]
        self.read(first.iter, scope)
        inner = Scope(names=bound_names([each.target for each in node.generators])[0], outer=scope)
        self._names.bind(bound_names([node])[0], scope)  # what `:=` assigns belongs to the scope around
        parts: list[ast.expr] = [*first.ifs]
        for generator in node.generators[1:]:
            parts += [generator.iter, *generator.ifs]
        parts += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        if isinstance(node, ast.GeneratorExp) and node not in self._eager:
            self.later([ast.Expr(value=part) for part in parts], inner)
            return
        self._names.conditions += 1
        for part in parts:
            self.read(part, inner)
        self._names.conditions -= 1

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            name = node.func.id
            about_here = name in _HERE_UNCERTAIN and not node.args
            self._names.anything |= name in _ANYWHERE_UNCERTAIN or (about_here and not self._names.at_end)
            self._names.everything_read |= name in _ALL_READ - _HERE_UNCERTAIN or about_here
            if name in _EAGER:
                self._eager.update(each for each in node.args if isinstance(each, ast.GeneratorExp))
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _SHELL_METHODS:
            self._ask_ipython(node.func.value, node.func.attr, node.args)

    def _ask_ipython(self, shell: ast.expr, method: str, arguments: Sequence[ast.expr]) -> None:
        if last_name(shell) not in _SHELLS:
            return
        self._names.everything_read = True
        match method, [each.value if isinstance(each, ast.Constant) else None for each in arguments]:
            case "run_line_magic", [str(magic), str(rest), *_]:
                self._names.anything |= line_may_define_anything(magic, rest)
            case "magic", [str(line), *_]:
                magic, _, rest = line.lstrip("%").partition(" ")
                self._names.anything |= line_may_define_anything(magic, rest)
            case _:
                self._names.anything = True

    def _mention(self, text: str) -> None:
        """Note the names that a text may stand for: `@name` in SQL, `{name}` in a template, a formula's variables."""
        if "~" in text:
            self._names.read.update(words(text))
        elif "@" in text or "{" in text or "$" in text:
            self._names.read.update(_MENTIONED.findall(text))


def last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name, or of what is called by one; nothing for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return last_name(function)
        case _:
            return ""
