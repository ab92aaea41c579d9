"""What a translation knows while it walks a query: parameters, names in reach, and where in the text it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType, Schema
from rasen.data.engine import quote_name
from rasen.data.sql_values import DUCKDB_TYPES, Value, literal
from rasen.errors import QueryError
from rasen.suggestion import suggest

if TYPE_CHECKING:
    from sqlglot import exp

_LISTED = 20


@dataclass(kw_only=True)
class Translation:
    """One query on its way into DuckDB's SQL.

    Args:
        tables: The tables of the warehouse.
        parameters: The values given for `@name`.
        bound: What DuckDB gets as parameters.
        constructs: The rows of the allow-list that the query uses.
        tables_read: The tables that the query reads, in order of appearance.
    """

    tables: Mapping[str, Schema]
    parameters: Mapping[str, object]
    bound: dict[str, object] = field(default_factory=dict)
    constructs: set[str] = field(default_factory=set)
    parameters_used: set[str] = field(default_factory=set)
    tables_read: list[str] = field(default_factory=list)
    _names_given: int = 0

    def use(self, label: str) -> None:
        """Note that the query uses a row of the allow-list."""
        self.constructs.add(label)

    def fresh(self, prefix: str) -> str:
        """Return a name that nothing else in the translated query has."""
        self._names_given += 1
        return f"{prefix}{self._names_given}"

    def error(self, node: exp.Expr | None, message: str) -> QueryError:
        """Return the error for something at `node`, with its line."""
        line = _line_of(node)
        return QueryError(f"line {line}: {message}" if line else message)

    def only(self, node: exp.Expr, *arguments: str) -> None:
        """Refuse the node if it carries anything besides `arguments`.

        Raises:
            QueryError: It does; the parser understood something that the allow-list does not.
        """
        for name, value in node.args.items():
            if name in arguments or value is None or value is False or value == []:
                continue
            what = type(node).__name__.upper()
            raise self.error(
                node, f"{what} with {name.strip('_').replace('_', ' ').upper()} is not supported"
            )

    def parameter(self, node: exp.Expr) -> object:
        """Return the value of the parameter at `node`, brought to a plain Python type.

        Raises:
            QueryError: There is no such parameter, or its value has none of the six types.
        """
        name = node.name
        if name not in self.parameters:
            given = ", ".join(f"@{each}" for each in self.parameters) or "none"
            raise self.error(node, f"the parameter @{name} has no value; given are: {given}")
        self.parameters_used.add(name)
        return plain(self.parameters[name], name)

    def bind(self, constant: object) -> Value:
        """Return a value that DuckDB gets as a parameter, never as text."""
        spelled = literal(constant)
        assert spelled.type is not None
        name = next((name for name, bound in self.bound.items() if _same(bound, constant)), None)
        if name is None:
            name = self.fresh("p")
            self.bound[name] = constant
        return replace(spelled, sql=f"CAST(${name} AS {DUCKDB_TYPES[spelled.type]})")


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other and repr(one) == repr(other)


def _line_of(node: exp.Expr | None) -> int | None:
    """Return the line of the node or of the nearest piece of text around it that the parser has placed."""
    while node is not None:
        for each in node.walk():
            if "line" in each.meta:
                return int(each.meta["line"])
        node = node.parent
    return None


def plain(value: object, name: str) -> object:
    """Return a parameter's value as bool, int, float, str, date, aware datetime, or a list of one of them.

    Raises:
        QueryError: The value has no such type.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, list | tuple):
        items = [plain(item, name) for item in value]
        if any(isinstance(item, list) for item in items):
            raise QueryError(
                f"the parameter @{name} is a list of lists; only a list of plain values is possible"
            )
        kinds = {literal(item).type for item in items}
        if kinds == {ColumnType.INT64, ColumnType.FLOAT64}:
            items = [float(item) if isinstance(item, int) else item for item in items]
        elif len(kinds) > 1:
            raise QueryError(f"the parameter @{name} mixes types: {', '.join(sorted(map(str, kinds)))}")
        return items
    if isinstance(value, datetime) and value.tzinfo is None:
        raise QueryError(
            f"the parameter @{name} is {value!r}, a time without a zone; give it one "
            "(value.replace(tzinfo=UTC)), or pass a date"
        )
    if not isinstance(value, bool | int | float | str | date):
        raise QueryError(
            f"the parameter @{name} is {value!r} of type {type(value).__name__}; possible are bool, int, float, str, "
            "date, datetime with a time zone, and lists of them"
        )
    if isinstance(value, datetime):  # a pandas Timestamp is one; the engine gets the plain kind
        value = datetime.fromisoformat(value.isoformat(timespec="microseconds"))
    try:
        literal(value)
    except ValueError as error:
        raise QueryError(f"the parameter @{name}: {error}") from error
    return value


@dataclass(frozen=True, kw_only=True)
class Source:
    """One item of a FROM clause: the name it is called by, if any, and its columns in order."""

    alias: str | None
    columns: Sequence[tuple[str, Value]]


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names that an expression can use.

    Args:
        sources: The items of the FROM clause.
        columns: The columns in the order of `SELECT *`; those joined by USING appear once.
        aliases: What the SELECT list calls its expressions, where a clause may use that; these win over columns.
        windows: What the WINDOW clause defines, by name in lower case.
        outer: The names of the query around this one, for EXISTS.
    """

    sources: Sequence[Source] = ()
    columns: Sequence[tuple[str, Value]] = ()
    aliases: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    windows: Mapping[str, exp.Expr] = field(default_factory=dict)
    outer: Names | None = None

    def find(self, name: str) -> Value:
        """Return what an unqualified name means.

        Raises:
            LookupError: It means nothing, or several things.
        """
        key = name.lower()
        found = list(self.aliases.get(key, ())) or [
            value for each, value in self.columns if each.lower() == key
        ]
        if len(found) > 1:
            raise LookupError(f"the name {name!r} is ambiguous; write it as table.{name}")
        if found:
            if key not in self.aliases and any(_is(source.alias, key) for source in self.sources):
                raise LookupError(f"the name {name!r} is both a table and a column; write it as table.{name}")
            return found[0]
        if self.outer is not None:
            return self.outer.find(name)
        raise LookupError(f"unknown column {name!r}; {suggest(name, self._known())}")

    def find_in(self, table: str, name: str) -> Value:
        """Return what `table.name` means.

        Raises:
            LookupError: There is no such table or column here, or several.
        """
        sources = [source for source in self.sources if _is(source.alias, table.lower())]
        if not sources:
            if self.outer is not None:
                return self.outer.find_in(table, name)
            known = [source.alias for source in self.sources if source.alias]
            raise LookupError(f"unknown table {table!r} before a column's name; {suggest(table, known)}")
        found = [value for each, value in sources[0].columns if each.lower() == name.lower()]
        if len(found) > 1:
            raise LookupError(f"the name {table}.{name} is ambiguous: the table has two columns of that name")
        if not found:
            names = [each for each, _ in sources[0].columns]
            raise LookupError(f"unknown column {name!r} in {table!r}; {suggest(name, names)}")
        return found[0]

    def source(self, table: str) -> Source | None:
        """Return the item of the FROM clause called `table`."""
        return next((source for source in self.sources if _is(source.alias, table.lower())), None)

    def _known(self) -> list[str]:
        return list(dict.fromkeys([*(name for name, _ in self.columns), *self.aliases]))[:_LISTED]


def _is(alias: str | None, key: str) -> bool:
    return alias is not None and alias.lower() == key


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur twice, upper and lower case being the same."""
    seen: set[str] = set()
    twice = []
    for name in names:
        if name.lower() in seen:
            twice.append(name)
        seen.add(name.lower())
    return twice


def column_value(sql_alias: str, name: str, column_type: ColumnType | None) -> Value:
    """Return a column of an item of FROM; one that was a bare NULL is INT64, as in BigQuery."""
    sql = f"{sql_alias}.{quote_name(name)}"
    if column_type is None:
        sql, column_type = f"CAST({sql} AS BIGINT)", ColumnType.INT64
    return Value(sql=sql, type=column_type, atom=True, column=sql)
