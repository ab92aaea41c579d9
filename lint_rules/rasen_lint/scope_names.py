"""The names of a notebook while it is read: what is bound so far, what was used without a value, what was read.

A name is wrong only if no way through the cells gives it a value in time (`scopes.py` says what counts as one).
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rasen_lint.bindings import bound_names
from rasen_lint.document import CodeCell

# What IPython puts into every notebook. `__file__` is not among it: a kernel has no file.
_IPYTHON = {"In", "Out", "display", "exit", "get_ipython", "quit"}
_BUILTIN = frozenset({*dir(builtins), *_IPYTHON}) - {"__file__"}
_HISTORY = re.compile(r"_|__|___|_i|_ii|_iii|_ih|_oh|_dh|_sh|_i?\d+|__(?!file__)\w+__")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A name in a cell."""

    code_cell: CodeCell
    node: ast.expr
    order: int


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A name at its first use without a value. `defined` is where it gets one later, `deleted` where it lost it."""

    name: str
    place: Place
    defined: CodeCell | None = None
    deleted: CodeCell | None = None


@dataclass(frozen=True, kw_only=True)
class Variables:
    """What is known of a notebook's names.

    Args:
        wrong: Each name that is used without a value, at its first use.
        assigned: Where each variable of the cells is first assigned on its own (`x = …`, not `x, y = …`).
        read: Names that something reads, or may.
        bound: Names that the cells bind.
        everything_read: Whether something may read all of them: `locals()`, `exec`.
    """

    wrong: tuple[Wrong, ...] = ()
    assigned: Mapping[str, Place] = field(default_factory=dict)
    read: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    everything_read: bool = False


@dataclass(kw_only=True)
class Scope:
    """A scope within the notebook: `names` are all its names, or in a class those bound so far."""

    names: set[str]
    is_class: bool = False
    outer: Scope | None = None


@dataclass(frozen=True, kw_only=True)
class Later:
    """The body of a function, which is read when all cells have been."""

    body: Sequence[ast.AST]
    scope: Scope
    code_cell: CodeCell


class NameTable:
    """The names so far. A scope that is `None` is the notebook's own.

    Attributes:
        cell: The cell that is being read.
        guards: How many blocks around catch a `NameError`, or never run.
        blocks: How many compound statements stand around, `with` left out.
        conditions: How many pieces around may be left out when the code runs.
        loops: For each loop around, its body and the `conditions` of that.
        anything: Any name may exist from here on.
        at_end: All cells have been read; what is read now are the bodies of functions.
    """

    def __init__(self, *, late: set[str]) -> None:
        self.cell: CodeCell
        self.guards = 0
        self.blocks = 0
        self.conditions = 0
        self.loops: list[tuple[Sequence[ast.AST], int]] = []
        self.anything = False
        self.everything_read = False
        self.at_end = False
        self.waiting: list[Later] = []
        self.read: set[str] = set()
        self._late = late  # bound by functions, whenever these are called
        self._bound: set[str] = set()
        self._events: dict[str, list[tuple[int, CodeCell]]] = {}
        self._deleted: dict[str, CodeCell] = {}
        self._wrong: dict[str, Place] = {}
        self._assigned: dict[str, Place] = {}
        self._order = 0

    def bind(self, names: Iterable[str], scope: Scope | None) -> None:
        """Give names a value. Those of functions and comprehensions are known before they are read."""
        self._order += 1
        for name in names:
            if scope is None:
                self._bound.add(name)
                self._events.setdefault(name, []).append((self._order, self.cell))
            elif scope.is_class:
                scope.names.add(name)

    def is_bound(self, name: str) -> bool:
        """Return whether a name of the notebook has a value here."""
        return name in self._bound

    def assign(self, name: ast.Name) -> None:
        """Note a variable of the notebook that is assigned on its own."""
        self._assigned.setdefault(name.id, self._place(name))

    def unbind(self, name: str) -> None:
        """Take a name's value away."""
        self._bound.discard(name)
        self._deleted[name] = self.cell

    def forget_since(self, before: set[str]) -> None:
        """Forget the names that were bound since `bound` was asked for."""
        for name in self._bound - before:
            self._bound.discard(name)
            self._events.pop(name, None)
            self._assigned.pop(name, None)

    @property
    def bound(self) -> set[str]:
        """A copy of the names that have a value here."""
        return set(self._bound)

    def use(self, node: ast.Name, scope: Scope | None) -> None:
        """Note that a name is read, and whether it can have a value here."""
        name = node.id
        around = scope
        while around is not None:
            if name in around.names and (around is scope or not around.is_class):
                return
            around = around.outer
        self.read.add(name)
        if self.anything or self.guards or name in _BUILTIN or name in self._late or name in self._wrong:
            return
        known = name in self._events if self.at_end else name in self._bound
        mangled = scope is not None and name.startswith("__")
        if known or mangled or _HISTORY.fullmatch(name):
            return
        for body, conditions in self.loops:
            if self.conditions > conditions and name in bound_names(body)[0]:
                return
        self._order += 1
        self._wrong[name] = self._place(node)

    def result(self) -> Variables:
        """Return what came of it."""
        wrong = []
        for name, place in self._wrong.items():
            after = [cell for order, cell in self._events.get(name, ()) if order > place.order]
            defined = after[0] if after else None
            wrong.append(Wrong(name=name, place=place, defined=defined, deleted=self._deleted.get(name)))
        return Variables(
            wrong=tuple(wrong),
            assigned=self._assigned,
            read=frozenset(self.read),
            bound=frozenset(self._events),
            everything_read=self.everything_read,
        )

    def _place(self, node: ast.expr) -> Place:
        return Place(code_cell=self.cell, node=node, order=self._order)
