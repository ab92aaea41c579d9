"""What is wrong with a table is named with its numbers; what chance or a moving window does to it is not."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.data.anomalies import Anomaly, check_accept, compare, format_anomalies
from rasen.data.statistics import TableStatistics, describe
from rasen.errors import InvalidInput

DAYS = 180


def flights(rows: int = 4000, *, seed: int = 0, since: str = "2013-01-01", days: int = DAYS) -> pd.DataFrame:
    """Return departures spread evenly by chance over some days, sorted by time."""
    random = np.random.default_rng(seed)
    first = pd.Timestamp(since, tz="UTC")
    minutes = np.sort(random.integers(0, days * 1440, rows))
    at = first + pd.to_timedelta(minutes, "min")
    epoch = int((first - pd.Timestamp("2013-01-01", tz="UTC")) / pd.Timedelta("1min"))
    return pd.DataFrame(
        {
            "at": at.astype("datetime64[us, UTC]"),
            "day": at.tz_localize(None).normalize().astype("datetime64[s]"),
            "origin": random.choice(["JFK", "EWR", "LGA"], rows),
            "hour": random.integers(5, 24, rows),
            "delay": np.where(np.arange(rows) % 50 == 3, np.nan, random.standard_t(3, rows) * 20),
            "serial": (epoch + minutes) * 3 + random.integers(0, 3, rows),
            "diverted": random.random(rows) < 0.01,
        }
    )


def anomalies(
    frame: pd.DataFrame,
    last: pd.DataFrame | TableStatistics,
    *,
    parameters_changed: bool = False,
    accept: tuple[str, ...] = (),
) -> list[Anomaly]:
    """Compare two tables."""
    statistics = last if isinstance(last, TableStatistics) else describe(last)
    return compare(frame, describe(frame), statistics, parameters_changed=parameters_changed, accept=accept)


def names(
    frame: pd.DataFrame, last: pd.DataFrame | TableStatistics, *, parameters_changed: bool = False
) -> list[str]:
    """Return the words that would accept each anomaly."""
    return [each.accept for each in anomalies(frame, last, parameters_changed=parameters_changed)]


LAST = flights()


# --- what must not alarm


VALUES = {
    "bool": st.booleans(),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_infinity=False),
    "str": st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "datetime64[s]": st.dates(),
}


@given(st.data(), st.integers(0, 30), st.booleans())
def test_a_table_never_differs_from_itself(data: st.DataObject, rows: int, parameters_changed: bool) -> None:
    frame = pd.DataFrame(
        {
            dtype: pd.Series(
                data.draw(
                    st.lists(values if dtype == "bool" else st.none() | values, min_size=rows, max_size=rows)
                ),
                dtype=dtype,
            )
            for dtype, values in VALUES.items()
        }
    )

    assert names(frame, frame, parameters_changed=parameters_changed) == []


@settings(max_examples=60, derandomize=True)  # chance may speak against a table once in thousands
@given(st.integers(0, 2**32), st.integers(40, 3000), st.floats(0.6, 1.7), st.booleans())
def test_another_draw_from_the_same_distribution_does_not_alarm(
    seed: int, rows: int, growth: float, parameters_changed: bool
) -> None:
    now = flights(int(rows * growth), seed=seed + 1)

    assert names(now, flights(rows, seed=seed), parameters_changed=parameters_changed) == []


@settings(max_examples=40, derandomize=True)
@given(st.integers(0, 2**31), st.floats(0.55, 1.0))
def test_a_random_part_of_a_table_does_not_alarm(seed: int, share: float) -> None:
    assert names(LAST.sample(frac=share, random_state=seed), LAST) == []


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_window_of_a_scheduled_query_moves_on(days: int) -> None:
    since = pd.Timestamp("2013-01-01") + pd.Timedelta(days, "D")

    assert names(flights(seed=1, since=str(since)), LAST, parameters_changed=True) == []


@pytest.mark.parametrize("parameters_changed", [True, False])
def test_parts_of_a_date_go_on_with_it(parameters_changed: bool) -> None:
    def with_parts(frame: pd.DataFrame) -> pd.DataFrame:
        local = frame["at"].dt.tz_convert("America/New_York").dt
        return frame[["at", "origin"]].assign(
            year=local.year, month=local.month, day_of_year=local.day_of_year
        )

    last = with_parts(flights(since="2013-11-20", days=30))
    now = with_parts(flights(seed=1, since="2013-12-10", days=30))

    assert names(now, last, parameters_changed=parameters_changed) == []
    bad = now.assign(month=now["month"].where(np.arange(len(now)) % 30 > 0, 99))
    assert names(bad, last.assign(month=now["month"]), parameters_changed=parameters_changed) == [
        "month: outside range"
    ]


def test_a_later_window_may_be_a_little_warmer_but_not_in_another_unit() -> None:
    celsius = pd.DataFrame({"temperature": np.linspace(-10, 20, 2000)})

    assert names(celsius + 2, celsius, parameters_changed=True) == []
    assert names(celsius + 2, celsius) == ["temperature: outside range"]
    assert names(celsius * 1.8 + 32, celsius, parameters_changed=True) == ["temperature: outside range"]


def test_numbers_at_the_ends_of_their_types_are_compared() -> None:
    last = pd.DataFrame({"id": [-(2**63), 2**63 - 2] * 500, "size": [-1.7e308, 1.6e308] * 500})
    now = pd.DataFrame({"id": [-(2**63), 2**63 - 1] * 500, "size": [-1.7e308, 1.7e308] * 500})

    assert names(now, last) == ["id: outside range", "size: outside range"]
    assert names(now, last, parameters_changed=True) == []


def test_a_table_that_grows_goes_beyond_the_range_of_its_serial_numbers() -> None:
    assert names(flights(5000, seed=1, days=225), LAST) == []


@pytest.mark.parametrize("days", [20, 1800])
def test_a_window_of_another_length_was_meant(days: int) -> None:
    now = flights(4000 * days // DAYS, seed=1, days=days)

    assert names(now, LAST, parameters_changed=True) == []
    assert "rows: fewer" in names(now, LAST) or "rows: more" in names(now, LAST)


def test_without_a_time_column_other_parameters_allow_for_ten_times_the_rows() -> None:
    columns = ["origin", "hour"]
    last = LAST[columns]

    assert names(flights(900, seed=1)[columns], last, parameters_changed=True) == []
    assert names(flights(900, seed=1)[columns], last) == ["rows: fewer"]
    assert names(flights(300, seed=1)[columns], last, parameters_changed=True) == ["rows: fewer"]


def test_a_window_that_was_moved_back_is_not_stale() -> None:
    now = flights(seed=1, since="2012-09-01")

    assert names(now, LAST, parameters_changed=True) == []
    assert names(now, LAST) == ["at: older", "day: older", "serial: outside range"]


def test_a_column_of_nulls_that_fills_up_is_no_anomaly() -> None:
    now = LAST.assign(note="ok", gate=1)
    last = LAST.assign(note=None, gate=pd.Series(pd.NA, index=LAST.index, dtype="Int64"))

    assert names(now, last) == []


def test_rare_texts_come_and_go() -> None:
    common = ["JFK"] * 500
    last = pd.DataFrame({"origin": [*common, "ACK", "BGR", "BHB", "CAK"]})

    assert names(pd.DataFrame({"origin": [*common, "CHO", "EYW", "HDN"]}), last) == []
    assert names(pd.DataFrame({"origin": [*common, *["CHO"] * 50]}), last) == ["origin: new categories"]


def test_a_run_without_rows_is_no_yardstick_for_values() -> None:
    assert names(LAST, LAST[:0]) == []


# --- what must alarm, with the words of the message


def missing_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="delay")


def new_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(gate="A1")


def other_type(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(hour=frame["hour"].astype("str"))


def more_nulls(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(delay=frame["delay"].where(np.arange(len(frame)) % 10 > 0))


def other_unit(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(hour=frame["hour"].where(np.arange(len(frame)) % 40 > 0, 99))


def new_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(origin=frame["origin"].where(np.arange(len(frame)) != 7, "ISP"))


def fewer_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(1500, random_state=0)


def more_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame] * 3, ignore_index=True)


def no_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[:0]


def lost_days(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["at"] <= "2013-06-25 09:30"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            missing_column,
            {"delay: missing": "the column is missing; the last good run had it as float64"},
        ),
        (
            new_column,
            {"gate: added": "the column, of type string, is new since the last good run"},
        ),
        (
            other_type,
            {"hour: type changed": "the type is string, in the last good run it was int64"},
        ),
        (
            more_nulls,
            {"delay: more nulls": "480 of 4,000 rows (12 %) are NULL, in the last good run 2 % were"},
        ),
        (
            other_unit,
            {
                "hour: outside range": "100 of 4,000 rows (2.5 %) lie outside the last good run's range "
                "from 5 to 23; now from 5 to 99"
            },
        ),
        (
            new_text,
            {
                "origin: new categories": "1 of 4,000 rows (0.025 %) hold what the last good run did not know: "
                "'ISP' (1)"
            },
        ),
        (
            fewer_rows,
            {"rows: fewer": "there are 1,500 rows, in the last good run there were 4,000"},
        ),
        (
            more_rows,
            {"rows: more": "there are 12,000 rows, in the last good run there were 4,000"},
        ),
        (
            no_rows,
            {"rows: fewer": "there are 0 rows, in the last good run there were 4,000"},
        ),
        (
            lost_days,
            {
                "at: older": "the newest value is {newest}, in the last good run it was {last}",
                "day: older": "the newest value is 2013-06-25, in the last good run it was 2013-06-29",
            },
        ),
    ],
)
def test_each_anomaly_has_its_name_and_its_numbers(
    change: Callable[[pd.DataFrame], pd.DataFrame], expected: dict[str, str]
) -> None:
    now = change(LAST)

    found = anomalies(now, LAST)

    ends = {"newest": describe(now).columns["at"].newest, "last": describe(LAST).columns["at"].newest}
    assert {each.accept: each.message for each in found} == {
        words: message.format(**ends) for words, message in expected.items()
    }
    assert anomalies(now, LAST, accept=tuple(expected)) == []


@pytest.mark.parametrize("change", [missing_column, other_type, more_nulls, other_unit, new_text, no_rows])
def test_other_parameters_excuse_none_of_these(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert len(anomalies(change(LAST), LAST, parameters_changed=True)) == 1


def test_a_feed_that_broke_off_is_found_although_the_window_moved_on() -> None:
    now = flights(seed=1, since="2013-01-02")

    assert names(lost_days(now), LAST, parameters_changed=True) == ["at: older", "day: older"]
    assert names(now.sample(1500, random_state=0), LAST, parameters_changed=True) == ["rows: fewer"]


def test_a_last_day_that_is_gone_is_found_at_once() -> None:
    days = pd.DataFrame({"day": pd.date_range("2013-01-01", "2013-06-30").astype("datetime64[s]")})

    assert names(days[:-1], days) == ["day: older"]


def test_a_serial_number_may_rise_but_not_start_again() -> None:
    again = LAST.assign(serial=LAST["serial"] - 100_000)

    assert names(again, LAST) == ["serial: outside range"]


def test_months_as_text_go_on_and_an_unknown_word_among_them_does_not_pass() -> None:
    last = LAST.assign(month=LAST["day"].dt.strftime("%Y-%m"))
    now = flights(seed=1, since="2013-03-01")
    now = now.assign(month=now["day"].dt.strftime("%Y-%m"))

    assert names(now, last) == []
    assert names(now.assign(month=now["month"].replace("2013-05", "May")), last) == ["month: new categories"]


def test_what_was_accepted_does_not_hide_the_rest() -> None:
    found = anomalies(new_text(more_nulls(LAST)), LAST, accept=("origin: new categories",))

    assert [each.accept for each in found] == ["delay: more nulls"]


def test_new_texts_are_listed_by_their_frequency_and_no_more_than_five() -> None:
    origin = LAST["origin"].to_numpy(dtype=object).copy()
    origin[:28] = [f"N{number}" for number in range(7) for _ in range(number + 1)]

    (found,) = anomalies(LAST.assign(origin=origin), LAST)

    assert found.message.endswith("'N6' (7), 'N5' (6), 'N4' (5), 'N3' (4), 'N2' (3) and 2 more")


def test_the_message_says_what_to_write_and_that_is_understood() -> None:
    found = anomalies(new_text(more_nulls(LAST)), LAST)

    message = format_anomalies("flights", found, "20130701T000000000Z-0123456789ab")

    assert message.splitlines() == [
        "what was read as 'flights' differs from the last good run 20130701T000000000Z-0123456789ab in 2 points:",
        f"  origin: {found[0].message}",
        f"  delay: {found[1].message}",
        "If this is as it should be, say so where it is read: accept=['origin: new categories', 'delay: more nulls']",
    ]
    check_accept([each.accept for each in found])


# --- accept=


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("origin: new category", "did you mean 'origin: new categories'?"),
        ("origin:new categories", "did you mean 'origin: new categories'?"),
        ("new categories", "did you mean '<column>: new categories'?"),
        ("origin: fewer", "did you mean 'rows: fewer'?"),
        ("rows: Fewer", "did you mean 'rows: fewer'?"),
        ("anything", "anomalies are written '<column>: missing', '<column>: added'"),
        ("", "anomalies are written"),
        (None, "accept=None names no anomaly"),
    ],
)
def test_words_that_accept_nothing_are_refused_with_the_right_ones(words: str, meant: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        anomalies(LAST, LAST, accept=(words,))

    assert meant in str(refusal.value)
    assert "'rows: fewer', 'rows: more'" in str(refusal.value)


def test_one_text_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"it takes a list: accept=\['rows: fewer'\]"):
        check_accept("rows: fewer")


def test_a_column_that_is_gone_or_has_a_colon_can_be_accepted() -> None:
    check_accept(["gone: missing", "ratio: a: b: more nulls", "rows: new categories"])
