"""One attempt of one step, in a process of its own: the second of the three commands start, step, finish.

The order is what makes it safe to kill at any instant: claim, run, upload every file, then `result.json`, create-only
and last. Without that file the attempt never happened. This process holds no signing key and unpickles nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rasen.batch.claims import create_claim
from rasen.batch.inputs import fetch_models, fetch_tables, newest_release_run, write_context, write_statistics
from rasen.batch.start import read_start, step_parameters
from rasen.errors import PlatformFailed, PreconditionFailed, RasenError, StepFailed, StoreError
from rasen.notebook import read_notebook
from rasen.recorder import read_records
from rasen.release import Release, read_release, unpack_bundle
from rasen.settings import CONTEXT_VARIABLE, Settings, child_environment, load_settings
from rasen.store import Store, open_store
from rasen.tracking.keys import QUALIFY_STEP, result_key, step_prefix
from rasen.tracking.records import ErrorRecord, FileRecord, Metric, ModelRecord, Read, StepResult, Verdict
from rasen.tracking.results import newest_attempt
from rasen.tracking.signature import TrustStore, load_trust

KERNEL_NAME = "rasen"  # the kernel specification whose kernels are forks of the warm process
_QUALIFY_TIMEOUT_SECONDS = 600.0
_NOT_CLAIMED = 3  # exit code: another process works on this attempt


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Everything that an attempt needs to know."""

    settings: Settings
    store: Store
    trust: TrustStore
    release: Release
    run: str
    step: str
    attempt: int
    parameters: dict[str, Any]  # Any: JSON
    folder: Path

    @property
    def pipeline(self) -> str:
        return str(self.release.pipeline)

    @property
    def prefix(self) -> str:
        return step_prefix(self.pipeline, self.run, self.step, self.attempt)


@dataclass(frozen=True, kw_only=True)
class _Ending:
    """How the notebook, or the qualification, ended."""

    verdict: Verdict
    cell: int | None = None
    error: ErrorRecord | None = None
    qualification: dict[str, Any] | None = None  # Any: JSON


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m rasen.batch.step PIPELINE RUN STEP ATTEMPT`; return the exit code.

    0 says that a result was written, whatever its verdict; 3 that somebody else works on this attempt.
    """
    pipeline, run, step, attempt = arguments if arguments is not None else sys.argv[1:]
    signal.signal(signal.SIGTERM, _interrupt)
    settings = load_settings()
    try:
        return (
            0 if run_step(settings, open_store(settings), pipeline, run, step, int(attempt)) else _NOT_CLAIMED
        )
    except RasenError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code


def run_step(settings: Settings, store: Store, pipeline: str, run: str, step: str, attempt: int) -> bool:
    """Run one attempt of a step and write its result; return whether this process had the claim.

    Raises:
        TrustError: The release cannot be trusted; nothing was run.
        StoreError: The store failed; there is no result.
    """
    start = read_start(store, pipeline, run).start
    trust = load_trust(settings)
    release = read_release(store, trust, pipeline, start.release, environment=settings.environment)
    if not create_claim(store, pipeline, run, step, attempt):
        return False
    folder = settings.scratch_dir / f"{pipeline}-{run}-{step}-{attempt}"
    shutil.rmtree(folder, ignore_errors=True)
    parameters = {} if step == QUALIFY_STEP else dict(step_parameters(release, start)[step].values)
    work = _Work(
        settings=settings,
        store=store,
        trust=trust,
        release=release,
        run=run,
        step=step,
        attempt=attempt,
        parameters=parameters,
        folder=folder,
    )
    begun = time.monotonic()
    try:
        (folder / "staging").mkdir(parents=True)
        (folder / "inputs").mkdir()
        ending = _attempt(work, _qualify if step == QUALIFY_STEP else _run_notebook)
        _write_result(work, ending, seconds=time.monotonic() - begun)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _attempt(work: _Work, execute: Callable[[_Work], _Ending]) -> _Ending:
    try:
        return execute(work)
    except KeyboardInterrupt:
        return _Ending(
            verdict=Verdict.INTERRUPTED,
            error=ErrorRecord(name="Interrupted", message="the step was told to stop"),
        )
    except StoreError:
        raise
    except RasenError as error:
        return _Ending(
            verdict=Verdict.FAILED, error=ErrorRecord(name=type(error).__name__, message=str(error))
        )


def _run_notebook(work: _Work) -> _Ending:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from rasen.batch.execution import Options
    from rasen.batch.outcome import Outcome

    spec = work.release.spec.steps[work.step]
    inputs = work.folder / "inputs"
    source = work.folder / "work"
    unpack_bundle(work.store, work.release, source)
    environment = work.settings.environment
    fetch_tables(work.store, work.pipeline, work.run, spec.needs, inputs / "tables")
    fetch_models(work.store, work.trust, spec.models, inputs / "models", environment=environment)
    good = newest_release_run(work.store, work.trust, work.pipeline, before=work.run, environment=environment)
    write_statistics(work.store, good, work.step, inputs / "statistics.json")
    (inputs / "trust.json").write_bytes(work.trust.to_bytes())
    context = work.folder / "context.json"
    write_context(
        context,
        work.settings,
        run=work.run,
        pipeline=work.pipeline,
        step=work.step,
        parameters=work.parameters,
        folder=work.folder,
    )
    options = Options(
        environment=child_environment(**{CONTEXT_VARIABLE: str(context)}),
        folder=str(source),
        step_timeout_seconds=spec.timeout_seconds,
        output=work.folder / "output.ipynb",
        journal=work.folder / "journal.jsonl",
        spill=work.folder / "spilled.txt",
    )
    # papermill's own verdict is not asked: it takes every error output for a failure, expected ones too.
    with suppress(PapermillExecutionError):
        papermill.execute_notebook(
            source / spec.notebook,
            None,
            parameters=work.parameters,
            engine_name="rasen",
            kernel_name=KERNEL_NAME,
            cwd=source,
            progress_bar=False,
            rasen=options,
        )
    outcome = Outcome.read(options.output)
    if outcome is None:
        raise PlatformFailed(f"step {work.step!r} left no verdict in its output notebook; see its log")
    if outcome.verdict is Verdict.SUCCEEDED:
        return _Ending(verdict=Verdict.SUCCEEDED)
    error_record = ErrorRecord(
        name=outcome.error_name, message=outcome.error_message, traceback=outcome.traceback
    )
    return _Ending(verdict=outcome.verdict, cell=outcome.cell, error=error_record)


def _qualify(work: _Work) -> _Ending:
    """Execute the model that the run is about to publish, in a fresh process without a context."""
    model = _published_model(work)
    inputs = work.folder / "inputs"
    described: dict[str, Any] = model.model_dump(mode="json", by_alias=True)  # Any: JSON
    for name, file in model.files.items():
        path = inputs / Path(file.key).name
        work.store.download(file.key, path, sha256=file.sha256)
        described["files"][name] = {"path": path.name, "sha256": file.sha256}
    described["metrics"] = [
        metric.model_dump(mode="json")
        for step in work.release.spec.steps
        for metric in _result_of(work, step).metrics
    ]
    (inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")
    staging = work.folder / "staging"
    command = [sys.executable, "-m", "rasen.model.qualification", str(inputs), str(staging)]
    timed_out = False
    code: int | None = None
    try:
        finished = subprocess.run(
            command, cwd=inputs, env=child_environment(), timeout=_QUALIFY_TIMEOUT_SECONDS, check=False
        )
        code = finished.returncode
    except subprocess.TimeoutExpired:
        timed_out = True
    # The process writes down what it is about to do, so a model that ends it leaves the reason behind.
    found = staging / "qualification.json"
    qualification = json.loads(found.read_bytes()) if found.is_file() else None
    passed = qualification is not None and qualification["passed"] is True
    if code == 0 and passed:
        return _Ending(verdict=Verdict.SUCCEEDED, qualification=qualification)
    reason = str(qualification["reason"]) if qualification is not None else "it left no word"
    if timed_out:
        message = (
            f"the model did not answer within {_QUALIFY_TIMEOUT_SECONDS:.0f} s of qualification: {reason}"
        )
        error = ErrorRecord(name="QualificationTimeout", message=message)
        return _Ending(verdict=Verdict.TIMED_OUT, error=error, qualification=qualification)
    if code == 1 and qualification is not None:
        error = ErrorRecord(name="NotQualified", message=reason)
        return _Ending(verdict=Verdict.FAILED, error=error, qualification=qualification)
    message = f"the process that executed the model ended with {code}: {reason}"
    error = ErrorRecord(name="ModelDied", message=message)
    return _Ending(verdict=Verdict.KERNEL_DIED, error=error, qualification=qualification)


def _published_model(work: _Work) -> ModelRecord:
    for step in work.release.spec.steps:
        model = _result_of(work, step).model
        if model is not None:
            return model
    raise PlatformFailed(f"run {work.run!r} has published no model; there is nothing to qualify")


def _result_of(work: _Work, step: str) -> StepResult:
    attempt = newest_attempt(work.store, work.pipeline, work.run, step)
    if attempt is None or attempt.result is None:
        raise PlatformFailed(f"step {step!r} of run {work.run!r} has no result")
    return attempt.result


def _write_result(work: _Work, ending: _Ending, *, seconds: float) -> None:
    """Upload what the attempt wrote, then its result, last."""
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
    if log.is_file() and log.stat().st_size:
        shutil.copyfile(log, work.folder / "log.txt")  # a copy, because this process may still print
    for path, name in (
        (work.folder / "output.ipynb", "output.ipynb"),
        (staging / "evaluation.parquet", "evaluation.parquet"),
        (staging / "qualification.json", "qualification.json"),
        (work.folder / "log.txt", "log.txt"),
    ):
        if path.is_file():
            uploads.add(path, name)
    result = StepResult(
        attempt=work.attempt,
        verdict=ending.verdict,
        cell=ending.cell,
        error=ending.error,
        seconds=round(seconds, 3),
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


def log_path(settings: Settings, pipeline: str, run: str, step: str, attempt: int) -> Path:
    """Return where whoever starts a step lets it print; the step uploads it from there."""
    return settings.logs_dir / "steps" / f"{pipeline}-{run}-{step}-{attempt}.log"


def _describe(work: _Work) -> str:
    """Return what the pipeline says of itself, or else what its notebook says at its beginning."""
    spec = work.release.spec
    if spec.description:
        return spec.description
    notebook = read_notebook(work.folder / "work" / spec.steps[work.step].notebook)
    return notebook.description or notebook.title or ""


class _Uploads:
    """The files of an attempt on their way to the store, each once."""

    def __init__(self, work: _Work) -> None:
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


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what follows saves what there is
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
