"""Functions that a template cannot say: conditions, CONCAT, ROUND to digits, regular expressions, COUNT."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.engine import quote_text
from rasen.data.sql_values import Value, fill, literal

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_expressions import Expressions

_MOST_DIGITS = 15
_SPLITTER = 134_217_729.0  # 2**27 + 1: Veltkamp's constant, which halves a double's mantissa


def _case(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "ifs", "default")
    branches, default = node.args["ifs"], node.args.get("default")
    results, target = rules.alike(
        [branch.args["true"] for branch in branches] + ([default] if default is not None else []), "CASE"
    )
    if node.this is None:
        rules.translation.use("CASE")
        conditions = [rules.typed(branch.this, ColumnType.BOOL, "CASE WHEN") for branch in branches]
        head = "CASE"
    else:
        rules.translation.use("CASE value")
        (value, *conditions), _ = rules.alike([node.this, *(branch.this for branch in branches)], "CASE")
        head = f"CASE {value.sql}"
    whens = [
        f"WHEN {condition.sql} THEN {result.sql}"
        for condition, result in zip(conditions, results, strict=False)
    ]
    last = [f"ELSE {results[-1].sql}"] if default is not None else []
    return Value(
        sql=f"({' '.join([head, *whens, *last])} END)",
        type=target,
        aggregate=any(each.aggregate for each in (*conditions, *results)),
    )


def _if(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "true", "false")
    if node.args.get("false") is None:
        raise rules.translation.error(node, "IF needs three arguments: IF(condition, then, otherwise)")
    rules.translation.use("IF")
    condition = rules.typed(node.this, ColumnType.BOOL, "the condition of IF")
    (then, otherwise), target = rules.alike([node.args["true"], node.args["false"]], "IF")
    return Value(
        sql=f"(CASE WHEN {condition.sql} THEN {then.sql} ELSE {otherwise.sql} END)",
        type=target,
        aggregate=condition.aggregate or then.aggregate or otherwise.aggregate,
    )


def _coalesce(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expressions")
    name = str(node.meta.get("bigquery_name", "")).upper()
    if name not in {"COALESCE", "IFNULL"} or (name == "IFNULL" and len(node.expressions) != 1):
        raise rules.refused(node)
    rules.translation.use(name)
    return _call(rules, "coalesce(%s)", [node.this, *node.expressions], name)


def _nullif(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    rules.translation.use("NULLIF")
    return _call(rules, "nullif(%s)", [node.this, node.expression], "NULLIF")


def _call(rules: Expressions, template: str, nodes: Sequence[exp.Expr], place: str) -> Value:
    values, target = rules.alike(nodes, place)
    return Value(
        sql=template % ", ".join(value.sql for value in values),
        type=target,
        aggregate=any(value.aggregate for value in values),
    )


def _extreme(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expressions")
    name = type(node).__name__.upper()
    rules.translation.use(name)
    values, target = rules.alike([node.this, *node.expressions], name)
    # DuckDB's own skip NULLs. A list keeps them, and its length says whether there was one.
    items = ", ".join(value.sql for value in values)
    pick = "list_max(v)" if name == "GREATEST" else "list_min(v)"
    body = f"CASE WHEN len(list_filter(v, lambda x: x IS NOT NULL)) = {len(values)} THEN {pick} END"
    return Value(
        sql=f"list_transform([[{items}]], lambda v: {body})[1]",
        type=target,
        aggregate=any(value.aggregate for value in values),
    )


def _concat(rules: Expressions, node: exp.Expr) -> Value:
    pipes = type(node).__name__ == "DPipe"
    rules.translation.only(node, "safe", *(("this", "expression") if pipes else ("expressions",)))
    rules.translation.use("||" if pipes else "CONCAT")
    values = []
    for each in [node.this, node.expression] if pipes else node.expressions:
        value = rules.value(each)
        if not pipes and value.type in {ColumnType.INT64, ColumnType.BOOL, ColumnType.DATE}:
            value = Value(
                sql=f"CAST({value.sql} AS VARCHAR)", type=ColumnType.STRING, aggregate=value.aggregate
            )
        values.append(rules.as_type(value, ColumnType.STRING, each, "||" if pipes else "CONCAT"))
    sql = " || ".join(value.sql for value in values)
    return Value(sql=f"({sql})", type=ColumnType.STRING, aggregate=any(value.aggregate for value in values))


def _round(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "decimals")
    value = rules.typed(node.this, ColumnType.FLOAT64, "ROUND")
    decimals = node.args.get("decimals")
    digits = 0 if decimals is None else int(rules.constant(decimals, int, "the digits of ROUND"))
    rules.translation.use("ROUND" if decimals is None else "ROUND digits")
    if not 0 <= digits <= _MOST_DIGITS:
        raise rules.translation.error(
            node, f"ROUND to {digits} digits is not supported; possible are 0 to {_MOST_DIGITS}"
        )
    template = "round({a})" if digits == 0 else _round_template(digits)
    return Value(sql=fill(template, [value]), type=ColumnType.FLOAT64, aggregate=value.aggregate)


def _pattern(rules: Expressions, node: exp.Expr, name: str) -> tuple[str, int]:
    pattern = str(rules.constant(node, str, f"the pattern of {name}"))
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise rules.translation.error(
            node, f"the pattern {pattern!r} of {name} is not verified: {error}"
        ) from error
    return pattern, groups


def _regexp_contains(rules: Expressions, node: exp.Expr) -> Value:
    rules.translation.only(node, "this", "expression")
    if str(node.meta.get("bigquery_name", "")).upper() != "REGEXP_CONTAINS":
        raise rules.refused(node)
    rules.translation.use("REGEXP_CONTAINS")
    value = rules.typed(node.this, ColumnType.STRING, "REGEXP_CONTAINS")
    pattern, _ = _pattern(rules, node.expression, "REGEXP_CONTAINS")
    sql = f"regexp_matches({value.sql}, {quote_text(pattern)})"
    return Value(sql=sql, type=ColumnType.BOOL, aggregate=value.aggregate)


def _regexp_extract(rules: Expressions, node: exp.Expr) -> Value:
    # The last four only record the dialect's defaults; `group` repeats what the pattern says.
    defaults = ("group", "null_if_pos_overflow", "null_if_no_match", "empty_if_group_missing")
    rules.translation.only(node, "this", "expression", *defaults)
    rules.translation.use("REGEXP_EXTRACT")
    value = rules.typed(node.this, ColumnType.STRING, "REGEXP_EXTRACT")
    pattern, groups = _pattern(rules, node.expression, "REGEXP_EXTRACT")
    if groups > 1 or (groups == 1 and re.search(r"\)[?*{]|\|", pattern)):
        raise rules.translation.error(
            node,
            f"the pattern {pattern!r} of REGEXP_EXTRACT must have at most one group, and one that always matches",
        )
    template = f"CASE WHEN regexp_matches({{a}}, {{b}}) THEN regexp_extract({{a}}, {{b}}, {groups}) END"
    sql = fill(template, [value, literal(pattern)])
    return Value(sql=sql, type=ColumnType.STRING, aggregate=value.aggregate)


def count(rules: Expressions, node: exp.Expr, over: str | None = None) -> Value:
    """Return COUNT in its three forms.

    Raises:
        QueryError: It has another form.
    """
    rules.translation.only(node, "this", "big_int")
    match type(node.this).__name__:
        case "Star":
            rules.translation.only(node.this)
            rules.translation.use("COUNT(*)")
            sql = "count(*)"
        case "Distinct":
            rules.translation.only(node.this, "expressions")
            if len(node.this.expressions) != 1 or over is not None:
                raise rules.translation.error(node, "COUNT(DISTINCT x) takes one value and no OVER clause")
            rules.translation.use("COUNT DISTINCT")
            sql = f"count(DISTINCT {rules.value(node.this.expressions[0]).sql})"
        case _:
            rules.translation.use("COUNT")
            sql = f"count({rules.value(node.this).sql})"
    return Value(sql=sql + (over or ""), type=ColumnType.INT64, aggregate=True)


def _round_template(digits: int) -> str:
    """Return ROUND to `digits`, half away from zero of the exact binary value, as BigQuery's long doubles do.

    DuckDB's own multiplies and rounds twice: it makes 2.68 of 2.675, which is 2.67499… in binary. Only where the
    product looks like a tie does its rounding error decide, which Dekker's product gives exactly
    (T. J. Dekker, A floating-point technique for extending the available precision, 1971).
    """
    scale = 10.0**digits
    scale_high = scale * _SPLITTER - (scale * _SPLITTER - scale)
    scale_low = scale - scale_high

    def double(number: float) -> str:
        return f"CAST('{number!r}' AS DOUBLE)"

    product = f"({{a}} * {double(scale)})"
    high = f"({{a}} * {double(_SPLITTER)} - ({{a}} * {double(_SPLITTER)} - {{a}}))"
    low = f"({{a}} - {high})"
    error = (
        f"((({high} * {double(scale_high)} - {product}) + {high} * {double(scale_low)} "
        f"+ {low} * {double(scale_high)}) + {low} * {double(scale_low)})"
    )
    rest = f"abs({product} - trunc({product}))"
    return (
        f"CASE WHEN abs({product}) >= {double(2.0**52)} THEN {{a}} "
        f"WHEN {rest} > 0.5 OR ({rest} = 0.5 AND {error} * sign({product}) >= 0) "
        f"THEN (trunc({product}) + sign({product})) / {double(scale)} "
        f"ELSE trunc({product}) / {double(scale)} END"
    )


RULES: dict[str, Callable[[Expressions, exp.Expr], Value]] = {
    "Case": _case,
    "If": _if,
    "Coalesce": _coalesce,
    "Nullif": _nullif,
    "Greatest": _extreme,
    "Least": _extreme,
    "Concat": _concat,
    "DPipe": _concat,
    "Round": _round,
    "RegexpLike": _regexp_contains,
    "RegexpExtract": _regexp_extract,
    "Count": count,
}
"""The rule of each node."""
