"""The allow-list: every piece of BigQuery SQL that the embedded warehouse understands, and no other.

A row says what a construct takes, what it gives and how DuckDB says exactly the same. What has no row is refused,
because of 56 typical statements that both engines accept nine meant something different. Each row has a case with
the result that BigQuery gives in `tests/sql/`; a row without one fails a test.

In a template `{a}` is the first argument and `{over}` the place of an OVER clause. An argument that occurs more than
once is still computed once. DuckDB's `error()` ends the query, as BigQuery does where it has no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rasen.data.columns import ColumnType

Use = Literal["scalar", "aggregate", "window"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """One way to call a function.

    Args:
        takes: The types of the arguments.
        gives: The type of the result.
        duckdb: The template.
        finite: `False` if DuckDB may answer infinity or NaN where BigQuery stops with an error; the result is then
            checked before anything can hide it.
    """

    takes: tuple[ColumnType, ...]
    gives: ColumnType
    duckdb: str
    finite: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A function whose meaning is a template.

    Args:
        name: What BigQuery calls it.
        node: The class that sqlglot parses it into.
        arguments: The node's arguments in the order of `Signature.takes`.
        signatures: The accepted argument types; the first that fits wins.
        fixed: Arguments that sqlglot sets to tell functions of one class apart, with their values.
        use: An aggregate may have an OVER clause, a window function must.
    """

    name: str
    node: str
    arguments: tuple[str, ...]
    signatures: tuple[Signature, ...]
    fixed: Mapping[str, object]
    use: Use


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """One conversion by CAST.

    Args:
        duckdb: The template of the converted value; it may fail or answer NULL only where `valid` is false.
        valid: A template that says whether BigQuery can convert the value, or `None` if it always can.
        unsure: A template for the values of which this is not verified; SAFE_CAST ends the query on them.
    """

    duckdb: str
    valid: str | None = None
    unsure: str = "false"


def _rows(
    names: str,
    node: str,
    arguments: str,
    *signatures: tuple[str, str],
    use: Use = "scalar",
    **fixed: object,
) -> Iterator[Function]:
    """Yield a row for each name; `"float64 -> float64!"` is a signature that may answer infinity or NaN."""
    parsed = []
    for types, duckdb in signatures:
        takes, gives = types.split("->")
        parsed.append(
            Signature(
                takes=tuple(ColumnType(each) for each in takes.split()),
                gives=ColumnType(gives.strip().rstrip("!")),
                duckdb=duckdb,
                finite=not gives.endswith("!"),
            )
        )
    for name in names.split():
        yield Function(
            name=name,
            node=node,
            arguments=tuple(arguments.split()),
            signatures=tuple(parsed),
            fixed=fixed,
            use=use,
        )


def _same(duckdb: str) -> list[tuple[str, str]]:
    return [(f"{each} -> {each}", duckdb) for each in ColumnType]


# Whitespace as Unicode defines it, for RE2; DuckDB's own trim() knows the space only.
_SPACE = r"[\t-\r\x{85}\p{Z}]"
# Letters that become several, or whose other case depends on their place in the word: DuckDB maps one to one.
_SPECIAL = r"ßŉǰΐΰևİ\x{1E96}-\x{1E9E}\x{1F50}-\x{1FFF}\x{FB00}-\x{FB17}"
_CASING = (
    "CASE WHEN regexp_matches({a}, '[%s]') THEN error('%s of this text is not verified, "
    "it has a letter of special casing: ' || {a}) ELSE %s({a}) END"
)
# BigQuery normalises the characters to remove; only a combining mark could tell.
_MARKS = (
    r"CASE WHEN regexp_matches({b}, '\p{M}') THEN error('TRIM of combining marks is not verified: ' || {b}) "
    "ELSE %s END"
)
_START = "CASE WHEN {b} = 0 OR {b} < -length({a}) THEN 1 ELSE {b} END"
_PAD = (
    "CASE WHEN {b} < 0 OR {c} = '' THEN error('%s: the length is negative or the pattern empty') ELSE %s END"
)
# BigQuery rounds down; DuckDB's % keeps the sign, so the unit is added once more.
_FLOOR = "((epoch_us({a}) - ((epoch_us({a}) %% %d) + %d) %% %d) // %d)"

FUNCTIONS: tuple[Function, ...] = (
    # Numbers
    *_rows("ABS", "Abs", "this", ("int64 -> int64", "abs({a})"), ("float64 -> float64", "abs({a})")),
    *_rows(
        "SIGN",
        "Sign",
        "this",
        ("int64 -> int64", "CAST(sign({a}) AS BIGINT)"),
        ("float64 -> float64", "CAST(sign({a}) AS DOUBLE)"),
    ),
    *_rows("CEIL CEILING", "Ceil", "this", ("float64 -> float64", "ceil({a})")),
    *_rows("FLOOR", "Floor", "this", ("float64 -> float64", "floor({a})")),
    *_rows("TRUNC", "Trunc", "this", ("float64 -> float64", "trunc({a})")),
    *_rows("SQRT", "Sqrt", "this", ("float64 -> float64!", "sqrt({a})")),
    *_rows("EXP", "Exp", "this", ("float64 -> float64!", "exp({a})")),
    *_rows("LN LOG", "Ln", "this", ("float64 -> float64!", "ln({a})")),
    *_rows("LOG10", "Log", "expression", ("float64 -> float64!", "log10({a})"), this=10),
    *_rows("POW POWER", "Pow", "this expression", ("float64 float64 -> float64!", "pow({a}, {b})")),
    *_rows("SIN", "Sin", "this", ("float64 -> float64", "sin({a})")),
    *_rows("COS", "Cos", "this", ("float64 -> float64", "cos({a})")),
    *_rows("TAN", "Tan", "this", ("float64 -> float64", "tan({a})")),
    *_rows("ASIN", "Asin", "this", ("float64 -> float64!", "asin({a})")),
    *_rows("ACOS", "Acos", "this", ("float64 -> float64!", "acos({a})")),
    *_rows("ATAN", "Atan", "this", ("float64 -> float64", "atan({a})")),
    *_rows("MOD", "Mod", "this expression", ("int64 int64 -> int64", "({a} % {b})")),
    *_rows("DIV", "IntDiv", "this expression", ("int64 int64 -> int64", "({a} // {b})")),
    *_rows(
        "SAFE_DIVIDE",
        "SafeDivide",
        "this expression",
        ("float64 float64 -> float64", "CASE WHEN isfinite({a} / {b}) THEN {a} / {b} END"),
    ),
    # Text
    *_rows("LOWER", "Lower", "this", ("string -> string", _CASING % (_SPECIAL + "Σ", "LOWER", "lower"))),
    *_rows("UPPER", "Upper", "this", ("string -> string", _CASING % (_SPECIAL, "UPPER", "upper"))),
    *_rows("LENGTH", "Length", "this", ("string -> int64", "CAST(length({a}) AS BIGINT)"), binary=True),
    *_rows(
        "CHAR_LENGTH CHARACTER_LENGTH",
        "Length",
        "this",
        ("string -> int64", "CAST(length({a}) AS BIGINT)"),
    ),
    *_rows(
        "SUBSTR SUBSTRING",
        "Substring",
        "this start length",
        ("string int64 -> string", "substr({a}, " + _START + ")"),
        (
            "string int64 int64 -> string",
            "CASE WHEN {c} < 0 THEN error('SUBSTR: negative length') ELSE substr({a}, "
            + _START
            + ", {c}) END",
        ),
    ),
    *_rows(
        "TRIM",
        "Trim",
        "this expression",
        ("string -> string", "regexp_replace({a}, '^SPACE+|SPACE+$', '', 'g')".replace("SPACE", _SPACE)),
        ("string string -> string", _MARKS % "trim({a}, {b})"),
    ),
    *_rows(
        "LTRIM",
        "Trim",
        "this expression",
        ("string -> string", "regexp_replace({a}, '^SPACE+', '')".replace("SPACE", _SPACE)),
        ("string string -> string", _MARKS % "ltrim({a}, {b})"),
        position="LEADING",
    ),
    *_rows(
        "RTRIM",
        "Trim",
        "this expression",
        ("string -> string", "regexp_replace({a}, 'SPACE+$', '')".replace("SPACE", _SPACE)),
        ("string string -> string", _MARKS % "rtrim({a}, {b})"),
        position="TRAILING",
    ),
    *_rows(
        "REPLACE",
        "Replace",
        "this expression replacement",
        ("string string string -> string", "replace({a}, {b}, {c})"),
    ),
    *_rows(
        "STARTS_WITH", "StartsWith", "this expression", ("string string -> bool", "starts_with({a}, {b})")
    ),
    *_rows("ENDS_WITH", "EndsWith", "this expression", ("string string -> bool", "ends_with({a}, {b})")),
    *_rows(
        "STRPOS", "StrPosition", "this substr", ("string string -> int64", "CAST(strpos({a}, {b}) AS BIGINT)")
    ),
    *_rows(
        "LEFT",
        "Left",
        "this expression",
        (
            "string int64 -> string",
            "CASE WHEN {b} < 0 THEN error('LEFT: negative length') ELSE left({a}, {b}) END",
        ),
    ),
    *_rows(
        "RIGHT",
        "Right",
        "this expression",
        (
            "string int64 -> string",
            "CASE WHEN {b} < 0 THEN error('RIGHT: negative length') ELSE right({a}, {b}) END",
        ),
    ),
    *_rows(
        "LPAD",
        "Pad",
        "this expression fill_pattern",
        ("string int64 string -> string", _PAD % ("LPAD", "lpad({a}, CAST({b} AS INTEGER), {c})")),
        is_left=True,
    ),
    *_rows(
        "RPAD",
        "Pad",
        "this expression fill_pattern",
        ("string int64 string -> string", _PAD % ("RPAD", "rpad({a}, CAST({b} AS INTEGER), {c})")),
        is_left=False,
    ),
    # Dates and times
    *_rows(
        "DATE", "DateFromParts", "year month day", ("int64 int64 int64 -> date", "make_date({a}, {b}, {c})")
    ),
    *_rows("UNIX_DATE", "UnixDate", "this", ("date -> int64", "CAST({a} - DATE '1970-01-01' AS BIGINT)")),
    *_rows(
        "DATE_FROM_UNIX_DATE",
        "DateFromUnixDate",
        "this",
        ("int64 -> date", "(DATE '1970-01-01' + CAST({a} AS INTEGER))"),
    ),
    *_rows("UNIX_SECONDS", "UnixSeconds", "this", ("timestamp -> int64", _FLOOR % ((1_000_000,) * 4))),
    *_rows("UNIX_MILLIS", "UnixMillis", "this", ("timestamp -> int64", _FLOOR % ((1_000,) * 4))),
    *_rows("UNIX_MICROS", "UnixMicros", "this", ("timestamp -> int64", "epoch_us({a})")),
    *_rows(
        "TIMESTAMP_SECONDS",
        "UnixToTime",
        "this",
        ("int64 -> timestamp", "make_timestamptz({a} * CAST(1000000 AS BIGINT))"),
    ),
    *_rows(
        "TIMESTAMP_MILLIS",
        "UnixToTime",
        "this",
        ("int64 -> timestamp", "make_timestamptz({a} * CAST(1000 AS BIGINT))"),
        scale=3,
    ),
    *_rows(
        "TIMESTAMP_MICROS", "UnixToTime", "this", ("int64 -> timestamp", "make_timestamptz({a})"), scale=6
    ),
    # Aggregates
    *_rows(
        "COUNTIF",
        "CountIf",
        "this",
        ("bool -> int64", "count(CASE WHEN {a} THEN 1 END){over}"),
        use="aggregate",
    ),
    *_rows(
        "SUM",
        "Sum",
        "this",
        ("int64 -> int64", "CAST(sum({a}){over} AS BIGINT)"),
        ("float64 -> float64!", "sum({a}){over}"),
        use="aggregate",
    ),
    *_rows(
        "AVG",
        "Avg",
        "this",
        ("int64 -> float64", "avg({a}){over}"),
        ("float64 -> float64!", "avg({a}){over}"),
        use="aggregate",
    ),
    *_rows("MIN", "Min", "this", *_same("min({a}){over}"), use="aggregate"),
    *_rows("MAX", "Max", "this", *_same("max({a}){over}"), use="aggregate"),
    *_rows("STDDEV", "Stddev", "this", ("float64 -> float64!", "stddev_samp({a}){over}"), use="aggregate"),
    *_rows(
        "STDDEV_SAMP",
        "StddevSamp",
        "this",
        ("float64 -> float64!", "stddev_samp({a}){over}"),
        use="aggregate",
    ),
    *_rows(
        "STDDEV_POP", "StddevPop", "this", ("float64 -> float64!", "stddev_pop({a}){over}"), use="aggregate"
    ),
    *_rows(
        "VARIANCE VAR_SAMP",
        "Variance",
        "this",
        ("float64 -> float64!", "var_samp({a}){over}"),
        use="aggregate",
    ),
    *_rows("VAR_POP", "VariancePop", "this", ("float64 -> float64!", "var_pop({a}){over}"), use="aggregate"),
    *_rows("LOGICAL_AND", "LogicalAnd", "this", ("bool -> bool", "bool_and({a}){over}"), use="aggregate"),
    *_rows("LOGICAL_OR", "LogicalOr", "this", ("bool -> bool", "bool_or({a}){over}"), use="aggregate"),
    # Numbering
    *_rows("ROW_NUMBER", "RowNumber", "", (" -> int64", "row_number(){over}"), use="window"),
    *_rows("RANK", "Rank", "", (" -> int64", "rank(){over}"), use="window"),
    *_rows("DENSE_RANK", "DenseRank", "", (" -> int64", "dense_rank(){over}"), use="window"),
    *_rows("PERCENT_RANK", "PercentRank", "", (" -> float64", "percent_rank(){over}"), use="window"),
    *_rows("CUME_DIST", "CumeDist", "", (" -> float64", "cume_dist(){over}"), use="window"),
)

_B, _I, _F, _S, _D, _T = ColumnType
_NUMBER = r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *"
_DAY = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_INSTANT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}(:[0-9]{2})?)?"
)

CASTS: Mapping[tuple[ColumnType, ColumnType], Cast] = {
    **{(each, each): Cast(duckdb="{a}") for each in ColumnType},
    (_B, _I): Cast(duckdb="CAST({a} AS BIGINT)"),
    (_B, _S): Cast(duckdb="CAST({a} AS VARCHAR)"),
    (_I, _B): Cast(duckdb="({a} <> 0)"),
    (_I, _F): Cast(duckdb="CAST({a} AS DOUBLE)"),
    (_I, _S): Cast(duckdb="CAST({a} AS VARCHAR)"),
    # Half away from zero; DuckDB's own cast rounds half to even.
    (_F, _I): Cast(
        duckdb="TRY_CAST(round({a}) AS BIGINT)",
        valid="TRY_CAST(round({a}) AS BIGINT) IS NOT NULL",
    ),
    (_S, _B): Cast(duckdb="(lower({a}) = 'true')", valid="lower({a}) IN ('true', 'false')"),
    (_S, _I): Cast(
        duckdb="TRY_CAST(trim({a}) AS BIGINT)",
        valid="regexp_full_match({a}, ' *[+-]?[0-9]+ *') AND TRY_CAST(trim({a}) AS BIGINT) IS NOT NULL",
        unsure=r"regexp_matches({a}, '^\s*[+-]?(0[xX]|[0-9]+\s*$)') AND NOT regexp_full_match({a}, ' *[+-]?[0-9]+ *')",
    ),
    (_S, _F): Cast(
        duckdb="TRY_CAST(trim({a}) AS DOUBLE)",
        valid=f"regexp_full_match({{a}}, '{_NUMBER}') AND isfinite(TRY_CAST(trim({{a}}) AS DOUBLE))",
        unsure=r"regexp_matches({a}, '(?i)^\s*[+-]?([0-9.]|inf|nan)')",
    ),
    (_S, _D): Cast(
        duckdb="TRY_CAST({a} AS DATE)",
        valid=f"regexp_full_match({{a}}, '{_DAY}') AND TRY_CAST({{a}} AS DATE) IS NOT NULL",
        unsure=rf"regexp_matches({{a}}, '^\s*[0-9]') AND NOT regexp_full_match({{a}}, '{_DAY}')",
    ),
    (_S, _T): Cast(
        duckdb="TRY_CAST({a} AS TIMESTAMPTZ)",
        valid=f"regexp_full_match({{a}}, '{_INSTANT}|{_DAY}') AND TRY_CAST({{a}} AS TIMESTAMPTZ) IS NOT NULL",
        unsure=rf"regexp_matches({{a}}, '^\s*[0-9]') AND NOT regexp_full_match({{a}}, '{_INSTANT}|{_DAY}')",
    ),
    (_D, _S): Cast(duckdb="CAST({a} AS VARCHAR)"),
    (_D, _T): Cast(duckdb="CAST({a} AS TIMESTAMPTZ)"),
    (_T, _D): Cast(duckdb="CAST({a} AS DATE)"),
}
"""What CAST and SAFE_CAST convert. FLOAT64 and TIMESTAMP to STRING are written differently by the two engines."""

FORMS: tuple[str, ...] = (
    # Values
    "literal bool",
    "literal int64",
    "literal float64",
    "literal string",
    "literal raw string",
    "literal null",
    "literal date",
    "literal timestamp",
    "parameter",
    "parameter list",
    "column",
    "parentheses",
    # Operators
    "+",
    "-",
    "*",
    "/",
    "negative",
    "date + int64",
    "date - int64",
    "||",
    "= != < <= > >=",
    "AND OR NOT",
    "IS NULL",
    "IS TRUE",
    "IS DISTINCT FROM",
    "BETWEEN",
    "LIKE",
    "IN list",
    "IN UNNEST",
    "IN subquery",
    "EXISTS",
    "scalar subquery",
    # Conditions
    "CASE",
    "CASE value",
    "IF",
    "COALESCE",
    "IFNULL",
    "NULLIF",
    "GREATEST",
    "LEAST",
    # Functions with rules of their own
    "CAST",
    "SAFE_CAST",
    "CONCAT",
    "ROUND",
    "ROUND digits",
    "REGEXP_CONTAINS",
    "REGEXP_EXTRACT",
    "DATE(timestamp)",
    "DATE(timestamp, zone)",
    "TIMESTAMP(date)",
    "DATE_ADD DATE_SUB",
    "TIMESTAMP_ADD TIMESTAMP_SUB",
    "DATE_DIFF",
    "TIMESTAMP_DIFF",
    "DATE_TRUNC",
    "TIMESTAMP_TRUNC",
    "EXTRACT(date)",
    "EXTRACT(timestamp)",
    "EXTRACT AT TIME ZONE",
    "LAST_DAY",
    "FORMAT_DATE",
    # Aggregates and windows
    "COUNT(*)",
    "COUNT",
    "COUNT DISTINCT",
    "OVER",
    "WINDOW",
    "PARTITION BY",
    "window ORDER BY",
    "ROWS frame",
    "RANGE frame",
    "LAG LEAD",
    "FIRST_VALUE LAST_VALUE",
    "IGNORE NULLS",
    "NTILE",
    "PERCENTILE_CONT",
    # Queries
    "SELECT",
    "SELECT *",
    "SELECT * EXCEPT",
    "SELECT DISTINCT",
    "WITH",
    "FROM table",
    "FROM subquery",
    "FROM UNNEST list",
    "GENERATE_ARRAY",
    "GENERATE_DATE_ARRAY",
    "GENERATE_TIMESTAMP_ARRAY",
    "INNER JOIN",
    "LEFT JOIN",
    "RIGHT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "JOIN USING",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "QUALIFY",
    "ORDER BY",
    "NULLS FIRST LAST",
    "LIMIT",
    "OFFSET",
    "UNION ALL",
    "UNION DISTINCT",
    "EXCEPT DISTINCT",
    "INTERSECT DISTINCT",
)
"""Constructs whose rules are code: `sql_expressions.py`, `sql_windows.py`, `sql_dates.py` and `sql_queries.py`."""

FORM_NAMES = frozenset(
    [
        "IF",
        "COALESCE",
        "IFNULL",
        "NULLIF",
        "GREATEST",
        "LEAST",
        "CAST",
        "SAFE_CAST",
        "CONCAT",
        "ROUND",
        "REGEXP_CONTAINS",
        "REGEXP_EXTRACT",
        "DATE",
        "TIMESTAMP",
        "DATE_ADD",
        "DATE_SUB",
        "TIMESTAMP_ADD",
        "TIMESTAMP_SUB",
        "DATE_DIFF",
        "TIMESTAMP_DIFF",
        "DATE_TRUNC",
        "TIMESTAMP_TRUNC",
        "EXTRACT",
        "LAST_DAY",
        "FORMAT_DATE",
        "COUNT",
        "LAG",
        "LEAD",
        "FIRST_VALUE",
        "LAST_VALUE",
        "NTILE",
        "PERCENTILE_CONT",
        "UNNEST",
        "GENERATE_ARRAY",
        "GENERATE_DATE_ARRAY",
        "GENERATE_TIMESTAMP_ARRAY",
        "WEEK",
    ]
)
"""What may stand before a parenthesis besides the names of `FUNCTIONS`."""

INSTEAD: Mapping[str, str] = {
    "ANY_VALUE": "its answer is not determined; use MIN or MAX",
    "APPROX_COUNT_DISTINCT": "use COUNT(DISTINCT x)",
    "APPROX_QUANTILES": "use PERCENTILE_CONT(x, 0.5) OVER (...)",
    "ARRAY_AGG": "arrays are not supported; use ROW_NUMBER() OVER (...) with QUALIFY",
    "CONTAINS_SUBSTR": "use STRPOS(LOWER(x), 'text') > 0",
    "CURRENT_DATE": "time comes in only as a parameter: @until",
    "CURRENT_DATETIME": "time comes in only as a parameter: @until",
    "CURRENT_TIMESTAMP": "time comes in only as a parameter: @until",
    "DATEADD": "use DATE_ADD(date, INTERVAL 1 DAY)",
    "DATEDIFF": "use DATE_DIFF(later, earlier, DAY)",
    "DATETIME": "use TIMESTAMP, which is UTC, or DATE",
    "DATE_PART": "use EXTRACT(part FROM x)",
    "FARM_FINGERPRINT": "split by a column of the data, a date for instance",
    "FORMAT": "use CONCAT and LPAD, or format in pandas",
    "FORMAT_TIMESTAMP": "use FORMAT_DATE of DATE(timestamp), or format in pandas",
    "INSTR": "use STRPOS",
    "ISNULL": "use x IS NULL",
    "LEN": "use LENGTH",
    "MAX_BY": "use ROW_NUMBER() OVER (...) with QUALIFY",
    "MEDIAN": "use PERCENTILE_CONT(x, 0.5) OVER (...)",
    "MIN_BY": "use ROW_NUMBER() OVER (...) with QUALIFY",
    "NOW": "time comes in only as a parameter: @until",
    "NVL": "use IFNULL",
    "PARSE_DATE": "use CAST(text AS DATE) for text like 2013-01-31",
    "PARSE_TIMESTAMP": "use CAST(text AS TIMESTAMP) for text like 2013-01-31 10:00:00",
    "PERCENTILE_DISC": "use PERCENTILE_CONT(x, 0.5) OVER (...)",
    "RAND": "its answer is not determined; sample in pandas with a seed",
    "STRING_AGG": "join the texts in pandas",
    "TODAY": "time comes in only as a parameter: @until",
}
"""What to use instead of constructs that are refused."""


def labels() -> frozenset[str]:
    """Return the name of every row, as `Translated.constructs` reports what a query used."""
    functions = {label_of(function, signature) for function in FUNCTIONS for signature in function.signatures}
    casts = {f"CAST({source} AS {target})" for source, target in CASTS}
    return frozenset(functions | casts | set(FORMS))


def label_of(function: Function, signature: Signature) -> str:
    """Return the name of a function's row: `SUM(int64)`."""
    return f"{function.name}({', '.join(signature.takes)})"
