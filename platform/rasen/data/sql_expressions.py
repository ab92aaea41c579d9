"""Expressions: from a node of sqlglot's tree to a typed piece of DuckDB SQL that means the same.

Dispatch is by the node's class; a class without a rule is refused. Rules take exactly the arguments they name, so
that a clause which a newer sqlglot learns to parse is refused and not dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rasen.data import sql_dates, sql_functions, sql_literals, sql_operators, sql_windows
from rasen.data.columns import ColumnType
from rasen.data.constructs import FUNCTIONS, INSTEAD, Function, label_of
from rasen.data.sql_scope import Names, Translation
from rasen.data.sql_values import Value, checked, coerce, common_type, fill, in_range

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_queries import Query

# The parser keeps the written name of every function but these, which have no operator form to be confused with.
_NAMELESS = {"Ceil": "CEIL", "Floor": "FLOOR", "Substring": "SUBSTRING"}
_WINDOWS_ONLY = frozenset(["LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTILE", "PERCENTILE_CONT"])


class Expressions:
    """The rules, for one set of names.

    Args:
        translation: The query they belong to.
        names: What a column's name means here.
        subquery: Translates a query inside an expression; `outer` are the names it may use besides its own.
    """

    def __init__(
        self,
        translation: Translation,
        names: Names,
        subquery: Callable[[exp.Expr, Names | None], Query],
    ) -> None:
        self.translation = translation
        self.names = names
        self.subquery = subquery

    def value(self, node: exp.Expr) -> Value:
        """Return a node's value, known to be finite.

        Raises:
            QueryError: The node, or anything below it, is not on the allow-list or has no type that fits.
        """
        return checked(self.raw(node))

    def raw(self, node: exp.Expr) -> Value:
        """Return a node's value, which may be infinite where it goes straight on into arithmetic."""
        name = type(node).__name__
        rule = RULES.get(name)
        if rule is not None:
            return rule(self, node)
        if name in _BY_NODE:
            return self.function(node)
        raise self.refused(node)

    def refused(self, node: exp.Expr) -> Exception:
        """Return the error for a node that no rule knows."""
        name = str(
            node.meta.get("bigquery_name") or (node.name if type(node).__name__ == "Anonymous" else "")
        ).upper()
        what = name or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
        if what in _WINDOWS_ONLY:
            return self.translation.error(node, f"{what} needs an OVER clause")
        instead = INSTEAD.get(what, "")
        return self.translation.error(node, f"{what} is not supported" + (f": {instead}" if instead else ""))

    def typed(self, node: exp.Expr, target: ColumnType, place: str) -> Value:
        """Return a node's value as `target`.

        Raises:
            QueryError: BigQuery would not convert it without being asked.
        """
        return self.as_type(self.value(node), target, node, place)

    def as_type(self, value: Value, target: ColumnType, node: exp.Expr, place: str) -> Value:
        """Return a value as `target`.

        Raises:
            QueryError: BigQuery would not convert it without being asked.
        """
        try:
            converted = coerce(value, target)
        except ValueError as error:
            raise self.translation.error(node, f"{place}: {error}") from error
        if converted is None:
            raise self.translation.error(
                node, f"{place} must be {target}, not {value.type}; write CAST(… AS …)"
            )
        return converted

    def alike(self, nodes: Sequence[exp.Expr], place: str) -> tuple[list[Value], ColumnType]:
        """Return the nodes' values brought to one type, and that type.

        Raises:
            QueryError: They have none.
        """
        values = [self.value(node) for node in nodes]
        target = common_type(values)
        if target is None:
            types = " and ".join(dict.fromkeys(str(value.type) for value in values if value.type is not None))
            raise self.translation.error(
                nodes[0], f"{place} has values of different types, {types}; write CAST(… AS …)"
            )
        return [
            self.as_type(value, target, node, place) for node, value in zip(nodes, values, strict=True)
        ], target

    def constant(self, node: exp.Expr, kind: type[int | str], place: str) -> int | str:
        """Return the value of a literal or parameter.

        Raises:
            QueryError: The node is neither, or its value is of another kind.
        """
        value = self.value(node).constant
        if not isinstance(value, kind) or isinstance(value, bool):
            word = "a whole number" if kind is int else "a text"
            raise self.translation.error(node, f"{place} must be {word}, written out or as a parameter")
        return value

    def function(self, node: exp.Expr, over: str | None = None) -> Value:
        """Return the value of a function of the allow-list's table.

        Args:
            node: The call.
            over: The text of its OVER clause, if it has one.

        Raises:
            QueryError: The name, an argument or the place is not on the allow-list.
        """
        kind = type(node).__name__
        name = str(node.meta.get("bigquery_name") or _NAMELESS.get(kind, "")).upper()
        rows = [row for row in _BY_NODE.get(kind, ()) if row.name == name]
        if not rows:
            raise self.refused(node)
        row = rows[0]
        self.translation.only(node, *row.arguments, *row.fixed)
        for argument, expected in row.fixed.items():
            actual = node.args.get(argument)
            if getattr(actual, "this", actual) not in (expected, str(expected)):
                raise self.refused(node)
        if row.use == "window" and over is None:
            raise self.translation.error(node, f"{name} needs an OVER clause")
        if row.use == "scalar" and over is not None:
            raise self.translation.error(node, f"{name} cannot have an OVER clause")
        given = [node.args[key] for key in row.arguments if node.args.get(key) is not None]
        if [key for key in row.arguments if node.args.get(key) is not None] != list(
            row.arguments[: len(given)]
        ):
            raise self.refused(node)
        values = [self.value(each) for each in given]
        for signature in row.signatures:
            if len(signature.takes) != len(values):
                continue
            try:
                converted = [
                    coerce(value, target) for value, target in zip(values, signature.takes, strict=True)
                ]
            except ValueError:
                continue
            if all(each is not None for each in converted):
                arguments = [each for each in converted if each is not None]
                self.translation.use(label_of(row, signature))
                result = Value(
                    sql=fill(signature.duckdb, arguments, over=over or ""),
                    type=signature.gives,
                    finite=signature.finite,
                    aggregate=row.use != "scalar" or any(each.aggregate for each in arguments),
                )
                computed_time = (
                    signature.gives in {ColumnType.DATE, ColumnType.TIMESTAMP} and row.use == "scalar"
                )
                return in_range(result) if computed_time else result
        types = ", ".join(str(value.type or "NULL") for value in values)
        possible = " or ".join(label_of(row, signature) for signature in row.signatures)
        raise self.translation.error(node, f"{name}({types}) is not supported; possible is {possible}")


def _by_node() -> dict[str, list[Function]]:
    functions: dict[str, list[Function]] = {}
    for function in FUNCTIONS:
        functions.setdefault(function.node, []).append(function)
    return functions


_BY_NODE = _by_node()

RULES: dict[str, Callable[[Expressions, exp.Expr], Value]] = {
    **sql_literals.RULES,
    **sql_operators.RULES,
    **sql_functions.RULES,
    **sql_dates.RULES,
    "Window": sql_windows.window,
}
"""The rule of each node that a template cannot say."""
