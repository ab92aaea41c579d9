"""Reads a query as far as the rules about queries need it: what it selects, from where, and whether it filters.

What is not understood is not spoken of: every answer here is "certainly so", or silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rasen_lint.sql_tokens import Kind, Token, tokenize

_SET_OPERATIONS = ("UNION", "INTERSECT", "EXCEPT", "MINUS")
_AFTER_FROM = ("WHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW", "ORDER", "LIMIT", "FETCH")
_LIMITS = ("LIMIT", "FETCH", "TABLESAMPLE")
_BEFORE_SELECT = ("CREATE", "EXPLAIN", "EXPORT", "INSERT", "MERGE", "REPLACE")
_JOINING = (
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "OUTER",
    "NATURAL",
    "ASOF",
    "POSITIONAL",
    "LATERAL",
)
_NO_ALIAS = frozenset(
    {*_JOINING, "ON", "USING", "TABLESAMPLE", "FOR", "PIVOT", "UNPIVOT", "WITH", "AS", "MATCH_RECOGNIZE"}
)
# Behind these a gap is a name or a value; behind anything else it may be a whole clause.
_VALUE_FOLLOWS = frozenset(
    {
        *{
            "ALL",
            "AND",
            "AS",
            "BETWEEN",
            "BY",
            "CASE",
            "DISTINCT",
            "ELSE",
            "FROM",
            "HAVING",
            "IN",
            "INTERVAL",
            "IS",
        },
        *{
            "JOIN",
            "LIKE",
            "LIMIT",
            "NOT",
            "OFFSET",
            "ON",
            "OR",
            "SELECT",
            "THEN",
            "USING",
            "WHEN",
            "WHERE",
            "QUALIFY",
        },
    }
)
_METADATA = re.compile(
    r"(?:^|[.`])(?:information_schema|pg_catalog|sqlite_master|sqlite_schema|dual)\b", re.IGNORECASE
)
_ALWAYS_TRUE = frozenset({"TRUE", "1", "1=1", "TRUE=TRUE"})
_HEAD = re.compile(
    r"(?>\s+|--[^\n]*\n|\#[^\n]*\n|/\*.*?\*/|\()*+(?P<word>SELECT|WITH)\b", re.DOTALL | re.IGNORECASE
)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a SELECT reads from; `name` is empty for what is certainly no table."""

    name: str
    alias: str
    start: int


@dataclass(kw_only=True)
class Select:
    """One SELECT.

    Args:
        stars: The `*` in its list of columns: the place, and the name before the dot.
        sources: What it reads from.
        filtered: It has a condition, a limit or a sample, or something unknown that may be one.
        inner: The SELECTs in brackets within it.
        exists: Only asked whether it has rows.
    """

    stars: list[tuple[int, str]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    filtered: bool = False
    inner: list[Select] = field(default_factory=list)
    exists: bool = False


@dataclass(kw_only=True)
class Query:
    """A statement: its SELECTs, and those of each table that a `WITH` names."""

    selects: list[Select] = field(default_factory=list)
    named: dict[str, list[Select]] = field(default_factory=dict)

    def stars_of_tables(self, *, known: frozenset[str] = frozenset()) -> list[int]:
        """Return the place of each `*` that stands for all columns of a table; `known` names are no tables."""
        found: list[int] = []
        waiting = [*self.selects, *(select for selects in self.named.values() for select in selects)]
        while waiting:
            select = waiting.pop()
            waiting += select.inner
            tables = [source for source in select.sources if self._is_table(source, known)]
            for start, qualifier in select.stars if not select.exists else ():
                if any(not qualifier or qualifier in _called(source) for source in tables):
                    found.append(start)
        return sorted(found)

    def whole_table(self, *, known: frozenset[str] = frozenset()) -> Source | None:
        """Return the first table that is read as a whole, or `None`.

        A condition counts for everything within its SELECT, and a table of a `WITH` is read as its readers read it.
        """
        return self._whole_table(self.selects, known, frozenset())

    def _whole_table(
        self, selects: Sequence[Select], known: frozenset[str], seen: frozenset[str]
    ) -> Source | None:
        for select in selects:
            if select.filtered:
                continue
            for source in select.sources:
                if self._is_table(source, known):
                    return source
                name = _plain(source.name)
                if name in self.named and name not in seen:
                    found = self._whole_table(self.named[name], known, seen | {name})
                    if found is not None:
                        return found
            found = self._whole_table(select.inner, known, seen)
            if found is not None:
                return found
        return None

    def _is_table(self, source: Source, known: frozenset[str]) -> bool:
        name = _plain(source.name)
        return (
            bool(name)
            and name not in self.named
            and source.name not in known
            and not _METADATA.search(source.name)
        )


def looks_like_query(text: str, *, upper: bool = False) -> bool:
    """Return whether a text begins like a query and reads from somewhere; with `upper`, in upper-case key words."""
    head = _HEAD.match(text)
    source = _FROM.search(text, head.end()) if head is not None else None
    if head is None or source is None:
        return False
    return not upper or (head["word"].isupper() and source[0].isupper())


def read_queries(text: str) -> Iterator[Query]:
    """Yield the statements in a text that select something."""
    statement: list[Token] = []
    for token in (*tokenize(text), Token(kind=Kind.SYMBOL, text=";", start=len(text))):
        if not token.says(";"):
            statement.append(token)
            continue
        if statement:
            query = Query()
            query.selects = _read_statement(statement, query)
            if query.selects:
                yield query
        statement = []


def _read_statement(tokens: Sequence[Token], query: Query) -> list[Select]:
    if tokens[0].says("SELECT", "WITH") or tokens[0].is_query:
        return _read_body(tokens, query)
    if not tokens[0].says(*_BEFORE_SELECT):
        return []
    for index, token in enumerate(tokens):
        starts = token.says("SELECT") or (token.says("WITH") and _names_tables(tokens[index:]))
        if starts:
            return _read_body(tokens[index:], query)
    return _subqueries(tokens, query)


def _names_tables(tokens: Sequence[Token]) -> bool:
    return len(tokens) > 3 and tokens[1].is_name and any(token.is_query for token in tokens[2:5])


def _read_body(tokens: Sequence[Token], query: Query, *, exists: bool = False) -> list[Select]:
    """Read a query without the brackets around it: `WITH` tables, then SELECTs joined by set operations."""
    position = 0
    if tokens and tokens[0].says("WITH"):
        position = _read_named(tokens, query)
    selects: list[Select] = []
    parts = _split(tokens[position:])
    limited = len(parts) > 1 and any(token.says(*_LIMITS) for token in parts[-1])
    for part in parts:
        if part[0].says("SELECT"):
            selects.append(_read_select(part, query, exists=exists))
        elif part[0].is_query:
            inner = _read_body(part[0].inside, query, exists=exists)
            limits = any(token.says(*_LIMITS) or token.kind is Kind.GAP for token in part[1:])
            for select in inner:
                select.filtered |= limits
            selects += inner
    for select in selects:
        select.filtered |= limited
    return selects


def _read_named(tokens: Sequence[Token], query: Query) -> int:
    """Read the tables of a `WITH`; return where the query itself begins."""
    position = 1
    while position < len(tokens) and not tokens[position].says("SELECT"):
        token = tokens[position]
        if token.is_query and not _is_named(tokens, position):
            break
        if token.is_query:
            name = next((each for each in reversed(tokens[1:position]) if _can_name(each)), None)
            if name is not None:
                selects = query.named.setdefault(
                    _plain(name.text), []
                )  # before: a recursive one reads itself
                selects += _read_body(token.inside, query)
        position += 1
    return position


def _is_named(tokens: Sequence[Token], position: int) -> bool:
    return tokens[position - 1].says("AS", "MATERIALIZED")


def _can_name(token: Token) -> bool:
    return token.is_name and not token.says("AS", "NOT", "MATERIALIZED", "RECURSIVE")


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split at set operations; `* EXCEPT (…)` is none."""
    parts: list[list[Token]] = [[]]
    for index, token in enumerate(tokens):
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        operation = token.says(*_SET_OPERATIONS) and after is not None
        if (
            operation
            and after is not None
            and (after.says("ALL", "DISTINCT", "SELECT", "BY") or after.is_query)
        ):
            parts.append([])
        elif parts[-1] or not token.says("ALL", "DISTINCT", "BY", "NAME"):
            parts[-1].append(token)
    return [part for part in parts if part]


def _read_select(tokens: Sequence[Token], query: Query, *, exists: bool) -> Select:
    from_at = next((index for index in range(1, len(tokens)) if _is_from(tokens, index)), len(tokens))
    end = next(
        (index for index in range(from_at, len(tokens)) if tokens[index].says(*_AFTER_FROM)), len(tokens)
    )
    select = Select(stars=list(_stars(tokens[1:from_at])), exists=exists)
    joined = tokens[from_at + 1 : end]
    select.sources = _sources(joined)
    select.filtered = _is_filtered(tokens[from_at:], exists=exists)
    select.inner = _subqueries(tokens, query)
    return select


def _is_from(tokens: Sequence[Token], index: int) -> bool:
    return tokens[index].says("FROM") and not tokens[index - 1].says("DISTINCT")  # `a IS DISTINCT FROM b`


def _stars(columns: Sequence[Token]) -> Iterator[tuple[int, str]]:
    begins = True
    for index, token in enumerate(columns):
        if token.says("*"):
            if begins:
                yield token.start, ""
            elif index >= 2 and columns[index - 1].says(".") and columns[index - 2].is_name:
                yield token.start, _plain(columns[index - 2].text)
        begins = token.says(",") or (begins and token.says("ALL", "DISTINCT", "AS", "STRUCT", "VALUE"))


def _sources(tokens: Sequence[Token]) -> list[Source]:
    found: list[Source] = []
    expected, position = True, 0
    while position < len(tokens):
        token = tokens[position]
        if token.says(",", *_JOINING):
            expected = True
        elif expected:
            source, position = _read_source(tokens, position)
            found += source
            expected = False
            continue
        position += 1
    return found


def _read_source(tokens: Sequence[Token], position: int) -> tuple[list[Source], int]:
    first = tokens[position]
    if first.kind is Kind.GROUP:
        nested = [] if first.is_query else _sources(first.inside)
        alias, position = _read_alias(tokens, position + 1)
        return nested or [Source(name="", alias=alias, start=first.start)], position
    name = ""
    while position < len(tokens):
        token = tokens[position]
        continues = not name or name.endswith((".", "-")) or token.text.startswith(".")
        if token.says(".", "-") or (continues and (token.is_name or token.kind is Kind.NUMBER)):
            name += token.text
        else:
            break
        position += 1
    if not name:  # a file in quotes, or what nobody expects here
        return [], position + 1
    is_function = position < len(tokens) and tokens[position].text == "("
    is_function |= first.says("UNNEST", "VALUES")
    alias, position = _read_alias(tokens, position + is_function)
    return [Source(name="" if is_function else name, alias=alias, start=first.start)], position


def _read_alias(tokens: Sequence[Token], position: int) -> tuple[str, int]:
    if position < len(tokens) and tokens[position].says("AS"):
        position += 1
    if position < len(tokens) and tokens[position].is_name and not tokens[position].says(*_NO_ALIAS):
        return _plain(tokens[position].text), position + 1
    return "", position


def _is_filtered(tokens: Sequence[Token], *, exists: bool) -> bool:
    where = next((index for index, token in enumerate(tokens) if token.says("WHERE")), None)
    if exists or any(token.says(*_LIMITS) for token in tokens) or _has_unknown_clause(tokens):
        return True
    if where is None:
        return False
    rest = tokens[where + 1 :]
    end = next((index for index, token in enumerate(rest) if token.says(*_AFTER_FROM)), len(rest))
    return "".join(token.text for token in rest[:end]).upper() not in _ALWAYS_TRUE


def _has_unknown_clause(tokens: Sequence[Token]) -> bool:
    for before, token in pairwise(tokens):
        after_value = before.kind is Kind.SYMBOL or before.text.upper() in _VALUE_FOLLOWS
        if token.kind is Kind.GAP and not after_value:
            return True
    return False


def _subqueries(tokens: Sequence[Token], query: Query) -> list[Select]:
    found: list[Select] = []
    for index, token in enumerate(tokens):
        if token.is_query:
            exists = index > 0 and tokens[index - 1].says("EXISTS")
            found += _read_body(token.inside, query, exists=exists)
        elif token.inside:
            found += _subqueries(token.inside, query)
    return found


def _plain(name: str) -> str:
    return name.strip("`").upper()


def _called(source: Source) -> set[str]:
    """Return the names by which a source can be meant before a dot."""
    if source.alias:
        return {source.alias}
    plain = source.name.replace("`", "").upper()
    return {plain, plain.rpartition(".")[2]}
