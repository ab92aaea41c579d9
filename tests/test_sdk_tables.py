"""Tables between steps keep their dtypes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rasen
from rasen.data.files import read_parquet
from rasen.errors import InvalidInput, NotFound
from stand.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    made.enter(monkeypatch)
    return made


def hand_over(kernel: Kernel, name: str) -> None:
    """Do what the step does between two kernels: the table becomes an input, the records are gone."""
    (record,) = kernel.records("table")
    (kernel.staging / record["path"]).rename(kernel.inputs / "tables" / f"{name}.parquet")
    (kernel.staging / "records.jsonl").unlink()


def one_of_each() -> pd.DataFrame:
    instants = pd.DatetimeIndex(["2013-01-01T05:00:00Z", pd.NaT, "2013-06-30T23:59:59Z"]).as_unit("us")
    return pd.DataFrame(
        {
            "flag": [True, False, True],
            "maybe": pd.Series([True, None, False], dtype="boolean"),
            "byte": np.array([1, 2, 3], dtype="int8"),
            "count": pd.Series([2**62 + 1, None, 3], dtype="Int64"),
            "wind": [1.5, np.nan, 3.0],
            "narrow": np.array([0.5, 1.5, 2.5], dtype="float32"),
            "extension": pd.Series([0.5, None, 2.5], dtype="Float64"),
            "origin": ["JFK", None, "Zürich"],
            "object": pd.Series(["a", None, "b"], dtype=object),
            "string": pd.Series(["a", None, "b"], dtype="string"),
            "carrier": pd.Categorical(["B", None, "A"], categories=["B", "A", "C"]),
            "size": pd.Categorical([3, None, 3], categories=[1, 2, 3], ordered=True),
            "day": instants.normalize().tz_localize(None).as_unit("s"),
            "day_ns": instants.normalize().tz_localize(None).as_unit("ns"),
            "at": instants,
            "local": instants.tz_convert("America/New_York").as_unit("ns"),
        }
    )


def test_every_dtype_arrives_at_the_next_step(kernel: Kernel) -> None:
    frame = one_of_each()
    rasen.save_table("features", frame)
    pd.testing.assert_frame_equal(rasen.load_table("features"), frame)
    assert kernel.records("table")[0]["rows"] == 3
    hand_over(kernel, "features")
    pd.testing.assert_frame_equal(rasen.load_table("features"), frame)


def test_the_warehouse_can_show_the_same_file(kernel: Kernel) -> None:
    rasen.save_table("features", one_of_each())
    (record,) = kernel.records("table")
    table = read_parquet(kernel.staging / record["path"], origin="table 'features'")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["day"], kinds["size"], kinds["carrier"]) == ("date32[day]", "int64", "string")


def test_equal_tables_are_one_file_and_the_later_table_counts(kernel: Kernel) -> None:
    first, second = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})
    for name, frame in (("x", first), ("y", first), ("x", second)):
        rasen.save_table(name, frame)
    paths = [record["path"] for record in kernel.records("table")]
    assert paths[0] == paths[1] != paths[2]
    assert sorted(path.name for path in (kernel.staging / "tables").iterdir()) == sorted(
        Path(path).name for path in set(paths)
    )
    pd.testing.assert_frame_equal(rasen.load_table("x"), second)


def test_a_filtered_frame_is_renumbered_and_an_empty_one_keeps_its_dtypes(kernel: Kernel) -> None:
    frame = one_of_each()
    rasen.save_table("kept", frame[frame["byte"] > 1])
    assert rasen.load_table("kept").index.tolist() == [0, 1]
    rasen.save_table("nothing", frame.head(0))
    pd.testing.assert_frame_equal(rasen.load_table("nothing"), frame.head(0))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ([1, 2], "is list; save_table takes a DataFrame"),
        (pd.DataFrame(), "distinct names"),
        (pd.DataFrame({1: [1]}), "distinct names"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "distinct names"),
        (pd.DataFrame({"a": [[1]]}), "holding list"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([1], name="day")), r"'day'.*reset_index"),
    ],
)
def test_what_cannot_be_saved(kernel: Kernel, frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        rasen.save_table("features", frame)
    assert kernel.records("table") == []


def test_names_are_checked(kernel: Kernel) -> None:
    with pytest.raises(InvalidInput, match=r"table name '../x' is not usable"):
        rasen.save_table("../x", pd.DataFrame({"a": [1]}))


def test_a_table_nobody_saved(kernel: Kernel) -> None:
    (kernel.inputs / "tables" / "features.parquet").write_bytes(b"")
    with pytest.raises(NotFound, match=r"no table 'labels'; there are: features; .*`needs:`"):
        rasen.load_table("labels")
    with pytest.raises(InvalidInput, match="cannot be read as Parquet"):
        rasen.load_table("features")
