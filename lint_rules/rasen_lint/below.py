"""The nodes directly below a node. Half of a lint is walking trees, so one place knows how to do it fast.

`ast.iter_child_nodes` looks at every field of every node. Here the nodes that make up nine tenths of any code have a
table of the fields that can hold nodes. `Load`, `Store` and operators are no nodes of a place and are left out.
"""

from __future__ import annotations

import ast

_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Assign: ("targets", "value"),
    ast.Attribute: ("value",),
    ast.BinOp: ("left", "right"),
    ast.Call: ("func", "args", "keywords"),
    ast.Compare: ("left", "comparators"),
    ast.Constant: (),
    ast.Expr: ("value",),
    ast.List: ("elts",),
    ast.Name: (),
    ast.Subscript: ("value", "slice"),
    ast.Tuple: ("elts",),
    ast.UnaryOp: ("operand",),
    ast.alias: (),
    ast.keyword: ("value",),
}
_NO_PLACE = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly below one, in the order in which they are written."""
    found: list[ast.AST] = []
    fields = _FIELDS.get(type(node))
    if fields is not None:
        for name in fields:
            value = getattr(node, name)
            if value.__class__ is list:
                found += value
            else:
                found.append(value)
        return found
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST) and not isinstance(item, _NO_PLACE)]
        elif isinstance(value, ast.AST) and not isinstance(value, _NO_PLACE):
            found.append(value)
    return found
