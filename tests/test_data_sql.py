"""BigQuery's SQL in the embedded warehouse: every construct of the allow-list answers what BigQuery answers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.data.columns import ColumnType, schema_of
from rasen.data.constructs import FUNCTIONS, labels
from rasen.data.sql import translate
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import QueryError
from stand.sql_cases import ExpressionCase, as_json, case_tables, expression_cases, query_cases

EXPRESSIONS = list(expression_cases())
QUERIES = list(query_cases())
SCHEMAS = {name: schema_of(table) for name, table in case_tables().items()}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedWarehouse:
    folder = tmp_path_factory.mktemp("warehouse")
    made = EmbeddedWarehouse(folder / "root")
    for name, table in case_tables().items():
        pq.write_table(table, folder / "table.parquet")
        made.put_table(name, folder / "table.parquet", source="test")
    return made


def run(warehouse: EmbeddedWarehouse, sql: str, parameters: dict[str, object], path: Path) -> pa.Table:
    warehouse.query_to_parquet(sql, parameters, path)
    return pq.read_table(path)


def test_expressions_have_bigquerys_types_and_values(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    good = [case for case in EXPRESSIONS if case.type is not None]
    wrong = []
    for start in range(0, len(good), 50):
        chunk = good[start : start + 50]
        items = ", ".join(f"{case.expression} AS x{place}" for place, case in enumerate(chunk))
        result = run(warehouse, f"SELECT {items} FROM one", {}, tmp_path / "result.parquet")
        types = schema_of(result)
        for place, case in enumerate(chunk):
            value = as_json(result.column(f"x{place}")[0].as_py())
            if (types[f"x{place}"], value, type(value)) != (case.type, case.value, type(case.value)):
                wrong.append(f"{case.line}: {case.expression} is {types[f'x{place}']} {value!r}")
    assert wrong == []


@pytest.mark.parametrize(
    "case",
    [case for case in EXPRESSIONS if case.type is None],
    ids=lambda case: f"{case.line}: {case.expression}"[:60],
)
def test_expressions_are_refused(case: ExpressionCase, warehouse: EmbeddedWarehouse) -> None:
    with pytest.raises(QueryError) as caught:
        warehouse.query(f"SELECT {case.expression} AS x FROM one", {})
    assert case.error in str(caught.value)


@pytest.mark.parametrize("number", range(len(QUERIES)), ids=lambda number: QUERIES[number].sql[:60])
def test_queries(number: int, warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    case = QUERIES[number]
    if case.columns is None:
        with pytest.raises(QueryError) as caught:
            warehouse.query(case.sql, case.parameters)
        assert case.error is not None
        assert case.error in str(caught.value)
        return
    result = run(warehouse, case.sql, case.parameters, tmp_path / "result.parquet")
    assert {name: str(kind) for name, kind in schema_of(result).items()} == case.columns
    assert result.column_names == list(case.columns)
    rows = [[as_json(value) for value in row.values()] for row in result.to_pylist()]
    if case.ordered:
        assert rows == case.rows
    else:
        assert sorted(rows, key=order) == sorted(case.rows, key=order)


def order(row: Sequence[object]) -> list[tuple[bool, str]]:
    return [(value is not None, str(value)) for value in row]


def test_every_construct_of_the_allow_list_has_a_case_with_a_result() -> None:
    queries = [(case.sql, case.parameters) for case in QUERIES if case.columns is not None]
    queries += [
        (f"SELECT {case.expression} AS x FROM one", {}) for case in EXPRESSIONS if case.type is not None
    ]
    used = {
        label
        for sql, parameters in queries
        for label in translate(sql, parameters, tables=SCHEMAS).constructs
    }
    assert labels() - used == set()
    assert used - labels() == set()


def test_every_class_of_the_allow_list_is_one_that_the_parser_has() -> None:
    from sqlglot import exp

    from rasen.data.sql_expressions import RULES

    assert [
        name for name in {function.node for function in FUNCTIONS} | set(RULES) if not hasattr(exp, name)
    ] == []


def test_nothing_reaches_duckdb_but_generated_text() -> None:
    evil = "x'; COPY (SELECT 1) TO 'stolen.csv'; --"
    literal = evil.replace("'", "\\'")
    translated = translate(
        f"SELECT shop AS `a\"b`, '{literal}' AS c, @p AS d FROM sales WHERE shop LIKE '{literal}'",
        {"p": evil},
        tables=SCHEMAS,
    )
    assert '"a""b"' in translated.sql
    assert "'x''; COPY (SELECT 1) TO ''stolen.csv''; --'" in translated.sql
    assert list(translated.parameters.values()) == [evil]


def test_parameters_of_every_type(warehouse: EmbeddedWarehouse) -> None:
    tokyo = timezone(timedelta(hours=9))
    parameters: dict[str, object] = {
        "yes": True,
        "whole": np.int64(7),
        "real": np.float32(0.5),
        "text": "",
        "day": date(2024, 1, 2),
        "instant": datetime(2024, 1, 2, 9, tzinfo=tokyo),
        "stamp": pd.Timestamp("2024-01-02T00:00:00Z"),
        "days": (date(2024, 1, 1), date(2024, 1, 9)),
        "stamps": [datetime(2024, 1, 8, tzinfo=UTC)],
    }
    frame = warehouse.query(
        "SELECT @yes AS yes, @whole AS whole, @real AS real, @text AS text, @day AS day, @instant AS instant, "
        "@instant = @stamp AS same, COUNTIF(day IN UNNEST(@days)) AS days, COUNTIF(at IN UNNEST(@stamps)) AS stamps "
        "FROM sales",
        parameters,
    )
    assert frame.iloc[0].tolist() == [
        True, 7, 0.5, "", pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-02", tz="UTC"), True, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime(2024, 1, 1), "a time without a zone"),  # noqa: DTZ001 - what is refused
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        ({"a": 1}, "of type dict"),
        (b"x", "of type bytes"),
        (np.datetime64("2024-01-01T00:00:00"), "a time without a zone"),
        ([1, None], "is None"),
    ],
)
def test_parameters_without_a_type_are_refused(value: object, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        translate("SELECT 1 IN UNNEST(@p) AS x", {"p": value}, tables={})


def test_an_error_names_the_line_of_the_construct() -> None:
    sql = "SELECT\n  id,\n  SUM(amount)\n    OVER (ORDER BY id),\n  ARRAY_LENGTH(shop)\nFROM sales"
    with pytest.raises(QueryError, match=r"^line 5: the function ARRAY_LENGTH is not supported"):
        translate(sql, {}, tables=SCHEMAS)


def test_deep_nesting_ends_with_a_message() -> None:
    deep = "1.5"
    for _ in range(40):
        deep = f"GREATEST({deep}, ROUND(LEAST({deep}, 2), 2))" if len(deep) < 100_000 else f"ABS({deep})"
    with pytest.raises(QueryError, match=r"nested too deeply|cannot be parsed"):
        translate(f"SELECT {deep} AS x", {}, tables={})


@settings(max_examples=20)
@given(
    st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=60),
    st.integers(1, 6),
)
def test_round_is_half_away_from_zero_of_the_exact_value(numbers: list[float], digits: int) -> None:
    from decimal import ROUND_HALF_UP, Decimal

    numbers += [number / 8 for number in range(-9, 10)] + [0.285, 1.005, 2.675, -0.285]
    expected = [
        float(Decimal(number).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))
        for number in numbers
    ]
    translated = translate(
        f"SELECT ROUND(x, {digits}) AS y FROM t", {}, tables={"t": {"x": ColumnType.FLOAT64}}
    )
    assert duckdb_column(translated.sql, numbers) == expected


@given(st.lists(st.one_of(st.none(), st.dates(date(1, 1, 8), date(9999, 12, 24))), min_size=1, max_size=20))
@settings(max_examples=10)
def test_weeks_begin_on_the_day_that_was_asked_for(days: list[date | None]) -> None:
    for number, name in enumerate(("MONDAY", "WEDNESDAY", "SUNDAY")):
        first = (0, 2, 6)[number]
        expected = [None if day is None else day - timedelta((day.weekday() - first) % 7) for day in days]
        translated = translate(
            f"SELECT DATE_TRUNC(x, WEEK({name})) AS y FROM t", {}, tables={"t": {"x": ColumnType.DATE}}
        )
        assert duckdb_column(translated.sql, days, pa.date32()) == expected


def duckdb_column(sql: str, values: Sequence[object], kind: pa.DataType | None = None) -> list[object]:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.register("t", pa.table({"x": pa.array(values, kind)}))
        return [row[0] for row in connection.execute(sql).fetchall()]
