"""BigQuery's SQL for the embedded warehouse: translated to DuckDB's, or refused.

The same SQL must mean the same in both engines, so nothing is passed on because it parses: every construct is on
the allow-list of `constructs.py` with a test of its result, every name is resolved and every expression typed here.
What is not on the list is refused with its line and, where there is one, with what to write instead. The parser is
sqlglot's; its own translator is not used, because it answers differently for one statement in six.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType, Schema
from rasen.data.constructs import FORM_NAMES, FUNCTIONS, INSTEAD
from rasen.errors import QueryError
from rasen.suggestion import nearest

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

_LONGEST = 1_000_000
_SIGNS = frozenset(
    ["(", ")", ",", ".", "+", "-", "*", "/", "||", "=", "<>", "!=", "<", "<=", ">", ">=", "@", "[", "]"]
)
_FUNCTION_NAMES = frozenset(function.name for function in FUNCTIONS) | FORM_NAMES
# Words before a parenthesis that are no function.
_WORDS = frozenset(
    [
        "ALL",
        "AND",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CROSS",
        "DISTINCT",
        "ELSE",
        "EXCEPT",
        "EXISTS",
        "FROM",
        "HAVING",
        "IN",
        "INTERSECT",
        "INTERVAL",
        "IS",
        "JOIN",
        "LIKE",
        "LIMIT",
        "NOT",
        "OFFSET",
        "ON",
        "OR",
        "OVER",
        "PARTITION",
        "QUALIFY",
        "SELECT",
        "THEN",
        "UNION",
        "USING",
        "WHEN",
        "WHERE",
        "WITH",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A query in DuckDB's SQL.

    Args:
        sql: The text, which reads the tables by their names.
        parameters: What DuckDB gets as `$name`.
        tables: The tables that it reads.
        columns: The result's columns, in order, with the names and types that BigQuery gives them.
        constructs: The rows of the allow-list that it uses.
    """

    sql: str
    parameters: Mapping[str, object]
    tables: Sequence[str]
    columns: Mapping[str, ColumnType]
    constructs: frozenset[str]


def translate(sql: str, parameters: Mapping[str, object], *, tables: Mapping[str, Schema]) -> Translated:
    """Translate one SELECT of BigQuery into DuckDB's SQL with the same meaning.

    Args:
        sql: The query. Table names are case-sensitive, column names are not, as in BigQuery.
        parameters: A value for each `@name` and no other: bool, int, float, str, date, datetime with a time zone, or
            a list of one of them for `IN UNNEST(@name)`. A str also serves where a date or timestamp is needed.
        tables: The tables that exist, with their columns.

    Raises:
        QueryError: The text is no query, holds something that is not on the allow-list, names an unknown table or
            column, or does not fit the parameters.
    """
    from rasen.data.sql_queries import Queries
    from rasen.data.sql_scope import Translation, duplicates

    tree = _parse(sql)
    translation = Translation(tables=tables, parameters=parameters)
    query = Queries(translation).query(tree, None)
    unused = [name for name in parameters if name not in translation.parameters_used]
    if unused:
        used = ", ".join(f"@{name}" for name in sorted(translation.parameters_used)) or "none"
        raise QueryError(f"the query has no @{unused[0]}; its parameters are: {used}")
    names = _result_names([column.name for column in query.columns])
    if twice := duplicates(names):
        raise QueryError(f"the result has two columns named {twice[0]!r}; give one another name with AS")
    if len(query.sql) > _LONGEST:
        raise QueryError("the query is nested too deeply; break it up with WITH")
    # A text that served as a date was bound before it was known to be one.
    bound = {name: value for name, value in translation.bound.items() if f"CAST(${name} AS " in query.sql}
    return Translated(
        sql=query.sql,
        parameters=bound,
        tables=tuple(translation.tables_read),
        columns={
            name: column.type or ColumnType.INT64 for name, column in zip(names, query.columns, strict=True)
        },
        constructs=frozenset(translation.constructs),
    )


def _result_names(names: Sequence[str | None]) -> list[str]:
    """Return the names with BigQuery's `f0_`, `f1_` … for the columns that have none."""
    anonymous = iter(range(len(names)))
    return [name or f"f{next(anonymous)}_" for name in names]


def _parse(sql: str) -> exp.Expr:
    from sqlglot import errors
    from sqlglot.dialects.bigquery import BigQuery

    dialect = BigQuery()
    try:
        tokens = dialect.tokenize(sql)
        _check_tokens(tokens)
        trees = [tree for tree in dialect.parser().parse(tokens, sql) if tree is not None]
    except errors.SqlglotError as error:
        raise QueryError(_parse_message(error)) from error
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        # sqlglot's own slips on text that is no SQL.
        raise QueryError(f"the query cannot be parsed: {error}") from error
    if len(trees) != 1:
        raise QueryError(
            "the query is empty" if not trees else "there are several statements; one SELECT is possible"
        )
    return trees[0]


def _parse_message(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if details:
        first = details[0]
        near = f" near {first['highlight']!r}" if first.get("highlight") else ""
        return f"line {first['line']}: the query cannot be parsed{near}: {first['description']}"
    return f"the query cannot be parsed: {error}"


def _check_tokens(tokens: Sequence[Token]) -> None:
    """Refuse signs and function names that BigQuery does not have, or that the allow-list does not.

    The parser maps several dialects' spellings to one node (`%` and MOD, NVL and IFNULL), so it must not see them.

    Raises:
        QueryError: There is one.
    """
    while tokens and tokens[-1].text == ";":
        tokens = tokens[:-1]
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        text = token.text
        kind = token.token_type.name
        if kind in {"STRING", "RAW_STRING", "NUMBER", "IDENTIFIER"}:
            continue
        if text == "," and following is not None and following.text == ",":
            raise QueryError(f"line {token.line}: two commas in a row")
        if not text.replace("_", "").replace(" ", "").isalnum():
            if text not in _SIGNS and not (kind == "PARAMETER" and text == "@"):
                hint = {"%": "use MOD(a, b)", "==": "use =", "|>": "write SELECT … FROM …"}.get(text, "")
                raise QueryError(
                    f"line {token.line}: {text!r} is not supported" + (f": {hint}" if hint else "")
                )
            continue
        name = text.upper()
        called = following is not None and following.text == "(" and following.token_type.name == "L_PAREN"
        if called and name not in _FUNCTION_NAMES | _WORDS:
            close = nearest(name, _FUNCTION_NAMES)
            hint = INSTEAD.get(
                name, f"did you mean {close}?" if close else "see the list in rasen.data.constructs"
            )
            raise QueryError(f"line {token.line}: the function {name} is not supported: {hint}")
