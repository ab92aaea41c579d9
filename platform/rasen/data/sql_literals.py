"""Values as the query writes them: literals, parameters, columns, and CAST from one type to another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.constructs import CASTS
from rasen.data.engine import quote_text
from rasen.data.sql_values import NULL, Value, fill, literal, parse_date, parse_timestamp

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_expressions import Expressions

_CAST_TARGETS = {
    "BOOLEAN": ColumnType.BOOL,
    "BIGINT": ColumnType.INT64,
    "INT": ColumnType.INT64,
    "DOUBLE": ColumnType.FLOAT64,
    "TEXT": ColumnType.STRING,
    "VARCHAR": ColumnType.STRING,
    "DATE": ColumnType.DATE,
    "TIMESTAMPTZ": ColumnType.TIMESTAMP,
}
_TYPE_WORDS = "BOOL, INT64, FLOAT64, STRING, DATE, TIMESTAMP"


def _literal(rules: Expressions, node: exp.Expr) -> Value:
    text = str(node.this)
    if node.is_string:
        rules.translation.use("literal string")
        return literal(text)
    return number(rules, node, text)


def number(rules: Expressions, node: exp.Expr, text: str) -> Value:
    """Return a number that the query writes out, with its sign.

    Raises:
        QueryError: It is beyond the range of its type.
    """
    try:
        number = int(text) if re.fullmatch("-?[0-9]+", text) else float(text)
        value = literal(number)
    except ValueError as error:
        raise rules.translation.error(node, str(error)) from error
    rules.translation.use(f"literal {value.type}")
    return value


def _raw_string(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.use("literal raw string")
    return literal(str(node.this))


def _boolean(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.use("literal bool")
    return literal(bool(node.this))


def _null(rules: Expressions, _node: exp.Expr) -> Value:
    rules.translation.use("literal null")
    return NULL


def _parameter(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    constant = rules.translation.parameter(node)
    if isinstance(constant, list):
        raise rules.translation.error(
            node, f"the parameter @{node.name} is a list; use it as IN UNNEST(@{node.name})"
        )
    rules.translation.use("parameter")
    return rules.translation.bind(constant)


def _column(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "table")
    if type(node.this).__name__ == "Star":
        raise rules.translation.error(node, "* stands only in a SELECT list or in COUNT(*)")
    try:
        found = (
            rules.names.find_in(node.text("table"), node.name)
            if node.text("table")
            else rules.names.find(node.name)
        )
    except LookupError as error:
        raise rules.translation.error(node, str(error)) from error
    rules.translation.use("column")
    return found


def _parentheses(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this")
    rules.translation.use("parentheses")
    return rules.raw(node.this)


def _cast(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "to", "safe")
    safe = type(node).__name__ == "TryCast"
    to = node.args["to"]
    rules.translation.only(to, "this", "nested")
    target = _CAST_TARGETS.get(str(getattr(to.this, "name", to.this)))
    if target is None:
        raise rules.translation.error(
            node, f"CAST to {to.sql('bigquery')} is not supported; possible are {_TYPE_WORDS}"
        )
    if type(node.this).__name__ == "Literal" and node.this.is_string and not safe:
        return _dated(rules, node, target)
    value = rules.value(node.this)
    rules.translation.use("SAFE_CAST" if safe else "CAST")
    if value.type is None:
        return rules.as_type(value, target, node, "CAST")
    row = CASTS.get((value.type, target))
    if row is None:
        raise rules.translation.error(
            node, f"CAST from {value.type} to {target} is not supported: format it in pandas"
        )
    rules.translation.use(f"CAST({value.type} AS {target})")
    template = row.duckdb
    if row.valid is not None:
        message = quote_text(f"CAST to {target} is not possible for ")
        otherwise = f"error({message} || CAST({{a}} AS VARCHAR))"
        last = f"WHEN {row.unsure} THEN {otherwise} ELSE NULL" if safe else f"ELSE {otherwise}"
        template = f"CASE WHEN {{a}} IS NULL THEN NULL WHEN {row.valid} THEN {row.duckdb} {last} END"
    return Value(sql=fill(template, [value]), type=target, aggregate=value.aggregate)


def _dated(rules: Expressions, node: exp.Expr, target: ColumnType) -> Value:
    """Return `DATE '…'`, `TIMESTAMP '…'` or the CAST of a text, which sqlglot does not tell apart."""
    text = str(node.this.this)
    try:
        match target:
            case ColumnType.DATE:
                rules.translation.use("literal date")
                return literal(parse_date(text))
            case ColumnType.TIMESTAMP:
                rules.translation.use("literal timestamp")
                return literal(parse_timestamp(text))
            case _:
                raise rules.translation.error(node, f"CAST of the text {text!r}: write the value itself")
    except ValueError as error:
        raise rules.translation.error(node, str(error)) from error


RULES: dict[str, Callable[[Expressions, exp.Expr], Value]] = {
    "Literal": _literal,
    "RawString": _raw_string,
    "Boolean": _boolean,
    "Null": _null,
    "Parameter": _parameter,
    "Column": _column,
    "Paren": _parentheses,
    "Cast": _cast,
    "TryCast": _cast,
}
"""The rule of each node."""
