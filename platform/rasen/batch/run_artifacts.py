"""Everything that one run left, found and checked in the order of trust: manifest, start, results, release.

Of a run that published, all of it hangs on the signed manifest. Of one that failed there is no manifest: what its
results name is still checked against their digests, but nobody has signed for those, and `verified` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rasen.batch.finish import Finished, read_finished
from rasen.batch.queries import steps_of, trusted_release
from rasen.batch.start import read_start
from rasen.errors import DigestMismatch, InvalidInput, NotFound, ObjectNotFound
from rasen.pipeline_graph import topological_order
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import FileRecord, Manifest, Start, StepResult, Verdict
from rasen.tracking.results import counted_attempt, read_published_result
from rasen.tracking.tombstones import refuse_removed


@dataclass(frozen=True, kw_only=True)
class RunArtifacts:
    """One ended run; `release` is `None` when it is gone, or not trusted any more.

    `results` holds those that count, in the order of execution, those that were taken over from other runs included.
    """

    start: Start
    finished: Finished
    release: Release | None
    results: Mapping[str, StepResult]

    @property
    def manifest(self) -> Manifest | None:
        """The verified manifest, `None` of a run that did not succeed."""
        return self.finished.manifest

    @property
    def verified(self) -> bool:
        """Whether somebody has signed for the digests."""
        return self.manifest is not None

    @property
    def verdict(self) -> Verdict:
        """How the run ended."""
        return self.finished.verdict

    @property
    def model_files(self) -> dict[str, FileRecord]:
        """The files of the model that the run published, or would have published, by role."""
        if self.manifest is not None:
            return dict(self.manifest.model.files) if self.manifest.model is not None else {}
        models = [result.model for result in self.results.values() if result.model is not None]
        return dict(models[-1].files) if models else {}

    def need_release(self) -> Release:
        """Return the release.

        Raises:
            NotFound: It is gone, or not trusted any more.
        """
        if self.release is None:
            raise NotFound(
                f"release {self.start.release!r} of run {self.start.run!r} is gone, or not trusted any more; "
                "without its notebooks only `--only model` and `--only tables` can be restored"
            )
        return self.release


def read_artifacts(settings: Settings, store: Store, pipeline: str, run: str) -> RunArtifacts:
    """Find what a run left, its manifest verified first.

    Raises:
        InvalidInput: The run was removed, or has not ended.
        NotFound: Something of it is gone.
        TrustError: Something is not what was signed for.
    """
    refuse_removed(store, pipeline, run)
    started = read_start(store, pipeline, run)
    finished = read_finished(settings, store, pipeline, run)
    if finished is None:
        raise InvalidInput(
            f"run {run!r} of {pipeline!r} has not ended, so nothing of it is settled; `rasen runs` shows where it is, "
            f"`rasen cancel {run}` ends it"
        )
    release = trusted_release(settings, store, started.start)
    results: dict[str, StepResult] = {}
    manifest = finished.manifest
    if manifest is not None:
        if started.sha256 != manifest.start_sha256:
            raise DigestMismatch(
                f"the start record of run {run!r} is not the one that its manifest was signed for"
            )
        order = topological_order(release.spec) if release is not None else list(manifest.steps)
        for step in [*order, QUALIFY_STEP]:
            if step in manifest.steps and step not in results:
                try:
                    results[step] = read_published_result(store, manifest, step)
                except ObjectNotFound as error:
                    raise NotFound(f"step {step!r} of run {run!r} is gone: {error}") from error
    else:
        for step in steps_of(store, started.start, release):
            attempt = counted_attempt(store, started.start, step)
            if attempt is not None and attempt.result is not None:
                results[step] = attempt.result
    return RunArtifacts(start=started.start, finished=finished, release=release, results=results)
