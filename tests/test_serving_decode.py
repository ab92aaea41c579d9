"""The fast and the slow way of reading a request: they agree, and what they refuse they refuse by path."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.frames import FrameBuilder
from rasen.model.judge import MOST_PROBLEMS, judge
from rasen.model.request_errors import InvalidRows, MalformedBody, TooManyRows
from rasen.model.schema import Column, ModelSchema, Output
from rasen_serving.decode import Columns, NotFast, RequestDecoder

SCHEMA = ModelSchema(
    inputs=(
        Column(name="origin", type=ColumnType.STRING, dtype="str", nullable=True),
        Column(name="a:b", type=ColumnType.STRING, dtype="object"),
        Column(name="hour", type=ColumnType.INT64, dtype="int64"),
        Column(name="seats", type=ColumnType.INT64, dtype="Int64", nullable=True),
        Column(name="delay", type=ColumnType.FLOAT64, dtype="float64", nullable=True),
        Column(name="late", type=ColumnType.BOOL, dtype="bool"),
        Column(name="day", type=ColumnType.DATE, dtype="datetime64[s]"),
        Column(name="at", type=ColumnType.TIMESTAMP, dtype="datetime64[us, UTC]", nullable=True),
    ),
    output=Output(kind="scalar", type=ColumnType.FLOAT64),
)
GOOD: dict[str, Any] = {
    "origin": "JFK",
    "a:b": "x:y",
    "hour": 7,
    "seats": None,
    "delay": 1.5,
    "late": False,
    "day": "2013-01-31",
    "at": "2013-01-31T06:00:00Z",
}
DECODER = RequestDecoder(SCHEMA)
BUILDER = FrameBuilder(SCHEMA)

Verdict = tuple[str, Any]


def read_fast(body: bytes) -> Verdict:
    """What the fast way says: the columns, or that it is not its business."""
    try:
        columns = DECODER.decode(body)
        BUILDER.build(columns)
    except (NotFast, InvalidInput):
        return "not fast", None
    return "columns", plain(columns)


def read_slow(body: bytes) -> Verdict:
    """What the slow way says."""
    try:
        columns = judge(SCHEMA, body, max_rows=1000)
    except (InvalidRows, MalformedBody, TooManyRows) as error:
        return "refused", error
    BUILDER.build(columns)
    return "columns", plain(columns)


def plain(columns: Columns) -> dict[str, list[object]]:
    return {name: list(values) for name, values in columns.items()}


def problems(document: object) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(InvalidRows) as caught:
        judge(SCHEMA, json.dumps(document).encode(), max_rows=1000)
    return {field.path: field.problem for field in caught.value.fields}


def malformed(body: bytes) -> str:
    verdict, error = read_slow(body)
    assert verdict == "refused"
    assert isinstance(error, MalformedBody)
    assert read_fast(body)[0] == "not fast"
    return str(error)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["2013-01-31", "2013-02-30", "2013-01-31T06:00:00Z", "2013-01-31T06:00:00", "a:b"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
ROWS = st.builds(
    lambda changes, without: {name: value for name, value in (GOOD | changes).items() if name not in without},
    st.dictionaries(st.sampled_from([*GOOD, "extra"]), VALUES, max_size=3),
    st.sets(st.sampled_from([*GOOD]), max_size=2),
)
BODIES = st.one_of(
    st.lists(ROWS, max_size=4).map(lambda rows: {"rows": rows}),
    st.dictionaries(st.sampled_from([*GOOD, "extra"]), st.lists(VALUES, max_size=3), max_size=9).map(
        lambda columns: {"columns": columns}
    ),
    st.integers(1, 4).map(lambda count: {"columns": {name: [value] * count for name, value in GOOD.items()}}),
    st.dictionaries(st.sampled_from(["rows", "columns", "row"]), st.lists(ROWS, max_size=2), max_size=2),
)


@given(document=BODIES, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_the_two_ways_agree(document: object, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    fast, slow = read_fast(body), read_slow(body)
    if fast[0] == "columns":
        assert slow == fast
    if slow[0] == "columns" and b"\\u003" not in body:
        assert fast == slow


@given(document=BODIES, position=st.floats(0, 1), junk=st.binary(max_size=3), cut=st.integers(0, 3))
def test_they_agree_about_damaged_bodies(document: object, position: float, junk: bytes, cut: int) -> None:
    body = json.dumps(document).encode()
    at = int(position * len(body))
    damaged = body[:at] + junk + body[at + cut :]
    fast, slow = read_fast(damaged), read_slow(damaged)
    if fast[0] == "columns":
        assert slow == fast


@given(row=ROWS, key=st.sampled_from([*GOOD]), value=VALUES)
def test_a_duplicate_key_is_never_accepted(row: dict[str, Any], key: str, value: object) -> None:
    text = json.dumps(row | {key: "x:"})
    body = f'{{"rows":[{text[:-1]},{json.dumps(key)}:{json.dumps(value)}}}]}}'.encode()
    assert read_fast(body)[0] == "not fast"
    assert "twice" in malformed(body)


def test_an_escaped_colon_cannot_hide_a_duplicate_key() -> None:
    row = json.dumps(GOOD | {"a:b": "PLACE"}).replace('"PLACE"', r'"x\u003ay"')
    body = f'{{"rows":[{row[:-1]},"hour":8}}]}}'.encode()
    assert "twice" in malformed(body)


def test_a_good_request_takes_the_fast_way_in_both_forms() -> None:
    rows = read_fast(json.dumps({"rows": [GOOD, GOOD]}).encode())
    columns = read_fast(json.dumps({"columns": {name: [value] * 2 for name, value in GOOD.items()}}).encode())
    assert rows[0] == "columns"
    assert rows == columns
    assert list(rows[1]) == list(SCHEMA.names)


def test_nullable_columns_may_be_left_out() -> None:
    short = {name: value for name, value in GOOD.items() if name not in ("origin", "seats", "delay", "at")}
    for document in ({"rows": [short]}, {"columns": {name: [value] for name, value in short.items()}}):
        verdict, columns = read_fast(json.dumps(document).encode())
        assert verdict == "columns"
        assert columns["delay"] == [None]


def test_every_bad_field_is_named() -> None:
    bad = {
        "origin": 5,
        "hour": 7.0,
        "seats": True,
        "delay": "1.5",
        "late": 0,
        "day": "2013-02-30",
        "at": "2013-01-31T06:00:00",
        "gate": 1,
    }
    found = problems({"rows": [GOOD, bad, 3]})
    assert {path[1:] for path in found} == {
        *((1, name) for name in bad),
        (1, "a:b"),
        (2,),
    }
    assert found["rows", 1, "a:b"] == "missing"
    assert found["rows", 1, "gate"].startswith("unknown field")
    assert found["rows", 1, "hour"] == "7.0 is not a whole number"
    assert "2013-02-30" in found["rows", 1, "day"]
    assert "offset from UTC" in found["rows", 1, "at"]


def test_columns_are_judged_by_their_place() -> None:
    columns: dict[str, Any] = {name: [value, value, value] for name, value in GOOD.items()}
    columns |= {"hour": [7, "8", 9], "late": [True], "delay": 3, "day": ["2013-01-31", None, "2013-01-31"]}
    found = problems({"columns": columns})
    assert set(found) == {
        ("columns", "hour", 1),
        ("columns", "late"),
        ("columns", "delay"),
        ("columns", "day", 1),
    }
    assert found["columns", "day", 1] == "null is not accepted"


def test_a_number_too_large_for_a_double_is_a_bad_field() -> None:
    body = json.dumps({"rows": [GOOD | {"delay": 0}]}).replace('"delay": 0', '"delay": 1e400').encode()
    verdict, error = read_slow(body)
    assert verdict == "refused"
    assert [field.path for field in error.fields] == [("rows", 0, "delay")]
    assert read_fast(body)[0] == "not fast"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ()),
        ("rows", ()),
        ({}, ("rows",)),
        ({"rows": []}, ("rows",)),
        ({"rows": None}, ("rows",)),
        ({"rows": [], "columns": {}}, ("columns",)),
        ({"columns": {}}, ("columns",)),
        ({"instances": [GOOD]}, ("instances",)),
    ],
)
def test_another_shape_is_refused_by_path(document: object, path: tuple[str, ...]) -> None:
    assert path in problems(document)
    assert read_fast(json.dumps(document).encode())[0] == "not fast"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "not JSON"),
        (b'{"rows":[]} x', "not JSON"),
        (b"{'rows':[]}", "not JSON"),
        (b'\xef\xbb\xbf{"rows":[]}', "not JSON"),
        (b'{"rows":[{"hour":NaN}]}', "NaN"),
        (b'{"rows":[{"hour":-Infinity}]}', "-Infinity"),
        (b'{"rows":[{"origin":"\xff"}]}', "UTF-8"),
        (b'{"rows":[{"origin":"\\ud800"}]}', "surrogate"),
        (b'{"rows":' + b"[" * 100_000, "nested"),
        (b'{"rows":[{"hour":' + b"[" * 100_000, "nested"),
        (b'{"a":' * 50_000, "nested"),
        (b'{"rows":[{"hour":' + b"1" * 5000 + b"}]}", "digits"),
        (b'{"rows":[],"rows":[]}', "twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_json_is_said_so(body: bytes, said: str) -> None:
    assert said in malformed(body)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    body = json.dumps({"rows": [GOOD | {"origin": "🛫"}]}).encode()
    assert b"\\ud83d" in body
    assert read_fast(body) == read_slow(body)
    assert read_fast(body)[0] == "columns"


def test_too_many_rows_are_refused_before_they_are_looked_at() -> None:
    documents: list[object] = [{"rows": [{}] * 11}, {"columns": {"hour": ["x"] * 11}}]
    for document in documents:
        with pytest.raises(TooManyRows, match="11 rows"):
            judge(SCHEMA, json.dumps(document).encode(), max_rows=10)


def test_so_many_problems_are_named_and_no_more() -> None:
    found = problems({"rows": [{"hour": "x"}] * 1000})
    assert len(found) == MOST_PROBLEMS


def test_a_value_that_the_models_dtype_cannot_hold_is_a_bad_field() -> None:
    schema = ModelSchema(
        inputs=(Column(name="small", type=ColumnType.INT64, dtype="int8"),), output=SCHEMA.output
    )
    with pytest.raises(InvalidRows) as caught:
        judge(schema, b'{"rows":[{"small":1},{"small":300}]}', max_rows=10)
    assert [field.path for field in caught.value.fields] == [("rows", 1, "small")]
    assert "int8" in caught.value.fields[0].problem
