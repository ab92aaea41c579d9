"""What an analyst states with pandera: everything that fails is listed, and what holds comes back."""

import pandas as pd
import pandera.pandas as pa
import pytest

from rasen.data.checks import check
from rasen.errors import InvalidInput, ValidationFailed

FLIGHTS = pd.DataFrame(
    {
        "origin": ["JFK", "EWR", "XXX", None],
        "hour": [7, 25, 31, 8],
        "delay": [1.0, 2.0, None, 4.0],
    }
)


class Flights(pa.DataFrameModel):
    """The same schema in pandera's other form."""

    origin: str = pa.Field(isin=["JFK", "EWR", "LGA"])
    hour: int = pa.Field(ge=0, le=23)


SCHEMA = pa.DataFrameSchema(
    {
        "origin": pa.Column(str, pa.Check.isin(["JFK", "EWR", "LGA"])),
        "hour": pa.Column(int, [pa.Check.ge(0), pa.Check.le(23)]),
    }
)


@pytest.mark.parametrize("schema", [Flights, SCHEMA])
def test_every_failing_check_is_listed_with_its_column_rows_and_values(schema: object) -> None:
    with pytest.raises(ValidationFailed) as failure:
        check(FLIGHTS, schema)

    assert str(failure.value).splitlines() == [
        "the table is not what the schema states, in 3 points:",
        "  column 'origin', check not_nullable fails in 1 of 4 rows: nan",
        "  column 'origin', check isin(['JFK', 'EWR', 'LGA']) fails in 1 of 4 rows: 'XXX'",
        "  column 'hour', check less_than_or_equal_to(23) fails in 2 of 4 rows: 25, 31",
    ]
    assert failure.value.exit_code == 44


def test_five_values_are_shown_and_long_ones_are_cut() -> None:
    frame = pd.DataFrame({"note": [f"{number}" + "x" * 200 for number in range(1200)]})

    with pytest.raises(ValidationFailed, match="1,200 of 1,200 rows") as failure:
        check(frame, pa.DataFrameSchema({"note": pa.Column(str, pa.Check.str_length(max_value=9))}))

    assert str(failure.value).count("xxxx, ") == 5
    assert str(failure.value).endswith("…")
    assert len(str(failure.value)) < 700


def test_a_table_that_holds_comes_back_with_the_dtypes_that_the_schema_gives_it() -> None:
    good = FLIGHTS[:1]
    coercing = pa.DataFrameSchema({"hour": pa.Column(float, coerce=True)})

    pd.testing.assert_frame_equal(check(good, SCHEMA), good)
    assert check(good, coercing)["hour"].dtype == "float64"
    assert good["hour"].dtype == "int64"


def test_missing_and_unknown_columns_are_named() -> None:
    schema = pa.DataFrameSchema({"hour": pa.Column(int), "carrier": pa.Column(str)}, strict=True)

    with pytest.raises(ValidationFailed) as failure:
        check(FLIGHTS, schema)

    assert "\n  column that the schema does not know: 'origin', 'delay'\n" in str(failure.value)
    assert "\n  missing column: 'carrier'" in str(failure.value)


def test_a_check_of_the_whole_table_counts_each_row_once() -> None:
    late = pa.DataFrameSchema(checks=pa.Check(lambda frame: frame["hour"] < 25, name="late"))

    with pytest.raises(ValidationFailed, match=r"in 1 point:\n  check late fails in 2 of 4 rows: .*hour=25"):
        check(FLIGHTS, late)


def test_rows_are_counted_although_their_labels_repeat() -> None:
    twice = pd.concat([FLIGHTS, FLIGHTS])

    with pytest.raises(ValidationFailed, match="fails in 4 of 8 rows: 25, 31"):
        check(twice, SCHEMA)
    with pytest.raises(ValidationFailed, match="multiple_fields_uniqueness fails in 8 of 8 rows"):
        check(twice, pa.DataFrameSchema(unique=["origin", "hour"]))
    pd.testing.assert_frame_equal(check(twice, pa.DataFrameSchema({"hour": pa.Column(int)})), twice)


def test_a_check_that_raises_is_a_failure_with_its_reason() -> None:
    schema = pa.DataFrameSchema({"hour": pa.Column(int, pa.Check(lambda hour: hour.nonsense(), name="odd"))})

    with pytest.raises(ValidationFailed, match=r"check odd.*AttributeError"):
        check(FLIGHTS, schema)


@pytest.mark.parametrize("schema", [{"hour": int}, "hour", pa.SeriesSchema(int), int, None])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    with pytest.raises(InvalidInput, match="a DataFrameSchema or a class derived from DataFrameModel"):
        check(FLIGHTS, schema)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the first is Series"):
        check(FLIGHTS["hour"], SCHEMA)  # type: ignore[arg-type]  # the fault
