"""Evidence for gates without a store: versions of plain records, with tables that are really Parquet."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rasen.deploy.evidence import Evidence, PastVersion, RunFiles, Version
from rasen.deploy.gates import judge
from rasen.deploy.gates.measured import Measured
from rasen.errors import ObjectNotFound
from rasen.pipeline_gates import DeclaredGate
from rasen.tracking.ledger_records import Action, GateVerdict
from rasen.tracking.records import (
    FileRecord,
    Metric,
    PublishedModel,
    Qualification,
    Read,
    StepResult,
    Verdict,
)

CANDIDATE, CHAMPION = "candidate", "champion"


def verdict(gate: DeclaredGate, evidence: Evidence) -> GateVerdict:
    """Return what one gate answers."""
    (only,) = judge([gate], evidence)
    assert GateVerdict.model_validate_json(only.model_dump_json()) == only
    return only


def version(
    run: str = CANDIDATE,
    *,
    schema: Mapping[str, Any] | None = None,
    major: int = 1,
    sizes: Mapping[str, int] | None = None,
    files: RunFiles | None = None,
) -> Version:
    """Return a version; `sizes` are those of its model files."""
    model = PublishedModel(
        files={
            name: FileRecord(key=name, sha256="0" * 64, size_bytes=size)
            for name, size in (sizes or {}).items()
        },
        schema_=dict(schema or {}),
        major=major,
        qualification=Qualification(),
    )
    return Version(run=run, pipeline="demand", model=model, files=files)


def evidence(
    *,
    metrics: Mapping[str, float] | None = None,
    candidate: Version | None = None,
    champion: Version | None = None,
    problem: str = "",
    qualification: Mapping[str, Any] | None = None,
    past: Sequence[Mapping[str, float]] = (),
    endpoint: str = "",
) -> Evidence:
    """Return what is known of a candidate; `past` are the metrics of versions that went live, newest first."""
    measured = [Metric(name=name, value=value) for name, value in (metrics or {}).items()]
    return Evidence(
        measured=Measured(measured),
        metrics=measured,
        candidate=candidate or version(),
        champion=champion,
        champion_problem=problem,
        qualification=qualification or {},
        past=[past_version(number, each) for number, each in enumerate(past)],
        endpoint=endpoint,
    )


def past_version(age: int, metrics: Mapping[str, float], action: Action = "deploy") -> PastVersion:
    """Return an earlier version."""
    return PastVersion(
        run=f"run-{age}",
        number=1000 - age,
        action=action,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics=metrics,
    )


def parquet(table: pa.Table | Mapping[str, Any]) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    into = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(dict(table)), into)
    return into.getvalue()


def run_files(
    reads: Mapping[str, bytes | None] | None = None,
    *,
    saved: Mapping[str, bytes | None] | None = None,
    sql: str | None = None,
) -> RunFiles:
    """Return the files of a run that read and saved these tables; the object of a `None` is gone."""
    contents: dict[str, bytes | None] = {}
    records: list[FileRecord] = []

    def keep(name: str, data: bytes | None) -> str:
        key = f"runs/demand/{name}.parquet"
        contents[key] = data
        digest = hashlib.sha256(data if data is not None else name.encode()).hexdigest()
        records.append(FileRecord(key=key, sha256=digest, size_bytes=len(data or b"")))
        return key

    read = [Read(name=name, table=keep(name, data), sql=sql) for name, data in (reads or {}).items()]
    tables = {name: keep(f"saved-{name}", data) for name, data in (saved or {}).items()}
    result = StepResult(
        attempt=1, verdict=Verdict.SUCCEEDED, seconds=1.0, reads=read, tables=tables, files=records
    )

    def content(file: FileRecord) -> bytes:
        data = contents[file.key]
        if data is None:
            raise ObjectNotFound(f"{file.key!r} is gone")
        return data

    return RunFiles({"train": result}, content)
