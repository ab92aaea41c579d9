"""The six column types: what becomes one of them, and what is refused by name."""

import decimal
from datetime import date, datetime, time, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import (
    ColumnType,
    arrow_type,
    frame_from_table,
    normalise_table,
    schema_of,
    table_from_frame,
)
from rasen.errors import InvalidInput


def normalised(array: pa.Array) -> pa.ChunkedArray:
    return normalise_table(pa.table({"x": array}), origin="the test").column("x")


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([True, None]), ColumnType.BOOL, [True, None]),
        (pa.array([1, None], pa.int8()), ColumnType.INT64, [1, None]),
        (pa.array([2**32 - 1], pa.uint32()), ColumnType.INT64, [2**32 - 1]),
        (pa.array([2**62], pa.uint64()), ColumnType.INT64, [2**62]),
        (pa.array([0.5, None], pa.float32()), ColumnType.FLOAT64, [0.5, None]),
        (pa.array([float("nan"), 1.0]), ColumnType.FLOAT64, [None, 1.0]),
        (pa.array(["a", None], pa.large_string()), ColumnType.STRING, ["a", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ColumnType.STRING, ["a", None, "a"]),
        (pa.array([None, None]), ColumnType.STRING, [None, None]),
        (pa.array([date(2024, 1, 2)], pa.date64()), ColumnType.DATE, [date(2024, 1, 2)]),
        (
            pa.array([date(2024, 1, 2), None]).cast(pa.timestamp("ns")),
            ColumnType.DATE,
            [date(2024, 1, 2), None],
        ),
    ],
)
def test_what_becomes_one_of_the_types(array: pa.Array, kind: ColumnType, values: list[object]) -> None:
    column = normalised(array)
    assert column.type == arrow_type(kind)
    assert column.to_pylist() == values


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([2**63], pa.uint64()), "beyond the range of int64"),
        (pa.array([float("inf"), 1.0]), "1 of 2 values are infinite"),
        (pa.array([datetime(2024, 1, 2, 3)]), "times without a time zone"),  # noqa: DTZ001
        (pa.array([1], pa.timestamp("ns", tz="UTC")), "fractions of a microsecond"),
        (pa.array([decimal.Decimal("1.5")]), r"'decimal128\(2, 1\)' is not supported"),
        (pa.array([time(1, 2)]), "'time64"),
        (pa.array([timedelta(1)]), "'duration"),
        (pa.array([b"x"]), "'binary' is not supported"),
        (pa.array([[1]]), "'list<"),
        (pa.array([{"a": 1}]), "'struct<"),
    ],
)
def test_what_is_refused_by_name(array: pa.Array, message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^the test, column 'x': .*{message}"):
        normalised(array)


def test_names_are_distinct_for_sql_too() -> None:
    with pytest.raises(InvalidInput, match="the column name 'X' occurs twice"):
        normalise_table(pa.table({"x": [1], "X": [2]}), origin="the test")
    with pytest.raises(InvalidInput, match="column 2 has no name"):
        normalise_table(pa.table({"x": [1], "": [2]}), origin="the test")


def test_a_table_survives_the_way_through_pandas() -> None:
    tokyo = timezone(timedelta(hours=9))
    table = pa.table(
        {
            "b": pa.array([True, None], pa.bool_()),
            "i": pa.array([2**63 - 1, None], pa.int64()),
            "f": pa.array([0.1, None], pa.float64()),
            "s": pa.array(["", None], pa.string()),
            "d": pa.array([date(1, 1, 1), None], pa.date32()),
            "t": pa.array([datetime(9999, 1, 1, tzinfo=tokyo), None], arrow_type(ColumnType.TIMESTAMP)),
        }
    )
    frame = frame_from_table(table)
    assert table_from_frame(frame, origin="the test").equals(table)
    assert list(schema_of(table).values()) == list(ColumnType)


def test_pandas_dtypes_of_the_same_meaning_are_brought_to_one() -> None:
    frame = pd.DataFrame(
        {
            "i": np.array([1, 2], dtype="int16"),
            "f": np.array([0.5, np.nan], dtype="float32"),
            "c": pd.Categorical(["a", "b"]),
            "o": pd.Series(["a", None], dtype=object),
            "d": pd.Series([date(2024, 1, 1), None], dtype=object),
            "n": pd.to_datetime(["2024-01-01", "2024-01-02"]).as_unit("ns"),
            "z": pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Asia/Tokyo"),
        }
    ).set_index(pd.Index([5, 6]))
    kinds = [str(kind) for kind in schema_of(table_from_frame(frame, origin="the test")).values()]
    assert kinds == ["int64", "float64", "string", "string", "date", "date", "timestamp"]
    with pytest.raises(InvalidInput, match="the column name 7 is no text"):
        table_from_frame(pd.DataFrame({7: [1]}), origin="the test")
    with pytest.raises(InvalidInput, match="column 'x' has dtype 'object' and is none of"):
        table_from_frame(pd.DataFrame({"x": pd.Series(["a", 1], dtype=object)}), origin="the test")


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_whole_numbers_stay_exact_beside_null(values: list[int | None]) -> None:
    frame = frame_from_table(pa.table({"x": pa.array(values, pa.int64())}))
    assert [None if value is pd.NA else int(value) for value in frame["x"]] == values
