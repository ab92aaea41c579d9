"""Files as tables: types inferred from every value, errors with the row and column."""

import gzip
import json
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.data.columns import schema_of
from rasen.data.files import read_file, read_table
from rasen.errors import InvalidInput, NotFound


def read(path: Path, text: str | bytes) -> dict[str, list[object]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = read_table(path)
    return {f"{name}:{kind}": table.column(name).to_pylist() for name, kind in schema_of(table).items()}


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ("1 -2 007", "int64", [1, -2, 7]),
        ("1 NA 3", "int64", [1, None, 3]),
        ("1 2.5 1e3", "float64", [1.0, 2.5, 1000.0]),
        ("1.5 nan null", "float64", [1.5, None, None]),
        ("9223372036854775808 1 2", "float64", [9223372036854775808.0, 1.0, 2.0]),
        ("true FALSE N/A", "bool", [True, False, None]),
        ("0 1 1", "int64", [0, 1, 1]),
        ("2024-01-02 2024-12-31 NA", "date", [date(2024, 1, 2), date(2024, 12, 31), None]),
        ("2024-01-02T03:04:05 2024-01-02 NULL", "timestamp",
         [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), None]),
        ("2024-01-02T03:04:05Z 2024-01-02T03:04:05.25+09:00 NA", "timestamp",
         [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2024, 1, 1, 18, 4, 5, 250000, tzinfo=UTC), None]),
        ("2024-01-02 02/01/2024 x", "string", ["2024-01-02", "02/01/2024", "x"]),
        ("NA DE FR", "string", ["NA", "DE", "FR"]),
        ("NA NA NA", "string", ["NA", "NA", "NA"]),
        ("12:30 13:00 x", "string", ["12:30", "13:00", "x"]),
        ("1 x 3", "string", ["1", "x", "3"]),
        ("0x1F 0x2A 0xFF", "string", ["0x1F", "0x2A", "0xFF"]),
    ],
)  # fmt: skip
def test_types_of_a_csv_come_from_all_values(
    tmp_path: Path, cells: str, kind: str, values: list[object]
) -> None:
    text = "id,x\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells.split()))
    assert read(tmp_path / "a.csv", text) == {"id:int64": [0, 1, 2], f"x:{kind}": values}


def test_the_last_row_counts_like_the_first(tmp_path: Path) -> None:
    text = "x\n" + "1\n" * 100_000 + "one\n"
    assert list(read(tmp_path / "a.csv", text)) == ["x:string"]


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", 'a,b,c\n1,,""\n,x,\n') == {
        "a:int64": [1, None],
        "b:string": [None, "x"],
        "c:string": [None, None],
    }
    assert read(tmp_path / "b.csv", "a,b\n") == {"a:string": [], "b:string": []}


def test_texts_can_be_declared_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\nNA,NA\nDE,-\nFR,1\n")
    table = read_table(tmp_path / "a.csv", missing_texts=("NA", "-"))
    assert table.to_pydict() == {"x": [None, "DE", "FR"], "y": [None, None, 1]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_quotes_and_newlines(tmp_path: Path, delimiter: str) -> None:
    rows = [["a", "b"], ["1", f'"x{delimiter}y\n""z"""'], ["2", "é"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    assert read(tmp_path / "a.csv", b"\xef\xbb\xbf" + text.encode()) == {
        "a:int64": [1, 2],
        "b:string": [f'x{delimiter}y\n"z"', "é"],
    }


def test_compressed_files(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv.gz", gzip.compress(b"x\n1\n")) == {"x:int64": [1]}
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/b.csv", "x\n2\n")
    assert read_table(tmp_path / "b.csv.zip").to_pydict() == {"x": [2]}
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "a") as archive:
        archive.writestr("c.csv", "x\n3\n")
    with pytest.raises(InvalidInput, match=r"holds 2 files; a .csv.zip holds exactly one"):
        read_table(tmp_path / "b.csv.zip")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "has no header"),
        ("a.csv", b"a" * 200_000 + b"\n1\n", "has a header that cannot be read as CSV: field larger than"),
        (
            "a.csv",
            b"a,b\n1,2\n3\n",
            r"cannot be read as CSV \(separated by ','\): .*Row #3: Expected 2 columns, got 1: 3",
        ),
        ("a.csv", b"a\n\xff\xfe\n", "save it as UTF-8"),
        ("a.csv", b"a,A\n1,2\n", "the column name 'A' occurs twice"),
        ("a.csv", b"a,,b\n1,2,3\n", "column 2 has no name"),
        ("a.csv", b"a\n1.5\ninf\n", "column 'a': 1 of 2 values are infinite"),
        ("a.csv.gz", b"a\n", "cannot be read: Not a gzipped file"),
        ("a.csv.zip", b"a\n", "cannot be read: File is not a zip file"),
        ("a.parquet", b"PAR1", "cannot be read as Parquet"),
        ("a.json", b'[{"x": 1}, {"x": ]', r"is not JSON: Expecting value: line 1 column 18"),
        ("a.jsonl", b'{"x": 1}\n\n{"x" 2}\n', "line 3 is not JSON: Expecting ':' delimiter at column 6"),
        ("a.json", b'[{"x": 1}, 2]', "row 1 is 2; every row must be a record"),
        ("a.json", b'[{"x": 1}, {"x": "a"}]', "column 'x': row 1 holds 'a', which does not go with 1"),
        ("a.json", b'[{"x": {"y": 1}}]', "column 'x': the type 'struct<"),
        ("a.json", b"\xff", "is not UTF-8"),
        ("a.xlsx", b"", "is of no known format; known are .csv"),
    ],
)
def test_what_cannot_be_read_says_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"file '{name}'.*{message}"):
        read_table(tmp_path / name)


def test_json_as_records_and_as_lines(tmp_path: Path) -> None:
    records = [
        {"i": 1, "f": 1, "s": "1", "b": True, "d": "2024-01-02", "t": "2024-01-02T03:04:05Z", "n": None},
        {"i": None, "f": 2.5, "s": "a", "b": None, "d": None, "t": None, "late": "x"},
    ]
    expected = {
        "i:int64": [1, None],
        "f:float64": [1.0, 2.5],
        "s:string": ["1", "a"],
        "b:bool": [True, None],
        "d:date": [date(2024, 1, 2), None],
        "t:timestamp": [datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), None],
        "n:string": [None, None],
        "late:string": [None, "x"],
    }
    assert read(tmp_path / "a.json", json.dumps(records, indent=1)) == expected
    assert read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, records)) + "\n\n") == expected
    assert read(tmp_path / "b.json", "\n".join(map(json.dumps, records))) == expected
    assert read(tmp_path / "c.json", "[]") == {}


def test_a_notebook_reads_files_beside_it_as_frames(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rates.csv").write_text("day,rate\n2024-01-02,1.5\n,NA\n")
    frame = read_file("data/rates.csv", folder=tmp_path)
    assert frame.dtypes.astype(str).to_dict() == {"day": "datetime64[s]", "rate": "float64"}
    assert frame["day"].tolist() == [pd.Timestamp("2024-01-02"), pd.NaT]
    pq.write_table(pa.table({"x": pa.array([1], pa.int8())}), tmp_path / "x.parquet")
    assert read_file(Path("x.parquet"), folder=tmp_path)["x"].dtype == "int64"
    with pytest.raises(NotFound, match=r"no file 'rate.csv' .*there are: data/rates.csv, x.parquet"):
        read_file("rate.csv", folder=tmp_path)


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("x\n1\n")
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    for path in ("../secret.csv", str(tmp_path / "secret.csv"), "link.csv"):
        with pytest.raises(InvalidInput, match="lies outside the pipeline's folder"):
            read_file(path, folder=folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            # pandas leaves a carriage return unquoted, which ends the line for every other reader.
            st.text(st.characters(codec="utf-8", exclude_characters="\r")),
            st.floats(allow_nan=False, allow_infinity=False),
            st.dates(),
        ),
        min_size=1,
    )
)
def test_what_pandas_writes_is_read_as_it_was(
    tmp_path: Path, rows: list[tuple[int, str, float, date]]
) -> None:
    # A text that is empty, or that every parser takes for something else, does not survive CSV; "t:" keeps it a text.
    frame = pd.DataFrame(
        [(i, f"t:{s}", f, d.isoformat()) for i, s, f, d in rows], columns=["i", "s", "f", "d"]
    )
    frame["f"] = frame["f"].map(
        lambda value: f"{value!r}" if "." in repr(value) or "e" in repr(value) else repr(value)
    )
    frame.to_csv(tmp_path / "a.csv", index=False, lineterminator="\n")
    table = read_table(tmp_path / "a.csv")
    assert [tuple(row.values()) for row in table.to_pylist()] == [(i, f"t:{s}", f, d) for i, s, f, d in rows]
