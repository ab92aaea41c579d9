"""Rows that somebody has in a file: JSON as serving takes it, CSV or Parquet, judged as serving judges them.

Each version has a schema of its own, so a file is read once and judged for each version that is asked.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasen.errors import InvalidInput
from rasen.model.request_errors import InvalidRows, describe_fields
from rasen.model.schema import ModelSchema

_SUFFIXES = {".json": "json", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
_PARQUET = b"PAR1"


@dataclass(frozen=True, kw_only=True)
class Input:
    """What was given.

    Args:
        source: What to call it.
        kind: `json`, `csv` or `parquet`.
        data: Its bytes.
    """

    source: str
    kind: str
    data: bytes


def read_input(path: str) -> Input:
    """Read a file, or standard input for `-`; the form is told by the suffix, else by the first bytes.

    Raises:
        InvalidInput: It cannot be read, or is empty.
    """
    if path == "-":
        source, data = "standard input", sys.stdin.buffer.read()
    else:
        source = path
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InvalidInput(
                f"{path!r} cannot be read: {error.strerror}; give a .json, .csv or .parquet file, or - for "
                "standard input"
            ) from None
    if not data.strip():
        raise InvalidInput(
            f'{source} is empty; rows are {{"rows": [{{…}}]}}, {{"columns": {{…}}}} or [{{…}}] in JSON, or a table in '
            "CSV or Parquet"
        )
    kind = _SUFFIXES.get(Path(source).suffix.lower(), "")
    if not kind:
        kind = "parquet" if data.startswith(_PARQUET) else "json" if data.lstrip()[:1] in b"{[" else "csv"
    return Input(source=source, kind=kind, data=data)


def rows_for(schema: ModelSchema, given: Input) -> list[dict[str, Any]]:  # Any: JSON values
    """Return the rows as a version takes them, each with all of its columns.

    Raises:
        InvalidInput: They are not what the version takes; each bad field is named.
    """
    try:
        columns = _columns(schema, given)
    except InvalidRows as error:
        raise InvalidInput(f"{given.source}: {error}: {describe_fields(error.fields)}") from None
    except InvalidInput as error:
        raise InvalidInput(f"{given.source}: {error}") from None
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns(schema: ModelSchema, given: Input) -> dict[str, Sequence[Any]]:  # Any: JSON values
    from rasen.model.csv_rows import read_csv
    from rasen.model.judge import judge, parse, read_columns, refuse_any

    most = len(given.data)  # no limit: each row takes a byte
    if given.kind == "csv":
        return read_csv(schema, given.data, max_rows=most, check_values=True)
    columns: dict[str, Sequence[Any]] = {}  # Any: JSON values
    if given.kind == "parquet":
        table, rows = _read_parquet(given)
        refuse_any(schema, read_columns(schema, table, columns, max_rows=rows))
        return columns
    body = given.data
    if body.lstrip()[:1] == b"[":  # a bare list of rows, which is what people paste
        body = json.dumps({"rows": parse(body)}).encode()
    return judge(schema, body, max_rows=most)


def _read_parquet(given: Input) -> tuple[dict[str, list[Any]], int]:  # Any: JSON values
    import pandas as pd

    from rasen.model.conversion import json_values
    from rasen.model.dtypes import classify

    try:
        frame = pd.read_parquet(io.BytesIO(given.data))
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InvalidInput(f"it is not Parquet: {' '.join(str(error).split())[:300]}") from None
    columns: dict[str, list[Any]] = {}  # Any: JSON values
    for name in frame.columns:
        series = frame[name]
        if series.isna().all():
            columns[str(name)] = [None] * len(series)
            continue
        kind, _ = classify(series, where=f"column {name!r}")
        columns[str(name)] = json_values(series, kind)
    return columns, len(frame)
