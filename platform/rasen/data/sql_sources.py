"""FROM: tables, WITH tables, subqueries, UNNEST of a list that is known beforehand, and the joins between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.data.engine import quote_name
from rasen.data.sql_lists import unnest
from rasen.data.sql_scope import Names, Source, column_value, duplicates
from rasen.data.sql_values import Value, coerce, common_type
from rasen.suggestion import suggest

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_queries import Queries, QueryColumn


def from_clause(queries: Queries, node: exp.Expr, outer: Names | None) -> tuple[str, Names]:
    """Translate the FROM clause of a SELECT with its joins; return its text and the names it brings.

    Raises:
        QueryError: A table does not exist, or a join is not on the allow-list.
    """
    from_node = node.args.get("from_")
    if from_node is None:
        if node.args.get("joins"):
            raise queries.translation.error(node, "JOIN needs a FROM clause")
        return "", Names(outer=outer)
    queries.translation.only(from_node, "this")
    sql, source = from_item(queries, from_node.this)
    names = Names(sources=[source], columns=source.columns, outer=outer)
    for join in node.args.get("joins") or []:
        join_sql, names = _join(queries, join, names)
        sql += join_sql
    return f" FROM {sql}", names


def _join(queries: Queries, node: exp.Expr, left: Names) -> tuple[str, Names]:
    translation = queries.translation
    translation.only(node, "this", "side", "kind", "on", "using")
    side, kind = str(node.args.get("side") or ""), str(node.args.get("kind") or "")
    if kind not in {"", "INNER", "OUTER", "CROSS"} or side not in {"", "LEFT", "RIGHT", "FULL"}:
        raise translation.error(node, f"{side} {kind} JOIN is not supported".replace("  ", " "))
    on, using = node.args.get("on"), node.args.get("using")
    label = f"{kind if kind == 'CROSS' else side or 'INNER'} JOIN"
    if (on is None and not using) != (kind == "CROSS"):
        raise translation.error(node, "a join needs ON or USING; for all pairs write CROSS JOIN")
    translation.use(label)
    sql, right = from_item(queries, node.this)
    if right.alias is not None and left.source(right.alias) is not None:
        raise translation.error(
            node, f"two tables are called {right.alias!r} here; give one another name with AS"
        )
    both = replace(left, sources=[*left.sources, right], columns=[*left.columns, *right.columns])
    if kind == "CROSS":
        return f" CROSS JOIN {sql}", both
    if on is not None:
        condition = queries.expressions(both).typed(on, ColumnType.BOOL, "ON")
        return f" {label} {sql} ON {condition.sql}", both
    return _join_using(queries, node, label, sql, left, right, both)


def _join_using(
    queries: Queries, node: exp.Expr, label: str, sql: str, left: Names, right: Source, both: Names
) -> tuple[str, Names]:
    queries.translation.use("JOIN USING")
    conditions, merged = [], []
    keys = [each.name for each in node.args["using"]]
    if twice := duplicates(keys):
        raise queries.translation.error(node, f"USING names {twice[0]!r} twice")
    for key in keys:
        try:
            pair = [replace(left, outer=None).find(key), Names(columns=right.columns).find(key)]
        except LookupError as error:
            raise queries.translation.error(node, f"USING: {error}") from error
        kind = common_type(pair)
        if kind is None:
            raise queries.translation.error(
                node, f"USING: {key!r} is {pair[0].type} here and {pair[1].type} there"
            )
        one, other = (coerce(value, kind) for value in pair)
        assert one is not None
        assert other is not None
        conditions.append(f"{one.sql} = {other.sql}")
        value = {
            "RIGHT JOIN": other,
            "FULL JOIN": Value(sql=f"coalesce({one.sql}, {other.sql})", type=kind),
        }.get(label, one)
        merged.append((key, value))
    rest = [
        (name, value)
        for name, value in [*left.columns, *right.columns]
        if name.lower() not in {key.lower() for key in keys}
    ]
    return f" {label} {sql} ON {' AND '.join(conditions)}", replace(both, columns=[*merged, *rest])


def from_item(queries: Queries, node: exp.Expr) -> tuple[str, Source]:
    """Translate one item of FROM; return its text and its columns.

    Raises:
        QueryError: The table does not exist, or the item is not on the allow-list.
    """
    match type(node).__name__:
        case "Table":
            return _table(queries, node)
        case "Subquery":
            queries.translation.only(node, "this", "alias")
            queries.translation.use("FROM subquery")
            query = queries.query(node.this, None)
            return _aliased(queries, f"({query.sql})", _alias(queries, node), query.columns)
        case "Unnest":
            return unnest(queries, node)
        case name:
            raise queries.translation.error(node, f"{name.upper()} in FROM is not supported")


def _alias(queries: Queries, node: exp.Expr) -> str | None:
    alias = node.args.get("alias")
    if alias is None:
        return None
    queries.translation.only(alias, "this")
    return str(alias.name)


def _table(queries: Queries, node: exp.Expr) -> tuple[str, Source]:
    translation = queries.translation
    if type(node.this).__name__ != "Identifier":
        raise translation.error(node, "a function in FROM is not supported; possible is UNNEST")
    translation.only(node, "this", "db", "catalog", "alias")
    parts = [part for part in (node.text("catalog"), node.text("db"), node.name) if part]
    alias = _alias(queries, node) or parts[-1].rsplit(".", 1)[-1]
    if len(parts) == 1 and (found := queries.with_tables.get(parts[0].lower())) is not None:
        translation.use("FROM table")
        return _aliased(queries, found[0], alias, found[1])
    name = ".".join(parts)
    if name not in translation.tables:
        known = sorted(translation.tables)
        hint = suggest(name, known)
        listed = "" if hint.startswith(("known", "there")) else f" The warehouse has: {', '.join(known)}"
        case = " (upper and lower case differ)" if name.lower() in {each.lower() for each in known} else ""
        raise translation.error(node, f"unknown table {name!r}{case}; {hint}{listed}")
    translation.use("FROM table")
    if name not in translation.tables_read:
        translation.tables_read.append(name)
    sql_alias = translation.fresh("t")
    columns = [
        (column, column_value(sql_alias, column, column_type))
        for column, column_type in translation.tables[name].items()
    ]
    return f"{quote_name(name)} AS {sql_alias}", Source(alias=alias, columns=columns)


def _aliased(
    queries: Queries, sql: str, alias: str | None, columns: Sequence[QueryColumn]
) -> tuple[str, Source]:
    sql_alias = queries.translation.fresh("t")
    named = [
        (column.name or "", column_value(sql_alias, column.sql_name, column.type)) for column in columns
    ]  # a column without a name cannot be referred to: no identifier is empty
    return f"{sql} AS {sql_alias}", Source(alias=alias, columns=named)
