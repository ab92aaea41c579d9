"""Queries: SELECT with its clauses, joins, set operations, WITH, and subqueries.

Every name is resolved here, by BigQuery's rules, and leaves qualified by a fresh alias; so no name can be caught by
one of DuckDB's own rules (it lets WHERE see the SELECT list, for example).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rasen.data import sql_sources
from rasen.data.columns import ColumnType
from rasen.data.engine import quote_name
from rasen.data.sql_expressions import Expressions
from rasen.data.sql_scope import Names, Translation
from rasen.data.sql_values import DUCKDB_TYPES, Value, common_type
from rasen.data.sql_windows import direction, ordered

if TYPE_CHECKING:
    from sqlglot import exp

_SET_OPERATIONS = {"Union": "UNION", "Except": "EXCEPT", "Intersect": "INTERSECT"}


@dataclass(frozen=True, kw_only=True)
class QueryColumn:
    """A column of a query's result.

    Args:
        name: What the query calls it; `None` if it has no name to be referred to.
        sql_name: What the translated query calls it.
        type: Its type; `None` if it is a bare NULL.
    """

    name: str | None
    sql_name: str
    type: ColumnType | None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A translated query."""

    sql: str
    columns: Sequence[QueryColumn]


class Queries:
    """The rules of queries, for the WITH tables in reach.

    Args:
        translation: The query they belong to.
        with_tables: By name in lower case: the name in the translated query, and the columns.
    """

    def __init__(
        self,
        translation: Translation,
        with_tables: Mapping[str, tuple[str, Sequence[QueryColumn]]] | None = None,
    ) -> None:
        self.translation = translation
        self.with_tables = dict(with_tables or {})

    def query(self, node: exp.Expr, outer: Names | None) -> Query:
        """Translate a SELECT, a set operation or either in parentheses.

        Args:
            node: The query.
            outer: Names of the query around it that it may use.

        Raises:
            QueryError: Something in it is not on the allow-list.
        """
        head = ""
        inner = self
        if node.args.get("with_") is not None:
            inner, head = self._with(node.args["with_"])
        match type(node).__name__:
            case "Select":
                query = inner._select(node, outer)
            case "Subquery":
                self.translation.only(node, "this", "with_")
                query = inner.query(node.this, outer)
            case "Union" | "Except" | "Intersect":
                query = inner._set_operation(node, outer)
            case name:
                raise self.translation.error(node, f"{name.upper()} is not supported; only SELECT is")
        return replace(query, sql=head + query.sql)

    def _with(self, node: exp.Expr) -> tuple[Queries, str]:
        self.translation.only(node, "expressions")
        self.translation.use("WITH")
        inner = Queries(self.translation, self.with_tables)
        parts = []
        defined: set[str] = set()
        for each in node.expressions:
            self.translation.only(each, "this", "alias")
            self.translation.only(each.args["alias"], "this")
            name = each.alias
            if name.lower() in defined:
                raise self.translation.error(each, f"WITH defines {name!r} twice")
            defined.add(name.lower())
            query = inner.query(each.this, None)
            sql_name = self.translation.fresh("w")
            parts.append(f"{sql_name} AS ({query.sql})")
            inner.with_tables[name.lower()] = (sql_name, query.columns)
        return inner, f"WITH {', '.join(parts)} "

    def expressions(self, names: Names) -> Expressions:
        """Return the rules of expressions for these names."""
        return Expressions(self.translation, names, self.query)

    def _select(self, node: exp.Expr, outer: Names | None) -> Query:
        translation = self.translation
        translation.only(
            node, "expressions", "from_", "joins", "where", "group", "having", "qualify", "order", "limit", "offset",
            "distinct", "windows", "with_",
        )  # fmt: skip
        translation.use("SELECT")
        from_sql, names = sql_sources.from_clause(self, node, outer)
        names = replace(names, windows={each.name.lower(): each for each in node.args.get("windows") or []})
        expressions = self.expressions(names)
        items = self._items(node, names, expressions)
        aliases: dict[str, list[Value]] = {}
        for name, value in items:
            if name is not None and value not in aliases.get(name.lower(), []):
                aliases.setdefault(name.lower(), []).append(value)
        named = self.expressions(replace(names, aliases=aliases))
        columns = _columns(items)
        distinct = node.args.get("distinct")
        if distinct is not None:
            translation.only(distinct)
            translation.use("SELECT DISTINCT")
        selected = ", ".join(
            f"{value.sql} AS {quote_name(column.sql_name)}"
            for (_, value), column in zip(items, columns, strict=True)
        )
        parts = [f"SELECT {'DISTINCT ' if distinct is not None else ''}{selected}{from_sql}"]
        for clause, rules in (
            ("where", expressions),
            ("group", expressions),
            ("having", named),
            ("qualify", named),
        ):
            clause_node = node.args.get(clause)
            if clause_node is None:
                continue
            if not from_sql:
                raise translation.error(clause_node, f"{clause.upper()} needs a FROM clause")
            if clause == "group":
                parts.append(self._group(clause_node, items, rules))
                continue
            translation.only(clause_node, "this")
            translation.use(clause.upper())
            condition = rules.typed(clause_node.this, ColumnType.BOOL, clause.upper())
            if clause == "where" and condition.aggregate:
                raise translation.error(
                    clause_node, "WHERE cannot hold an aggregate or a window function; use HAVING or QUALIFY"
                )
            parts.append(f" {clause.upper()} {condition.sql}")
        if node.args.get("order") is not None:
            parts.append(self._order(node.args["order"], items, None if distinct is not None else named))
        parts.append(self._limit(node))
        return Query(sql="".join(parts), columns=columns)

    def _items(
        self, node: exp.Expr, names: Names, expressions: Expressions
    ) -> list[tuple[str | None, Value]]:
        items: list[tuple[str | None, Value]] = []
        for each in node.expressions:
            kind = type(each).__name__
            if kind == "Star":
                items.extend(self._star(each, names.columns))
            elif kind == "Column" and type(each.this).__name__ == "Star":
                self.translation.only(each, "this", "table")
                source = names.source(each.text("table"))
                if source is None:
                    raise self.translation.error(each, f"unknown table {each.text('table')!r} before .*")
                items.extend(self._star(each.this, source.columns))
            elif kind == "Alias":
                self.translation.only(each, "this", "alias")
                items.append((each.alias, expressions.value(each.this)))
            elif kind == "Column":
                items.append((each.name, expressions.value(each)))
            else:
                items.append((None, expressions.value(each)))
        if not items:
            raise self.translation.error(node, "SELECT has no columns")
        return items

    def _star(self, node: exp.Expr, columns: Sequence[tuple[str, Value]]) -> list[tuple[str | None, Value]]:
        self.translation.only(node, "except_")
        self.translation.use("SELECT *")
        if not columns:
            raise self.translation.error(node, "SELECT * needs a FROM clause")
        excluded = node.args.get("except_") or []
        if excluded:
            self.translation.use("SELECT * EXCEPT")
        known = {name.lower() for name, _ in columns}
        for each in excluded:
            if each.name.lower() not in known:
                raise self.translation.error(each, f"EXCEPT names {each.name!r}, which is no column here")
        dropped = {each.name.lower() for each in excluded}
        return [(name, value) for name, value in columns if name.lower() not in dropped]

    def _group(self, node: exp.Expr, items: Sequence[tuple[str | None, Value]], rules: Expressions) -> str:
        self.translation.only(node, "expressions")
        self.translation.use("GROUP BY")
        keys = []
        for each in node.expressions:
            position = self._position(each, items)
            if position is not None:
                value, sql = items[position - 1][1], str(position)
            else:
                value = rules.value(each)
                sql = value.sql
            if value.aggregate:
                raise self.translation.error(each, "GROUP BY cannot hold an aggregate or a window function")
            if value.constant is not None:
                raise self.translation.error(each, "GROUP BY a constant is not possible; leave it out")
            keys.append(sql)
        return f" GROUP BY {', '.join(keys)}"

    def _position(self, node: exp.Expr, items: Sequence[tuple[str | None, Value]]) -> int | None:
        """Return the place in the SELECT list that a key of GROUP BY or ORDER BY names, by number or by alias."""
        if type(node).__name__ == "Literal" and not node.is_string:
            if not str(node.this).isdigit() or not 1 <= int(node.this) <= len(items):
                raise self.translation.error(
                    node, f"there is no column {node.this} in the SELECT list of {len(items)}"
                )
            return int(node.this)
        if type(node).__name__ != "Column" or node.text("table"):
            return None
        found = [
            place
            for place, (name, _) in enumerate(items, start=1)
            if name and name.lower() == node.name.lower()
        ]
        if len({items[place - 1][1].sql for place in found}) > 1:
            raise self.translation.error(
                node, f"the name {node.name!r} is ambiguous: the SELECT list has it twice"
            )
        return found[0] if found else None

    def _order(
        self, node: exp.Expr, items: Sequence[tuple[str | None, Value]], rules: Expressions | None
    ) -> str:
        self.translation.only(node, "expressions")
        self.translation.use("ORDER BY")
        keys = []
        for each in node.expressions:
            self.translation.only(each, "this", "desc", "nulls_first")
            natural = "ASC NULLS FIRST" if not each.args.get("desc") else "DESC NULLS LAST"
            if direction(each) != natural:
                self.translation.use("NULLS FIRST LAST")
            position = self._position(each.this, items)
            if position is not None:
                keys.append(f"{position} {direction(each)}")
            elif rules is not None:
                keys.append(ordered(rules, each)[0])
            else:
                raise self.translation.error(
                    each, "ORDER BY can only name columns of the result here, by name or number"
                )
        return f" ORDER BY {', '.join(keys)}"

    def _limit(self, node: exp.Expr) -> str:
        parts = []
        rules = self.expressions(Names())
        for clause in ("limit", "offset"):
            clause_node = node.args.get(clause)
            if clause_node is None:
                continue
            self.translation.only(clause_node, "expression")
            self.translation.use(clause.upper())
            number = int(rules.constant(clause_node.expression, int, clause.upper()))
            if number < 0:
                raise self.translation.error(clause_node, f"{clause.upper()} {number} is negative")
            parts.append(f" {clause.upper()} {number}")
        return "".join(parts)

    def _set_operation(self, node: exp.Expr, outer: Names | None) -> Query:
        translation = self.translation
        translation.only(node, "this", "expression", "distinct", "order", "limit", "offset", "with_")
        word = _SET_OPERATIONS[type(node).__name__]
        distinct = bool(node.args.get("distinct"))
        if not distinct and word != "UNION":
            raise translation.error(node, f"{word} ALL is not supported; use {word} DISTINCT")
        if type(node.this).__name__ in _SET_OPERATIONS and (
            type(node.this) is not type(node)
            or bool(node.this.args.get("distinct")) != distinct
            or word == "EXCEPT"
        ):
            raise translation.error(node, "set operations of different kinds need parentheses")
        if type(node.expression).__name__ in _SET_OPERATIONS:
            raise translation.error(node.expression, "set operations of different kinds need parentheses")
        translation.use(f"{word} {'DISTINCT' if distinct else 'ALL'}")
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.columns) != len(right.columns):
            raise translation.error(
                node, f"{word} of {len(left.columns)} columns with {len(right.columns)} columns"
            )
        columns = []
        for one, other in zip(left.columns, right.columns, strict=True):
            kinds = [Value(sql="NULL", type=each.type) for each in (one, other)]
            kind = None if one.type is None and other.type is None else common_type(kinds)
            if kind is None and (one.type is not None or other.type is not None):
                raise translation.error(
                    node, f"{word}: the column {one.name!r} is {one.type} here and {other.type} there"
                )
            columns.append(replace(one, type=kind))
        sides = [self._converted(side, columns) for side in (left, right)]
        sql = f"({sides[0]}) {word}{'' if distinct else ' ALL'} ({sides[1]})"
        if node.args.get("order") is not None:
            items = [
                (column.name, Value(sql=str(place), type=column.type)) for place, column in enumerate(columns)
            ]
            sql += self._order(node.args["order"], items, None)
        return Query(sql=sql + self._limit(node), columns=columns)

    def _converted(self, side: Query, columns: Sequence[QueryColumn]) -> str:
        if all(own.type is column.type for own, column in zip(side.columns, columns, strict=True)):
            return side.sql
        items = []
        for own, column in zip(side.columns, columns, strict=True):
            target = DUCKDB_TYPES[column.type or ColumnType.INT64]
            items.append(f"CAST({quote_name(own.sql_name)} AS {target}) AS {quote_name(own.sql_name)}")
        alias = self.translation.fresh("u")
        return f"SELECT {', '.join(items)} FROM ({side.sql}) AS {alias}"  # noqa: S608 - of translated pieces only


def _columns(items: Sequence[tuple[str | None, Value]]) -> list[QueryColumn]:
    """Return the columns with names for DuckDB that differ in more than upper and lower case."""
    taken: set[str] = set()
    columns = []
    for place, (name, value) in enumerate(items):
        sql_name = name or f"f{place}_"
        while sql_name.lower() in taken:
            sql_name += "_"
        taken.add(sql_name.lower())
        columns.append(QueryColumn(name=name, sql_name=sql_name, type=value.type))
    return columns
