"""Example → schema → JSON → the very frame the model was trained on."""

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.derive import derive_inputs, derive_schema
from rasen.model.frames import FrameBuilder, conform, to_columns, to_frame, to_values
from rasen.model.schema import Column, ModelSchema, Output

NUMBER = Output(kind="scalar", type=ColumnType.FLOAT64)


def one_of_each() -> pd.DataFrame:
    texts = ["2013-01-01T05:00:00Z", "2013-06-30T23:59:59.123456Z", "1969-01-01T00:00:00Z"]
    instants = pd.to_datetime(texts, format="ISO8601")
    return pd.DataFrame(
        {
            "flag": [True, False, True],
            "maybe": pd.Series([True, None, False], dtype="boolean"),
            "hour": np.array([1, 2, 3], dtype="int8"),
            "big": np.array([2**62, -(2**62), 0], dtype="int64"),
            "count": pd.Series([1, None, 3], dtype="Int64"),
            "wind": [1.5, np.nan, 3.0],
            "narrow": np.array([0.5, 1.5, 2.5], dtype="float32"),
            "extension": pd.Series([0.5, None, 2.5], dtype="Float64"),
            "origin": ["JFK", None, "Zürich \U0001f6eb"],
            "object": pd.Series(["a", None, "b"], dtype=object),
            "string": pd.Series(["a", None, "b"], dtype="string"),
            "carrier": pd.Categorical(["B", None, "A"], categories=["B", "A", "C"]),
            "size": pd.Categorical([3, 1, 3], categories=[1, 2, 3], ordered=True),
            "day": instants.normalize().tz_localize(None).as_unit("s"),
            "day_ns": instants.normalize().tz_localize(None).as_unit("ns"),
            "at": instants,
            "local": instants.tz_convert("America/New_York").as_unit("ns"),
        }
    )


def schema_of(frame: pd.DataFrame, evaluation: pd.DataFrame | None = None) -> ModelSchema:
    return derive_schema(frame, np.zeros(len(frame)), evaluation)


def test_every_dtype_comes_back_from_json_as_it_was() -> None:
    frame = one_of_each()
    schema = schema_of(frame)
    values = json.loads(json.dumps(to_values(schema, frame), allow_nan=False))
    pd.testing.assert_frame_equal(to_frame(schema, values), frame)
    pd.testing.assert_frame_equal(conform(schema, frame), frame)


def test_the_contract_types_and_nullability() -> None:
    columns = {column.name: column for column in schema_of(one_of_each()).inputs}
    assert {name: column.type.value for name, column in columns.items()} == {
        "flag": "bool",
        "maybe": "bool",
        "hour": "int64",
        "big": "int64",
        "count": "int64",
        "wind": "float64",
        "narrow": "float64",
        "extension": "float64",
        "origin": "string",
        "object": "string",
        "string": "string",
        "carrier": "string",
        "size": "int64",
        "day": "date",
        "day_ns": "date",
        "at": "timestamp",
        "local": "timestamp",
    }
    nullable = {name for name, column in columns.items() if column.nullable}
    assert nullable == {"maybe", "count", "wind", "extension", "origin", "object", "string", "carrier"}
    assert columns["carrier"].categories == ("B", "A", "C")


def test_missing_text_is_none_only_where_the_example_had_none() -> None:
    frame = to_frame(schema_of(one_of_each()), to_values(schema_of(one_of_each()), one_of_each()))
    assert frame["object"][1] is None
    assert isinstance(frame["origin"][1], float)
    assert frame["string"][1] is pd.NA


def test_one_block_of_equal_dtypes_equals_the_frame() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.5, np.nan]}).astype("float32")
    schema = schema_of(frame)
    built = FrameBuilder(schema).build(to_values(schema, frame))
    pd.testing.assert_frame_equal(built, frame)


def test_evaluation_rows_say_what_is_nullable_and_which_categories_there_are() -> None:
    example = pd.DataFrame({"origin": ["JFK"], "hour": [7], "text": ["a"], "wind": [1.0]})
    evaluation = pd.DataFrame(
        {
            "origin": ["JFK", "LGA", None, "JFK"] * 5,
            "hour": [1, 2, 3, 4] * 5,
            "text": [f"word {number}" for number in range(20)],
            "wind": [1.0, np.nan, 2.0, 3.0] * 5,
        }
    )
    origin, hour, text, wind = derive_inputs(example, evaluation)
    assert origin.nullable
    assert origin.categories == ("JFK", "LGA")
    assert not hour.nullable
    assert text.categories is None
    assert wind.nullable


def test_a_null_in_the_evaluation_asks_for_a_dtype_that_knows_null() -> None:
    (column,) = derive_inputs(
        pd.DataFrame({"n": [1]}), pd.DataFrame({"n": pd.Series([1, None], dtype="Int64")})
    )
    assert (column.nullable, column.dtype) == (True, "Int64")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1]})[[]], "no columns"),
        (pd.DataFrame({1: [1]}), "column 1 needs a name"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}), "'a'.*int, str"),
        (pd.DataFrame({"a": pd.Series([date(2013, 1, 1)], dtype=object)}), "holding date"),
        (pd.DataFrame({"a": [[1, 2]]}), "holding list"),
        (pd.DataFrame({"a": [1j]}), "complex128"),
        (pd.DataFrame({"a": np.array([1], dtype="uint64")}), "uint64.*astype"),
        (pd.DataFrame({"a": pd.to_datetime(["2013-01-01T05:00"])}), "without a time zone"),
        (pd.DataFrame({"a": pd.to_timedelta([1], unit="s")}), "timedelta"),
        (pd.DataFrame({"a": pd.Categorical([1.5])}), "categories.*float64"),
        (pd.DataFrame({"a": [np.nan]}), "only null"),
    ],
)
def test_an_example_that_no_request_can_carry_is_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        derive_inputs(frame)


def test_example_and_evaluation_of_different_types_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'a' is int64 in the example and string"):
        derive_inputs(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["1"]}))


COLUMNS = {
    "flag": Column(name="x", type=ColumnType.BOOL, dtype="bool"),
    "int": Column(name="x", type=ColumnType.INT64, dtype="int64"),
    "byte": Column(name="x", type=ColumnType.INT64, dtype="int8"),
    "float": Column(name="x", type=ColumnType.FLOAT64, dtype="float64"),
    "float32": Column(name="x", type=ColumnType.FLOAT64, dtype="float32"),
    "text": Column(name="x", type=ColumnType.STRING, dtype="str"),
    "category": Column(name="x", type=ColumnType.STRING, dtype="category", categories=("a",)),
    "day": Column(name="x", type=ColumnType.DATE, dtype="datetime64[s]"),
    "at": Column(name="x", type=ColumnType.TIMESTAMP, dtype="datetime64[us, UTC]"),
}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("flag", 1, "1 is not true or false"),
        ("flag", None, "null is not accepted"),
        ("int", 1.0, "1.0 is not a whole number"),
        ("int", True, "True is not a whole number"),
        ("int", "1", "'1' is not a whole number"),
        ("int", 2**63, "does not fit into int64"),
        ("byte", 300, "does not fit into int8"),
        ("float", "1.5", "'1.5' is not a finite number"),
        ("float", float("nan"), "nan is not a finite number"),
        ("float", float("inf"), "inf is not a finite number"),
        ("float", 10**400, "does not fit into float64"),
        ("float32", 1e300, "1e.300 is not a finite number"),
        ("text", 1, "1 is not text"),
        ("category", 1, "1 is not text"),
        ("day", "2013-02-30", "not a date like"),
        ("day", "20130101", "not a date like"),
        ("day", "2013-W01-1", "not a date like"),
        ("day", datetime(2013, 1, 1, tzinfo=UTC), "not a date like"),
        ("at", "2013-01-01T05:00:00", "not an instant like.*offset"),
        ("at", "2013-01-01", "not an instant like"),
        ("at", 1357016400, "not an instant like"),
    ],
)
def test_nothing_is_coerced(column: str, value: object, message: str) -> None:
    schema = ModelSchema(inputs=(COLUMNS[column],), output=NUMBER)
    with pytest.raises(InvalidInput, match=f"column 'x'.*{message}"):
        to_frame(schema, {"x": [value]})


def test_numbers_that_fit_without_loss_are_taken() -> None:
    schema = ModelSchema(inputs=(COLUMNS["float"],), output=NUMBER)
    assert to_frame(schema, {"x": [1, 2.5]})["x"].tolist() == [1.0, 2.5]


def test_instants_with_any_offset_and_objects_of_the_standard_library() -> None:
    schema = ModelSchema(
        inputs=(COLUMNS["at"], Column(name="day", type=ColumnType.DATE, dtype="datetime64[s]")), output=NUMBER
    )
    noon = datetime(2013, 1, 1, 12, tzinfo=UTC)
    frame = to_frame(
        schema, {"x": ["2013-01-01T13:00:00+01:00", noon], "day": ["2013-01-01", date(2013, 1, 1)]}
    )
    assert frame["x"].tolist() == [pd.Timestamp(noon)] * 2
    assert frame["day"].nunique() == 1


def test_missing_and_unknown_columns() -> None:
    inputs = (
        Column(name="a", type=ColumnType.INT64, dtype="int64"),
        Column(name="b", type=ColumnType.FLOAT64, nullable=True, dtype="float64"),
    )
    builder = FrameBuilder(ModelSchema(inputs=inputs, output=NUMBER))
    assert builder.build({"a": [1]})["b"].isna().all()
    with pytest.raises(InvalidInput, match="'a' is missing; the model takes a, b"):
        builder.build({"b": [1.0]})
    with pytest.raises(InvalidInput, match="unknown column 'c'"):
        builder.build({"a": [1], "c": [1]})
    with pytest.raises(InvalidInput, match="'b' has 1 values, others have 2"):
        builder.build({"a": [1, 2], "b": [1.0]})


def test_rows_become_columns() -> None:
    rows: list[dict[str, object]] = [{"a": 1}, {"b": 2.0, "a": 3}]
    assert to_columns(rows, ("a", "b")) == {"a": [1, 3], "b": [None, 2.0]}
    assert to_columns([{"a": 1, "z": 2}], ("a", "b")) == {"a": [1], "z": [2]}
    assert to_columns([{} for _ in range(2)], ("a",)) == {"a": [None, None]}


def test_an_unseen_category_is_missing_to_the_model() -> None:
    schema = ModelSchema(inputs=(COLUMNS["category"],), output=NUMBER)
    assert to_frame(schema, {"x": ["a", "z"]})["x"].isna().tolist() == [False, True]


def test_conform_reorders_widens_and_recodes() -> None:
    example = pd.DataFrame(
        {"c": pd.Categorical(["a", "b"]), "f": [1.0, 2.0], "day": pd.to_datetime(["2013-01-01"] * 2)}
    )
    schema = schema_of(example)
    given_rows = pd.DataFrame(
        {
            "more": [0, 0],
            "day": pd.to_datetime(["2013-01-01"] * 2).as_unit("ns"),
            "f": [1, 2],
            "c": pd.Categorical(["a", "b"], categories=["b", "a"]),
        },
        index=[7, 8],
    )
    pd.testing.assert_frame_equal(conform(schema, given_rows), example)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["1", "2"], "'n' is string; the model takes int64"),
        ([1.0, 2.0], "'n' is float64; the model takes int64"),
        (pd.Series([1, None], dtype="Int64"), "'n' holds null"),
    ],
)
def test_conform_refuses_what_a_request_could_not_carry(column: Any, message: str) -> None:
    schema = schema_of(pd.DataFrame({"n": [1, 2]}))
    with pytest.raises(InvalidInput, match=message):
        conform(schema, pd.DataFrame({"n": column}))
    with pytest.raises(InvalidInput, match="'n' is missing"):
        conform(schema, pd.DataFrame({"m": [1]}))


def test_conform_refuses_infinity() -> None:
    schema = schema_of(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(InvalidInput, match="infinity"):
        conform(schema, pd.DataFrame({"x": [float("inf")]}))


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(),
            st.dates(min_value=date(1700, 1, 1), max_value=date(2200, 1, 1)),
            st.datetimes(
                min_value=datetime(1700, 1, 1),  # noqa: DTZ001  # hypothesis wants naive bounds
                max_value=datetime(2200, 1, 1),  # noqa: DTZ001
                timezones=st.just(UTC),
            ),
        ),
        min_size=1,
    )
)
def test_what_was_sent_is_what_the_model_gets(rows: list[tuple[Any, ...]]) -> None:
    inputs = (
        Column(name="i", type=ColumnType.INT64, dtype="int64"),
        Column(name="f", type=ColumnType.FLOAT64, nullable=True, dtype="float64"),
        Column(name="s", type=ColumnType.STRING, nullable=True, dtype="str"),
        Column(name="d", type=ColumnType.DATE, dtype="datetime64[s]"),
        Column(name="t", type=ColumnType.TIMESTAMP, dtype="datetime64[us, UTC]"),
    )
    schema = ModelSchema(inputs=inputs, output=NUMBER)
    i, f, s, d, t = (list(column) for column in zip(*rows, strict=True))
    sent = {"i": i, "f": f, "s": s, "d": [day.isoformat() for day in d], "t": [at.isoformat() for at in t]}
    values = to_values(schema, to_frame(schema, sent))
    assert (values["i"], values["f"], values["s"], values["d"]) == (i, f, s, sent["d"])
    assert [datetime.fromisoformat(str(at)) for at in values["t"]] == t


def test_numbers_may_come_as_arrays() -> None:
    frame = one_of_each()
    schema = schema_of(frame)
    values: dict[str, Any] = to_values(schema, frame)
    numeric = {
        column.name: np.array(
            values[column.name], dtype=None if column.type is not ColumnType.FLOAT64 else float
        )
        for column in schema.inputs
        if column.type in (ColumnType.BOOL, ColumnType.INT64, ColumnType.FLOAT64)
        and (None not in values[column.name] or column.type is ColumnType.FLOAT64)
        and column.dtype != "category[ordered]"
    }
    assert len(numeric) >= 5
    pd.testing.assert_frame_equal(to_frame(schema, values | numeric), frame)
    listed = {name: np.array(values[name], dtype=object) for name in values}
    pd.testing.assert_frame_equal(to_frame(schema, listed), frame)


@pytest.mark.parametrize("dtypes", [{"a": "float64", "b": "float64"}, {"a": "float64", "b": "int64"}])
def test_a_frame_is_no_view_of_the_arrays_it_was_made_from(dtypes: dict[str, str]) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}).astype(dtypes)
    arrays = {name: frame[name].to_numpy().copy() for name in frame}
    for array in arrays.values():
        array.flags.writeable = False
    built = to_frame(schema_of(frame), {str(name): array for name, array in arrays.items()})
    built.loc[0, "a"] = 9.0
    built["b"].to_numpy(copy=False)
    assert arrays["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("dtype", "array", "problem"),
    [
        ("int8", np.array([1, 300]), "does not fit into int8"),
        ("int8", np.array([1.0, 2.0]), "row 0: 1.0 is not a whole number"),
        ("float32", np.array([1.0, 1e39]), "row 1: 1e+39 is not a finite number"),
        ("float64", np.array([1.0, np.nan]), "row 1: nan is not a finite number"),
        ("float64", np.array([[1.0], [2.0]]), "is not a finite number"),
        ("float64", np.array([True, False]), "row 0: True is not a finite number"),
        ("bool", np.array([0, 1]), "row 0: 0 is not true or false"),
    ],
)
def test_an_array_is_judged_as_its_list_would_be(dtype: str, array: Any, problem: str) -> None:
    frame = pd.DataFrame({"x": np.array([0, 1]).astype(dtype)})
    with pytest.raises(InvalidInput, match=re.escape(problem)):
        to_frame(schema_of(frame), {"x": array})
