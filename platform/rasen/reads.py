"""Reading data in a notebook: each read becomes a snapshot and is compared with the last good run's before it is used.

A read is known from run to run by its name, or by the digest of its query: a changed query has no past to be compared
with. The record is written before the verdict, so a run that was stopped still shows what it had read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import QueryError, ValidationFailed
from rasen.recorder import Context, Recorder, recorder

if TYPE_CHECKING:
    import pandas as pd


def read_sql(
    sql: str,
    params: Mapping[str, object] | None = None,
    *,
    name: str | None = None,
    accept: Sequence[str] = (),
) -> pd.DataFrame:
    """Run a query in BigQuery's SQL, keep its rows as a snapshot, and compare them with the last good run's.

    Args:
        sql: One SELECT; values come in as `@name`.
        params: The value of each `@name`.
        name: What to call this read; by default the digest of the query, so a changed query has no past.
        accept: Anomalies that are normal here, in the words of the error, for example `"origin: new categories"`.

    Raises:
        QueryError: The query cannot be run.
        ValidationFailed: The rows differ from the last good run's in a way that was not accepted.
    """
    from rasen.data.anomalies import check_accept
    from rasen.data.warehouse import EmbeddedWarehouse

    check_accept(accept)
    into = recorder()
    root = into.context.warehouse
    if root is None:
        raise QueryError("this step was given no warehouse; read_sql cannot run")
    values = dict(params or {})
    source: dict[str, object] = {"sql": sql, "file": None, "parameters": _json_values(values)}
    if into.context.recorded is not None:
        frame = _recorded(into, into.context.recorded, sql, _json_values(values))
    else:
        frame = EmbeddedWarehouse(root).query(sql, values, most_rows=into.context.most_rows)
    return _keep_read(into, frame, name or hashlib.sha256(sql.encode()).hexdigest(), source, accept=accept)


def read_file(path: str | Path, *, name: str | None = None, accept: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV, JSON or Parquet file beside the notebook, keep its rows as a snapshot, and compare them.

    Args:
        path: The file, relative to the notebook's folder and inside it.
        name: What to call this read; by default the path.
        accept: Anomalies that are normal here, in the words of the error.

    Raises:
        InvalidInput: There is no such file, it lies elsewhere, or cannot be read as its name says.
        ValidationFailed: The rows differ from the last good run's in a way that was not accepted.
    """
    from rasen.data import files
    from rasen.data.anomalies import check_accept
    from rasen.data.drawing import draw_rows

    check_accept(accept)
    into = recorder()
    frame = draw_rows(files.read_file(path, folder=Path.cwd()), into.context.most_rows)
    source: dict[str, object] = {"sql": None, "file": str(path), "parameters": {}}
    return _keep_read(into, frame, name or str(path), source, accept=accept)


def _recorded(into: Recorder, folder: Path, sql: str, parameters: dict[str, object]) -> pd.DataFrame:
    from rasen.data.recorded_reads import read_recorded

    same = json.loads(json.dumps(parameters))
    before = sum(
        record["kind"] == "read" and record["sql"] == sql and record["parameters"] == same
        for record in into.records()
    )
    return read_recorded(folder, sql, parameters, asked_before=before)


def _read_name(into: Recorder, name: str) -> str:
    """Return the name under which the next run finds this read again: the second of a name is `name#2`."""
    before = sum(
        record["kind"] == "read" and (record["name"] == name or record["name"].startswith(f"{name}#"))
        for record in into.records()
    )
    return f"{name}#{before + 1}" if before else name


def _keep_read(
    into: Recorder, frame: pd.DataFrame, name: str, source: Mapping[str, Any], *, accept: Sequence[str]
) -> pd.DataFrame:
    """Keep the rows as a snapshot with their statistics, and judge those before the notebook sees a row."""
    from rasen.data.anomalies import compare, format_anomalies
    from rasen.data.snapshots import write_snapshot
    from rasen.data.statistics import TableStatistics, describe

    identity = _read_name(into, name)
    path = write_snapshot(frame, into.context.staging / "tables")
    statistics = describe(frame)
    into.append("read", name=identity, **source, path=f"tables/{path.name}", statistics=statistics.to_dict())
    last = _last_good_read(into.context, identity)
    if last is None:
        return frame
    anomalies = compare(
        frame,
        statistics,
        TableStatistics.from_dict(last["statistics"]),
        parameters_changed=last["parameters"] != source["parameters"],
    )
    for anomaly in anomalies:
        accepted = anomaly.accept in accept
        into.append(
            "anomaly", read=identity, anomaly=anomaly.accept, message=anomaly.message, accepted=accepted
        )
        if accepted:
            sys.stdout.write(f"{identity}: {anomaly.accept}, accepted: {anomaly.message}\n")
    refused = [anomaly for anomaly in anomalies if anomaly.accept not in accept]
    if refused:
        raise ValidationFailed(format_anomalies(identity, refused, last["run"]))
    return frame


def _last_good_read(context: Context, name: str) -> dict[str, Any] | None:  # Any: JSON of the batch step
    """Return what the last good run read under this name; an interactive session has none."""
    path = context.inputs / "statistics.json"
    if not path.is_file():
        return None
    found: dict[str, Any] | None = json.loads(path.read_bytes()).get(name)  # Any: as above
    return found


def _json_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return a query's parameters as the record keeps them: dates and instants as ISO text, NumPy's numbers plain."""
    plain: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, (date, datetime)):
            plain[name] = value.isoformat()
        elif isinstance(value, (str, bool, int, float, type(None))):
            plain[name] = value
        else:
            item = getattr(value, "item", None)
            plain[name] = item() if callable(item) else str(value)
    return plain
