"""Where the names of a notebook come from: used before their cell, never defined, assigned and never read.

A notebook is one module whose statements stand in the cells, read from top to bottom. A name is wrong only if no way
through the cells gives it a value in time; whatever is uncertain counts as right:

* the body of a function, a lambda or a generator runs later, so it may use what any cell binds;
* both branches of an `if`, and all of a `try`, bind their names; a `del` counts only where it is certain to happen;
* in a loop, what stands under a condition may use what a later line of the loop binds;
* after a star import, `exec`, `%run` and the like, every name may exist;
* what stands under `except NameError`, or in a cell tagged `raises-exception`, may fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rasen_lint.below import children
from rasen_lint.bindings import argument_names, bound_names, imported_names, names_bound_by
from rasen_lint.document import CodeCell
from rasen_lint.magics import MagicKind
from rasen_lint.scope_expressions import ExpressionReader, last_name
from rasen_lint.scope_magics import LOCAL_BODIES, assigned_names, may_define_anything, words
from rasen_lint.scope_names import NameTable, Scope, Variables

RAISES_TAG = "raises-exception"
_MAY_FAIL = frozenset({"BaseException", "Exception", "NameError"})


def read_variables(code_cells: Sequence[CodeCell]) -> Variables:
    """Follow the names through the cells of a notebook."""
    declared = (name for code in code_cells for node in code.nodes.of(ast.Global) for name in node.names)
    names = NameTable(late=set(declared))
    reader = _Reader(names)
    try:
        for code_cell in code_cells:
            reader.read_cell(code_cell)
        certain = names.anything
        reader.read_later_bodies()
    except RecursionError:  # hundreds of blocks in one another: nobody can say where such names come from
        return Variables(everything_read=True)
    result = names.result()
    # A function that changes the notebook's names may be called anywhere.
    return result if names.anything == certain else replace(result, wrong=())


class _Reader:
    def __init__(self, names: NameTable) -> None:
        self._names = names
        self._expressions = ExpressionReader(names)
        self._postponed_annotations = False

    def read_cell(self, code_cell: CodeCell) -> None:
        """Read a cell; its magics first, whatever line they stand in."""
        names = self._names
        names.cell = code_cell
        before = names.bound if any(_has_local_body(code_cell)) else None
        for magic in code_cell.magics:
            names.anything |= may_define_anything(magic)
            names.bind(assigned_names(magic), None)
            names.read.update(words(magic.arguments), words(magic.body))
        if code_cell.problem is not None:  # NB205 speaks of it; any name may be meant to come from there
            every_word = words(code_cell.cell.source)
            names.bind(every_word, None)
            names.read.update(every_word)
        names.guards = int(RAISES_TAG in code_cell.cell.tags)
        self._statements(code_cell.tree.body, None)
        names.guards = 0
        if before is not None:
            names.forget_since(before)

    def read_later_bodies(self) -> None:
        """Read the bodies of functions, and of the functions in them."""
        self._names.at_end = True
        for later in self._names.waiting:  # it grows meanwhile
            self._names.cell = later.code_cell
            self._statements(later.body, later.scope)

    def _statements(self, body: Iterable[ast.AST], scope: Scope | None) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.AST, scope: Scope | None) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.ClassDef():
                self._class(node, scope)
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assign(node, scope)
            case ast.Delete():
                self._delete(node, scope)
            case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Global() | ast.Nonlocal():
                pass
            case _:
                self._compound_or_expression(node, scope)

    def _compound_or_expression(self, node: ast.AST, scope: Scope | None) -> None:
        match node:
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(node, scope)
            case ast.If():
                self._if(node, scope)
            case ast.With() | ast.AsyncWith():
                self._with(node, scope)
            case ast.Try() | ast.TryStar():
                self._try(node, scope)
            case ast.Match():
                self._match(node, scope)
            case _ if (
                type(node).__name__ == "TypeAlias"
            ):  # Python 3.12; its value is looked up when asked for
                self._expressions.read(children(node)[0], scope)
            case _:
                for child in children(node):
                    self._expressions.read(child, scope)

    def _block(self, body: Sequence[ast.AST], scope: Scope | None, *, guarded: bool = False) -> None:
        """Read what may happen or not."""
        names = self._names
        names.guards += guarded
        names.blocks += 1
        names.conditions += 1
        self._statements(body, scope)
        names.conditions -= 1
        names.blocks -= 1
        names.guards -= guarded

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope | None) -> None:
        for expression in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if expression is not None:
                self._expressions.read(expression, scope)
        around = _with_type_parameters(node, scope)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [argument for argument in (node.args.vararg, node.args.kwarg) if argument is not None]
        for annotation in (*(argument.annotation for argument in arguments), node.returns):
            self._annotation(annotation, around)
        local, elsewhere = bound_names(node.body)
        inner = Scope(names=(local | argument_names(node.args)) - elsewhere, outer=around)
        self._expressions.later(node.body, inner)
        self._names.bind([node.name], scope)

    def _class(self, node: ast.ClassDef, scope: Scope | None) -> None:
        around = _with_type_parameters(node, scope)
        for expression in node.decorator_list:
            self._expressions.read(expression, scope)
        for expression in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self._expressions.read(expression, around)
        self._statements(node.body, Scope(names=set(), is_class=True, outer=around))
        self._names.bind([node.name], scope)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope | None) -> None:
        if isinstance(node, ast.ImportFrom):
            self._names.anything |= any(alias.name == "*" for alias in node.names)
            if node.module == "__future__":
                self._postponed_annotations |= any(alias.name == "annotations" for alias in node.names)
        self._names.bind(imported_names(node), scope)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope | None) -> None:
        if node.value is not None:
            self._expressions.read(node.value, scope)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node, ast.AnnAssign):
            self._annotation(node.annotation, scope)
            targets = targets if node.value is not None else []
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.copy_location(ast.Name(id=node.target.id, ctx=ast.Load()), node.target)
            self._names.use(before, scope)
        for target in targets:
            self._expressions.read(target, scope)
            if scope is None and isinstance(target, ast.Name):
                self._names.assign(target)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, scope: Scope | None) -> None:
        for expression in (node.test,) if isinstance(node, ast.While) else (node.iter, node.target):
            self._expressions.read(expression, scope)
        never = isinstance(node, ast.While) and _is_false(node.test)
        if scope is None:
            self._names.loops.append((node.body, self._names.conditions + 1))
        self._block(node.body, scope, guarded=never)
        if scope is None:
            self._names.loops.pop()
        self._block(node.orelse, scope)

    def _if(self, node: ast.If, scope: Scope | None) -> None:
        while True:  # a chain of `elif` is as deep as it is long
            self._expressions.read(node.test, scope)
            self._block(node.body, scope, guarded=_is_false(node.test))
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            node = node.orelse[0]
        self._block(node.orelse, scope)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope | None) -> None:
        guarded = False
        for item in node.items:
            self._expressions.read(item.context_expr, scope)
            if item.optional_vars is not None:
                self._expressions.read(item.optional_vars, scope)
            if isinstance(item.context_expr, ast.Call):
                guarded |= any(last_name(argument) in _MAY_FAIL for argument in item.context_expr.args)
        self._names.guards += guarded
        self._statements(node.body, scope)
        self._names.guards -= guarded

    def _try(self, node: ast.Try | ast.TryStar, scope: Scope | None) -> None:
        names = self._names
        self._block(node.body, scope, guarded=any(_catches_name_error(each) for each in node.handlers))
        for handler in node.handlers:
            if handler.type is not None:
                self._expressions.read(handler.type, scope)
            name = handler.name
            gone = name is not None and scope is None and not names.is_bound(name)
            if name is not None:
                names.bind([name], scope)
            self._block(handler.body, scope)
            if name is not None and gone:  # Python unbinds it at the end of the handler
                names.unbind(name)
        self._block(node.orelse, scope)
        self._block(node.finalbody, scope)

    def _match(self, node: ast.Match, scope: Scope | None) -> None:
        self._expressions.read(node.subject, scope)
        for case in node.cases:
            for part in ast.walk(case.pattern):
                if isinstance(part, (ast.MatchValue, ast.MatchClass)):
                    value = part.value if isinstance(part, ast.MatchValue) else part.cls
                    self._expressions.read(value, scope)
                self._names.bind(names_bound_by(part), scope)
            if case.guard is not None:
                self._expressions.read(case.guard, scope)
            self._block(case.body, scope)

    def _delete(self, node: ast.Delete, scope: Scope | None) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                self._expressions.read(target, scope)
                continue
            self._names.use(target, scope)
            if scope is None and not self._names.blocks:
                self._names.unbind(target.id)

    def _annotation(self, annotation: ast.expr | None, scope: Scope | None) -> None:
        """Read an annotation; in a function, or after the future import, nobody evaluates it."""
        if annotation is None:
            return
        postponed = self._postponed_annotations or self._names.at_end
        self._names.guards += postponed
        self._expressions.read(annotation, scope)
        self._names.guards -= postponed


def _has_local_body(code_cell: CodeCell) -> Iterable[bool]:
    return (magic.kind is MagicKind.CELL and magic.name in LOCAL_BODIES for magic in code_cell.magics)


def _with_type_parameters(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: Scope | None
) -> Scope | None:
    """Return the scope that also knows `T` of `def f[T](…)`, as Python 3.12 writes it."""
    names = {each.name for each in getattr(node, "type_params", ())}
    return Scope(names=names, outer=scope) if names else scope


def _is_false(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and not test.value


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(last_name(kind) in _MAY_FAIL for kind in kinds)
