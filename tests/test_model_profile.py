"""Means by group that have an answer for every key."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model import profile as profile_module
from rasen.model.fallback import answer, can_answer
from rasen.model.profile import Profile, build_profile
from rasen.model.schema import Column, Output


def flights() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "origin": ["JFK", "JFK", "JFK", "LGA", None, "LGA"],
            "hour": [7, 7, 8, 7, 7, 8],
            "departures": [10.0, 20.0, 40.0, 6.0, 100.0, np.nan],
        }
    )


def test_means_by_group_and_by_coarser_group() -> None:
    profile = build_profile(flights(), by=["origin", "hour"], target="departures")
    assert profile.to_dict() == {
        "format": 1,
        "by": ["origin", "hour"],
        "levels": [
            [["JFK", 7], 15.0, 2],
            [["JFK", 8], 40.0, 1],
            [["LGA", 7], 6.0, 1],
            [["JFK"], 70 / 3, 3],
            [["LGA"], 6.0, 1],
        ],
        "default": 176 / 5,
    }


def test_coverage_is_the_share_of_rows_whose_own_group_was_seen() -> None:
    profile = build_profile(flights(), by=["origin", "hour"], target="departures")
    asked = pd.DataFrame({"origin": ["JFK", "JFK", "LGA", None], "hour": [7, 9, 7, 7]})
    assert profile.coverage(asked) == 0.5
    assert profile.coverage(asked.head(0)) == 1.0
    assert Profile(by=(), levels={}, default=1.0).coverage(asked) == 1.0


def test_the_longest_known_key_answers() -> None:
    profile = build_profile(flights(), by=["origin", "hour"], target="departures")
    asked = pd.DataFrame(
        {
            "hour": [7, 9, 7, 7, None],
            "origin": ["JFK", "JFK", "SFO", None, "LGA"],
            "more": [1, 2, 3, 4, 5],
        },
        index=[9, 8, 7, 6, 5],
    )
    assert profile.predict(asked).tolist() == [15.0, 70 / 3, 176 / 5, 176 / 5, 6.0]


def test_json_gives_the_same_answers_and_needs_no_frame() -> None:
    profile = build_profile(flights(), by=["origin", "hour"], target="departures")
    again = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again == profile
    columns: dict[str, list[object]] = {"origin": ["JFK", "SFO"], "hour": [8, 8]}
    assert again.predict_columns(columns, rows=2).tolist() == [40.0, 176 / 5]
    assert again.predict_columns({"origin": ["LGA"]}, rows=1).tolist() == [6.0]


def test_keys_of_every_kind() -> None:
    frame = pd.DataFrame(
        {
            "flag": [True, False, True],
            "day": pd.to_datetime(["2013-01-01", "2013-01-02", "2013-01-01"]),
            "size": pd.Categorical([1, 2, 1], categories=[2, 1, 3]),
            "hour": [7.0, 8.0, 7.0],
            "late": [True, False, False],
        }
    )
    for name, value in (("flag", True), ("day", "2013-01-01"), ("size", 1), ("hour", 7)):
        profile = build_profile(frame, by=[name], target="late")
        assert profile.levels[(value,)] == (0.5, 2)
        assert profile.predict(frame).tolist() == [0.5, 0.0, 0.5]
        assert json.loads(json.dumps(profile.to_dict()))["by"] == [name]
    by_day = build_profile(frame, by=["day"], target="late")
    assert by_day.predict_columns({"day": [date(2013, 1, 1)]}, rows=1).tolist() == [0.5]


def test_a_frame_may_use_any_names() -> None:
    frame = pd.DataFrame({"mean": [1, 1, 2], "count": ["a", "b", "a"], "index": [1.0, 2.0, 3.0]})
    profile = build_profile(frame, by=["mean", "count"], target="index")
    assert profile.predict(frame).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("by", "target", "message"),
    [
        (["nowhere"], "y", "'nowhere' is not in the frame"),
        (["k"], "z", "'z' is not in the frame"),
        ([], "y", "one column or more"),
        (["k", "k"], "y", "each once"),
        (["x"], "y", "1.5: a profile groups by whole numbers"),
        (["at"], "y", "timestamp: a profile groups by"),
        (["k"], "k", "target 'k' is string"),
        (["k"], "empty", "no finite mean over 0 rows"),
        (["k"], "infinite", "no finite mean"),
    ],
)
def test_what_cannot_be_a_profile(by: list[str], target: str, message: str) -> None:
    frame = pd.DataFrame(
        {
            "k": ["a", "b"],
            "x": [1.5, 2.0],
            "at": pd.to_datetime(["2013-01-01T05:00:00Z"] * 2),
            "y": [1.0, 2.0],
            "empty": [np.nan, np.nan],
            "infinite": [np.inf, 1.0],
        }
    )
    with pytest.raises(InvalidInput, match=message):
        build_profile(frame, by=by, target=target)


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "MOST_LEVELS", 2)
    with pytest.raises(InvalidInput, match="3 groups, 2 are the most"):
        build_profile(pd.DataFrame({"k": [1, 2, 3], "y": [1.0, 2.0, 3.0]}), by=["k"], target="y")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format": 2, "by": [], "levels": [], "default": 0}, "format 2"),
        ({"by": ["a"], "levels": []}, "not a profile"),
        ({"by": ["a"], "levels": [[["x"], "y", 1]], "default": 0}, "not a profile"),
        ({"by": ["a"], "levels": [[["x", "y"], 1, 1]], "default": 0}, "keys"),
        ({"by": ["a"], "levels": [[[], 1, 1]], "default": 0}, "keys"),
        ({"by": ["a"], "levels": [[["x"], 1e999, 1]], "default": 0}, "not finite"),
    ],
)
def test_a_damaged_profile_is_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Profile.from_dict(document)


def test_a_flood_of_unknown_keys_is_answered_and_forgotten() -> None:
    profile = build_profile(flights(), by=["origin", "hour"], target="departures")
    flood: dict[str, list[object]] = {"origin": [f"X{number}" for number in range(5000)], "hour": [7] * 5000}
    assert set(profile.predict_columns(flood, rows=5000).tolist()) == {176 / 5}
    assert len(profile._means) < 2000  # the bound is the point


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, 3, None]), st.floats(-1e6, 1e6)),
        min_size=1,
    )
)
def test_every_row_with_a_whole_key_gets_the_mean_of_its_group(
    rows: list[tuple[str | None, int | None, float]],
) -> None:
    frame = pd.DataFrame(rows, columns=["k", "n", "y"]).astype({"k": "str", "n": "Int64"})
    answers = build_profile(frame, by=["k", "n"], target="y").predict(frame)
    for (k, n, _), got in zip(rows, answers, strict=True):
        group = [y for k2, n2, y in rows if (k2, n2) == (k, n)] if None not in (k, n) else None
        if group is None:
            group = [y for k2, _, y in rows if k2 == k] if k is not None else [y for _, _, y in rows]
        assert got == pytest.approx(sum(group) / len(group), abs=1e-6)


def test_the_fallback_answers_in_the_models_own_type() -> None:
    profile = Profile(by=("k",), levels={("a",): (0.6, 1), ("b",): (1.5, 1)}, default=0.2)
    columns = {"k": ["a", "b", "z"]}
    for kind, expected in (
        (ColumnType.FLOAT64, [0.6, 1.5, 0.2]),
        (ColumnType.INT64, [1, 2, 0]),
        (ColumnType.BOOL, [True, True, False]),
    ):
        output = Output(kind="scalar", type=kind)
        assert can_answer(output)
        assert answer(profile, columns, rows=3, output=output).tolist() == expected
    assert not can_answer(Output(kind="scalar", type=ColumnType.STRING))
    assert not can_answer(Output(kind="columns", columns=(Column(name="a", type=ColumnType.FLOAT64),)))
