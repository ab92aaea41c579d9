"""What is remembered of a table: exact, small, finite, and readable by the next run."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.data.statistics import MOST_CATEGORIES, ColumnStatistics, TableStatistics, describe
from rasen.errors import InvalidInput


def only(values: object, dtype: str | None = None) -> ColumnStatistics:
    """Return the statistics of a column of its own."""
    return describe(pd.DataFrame({"x": pd.Series(values, dtype=dtype)})).columns["x"]


def test_numbers_have_a_range_a_mean_and_quantiles() -> None:
    hours = only([*range(101), None], "Int64")

    assert hours == ColumnStatistics(
        type=ColumnType.INT64,
        nulls=1,
        min=0,
        max=100,
        mean=50.0,
        quantiles={"p01": 1.0, "p50": 50.0, "p99": 99.0},
    )
    assert isinstance(hours.min, int)
    assert only([None, *np.arange(101) / 2], "float64") == ColumnStatistics(
        type=ColumnType.FLOAT64,
        nulls=1,
        min=0.0,
        max=50.0,
        mean=25.0,
        quantiles={"p01": 0.5, "p50": 25.0, "p99": 49.5},
    )


def test_a_bool_has_the_share_of_true() -> None:
    assert only([True, True, False, True]) == ColumnStatistics(type=ColumnType.BOOL, nulls=0, mean=0.75)


def test_text_has_its_categories_with_their_counts_unless_there_are_many() -> None:
    assert only(["JFK", "EWR", None, "JFK"]).categories == {"EWR": 1, "JFK": 2}
    assert len(only([f"N{number}" for number in range(MOST_CATEGORIES)]).categories or ()) == MOST_CATEGORIES
    assert only([f"N{number}" for number in range(MOST_CATEGORIES + 1)]).categories is None
    assert only(["a long comment " * 20]).categories is None


def test_days_that_follow_one_another_are_stale_as_soon_as_the_last_is_gone() -> None:
    days = only(list(pd.date_range("2013-01-01", "2013-06-30")) * 3, "datetime64[s]")

    assert (days.oldest, days.moved_after) == ("2013-01-01", "2013-01-01")
    assert (days.newest, days.stale_before) == ("2013-06-30", "2013-06-30")


def test_scattered_instants_may_lose_their_twenty_newest_and_oldest_rows() -> None:
    since = pd.Timestamp("2013-01-01", tz="UTC")
    minutes = np.random.default_rng(0).permutation(np.arange(1000) ** 2)
    seen = only(since + pd.to_timedelta(minutes, "min"), "datetime64[us, UTC]")

    assert [seen.oldest, seen.moved_after, seen.stale_before, seen.newest] == [
        (since + pd.Timedelta(number**2, "min")).isoformat() for number in (0, 19, 980, 999)
    ]


@pytest.mark.parametrize(
    "dtype", ["str", "float64", "Int64", "boolean", "datetime64[s]", "datetime64[us, UTC]"]
)
@pytest.mark.parametrize("rows", [0, 3])
def test_a_column_without_values_has_only_its_type(dtype: str, rows: int) -> None:
    empty = only([None] * rows, dtype)

    assert empty.nulls == rows
    assert empty.model_dump(exclude={"type", "nulls", "categories"}, exclude_none=True) == {}


@given(
    st.lists(st.floats(allow_infinity=False)),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.lists(st.datetimes(timezones=st.just(pd.Timestamp(0, tz="UTC").tz))),
)
def test_statistics_are_json_and_come_back_equal(
    numbers: list[float], integers: list[int], texts: list[str], instants: list[object]
) -> None:
    columns = {
        "numbers": pd.Series(numbers, dtype="float64"),
        "integers": pd.Series(integers, dtype="Int64"),
        "texts": pd.Series(texts, dtype="str"),
        "instants": pd.Series(instants, dtype="datetime64[us, UTC]"),
    }
    statistics = describe(pd.DataFrame(columns))

    text = json.dumps(statistics.to_dict(), allow_nan=False)

    assert TableStatistics.from_dict(json.loads(text)) == statistics


def test_the_mean_of_numbers_beyond_the_range_is_left_out() -> None:
    assert only([1.7e308, 1.7e308]).mean is None


def test_an_unknown_format_is_refused_and_an_unknown_field_is_not() -> None:
    data = describe(pd.DataFrame({"x": [1]})).to_dict()

    assert TableStatistics.from_dict({**data, "later": 1}).rows == 1
    with pytest.raises(InvalidInput, match="format: Input should be 1, not 2"):
        TableStatistics.from_dict({**data, "format": 2})
    with pytest.raises(InvalidInput, match="rows: Field required"):
        TableStatistics.from_dict({})


def test_a_column_of_several_types_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="column 'x' has dtype 'object'"):
        only([1, "one"])
