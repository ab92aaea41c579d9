"""CSV, JSON and Parquet files as tables of the six column types.

Types of CSV are inferred from every value, not from a sample, so that no file changes its type in row 20,481. Text
that is an ISO date or time in every row becomes one, in JSON too; a time without a zone is UTC, as in BigQuery. The
markers NA, NaN, null and N/A are missing values in a column of numbers, dates or booleans, but text in a column of
text: there only the empty cell is missing, so that Namibia survives.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType, arrow_type, frame_from_table, normalise_table
from rasen.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMATS = (".csv", ".csv.gz", ".csv.zip", ".json", ".jsonl", ".ndjson", ".parquet")
"""What a file's name may end with."""

_MISSING_MARKERS = ("NA", "NaN", "nan", "null", "NULL", "N/A")
_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1_000_000


def read_file(path: str | Path, *, folder: Path) -> pd.DataFrame:
    """Read a CSV, JSON (records or lines) or Parquet file that lies beside the notebook.

    Args:
        path: The file, relative to `folder`.
        folder: The pipeline's folder; nothing outside it is read, not through a link either.

    Raises:
        NotFound: There is no such file; the message lists the files that are there.
        InvalidInput: The path leads out of the folder, or the file cannot be read as its name says.
    """
    root = folder.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        raise InvalidInput(
            f"file {str(path)!r} lies outside the pipeline's folder {str(root)!r}; copy it beside the notebook"
        )
    if not file.is_file():
        present = sorted(
            str(each.relative_to(root)) for each in root.rglob("*") if each.name.endswith(FORMATS)
        )
        raise NotFound(
            f"no file {str(path)!r} in the pipeline's folder {str(root)!r}; there are: "
            f"{', '.join(present[:20]) or 'none'}"
        )
    return frame_from_table(read_table(file))


def read_table(path: Path, *, missing_texts: Sequence[str] = ()) -> pa.Table:
    """Read one file as an Arrow table of the six column types.

    Args:
        path: A file whose name ends with one of `FORMATS`; a `.csv.zip` holds exactly one file.
        missing_texts: Cells of a CSV file with one of these texts are missing, in columns of text too.

    Raises:
        NotFound: There is no such file.
        InvalidInput: The name ends otherwise, or the content is not what the name says.
    """
    name = path.name.lower()
    origin = f"file {path.name!r}"
    if not name.endswith(FORMATS):
        raise InvalidInput(f"{origin} is of no known format; known are {', '.join(FORMATS)}")
    if not path.is_file():
        raise NotFound(f"there is no file {str(path)!r}")
    if name.endswith(".parquet"):
        return read_parquet(path, origin=origin)
    content = _read_bytes(path, origin=origin)
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return _parse_json(content, origin=origin)
    return _parse_csv(content, origin=origin, missing_texts=missing_texts)


def read_parquet(path: Path, *, origin: str) -> pa.Table:
    """Read a Parquet file as an Arrow table of the six column types.

    Raises:
        InvalidInput: It is not a Parquet file, or a column has an unsupported type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{origin} cannot be read as Parquet: {error}") from error
    return normalise_table(table, origin=origin)


def _read_bytes(path: Path, *, origin: str) -> bytes:
    name = path.name.lower()
    try:
        if name.endswith(".gz"):
            with gzip.open(path) as file:
                return file.read()
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    raise InvalidInput(f"{origin} holds {len(members)} files; a .csv.zip holds exactly one")
                return archive.read(members[0])
        return path.read_bytes()
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{origin} cannot be read: {error}") from error


def _parse_csv(content: bytes, *, origin: str, missing_texts: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    start = content[:_LONGEST_HEADER].decode("utf-8-sig", "replace")
    header = start.split("\n", 1)[0]
    if not header.strip():
        raise InvalidInput(f"{origin} has no header: the first line must name the columns")
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        names = next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise InvalidInput(f"{origin} has a header that cannot be read as CSV: {error}") from error

    def read(*, use_threads: bool) -> pa.Table:
        return arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(use_threads=use_threads),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )

    try:
        try:
            texts = read(use_threads=True)
        except pa.ArrowInvalid:
            texts = read(use_threads=False)  # only then does the message say in which row
    except (pa.ArrowException, UnicodeDecodeError) as error:
        hint = "; save it as UTF-8" if "UTF8" in str(error) else ""
        raise InvalidInput(
            f"{origin} cannot be read as CSV (separated by {delimiter!r}): {error}{hint}"
        ) from error
    if texts.column_names != names:
        raise InvalidInput(f"{origin} has a header that cannot be read as CSV: {header[:200]!r}")
    missing = pa.array(missing_texts, pa.string())
    markers = pa.array(_MISSING_MARKERS)
    columns = []
    for cells in texts.columns:
        text = pc.if_else(pc.is_in(cells, missing), None, cells) if missing_texts else cells
        typed = _infer(text, markers)
        columns.append(text if typed is None else typed)
    return normalise_table(pa.table(columns, names=texts.column_names), origin=origin)


def _infer(text: pa.ChunkedArray, markers: pa.Array) -> pa.ChunkedArray | None:
    """Return a column of text as numbers, booleans, dates or times if every value is one, else `None`."""
    import pyarrow.compute as pc

    value = pc.if_else(pc.is_in(text, markers), None, text)
    if value.null_count == len(value):
        return None
    for column_type in (ColumnType.INT64, ColumnType.FLOAT64, ColumnType.BOOL):
        if (typed := _try_cast(value, arrow_type(column_type))) is not None:
            # Arrow takes 0x1F for a number; whoever writes that means a name.
            hexadecimal = pc.any(pc.match_substring(value, "0x", ignore_case=True)).as_py()
            return None if hexadecimal else typed
    return _infer_time(value)


def _infer_time(value: pa.ChunkedArray) -> pa.ChunkedArray | None:
    import pyarrow as pa

    if (typed := _try_cast(value, arrow_type(ColumnType.DATE))) is not None:
        return typed
    if (typed := _try_cast(value, pa.timestamp("us"))) is not None:
        return typed.cast(arrow_type(ColumnType.TIMESTAMP))
    return _try_cast(value, arrow_type(ColumnType.TIMESTAMP))


def _try_cast(value: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    import pyarrow as pa

    try:
        value.slice(0, 1000).cast(kind)
        return value.cast(kind)
    except pa.ArrowInvalid:
        return None


def _parse_json(content: bytes, *, origin: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import types

    records = _json_records(content, origin=origin)
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = []
    for name in names:
        values = [record.get(name) for record in records]
        try:
            column = pa.chunked_array([pa.array(values)])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            first = next(value for value in values if value is not None)
            row, other = next(
                (
                    (row, value)
                    for row, value in enumerate(values)
                    if not isinstance(value, type(first) | None)
                ),
                (0, first),
            )
            raise InvalidInput(
                f"{origin}, column {name!r}: row {row} holds {other!r}, which does not go with {first!r}: {error}"
            ) from error
        if types.is_string(column.type) and column.null_count < len(column):
            typed = _infer_time(column)
            column = column if typed is None else typed
        columns.append(column)
    return normalise_table(pa.table(columns, names=names), origin=origin)


def _json_records(content: bytes, *, origin: str) -> list[dict[str, object]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{origin} is not UTF-8: {error}") from error
    records: list[object] = []
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{origin} is not JSON: {error}") from error
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise InvalidInput(
                        f"{origin}, line {number} is not JSON: {error.msg} at column {error.colno}; "
                        "a file is a list of records, or one record a line"
                    ) from error
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise InvalidInput(
                f"{origin}: row {row} is {record!r:.80}; every row must be a record {{column: value}}"
            )
    return [record for record in records if isinstance(record, dict)]
