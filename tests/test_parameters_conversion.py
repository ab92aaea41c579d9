"""Values are converted strictly: what has a type keeps it, what was typed is read by the annotation."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import ParameterError
from rasen.parameter_conversion import Clock, convert_text, convert_value
from rasen.parameter_types import parse_annotation
from rasen.parameters import Parameter, convert, convert_typed, parse_assignments
from rasen.scheduled_time import resolve_scheduled

TOKYO = ZoneInfo("Asia/Tokyo")
NEW_YORK = ZoneInfo("America/New_York")
CLOCK = Clock(
    scheduled_at=datetime(2013, 7, 1, 19, 10, tzinfo=UTC), timezone=TOKYO
)  # 04:10 on the 2nd, in Tokyo


def parameter(annotation: str) -> Parameter:
    return Parameter(name="x", annotation=annotation, default=None)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("int", 10**400, 10**400),
        ("float", 3, 3.0),
        ("float", -0.5, -0.5),
        ("str", "007", "007"),
        ("str", "", ""),
        ("date", date(2013, 6, 1), "2013-06-01"),
        ("datetime", datetime(2013, 6, 1, 4, 10, tzinfo=UTC), "2013-06-01T04:10:00+00:00"),
        ("datetime", "2013-06-01 04:10", "2013-06-01T04:10:00"),
        ("list[date]", ("2013-06-01",), ["2013-06-01"]),
        ("int | None", None, None),
        ("Literal[True, 1]", True, True),
    ],
)
def test_values_that_fit_are_json(annotation: str, value: object, expected: object) -> None:
    converted = convert(parameter(annotation), value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("int", True),
        ("int", 1.0),
        ("int", "1"),
        ("int", None),
        pytest.param("int", 10**5000, id="int-huge"),
        ("float", "1.5"),
        ("float", True),
        ("float", float("nan")),
        ("float", float("inf")),
        ("float", 2**53 + 1),
        ("float", 10**400),
        ("bool", 0),
        ("bool", "true"),
        ("str", 7),
        ("str", "\ud800"),
        ("date", datetime(2013, 6, 1, tzinfo=UTC)),
        ("date", "20130601"),
        ("date", "2013-6-1"),
        ("datetime", "yesterday"),
        ("datetime", date(2013, 6, 1)),
        ("Literal['a']", "b"),
        ("list[int]", "[1]"),
        ("list[int]", {"a": 1}),
        ("list[float]", [1.0, float("nan")]),
        ("list[int]", [10**5000]),
        ("list[int]", [[10**5000]]),
    ],
)
def test_values_that_do_not_fit_are_refused(annotation: str, value: object) -> None:
    with pytest.raises(ParameterError, match="parameter 'x': "):
        convert(parameter(annotation), value)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        ("int", "-7", -7),
        ("float", "1e-3", 0.001),
        ("float", "7", 7.0),
        ("bool", "true", True),
        ("bool", "False", False),
        ("str", "007", "007"),
        ("str", "true", "true"),
        ("str", "null", "null"),
        ("str | None", "null", None),
        ("str", "a=b", "a=b"),
        ("date", "2013-06-01", "2013-06-01"),
        ("Literal[1, 2]", "2", 2),
        ("Literal['1', '2']", "2", "2"),
        ("Literal[True]", "true", True),
        ("list[int]", "[1, 2]", [1, 2]),
        ("list[str] | None", '["JFK"]', ["JFK"]),
        ("date", "@scheduled-1d", "2013-07-01"),
    ],
)
def test_typed_texts_are_read_by_the_annotation(annotation: str, text: str, expected: object) -> None:
    converted = convert_typed(parameter(annotation), text, clock=CLOCK)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        ("int", "007", "'007' is a str, it must be an int"),
        ("int", "1_000", "'1_000' is a str, it must be an int"),
        ("int", "1.0", "it must be an int"),
        ("int", "9" * 5000, "it must be an int"),
        ("int", "\u0663", "it must be an int"),
        ("float", "nan", "it must be a float"),
        ("float", "1e999", "inf is not a number"),
        ("bool", "1", r"it must be a bool \(true or false\)"),
        ("bool", "yes", "it must be a bool"),
        ("date", "June", "is not a date such as"),
        ("Literal['a', 'b']", "c", "'c' is not one of 'a', 'b'"),
        ("list[int]", "1,2", r"write it as JSON in quotes"),
        ("list[int]", "[1, true]", "item 1: True is a bool"),
        ("list[float]", "[NaN]", "item 0: nan is not a number"),
    ],
)
def test_typed_texts_that_do_not_fit_are_refused(annotation: str, text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        convert_typed(parameter(annotation), text)


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    assert parse_assignments(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("assignments", [["a"], ["=1"], ["a=1", "a=2"]])
def test_malformed_assignments_are_refused(assignments: list[str]) -> None:
    with pytest.raises(ParameterError, match="-p"):
        parse_assignments(assignments)


@pytest.mark.parametrize(
    ("annotation", "expression", "expected"),
    [
        ("date", "@scheduled", "2013-07-02"),
        ("date", "@scheduled-180d", "2013-01-03"),
        ("date", "@scheduled+2w", "2013-07-16"),
        ("date", "@scheduled-5h", "2013-07-01"),
        ("datetime", "@scheduled+2h", "2013-07-02T06:10:00+09:00"),
        ("str", "@scheduled-10m", "2013-07-02T04:00:00+09:00"),
        ("date | None", "@scheduled", "2013-07-02"),
        ("list[date]", ["@scheduled-1d", "2013-01-01"], ["2013-07-01", "2013-01-01"]),
    ],
)
def test_scheduled_is_the_instant_in_the_time_zone_cast_to_the_annotation(
    annotation: str, expression: object, expected: object
) -> None:
    assert convert(parameter(annotation), expression, clock=CLOCK) == expected


@pytest.mark.parametrize(
    ("annotation", "expression", "message"),
    [
        ("date", "@scheduled-180", "is not '@scheduled' or one offset"),
        ("date", "@scheduled - 1d", "is not '@scheduled' or one offset"),
        ("date", "@scheduled-1d+2h", "is not '@scheduled' or one offset"),
        ("str", "@scheduledly", "is not '@scheduled' or one offset"),
        ("date", "@schedule", "nor '@scheduled' or one offset"),
        ("date", "@scheduled-999999w", "lies outside the calendar"),
        ("int", "@scheduled", "is a time and cannot become an int"),
    ],
)
def test_other_forms_of_scheduled_are_refused(annotation: str, expression: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        convert(parameter(annotation), expression, clock=CLOCK)


def test_scheduled_without_a_run_is_refused() -> None:
    with pytest.raises(ParameterError, match="here is no run"):
        convert(parameter("date"), "@scheduled")


def test_days_are_calendar_days_and_hours_are_elapsed_when_clocks_change() -> None:
    # Clocks in New York went forward on 10 March 2013 at 02:00.
    after = datetime(2013, 3, 10, 12, tzinfo=NEW_YORK)
    day = resolve_scheduled("@scheduled-1d", scheduled_at=after, timezone=NEW_YORK)
    hours = resolve_scheduled("@scheduled-24h", scheduled_at=after, timezone=NEW_YORK)
    assert day.isoformat() == "2013-03-09T12:00:00-05:00"
    assert hours.isoformat() == "2013-03-09T11:00:00-05:00"


def test_a_clock_time_that_does_not_exist_becomes_one_that_does() -> None:
    after = datetime(2013, 3, 11, 2, 30, tzinfo=NEW_YORK)
    moved = resolve_scheduled("@scheduled-1d", scheduled_at=after, timezone=NEW_YORK)
    assert moved.isoformat() == "2013-03-10T03:30:00-04:00"


ANNOTATIONS = st.sampled_from(
    ["int", "float", "bool", "str", "date", "datetime", "Literal['a', 1]", "list[int]", "list[str] | None"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(annotation=ANNOTATIONS, value=VALUES)
def test_conversion_never_fails_otherwise_and_is_idempotent(annotation: str, value: object) -> None:
    kind = parse_annotation(annotation)
    try:
        once = convert_value(kind, value, clock=CLOCK)
    except ValueError:
        return
    assert convert_value(kind, once, clock=CLOCK) == once


@given(annotation=ANNOTATIONS, text=st.text())
def test_typed_texts_never_fail_otherwise_and_are_json(annotation: str, text: str) -> None:
    kind = parse_annotation(annotation)
    try:
        converted = convert_text(kind, text, clock=CLOCK)
    except ValueError:
        return
    assert convert_value(kind, converted, clock=CLOCK) == converted
