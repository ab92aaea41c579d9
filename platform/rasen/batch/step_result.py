"""What an attempt of a step leaves in the store: its files, and then, last and create-only, its result."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from rasen.batch.gate_notebooks import OUTPUTS_FOLDER
from rasen.batch.step_logs import log_path
from rasen.batch.work import Ending, Work
from rasen.errors import PreconditionFailed, StepFailed
from rasen.notebook import read_notebook
from rasen.recorder import read_records
from rasen.tracking.keys import result_key
from rasen.tracking.records import FileRecord, Metric, ModelRecord, Read, StepResult, Verdict


def write_result(work: Work, ending: Ending, *, seconds: float) -> None:
    """Upload what the attempt wrote, then its result, last.

    Raises:
        StepFailed: The attempt has a result already.
        StoreError: The store failed; there is no result.
    """
    staging = work.folder / "staging"
    uploads = _Uploads(work)
    metrics: list[Metric] = []
    reads: list[Read] = []
    tables: dict[str, str] = {}
    figures: dict[str, str] = {}
    model: ModelRecord | None = None
    for record in read_records(staging):
        match record["kind"]:
            case "metric":
                metrics.append(Metric.model_validate(record))
            case "read":
                table = uploads.add(staging / record["path"], record["path"]).key
                reads.append(Read.model_validate({**record, "table": table}))
            case "table":
                tables[record["name"]] = uploads.add(staging / record["path"], record["path"]).key
            case "figure":
                figures[record["name"]] = uploads.add(staging / record["path"], record["path"]).key
            case "model":
                names = {"model": record["path"]}
                names |= {
                    name: record[name] for name in ("example", "profile", "evaluation") if record.get(name)
                }
                files = {name: uploads.add(staging / path, path) for name, path in names.items()}
                model = ModelRecord.model_validate({**record, "files": files, "description": _describe(work)})
            case _:
                pass  # a note for people, such as an anomaly; the notebook shows it
    log = log_path(work.settings, work.pipeline, work.run, work.step, work.attempt)
    _write_log(work.folder / "log.txt", log, work.folder / "spilled.txt")
    for path, name in (
        (work.folder / "output.ipynb", "output.ipynb"),
        (staging / "evaluation.parquet", "evaluation.parquet"),
        (staging / "model.onnx", "model.onnx"),
        (staging / "qualification.json", "qualification.json"),
        (work.folder / "log.txt", "log.txt"),
        *(
            (path, path.relative_to(work.folder).as_posix())
            for path in sorted((work.folder / OUTPUTS_FOLDER).rglob("*.ipynb"))
        ),
    ):
        if path.is_file():
            uploads.add(path, name)
    result = StepResult(
        attempt=work.attempt,
        verdict=ending.verdict,
        cell=ending.cell,
        error=ending.error,
        seconds=round(seconds, 3),
        peak_bytes=ending.peak_bytes,
        cpu_seconds=ending.cpu_seconds,
        retriable=ending.verdict is Verdict.INTERRUPTED,
        metrics=metrics,
        reads=reads,
        tables=tables,
        figures=figures,
        model=model,
        qualification=ending.qualification,
        files=uploads.files,
    )
    key = result_key(work.pipeline, work.run, work.step, work.attempt)
    try:
        work.store.write(key, result.to_bytes(), if_generation=0)
    except PreconditionFailed as error:
        raise StepFailed(
            f"attempt {work.attempt} of step {work.step!r} has a result already: {error}"
        ) from error


def _write_log(target: Path, *parts: Path) -> None:
    """Write copies of the parts that hold something, one after the other; this process may still print into one."""
    found = [part for part in parts if part.is_file() and part.stat().st_size]
    if found:
        with target.open("wb") as log:
            for part in found:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, log)


def _describe(work: Work) -> str:
    """Return what the pipeline says of itself, or else what its notebook says at its beginning."""
    spec = work.release.spec
    if spec.description:
        return spec.description
    notebook = read_notebook(work.folder / "work" / spec.steps[work.step].notebook)
    return notebook.description or notebook.title or ""


class _Uploads:
    """The files of an attempt on their way to the store, each once."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._by_key: dict[str, FileRecord] = {}

    @property
    def files(self) -> list[FileRecord]:
        """Everything that was uploaded, in order."""
        return list(self._by_key.values())

    def add(self, path: Path, name: str) -> FileRecord:
        """Upload `path` as `name` below the attempt's prefix."""
        key = self._work.prefix + name
        if key not in self._by_key:
            sha256 = _sha256(path)
            self._work.store.upload(path, key, sha256=sha256)
            self._by_key[key] = FileRecord(key=key, sha256=sha256, size_bytes=path.stat().st_size)
        return self._by_key[key]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
