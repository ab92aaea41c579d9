"""Queries: read by a small tokenizer that must agree with sqlglot, found wherever a notebook keeps them."""

from __future__ import annotations

import json

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import expressions as exp

from rasen_lint import check_notebook
from rasen_lint.rules import RULES
from rasen_lint.sql import looks_like_query, read_queries
from rasen_lint.sql_tokens import GAP

SQL_RULES = [RULES["NB401"], RULES["NB402"]]


def findings(*cells: str) -> list[tuple[str, int | None, int | None, int | None]]:
    content = [{"cell_type": "code", "metadata": {}, "source": cell, "outputs": []} for cell in cells]
    data = json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": content}).encode()
    checked = check_notebook(data, name="n.ipynb", rules=SQL_RULES)
    assert checked.faults == ()
    return [(each.code, each.cell, each.line, each.column) for each in checked.findings]


def judge(text: str) -> tuple[int, int]:
    """Return how many stars of tables a text has, and how many of its statements read a whole table."""
    queries = list(read_queries(text))
    return sum(len(query.stars_of_tables()) for query in queries), sum(
        query.whole_table() is not None for query in queries
    )


@pytest.mark.parametrize(
    ("sql", "stars", "whole"),
    [
        ("SELECT * FROM t", 1, 1),
        ("select *\nfrom t -- where", 1, 1),
        ("SELECT COUNT(*), a * b FROM t WHERE day > 1", 0, 0),
        ("SELECT DISTINCT * FROM t LIMIT 3", 1, 0),
        ("SELECT AS STRUCT * FROM t LIMIT 3", 1, 0),
        ("SELECT * EXCEPT (a) REPLACE (1 AS b) FROM t LIMIT 3", 1, 0),
        ("SELECT a, t.* FROM d.t WHERE a", 1, 0),
        ("SELECT u.* FROM t JOIN (SELECT a FROM s) AS u USING (a) WHERE a", 0, 0),
        ("SELECT t.* FROM t JOIN (SELECT a FROM s) AS u USING (a) WHERE a", 1, 0),
        ("SELECT * FROM (SELECT a FROM t) WHERE a > 1", 0, 0),
        ("SELECT * FROM (SELECT a FROM t)", 0, 1),
        ("WITH x AS (SELECT a FROM t) SELECT * FROM x", 0, 1),
        ("WITH x AS (SELECT * FROM t) SELECT a FROM x WHERE a", 1, 0),
        ("WITH x AS (SELECT a FROM t), y AS (SELECT a FROM x) SELECT a FROM y LIMIT 1", 0, 0),
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", 0, 0),
        ("SELECT a FROM t UNION ALL SELECT a FROM s WHERE a", 0, 1),
        ("SELECT a FROM t UNION ALL SELECT a FROM s ORDER BY a LIMIT 3", 0, 0),
        ("SELECT a FROM t EXCEPT DISTINCT SELECT * FROM s", 1, 1),
        ("(SELECT * FROM t WHERE a) UNION DISTINCT (SELECT a FROM s WHERE a)", 1, 0),
        ("SELECT a FROM t WHERE TRUE", 0, 1),
        ("SELECT a FROM t WHERE 1 = 1 AND day > 3", 0, 0),
        ("SELECT a FROM t HAVING a > 3", 0, 1),
        ("SELECT a FROM t TABLESAMPLE SYSTEM (1 PERCENT)", 0, 0),
        ("SELECT EXISTS (SELECT * FROM t) AS any_row", 0, 0),
        ("SELECT a FROM s WHERE EXISTS (SELECT * FROM t)", 0, 0),
        ("SELECT a IS DISTINCT FROM b, EXTRACT(DAY FROM d) FROM t WHERE a", 0, 0),
        ("SELECT * FROM UNNEST([1, 2]) AS x", 0, 0),
        ("SELECT a FROM t, UNNEST(t.items) AS item", 0, 1),
        ("SELECT * FROM d.INFORMATION_SCHEMA.COLUMNS", 0, 0),
        ("SELECT * FROM `p.d.INFORMATION_SCHEMA.TABLES`", 0, 0),
        ("SELECT * FROM my-project.d.t_2013 WHERE a", 1, 0),
        ("SELECT * FROM read_parquet('x.parquet')", 0, 0),
        ("SELECT * FROM 'x.parquet'", 0, 0),
        ("SELECT a FROM ML.PREDICT(MODEL d.m, (SELECT * FROM t WHERE a))", 1, 0),
        ("SELECT '* FROM t; --', \"it's\", r'\\', '''a'b''' FROM t WHERE a", 0, 0),
        ("SELECT 1; SELECT * FROM t WHERE a; SELECT a FROM t", 1, 1),
        ("CREATE TABLE x AS SELECT * FROM t WHERE a", 1, 0),
        ("INSERT INTO x (a) SELECT a FROM t", 0, 1),
        ("MERGE x USING (SELECT * FROM t WHERE a) AS y ON x.a = y.a WHEN MATCHED THEN DELETE", 1, 0),
        ("DELETE FROM t WHERE a", 0, 0),
        ("SHOW TABLES", 0, 0),
        (f"SELECT {GAP} FROM t WHERE a", 0, 0),
        (f"SELECT * FROM {GAP}", 1, 1),
        (f"SELECT * FROM `{GAP}.{GAP}` WHERE a", 1, 0),
        (f"SELECT a FROM t {GAP}", 0, 0),
        (f"SELECT a FROM t GROUP BY {GAP}", 0, 1),
        (f"SELECT a FROM t ORDER BY a {GAP}", 0, 0),
        ("SELECT", 0, 0),
        ("SELECT * FROM", 0, 0),
        ("SELECT " + "(SELECT " * 500, 0, 0),
        (") ; ( ' `", 0, 0),
    ],
)
def test_stars_and_whole_tables(sql: str, stars: int, whole: int) -> None:
    assert judge(sql) == (stars, whole)


NAMES = st.sampled_from(["t", "u", "d.t", "`p.d.t`", "x", "y"])
COLUMNS = st.lists(
    st.sampled_from(["*", "a", "COUNT(*) AS n", "a * 2 AS b", "t.*", "'*' AS s"]), min_size=1, max_size=3
)
FILTERS = st.sampled_from(
    ["", "", " WHERE a > 1", " LIMIT 5", " WHERE a IN (1, 2) LIMIT 3", " ORDER BY a", " GROUP BY a"]
)


def _select(columns: list[str], source: str, rest: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {source}{rest}"


SELECTS = st.recursive(
    st.builds(_select, COLUMNS, NAMES, FILTERS),
    lambda inner: st.one_of(
        st.builds(
            lambda query, columns, rest: _select(columns, f"({query}) AS t", rest), inner, COLUMNS, FILTERS
        ),
        st.builds(lambda query, rest: f"WITH x AS ({query}) SELECT * FROM x{rest}", inner, FILTERS),
        st.builds(lambda query, name: f"SELECT a FROM {name} WHERE a IN ({query})", inner, NAMES),
        st.builds(lambda one, two: f"({one}) UNION ALL ({two})", inner, inner),
    ),
    max_leaves=4,
)


def _stars_by_sqlglot(sql: str) -> int:
    """Count the same with a real parser: stars in the list of a SELECT that reads a table of the warehouse."""
    tree = sqlglot.parse_one(sql, read="bigquery")
    count = 0
    for select in tree.find_all(exp.Select):
        named = {cte.alias for cte in tree.find_all(exp.CTE)}
        source = select.args["from_"].this if "from_" in select.args else select.args["from"].this
        is_table = isinstance(source, exp.Table) and not (source.name in named and not source.db)
        called = source.alias_or_name
        for column in select.expressions:
            if isinstance(column, exp.Star):
                count += is_table
            elif isinstance(column, exp.Column) and isinstance(column.this, exp.Star):
                count += is_table and column.table == called
    return count


@given(SELECTS)
def test_stars_are_those_that_sqlglot_finds(sql: str) -> None:
    assert judge(sql)[0] == _stars_by_sqlglot(sql)


@given(st.text(alphabet=f"SELECTFROMWH \n*(),.;'\"`-/#a{GAP}", max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    judge(f"SELECT {text} FROM t {text}")
    looks_like_query(text)


@pytest.mark.parametrize(
    "cells",
    [
        ('print("SELECT * FROM t")',),
        ('"""SELECT * FROM t"""',),
        ('title = "Select * from the menu"',),
        ('df.query("a > 3")',),
        ('menu.query("select the best from all")\n'.replace("query", "choose"),),
        ('q = "SELECT a FROM t"\nrun(q + " WHERE day > 1")',),
        ('q = "SELECT a FROM t"\nif x:\n    q += " WHERE day > 1"\nrun(q)',),
        ('q = "SELECT a FROM t {}"\nrun(q.format(where))',),
        ('run(f"SELECT * FROM t")',),
        ('client.query(" ".join(["SELECT a FROM t", where]))',),
        ('client.query("SELECT a FROM t " + where)',),
        ('client.query("SELECT a FROM t %s" % where)',),
        ('client.query("SELECT a FROM t {where}".format(where=where))',),
        ('client.query(query.replace("x", "y"))',),
        ("client.query(None)",),
        ("%%sql result <<\nSELECT a FROM t {{ where }}",),
        ("import duckdb\nframe = 1\nduckdb.sql('SELECT * FROM frame')",),
        ("%%bash\nbq query 'SELECT * FROM t'",),
    ],
)
def test_what_is_no_query_or_may_be_right_is_left_alone(cells: tuple[str, ...]) -> None:
    assert findings(*cells) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (('pd.read_sql("SELECT * FROM t LIMIT 3", con)',), [("NB401", 0, 1, 21)]),
        (('client.query(query="SELECT * FROM t LIMIT 3")',), [("NB401", 0, 1, 28)]),
        (('Q = """\nSELECT *\nFROM t\nLIMIT 3"""\nrun(Q)', "run(Q)"), [("NB401", 0, 2, 8)]),
        (('q = "select * from t limit 3"', "client.query(q)", "client.query(q)"), [("NB401", 0, 1, 13)]),
        (('q = "SELECT * FROM t"', 'client.query(q + " LIMIT 3")'), [("NB401", 1, 1, None)]),
        (('q = f"SELECT a FROM {t}"\nclient.query(q)',), [("NB402", 0, 1, 21)]),
        (('read_gbq("SELECT a "\n         "FROM t")',), [("NB402", 0, 1, None)]),
        (('con.execute(text("SELECT a FROM t"))',), [("NB402", 0, 1, 33)]),
        (('def f():\n    sql = "SELECT a FROM t"\n    return read_sql(sql)',), [("NB402", 0, 2, 26)]),
        (('client.query("\\n".join(["SELECT a", "FROM t"]))',), [("NB402", 0, 1, 43)]),
        (('client.query("SELECT a FROM {}".format(t))',), [("NB402", 0, 1, 29)]),
        (("%%bigquery x\nSELECT a\nFROM t",), [("NB402", 0, 3, 6)]),
        (("x = 1\n%sql SELECT a FROM t",), [("NB402", 0, 2, 20)]),
        (('client.query("SELECT * FROM t")',), [("NB401", 0, 1, 22), ("NB402", 0, 1, 29)]),
        (
            ('q = "SELECT * FROM t"\nq = "SELECT a FROM t"',),
            [("NB401", 0, 1, 13), ("NB402", 0, 1, 20), ("NB402", 0, 2, 20)],
        ),
    ],
)
def test_queries_are_found_where_notebooks_keep_them(
    cells: tuple[str, ...], expected: list[tuple[str, int, int, int | None]]
) -> None:
    assert findings(*cells) == expected


def test_texts_that_double_without_end_or_name_themselves_are_given_up() -> None:
    doubled = "\n".join(f"q{number + 1} = q{number} + q{number}" for number in range(200))
    assert (
        findings(
            f'q0 = "SELECT a FROM t "\n{doubled}\nclient.query(q200 + "")', "a = b + a\nb = a + b\nrun(a)"
        )
        == []
    )
