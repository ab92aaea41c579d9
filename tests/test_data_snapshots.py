"""Snapshots come back as they were, are named by their bytes, and appear whole."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.data.columns import frame_from_table, table_from_frame
from rasen.data.snapshots import read_snapshot, write_snapshot
from rasen.errors import InvalidInput, NotFound, PlatformFailed

COLUMNS = {
    "flag": ("boolean", st.booleans()),
    "seats": ("Int64", st.integers(-(2**63), 2**63 - 1)),
    "delay": ("float64", st.floats(allow_nan=False, allow_infinity=False)),
    "origin": ("str", st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
    "day": ("datetime64[s]", st.dates()),
    "time_hour": ("datetime64[us, UTC]", st.datetimes(timezones=st.just(UTC))),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Return a table as a query gives it: each type, with and without NULLs, and also without rows."""
    rows = draw(st.integers(0, 5))
    frame = pd.DataFrame(
        {
            name: pd.Series(
                draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), dtype=object
            ).astype(dtype)  # type: ignore[call-overload]  # the stubs know dtypes by their literal names
            for name, (dtype, values) in COLUMNS.items()
        }
    )
    return frame_from_table(table_from_frame(frame, origin="test"))


@settings(max_examples=50)
@given(frames())
def test_a_snapshot_comes_back_with_the_same_values_and_dtypes(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame
) -> None:
    path = write_snapshot(frame, tmp_path_factory.getbasetemp() / "snapshots")

    pd.testing.assert_frame_equal(read_snapshot(path), frame)


def test_a_snapshot_is_named_by_its_bytes_and_equal_rows_give_one_file(tmp_path: Path) -> None:
    halves = [pd.DataFrame({"origin": ["JFK"], "hour": [7]}), pd.DataFrame({"origin": ["EWR"], "hour": [8]})]
    glued = pd.concat(halves, ignore_index=True)
    whole = pd.DataFrame({"origin": ["JFK", "EWR"], "hour": [7, 8]}, index=[5, 5])

    path = write_snapshot(glued, tmp_path / "tables")

    assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.parquet"
    assert write_snapshot(whole, tmp_path / "tables") == path
    assert write_snapshot(whole.assign(hour=[7, 9]), tmp_path / "tables") != path
    assert len(list((tmp_path / "tables").iterdir())) == 2


def test_narrow_dtypes_are_brought_to_the_six_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"hour": pd.Series([7], dtype="int8"), "origin": pd.Categorical(["JFK"])})

    assert list(map(str, read_snapshot(write_snapshot(frame, tmp_path)).dtypes)) == ["int64", "str"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": [1, "one"]}), "column 'x' has dtype 'object'"),
        (pd.DataFrame({7: [1]}), "column name 7 is no text"),
        (pd.DataFrame([[1, 2]], columns=["x", "X"]), "'X' occurs twice"),
        (pd.DataFrame({"at": [datetime(2013, 1, 1, 7, 30)]}), "without a time zone"),  # noqa: DTZ001  # the fault
    ],
)
def test_what_has_no_type_is_refused_and_leaves_nothing(
    tmp_path: Path, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        write_snapshot(frame, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_the_platforms_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(PlatformFailed, match="could not be written"):
        write_snapshot(pd.DataFrame({"x": [1]}), tmp_path / "file")


def test_a_missing_or_damaged_snapshot_is_named(tmp_path: Path) -> None:
    path = write_snapshot(pd.DataFrame({"x": [1]}), tmp_path)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InvalidInput, match=path.name):
        read_snapshot(path)
    with pytest.raises(NotFound, match=r"none\.parquet"):
        read_snapshot(tmp_path / "none.parquet")
