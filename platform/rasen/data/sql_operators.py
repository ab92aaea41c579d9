"""Operators: arithmetic, comparison, logic, LIKE, IN, and queries used as values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.engine import quote_name, quote_text
from rasen.data.sql_literals import number
from rasen.data.sql_values import Value, common_type, fill, in_range, literal

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_expressions import Expressions

_COMPARISONS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}


def _arithmetic(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    sign = {"Add": "+", "Sub": "-", "Mul": "*"}[type(node).__name__]
    values = [rules.raw(node.this), rules.raw(node.expression)]
    if any(value.type is ColumnType.DATE for value in values):
        return _date_arithmetic(rules, node, sign, values)
    rules.translation.use(sign)
    target = common_type(values)
    if target not in {ColumnType.INT64, ColumnType.FLOAT64}:
        types = " and ".join(str(value.type or "NULL") for value in values)
        raise rules.translation.error(node, f"{sign} is not defined for {types}")
    left, right = (rules.as_type(value, target, node, sign) for value in values)
    return Value(
        sql=f"({left.sql} {sign} {right.sql})",
        type=target,
        finite=target is ColumnType.INT64,
        aggregate=left.aggregate or right.aggregate,
    )


def _date_arithmetic(rules: Expressions, node: exp.Expr, sign: str, values: list[Value]) -> Value:
    day, days = values if values[0].type is ColumnType.DATE else values[::-1]
    if sign == "*" or days.type is not ColumnType.INT64 or (sign == "-" and day is not values[0]):
        raise rules.translation.error(
            node,
            "a date and a whole number can be added or subtracted; for two dates use DATE_DIFF(a, b, DAY)",
        )
    rules.translation.use(f"date {sign} int64")
    sql = f"({day.sql} {sign} CAST({days.sql} AS INTEGER))"
    return in_range(Value(sql=sql, type=ColumnType.DATE, aggregate=day.aggregate or days.aggregate))


def _divide(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression", "typed", "safe")
    rules.translation.use("/")
    left = rules.as_type(rules.raw(node.this), ColumnType.FLOAT64, node, "/")
    # Dividing by infinity would hide it.
    right = rules.as_type(rules.value(node.expression), ColumnType.FLOAT64, node, "/")
    return Value(
        sql=f"({left.sql} / {right.sql})",
        type=ColumnType.FLOAT64,
        finite=False,
        aggregate=left.aggregate or right.aggregate,
    )


def _negative(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    rules.translation.use("negative")
    if type(node.this).__name__ == "Literal" and not node.this.is_string:
        return number(rules, node, f"-{node.this.this}")
    value = rules.raw(node.this)
    if value.type not in {ColumnType.INT64, ColumnType.FLOAT64}:
        raise rules.translation.error(node, f"- is not defined for {value.type or 'NULL'}")
    return Value(sql=f"(-{value.sql})", type=value.type, finite=value.finite, aggregate=value.aggregate)


def _compare(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    rules.translation.use("= != < <= > >=")
    sign = _COMPARISONS[type(node).__name__]
    return _predicate(rules, f"({{a}} {sign} {{b}})", [node.this, node.expression], sign)


def _predicate(rules: Expressions, template: str, nodes: Sequence[exp.Expr], place: str) -> Value:
    values, _ = rules.alike(nodes, place)
    aggregate = any(value.aggregate for value in values)
    return Value(sql=fill(template, values), type=ColumnType.BOOL, aggregate=aggregate)


def _connect(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    rules.translation.use("AND OR NOT")
    word = type(node).__name__.upper()
    values = [rules.typed(each, ColumnType.BOOL, word) for each in (node.this, node.expression)]
    return Value(
        sql=f"({values[0].sql} {word} {values[1].sql})",
        type=ColumnType.BOOL,
        aggregate=any(value.aggregate for value in values),
    )


def _not(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    rules.translation.use("AND OR NOT")
    value = rules.typed(node.this, ColumnType.BOOL, "NOT")
    return Value(sql=f"(NOT {value.sql})", type=ColumnType.BOOL, aggregate=value.aggregate)


def _is(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    match type(node.expression).__name__:
        case "Null":
            rules.translation.use("IS NULL")
            value, word = rules.value(node.this), "NULL"
        case "Boolean":
            rules.translation.use("IS TRUE")
            value, word = rules.typed(node.this, ColumnType.BOOL, "IS"), str(node.expression.this).upper()
        case _:
            raise rules.refused(node)
    return Value(sql=f"({value.sql} IS {word})", type=ColumnType.BOOL, aggregate=value.aggregate)


def _distinct_from(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    rules.translation.use("IS DISTINCT FROM")
    word = "IS NOT DISTINCT FROM" if type(node).__name__ == "NullSafeEQ" else "IS DISTINCT FROM"
    return _predicate(rules, f"({{a}} {word} {{b}})", [node.this, node.expression], word)


def _between(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "low", "high")
    rules.translation.use("BETWEEN")
    return _predicate(
        rules, "({a} BETWEEN {b} AND {c})", [node.this, node.args["low"], node.args["high"]], "BETWEEN"
    )


def _like(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression", "negate")
    rules.translation.use("LIKE")
    value = rules.typed(node.this, ColumnType.STRING, "LIKE")
    pattern = str(rules.constant(node.expression, str, "the pattern of LIKE"))
    if not re.fullmatch(r"(?s)(?:[^\\]|\\[%_\\])*", pattern):
        raise rules.translation.error(node, rf"LIKE {pattern!r}: a backslash stands only before %, _ or \ ")
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    sql = f"({value.sql} {word} {quote_text(pattern)} ESCAPE '\\')"
    return Value(sql=sql, type=ColumnType.BOOL, aggregate=value.aggregate)


def _in(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expressions", "unnest", "query")
    if node.args.get("query") is not None:
        return _in_subquery(rules, node)
    unnest = node.args.get("unnest")
    if unnest is None:
        rules.translation.use("IN list")
        values, _ = rules.alike([node.this, *node.expressions], "IN")
    else:
        rules.translation.use("IN UNNEST")
        value, items = rules.value(node.this), array_items(rules, unnest)
        if not items:
            return literal(False)  # noqa: FBT003 - a literal
        target = common_type([value, *items])
        if target is None:
            raise rules.translation.error(node, f"IN UNNEST: {value.type} is sought among {items[0].type}")
        values = [rules.as_type(each, target, node, "IN UNNEST") for each in (value, *items)]
    options = ", ".join(each.sql for each in values[1:])
    return Value(sql=f"({values[0].sql} IN ({options}))", type=ColumnType.BOOL, aggregate=values[0].aggregate)


def array_items(rules: Expressions, unnest: exp.Expr) -> list[Value]:
    """Return the items of `UNNEST([1, 2])` or `UNNEST(@list)`.

    Raises:
        QueryError: It is something else.
    """
    rules.translation.only(unnest, "expressions", "alias")
    (source,) = unnest.expressions
    if type(source).__name__ == "Parameter":
        constant = rules.translation.parameter(source)
        if not isinstance(constant, list):
            raise rules.translation.error(source, f"UNNEST needs a list; @{source.name} is {constant!r}")
        rules.translation.use("parameter list")
        return [rules.translation.bind(item) for item in constant]
    if type(source).__name__ == "Array":
        rules.translation.only(source, "expressions", "struct_name_inheritance")
        return rules.alike(source.expressions, "the list of UNNEST")[0] if source.expressions else []
    raise rules.translation.error(source, "UNNEST takes a list in brackets or a parameter that is a list")


def _in_subquery(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.use("IN subquery")
    value, query = rules.value(node.this), rules.subquery(node.args["query"], None)
    if len(query.columns) != 1:
        raise rules.translation.error(node, f"the query of IN must have one column, not {len(query.columns)}")
    column = query.columns[0]
    item = Value(sql=quote_name(column.sql_name), type=column.type)
    target = common_type([value, item])
    if target is None:
        raise rules.translation.error(node, f"IN: {value.type} is sought among {item.type}")
    sought, found = (rules.as_type(each, target, node, "IN") for each in (value, item))
    alias = rules.translation.fresh("q")
    sql = f"({sought.sql} IN (SELECT {found.sql} FROM ({query.sql}) AS {alias}))"  # noqa: S608 - translated pieces
    return Value(sql=sql, type=ColumnType.BOOL, aggregate=value.aggregate)


def _exists(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    rules.translation.use("EXISTS")
    query = rules.subquery(node.this, rules.names)
    return Value(sql=f"(EXISTS ({query.sql}))", type=ColumnType.BOOL)


def _scalar_subquery(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    rules.translation.use("scalar subquery")
    query = rules.subquery(node, None)
    if len(query.columns) != 1:
        raise rules.translation.error(
            node, f"a query used as a value must have one column, not {len(query.columns)}"
        )
    return Value(sql=f"({query.sql})", type=query.columns[0].type)


RULES: dict[str, Callable[[Expressions, exp.Expr], Value]] = {
    **dict.fromkeys(("Add", "Sub", "Mul"), _arithmetic),
    "Div": _divide,
    "Neg": _negative,
    **dict.fromkeys(_COMPARISONS, _compare),
    "And": _connect,
    "Or": _connect,
    "Not": _not,
    "Is": _is,
    "NullSafeEQ": _distinct_from,
    "NullSafeNEQ": _distinct_from,
    "Between": _between,
    "Like": _like,
    "In": _in,
    "Exists": _exists,
    "Subquery": _scalar_subquery,
}
"""The rule of each node."""
