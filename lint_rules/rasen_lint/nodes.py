"""The nodes of a cell's tree by their type: one walk for all rules instead of one in each of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeVar, cast

from rasen_lint.below import children

Node = TypeVar("Node", bound=ast.AST)


class Nodes:
    """All nodes of a tree; what stands below one node is told by its `parent`s.

    `Load`, `Store` and operators are no nodes of a place and are left out.
    """

    def __init__(self, tree: ast.AST) -> None:
        by_type: dict[type[ast.AST], list[ast.AST]] = {}
        parents: dict[ast.AST, ast.AST] = {}
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            by_type.setdefault(type(node), []).append(node)
            below = children(node)
            for child in below:
                parents[child] = node
            waiting += reversed(below)
        self._by_type = by_type
        self._parents = parents

    def of(self, kind: type[Node]) -> list[Node]:
        """Return the nodes of exactly that type, in the order in which they are written."""
        return cast("list[Node]", self._by_type.get(kind, []))

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that a node belongs to; `None` for the tree itself."""
        return self._parents.get(node)

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, the nearest first."""
        above = self._parents.get(node)
        while above is not None:
            yield above
            above = self._parents.get(above)
