"""Executing a run again, on the very tables that it read, to see whether the same comes out.

The steps run by the code that runs every step, in a home of their own that is gone afterwards: a copy of the release,
the same parameters and instant, and instead of the warehouse what the run's reads were answered. What was live when the
run began is what `load_model` finds. Nothing is published: no key is there to sign with, and no manifest is written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rasen.batch.finish import Finished
from rasen.batch.inputs import copy_live, newest_release_run
from rasen.batch.queries import find_run
from rasen.batch.repetition_difference import Compared, Side, compare_executions
from rasen.batch.restore import check_target, restore_artifacts
from rasen.batch.run_artifacts import RunArtifacts, read_artifacts
from rasen.batch.run_events import Observer
from rasen.batch.runner import run_steps
from rasen.batch.start import scheduled_instant
from rasen.data.recorded_reads import write_index
from rasen.data.table_difference import Outcome
from rasen.deploy import ledger
from rasen.errors import InvalidInput, NotFound, ObjectNotFound
from rasen.model.loading import differing_versions
from rasen.pipeline_graph import topological_order
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import DirectoryStore, Store, open_store
from rasen.tracking.keys import (
    QUALIFY_STEP,
    bundle_key,
    manifest_key,
    release_key,
    result_key,
    start_key,
)
from rasen.tracking.records import End, Manifest, Start, StepResult, Verdict
from rasen.tracking.resigning import read_resignings
from rasen.tracking.results import newest_attempt
from rasen.tracking.signature import TrustStore, load_trust
from rasen.versions import environment_digest

DIFFERENT_EXIT_CODE = 10
"""How `rasen rerun --verify` ends when something came out differently."""

_RANK: dict[Outcome, int] = {"identical": 0, "equal": 1, "different": 2}


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A run that was executed again; `compared` is empty when nobody asked for a comparison.

    `notes` say what must be known before the differences are read, such as libraries of other versions.
    """

    run: str
    pipeline: str
    verdict: Verdict
    verdict_then: Verdict
    notes: tuple[str, ...]
    compared: tuple[Compared, ...]
    folder: Path | None

    @property
    def outcome(self) -> Outcome:
        """The worst of what was compared."""
        return max((one.outcome for one in self.compared), key=_RANK.__getitem__, default="identical")


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """A run on its way to be executed again: its own store and settings, which are gone when the context ends."""

    settings: Settings
    store: Store
    original: RunArtifacts
    original_store: Store
    start: Start
    release: Release
    notes: tuple[str, ...]

    def execute(self, observe: Observer, *, jobs: int | None = None) -> bool:
        """Execute all steps; return whether that was cut short by a wish to stop."""
        return run_steps(self.settings, self.store, self.release, self.start, observe, jobs=jobs)

    def results(self) -> dict[str, StepResult]:
        """Return what came out, by step."""
        found = {}
        for step in [*topological_order(self.release.spec), QUALIFY_STEP]:
            attempt = newest_attempt(self.store, self.start.pipeline, self.start.run, step)
            if attempt is not None and attempt.result is not None:
                found[step] = attempt.result
        return found

    def conclude(self, into: Path | None, *, verify: bool) -> Repeated:
        """Compare, if asked for, and keep the outputs in `into`, if given."""
        results = self.results()
        bad = [result.verdict for result in results.values() if result.verdict is not Verdict.SUCCEEDED]
        verdict = bad[0] if bad else Verdict.SUCCEEDED
        compared: tuple[Compared, ...] = ()
        if verify:
            left = Side(store=self.original_store, results=self.original.results)
            compared = tuple(compare_executions(left, Side(store=self.store, results=results)))
        if into is not None:
            self._keep(into, results, verdict)
        return Repeated(
            run=self.start.run,
            pipeline=self.start.pipeline,
            verdict=verdict,
            verdict_then=self.original.verdict,
            notes=self.notes,
            compared=compared,
            folder=into,
        )

    def _keep(self, into: Path, results: dict[str, StepResult], verdict: Verdict) -> None:
        end = End(
            run=self.start.run,
            pipeline=self.start.pipeline,
            verdict=verdict,
            error="executed again by `rasen rerun`; nothing of this was published",
            ended_at=scheduled_instant(self.start),
        )
        artifacts = RunArtifacts(
            start=self.start,
            finished=Finished(verdict=verdict, end=end),
            release=self.release,
            results=results,
        )
        restore_artifacts(self.store, artifacts, into)


@contextmanager
def prepare_rerun(settings: Settings, beginning: str, *, into: Path | None = None) -> Iterator[Repetition]:
    """Gather what a run needs in order to be executed again.

    Args:
        settings: Where everything lies.
        beginning: Enough of the run's id.
        into: Where outputs will be kept; looked at now, not after an hour of work.

    Raises:
        NotFound: There is no such run, or something that it needs is gone.
        InvalidInput: The run has not ended or was removed, or `into` holds something.
        TrustError: Something is not what was signed for.
    """
    store = open_store(settings)
    row = find_run(settings, beginning)
    if into is not None:
        check_target(into)
    original = read_artifacts(settings, store, row.pipeline, row.run)
    release = original.need_release()
    if original.start.qualifies is not None:
        raise InvalidInput(
            f"run {row.run!r} only qualified the model of run {original.start.qualifies!r} again; rerun that one"
        )
    home = settings.scratch_dir / f"rerun-{row.pipeline}-{row.run}-{os.getpid()}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    try:
        own = settings.model_copy(update={"home": home})
        trust = load_trust(settings)
        own.trust_file.write_bytes(trust.to_bytes())
        copies = DirectoryStore(own.store_dir)
        start = original.start.model_copy(
            update={
                "reuses": {},
                "resumes": None,
                "repeats": row.run,
                "scheduled_at": scheduled_instant(original.start),
            }
        )
        copies.write(start_key(row.pipeline, row.run), start.to_bytes())
        for key in (release_key, bundle_key):
            name = key(row.pipeline, release.release)
            copies.write(name, store.read(name))
        _record_reads(store, original, own.recorded_dir)
        notes = [*_notes(original), *_copy_baseline(store, copies, trust, settings, row.pipeline, row.run)]
        _copy_models(store, copies, trust, settings, original, release)
        yield Repetition(
            settings=own,
            store=copies,
            original=original,
            original_store=store,
            start=start,
            release=release,
            notes=tuple(notes),
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _record_reads(store: Store, original: RunArtifacts, target: Path) -> None:
    for step in original.need_release().spec.steps:
        result = original.results.get(step)
        files = {file.key: file for file in result.files} if result is not None else {}
        folder = target / step
        folder.mkdir(parents=True)
        listed = []
        for read in result.reads if result is not None else ():
            if read.sql is None:
                continue  # a file of the release is there again
            name = f"{files[read.table].sha256}.parquet"
            if not (folder / name).exists():
                try:
                    store.download(read.table, folder / name, sha256=files[read.table].sha256)
                except ObjectNotFound as error:
                    raise NotFound(f"a table that step {step!r} read is gone: {error}") from error
            listed.append((read.sql, read.parameters, name))
        write_index(folder, listed)


def _notes(original: RunArtifacts) -> list[str]:
    notes = []
    if original.manifest is not None:
        differing = differing_versions(original.manifest.versions)
        if differing:
            notes.append(f"libraries: {differing}")
    elif original.start.image != environment_digest():
        notes.append(
            "the libraries are not those of then; a run that did not succeed does not say which differ"
        )
    if not original.verified:
        notes.append("the run did not succeed, so nobody has signed for what it is compared with")
    for step, run in original.start.reuses.items():
        notes.append(
            f"step {step} was taken over from run {run}; here it is executed by this run's own release"
        )
    return notes


def _copy_baseline(
    store: Store, copies: Store, trust: TrustStore, settings: Settings, pipeline: str, run: str
) -> list[str]:
    """Copy what tells anomalies apart: the results of the last good run before."""
    good = newest_release_run(store, trust, pipeline, environment=settings.environment, before=run)
    if good is None:
        return []
    try:
        for key in [manifest_key(pipeline, good.run), start_key(pipeline, good.run), *_result_keys(good)]:
            copies.write(key, store.read(key))
    except ObjectNotFound:
        copies.delete(manifest_key(pipeline, good.run))
        return [
            f"run {good.run}, whose tables this run's were compared with, was removed: anomalies are not judged"
        ]
    return []


def _result_keys(manifest: Manifest) -> list[str]:
    return [
        result_key(manifest.pipeline, step.reused_from or manifest.run, name, step.attempt)
        for name, step in manifest.steps.items()
    ]


def number_when(
    store: Store, trust: TrustStore, endpoint: str, at: datetime, *, environment: str
) -> int | None:
    """Return the number of the ledger record that was the newest at an instant of the store's clock.

    Of a record that was signed again later, the store knows only when that was: its own time counts then.
    """
    resigned = {
        one.key for record in read_resignings(store, trust, environment=environment) for one in record.objects
    }
    newest = None
    for stat in store.list(f"endpoints/{endpoint}/deployments/"):
        number = int(stat.key.rpartition("/")[2].removesuffix(".json"))
        written_at = stat.updated_at
        if stat.key in resigned:
            written_at = ledger.read_record(
                store, trust, endpoint, number, environment=environment
            ).decided_at
        if written_at <= at:
            newest = number
    return newest


def _copy_models(
    store: Store,
    copies: DirectoryStore,
    trust: TrustStore,
    settings: Settings,
    original: RunArtifacts,
    release: Release,
) -> None:
    """Copy what was live behind each endpoint that a step loads, when the run began, both by the store's clock."""
    run = original.start.run
    begun = store.stat(start_key(original.start.pipeline, run))
    for endpoint in sorted({name for step in release.spec.steps.values() for name in step.models}):
        number = None
        if begun is not None:
            number = number_when(store, trust, endpoint, begun.updated_at, environment=settings.environment)
        if number is None:
            raise NotFound(f"nothing was live behind endpoint {endpoint!r} when run {run!r} began")
        record = ledger.read_record(store, trust, endpoint, number, environment=settings.environment)
        try:
            copy_live(store, trust, record, copies, environment=settings.environment)
        except ObjectNotFound as error:
            raise NotFound(
                f"what was live behind {endpoint!r} when run {run!r} began, by record {number}, is gone: {error}"
            ) from error
