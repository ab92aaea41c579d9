"""Finishing a run: the last of the three commands start, step, finish. It runs no analyst's code.

It reads the results of the steps, hashes every file that they name, and signs what it has seen with its own eyes: the
manifest, create-only, is the publication. A run that published nothing gets a record of its end instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rasen.batch.requalify import check_qualified
from rasen.batch.start import Started, read_start
from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import judge
from rasen.errors import DigestMismatch, ObjectNotFound, PreconditionFailed
from rasen.pipeline_graph import topological_order
from rasen.release import Release, read_release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP, end_key, manifest_key
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.manifest import read_manifest, write_manifest
from rasen.tracking.records import (
    End,
    FileRecord,
    Manifest,
    ModelRecord,
    PublishedModel,
    PublishedStep,
    Qualification,
    StepResult,
    Verdict,
)
from rasen.tracking.results import Attempt, counted_attempt, newest_attempt
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.versions import serving_versions

_ONE_AT_A_TIME = "more than one step has published a model; `rasen.publish` is called once a run"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a run ended: with a manifest, or with the record of its end."""

    verdict: Verdict
    manifest: Manifest | None = None
    end: End | None = None
    table_verdicts: tuple[GateVerdict, ...] = ()


def finish_run(
    settings: Settings, store: Store, pipeline: str, run: str, *, cancelled: bool = False
) -> Finished:
    """Publish a run whose steps all succeeded, or record how it ended. Calling it again changes nothing.

    Raises:
        DigestMismatch: A file that a result names is not there as named; nothing was published.
        TrustError: The release cannot be trusted.
    """
    done = read_finished(settings, store, pipeline, run)
    if done is not None:
        return done
    started = read_start(store, pipeline, run)
    release = read_release(
        store, load_trust(settings), pipeline, started.start.release, environment=settings.environment
    )
    attempts = {step: counted_attempt(store, started.start, step) for step in release.spec.steps}
    if started.start.qualifies is not None:
        check_qualified(settings, store, pipeline, started.start.qualifies, attempts)
    models = [
        a.result.model for a in attempts.values() if a is not None and a.result is not None and a.result.model
    ]
    if models:
        attempts[QUALIFY_STEP] = newest_attempt(store, pipeline, run, QUALIFY_STEP)
    step, verdict, reason = _worst(release, attempts)
    if cancelled and verdict is not Verdict.SUCCEEDED:
        by_itself = verdict not in (Verdict.CANCELLED, Verdict.INTERRUPTED)
        reason = f"cancelled after step {step!r} ended as {verdict}: {reason}" if by_itself else "cancelled"
        verdict = Verdict.CANCELLED
    if verdict is Verdict.SUCCEEDED and len(models) > 1:
        verdict, reason = Verdict.FAILED, _ONE_AT_A_TIME
    judged: tuple[GateVerdict, ...] = ()
    if verdict is Verdict.SUCCEEDED:
        judged = tuple(_judge_tables(release, attempts))
        failed = [f"{answer.gate}: {answer.reason}" for answer in judged if answer.answer != "pass"]
        if failed:
            verdict, reason = Verdict.VALIDATION_FAILED, "a table was held back: " + "; ".join(failed)
    if verdict is not Verdict.SUCCEEDED:
        return _write_end(store, started, step=step, verdict=verdict, reason=reason, judged=judged)
    return _publish(settings, store, release, started, attempts, models[0] if models else None, judged)


def read_finished(settings: Settings, store: Store, pipeline: str, run: str) -> Finished | None:
    """Return how a run ended, or `None` while it runs."""
    if store.stat(manifest_key(pipeline, run)) is not None:
        verified = read_manifest(store, load_trust(settings), pipeline, run, environment=settings.environment)
        return Finished(verdict=Verdict.SUCCEEDED, manifest=verified.manifest)
    key = end_key(pipeline, run)
    try:
        end = End.from_bytes(store.read(key), source=key)
    except ObjectNotFound:
        return None
    return Finished(verdict=end.verdict, end=end)


def _worst(release: Release, attempts: dict[str, Attempt | None]) -> tuple[str | None, Verdict, str | None]:
    """Return the first step that did not succeed, in the order of execution, with its verdict and reason."""
    for step in [*topological_order(release.spec), *[name for name in attempts if name == QUALIFY_STEP]]:
        attempt = attempts[step]
        if attempt is None or attempt.result is None:
            return step, Verdict.INTERRUPTED, f"step {step!r} has no result: its process is gone"
        result = attempt.result
        if result.verdict is not Verdict.SUCCEEDED:
            error = result.error
            return step, result.verdict, f"{error.name}: {error.message}" if error else None
    return None, Verdict.SUCCEEDED, None


def _judge_tables(release: Release, attempts: dict[str, Attempt | None]) -> Iterable[GateVerdict]:
    metrics = [metric for result in _results(attempts) for metric in result.metrics]
    for spec in release.spec.tables.values():
        yield from judge(spec.gates, Evidence.of_metrics(metrics))


def _results(attempts: dict[str, Attempt | None]) -> list[StepResult]:
    return [
        attempt.result for attempt in attempts.values() if attempt is not None and attempt.result is not None
    ]


def _write_end(
    store: Store,
    started: Started,
    *,
    step: str | None,
    verdict: Verdict,
    reason: str | None,
    judged: tuple[GateVerdict, ...],
) -> Finished:
    start = started.start
    end = End(
        run=start.run,
        pipeline=start.pipeline,
        verdict=verdict,
        step=step,
        error=reason,
        ended_at=datetime.now(tz=UTC),
    )
    key = end_key(start.pipeline, start.run)
    try:
        store.write(key, end.to_bytes(), if_generation=0)
    except PreconditionFailed:
        end = End.from_bytes(store.read(key), source=key)
    return Finished(verdict=end.verdict, end=end, table_verdicts=judged)


def _publish(
    settings: Settings,
    store: Store,
    release: Release,
    started: Started,
    attempts: dict[str, Attempt | None],
    model: ModelRecord | None,
    judged: tuple[GateVerdict, ...],
) -> Finished:
    start = started.start
    files = [file for result in _results(attempts) for file in result.files]
    _check_files(store, files)
    manifest = Manifest(
        start_sha256=started.sha256,
        run=start.run,
        pipeline=start.pipeline,
        release=start.release,
        commit=release.commit or "",
        environment=start.environment,
        nonce=start.nonce,
        image=start.image,
        versions=serving_versions(),
        steps={
            step: PublishedStep(
                attempt=attempt.number, result_sha256=attempt.sha256, reused_from=start.reuses.get(step)
            )
            for step, attempt in attempts.items()
            if attempt is not None
        },
        model=_published_model(model, attempts, major=release.spec.deploy.major)
        if model is not None
        else None,
        tables=_published_tables(release, attempts),
        files=files,
        published_at=datetime.now(tz=UTC),
    )
    try:
        write_manifest(store, manifest, open_signer(settings, Role.CONTROL))
    except PreconditionFailed:  # somebody else finished this run in the meantime: theirs counts
        trust = load_trust(settings)
        manifest = read_manifest(
            store, trust, start.pipeline, start.run, environment=settings.environment
        ).manifest
    return Finished(verdict=Verdict.SUCCEEDED, manifest=manifest, table_verdicts=judged)


def _check_files(store: Store, files: Iterable[FileRecord]) -> None:
    for file in files:
        found = hashlib.sha256(store.read(file.key)).hexdigest()
        if found != file.sha256:
            raise DigestMismatch(
                f"{file.key!r} has the SHA-256 {found}, its step's result names {file.sha256}; nothing was published"
            )


def _published_model(
    model: ModelRecord, attempts: dict[str, Attempt | None], *, major: int
) -> PublishedModel:
    attempt = attempts[QUALIFY_STEP]
    found = (attempt.result.qualification or {}) if attempt is not None and attempt.result is not None else {}
    written = attempt.result.files if attempt is not None and attempt.result is not None else []
    evaluation = next((file.key for file in written if file.key.endswith("/evaluation.parquet")), None)
    graph = next((file for file in written if file.key.endswith("/model.onnx")), None)
    engines = [str(name) for name in found.get("equal_engines", ())]
    return PublishedModel(
        files=model.files | ({"onnx": graph} if graph is not None and "onnx" in engines else {}),
        schema_=model.schema_,
        major=major,
        target=model.target,
        time=model.time,
        slices=model.slices,
        trained_until=model.trained_until,
        description=model.description,
        qualification=Qualification(
            champion=(found.get("champion") or {}).get("run") or None,
            engine=str(found.get("engine", "native")),
            engines=engines,
            evaluation=evaluation,
            row_wise=found.get("row_wise"),
        ),
    )


def _published_tables(release: Release, attempts: dict[str, Attempt | None]) -> dict[str, FileRecord]:
    published = {}
    for name, spec in release.spec.tables.items():
        attempt = attempts[spec.step]
        if attempt is None or attempt.result is None or spec.table not in attempt.result.tables:
            continue
        key = attempt.result.tables[spec.table]
        published[name] = next(file for file in attempt.result.files if file.key == key)
    return published
