"""One published run, checked link by link: signature, start record, release, then every file that it names.

The order matters. Until signature, start and release fit together, even the run's id is somebody's claim, so what
fails there is `Unverified` and moves nothing. After that the run is real, and what fails is a refusal of this run.
Nothing here unpickles: a model file is a stream of bytes with a digest.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import DigestMismatch, InvalidInput, ModelFailed, ObjectNotFound, TrustError
from rasen.release import Release, read_release
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP, manifest_key, start_key
from rasen.tracking.manifest import VerifiedManifest, verify_manifest
from rasen.tracking.records import (
    FileRecord,
    Manifest,
    PublishedModel,
    Start,
    StepResult,
    UnreadableRecord,
    Verdict,
)
from rasen.tracking.results import read_published_result
from rasen.tracking.signature import TrustStore
from rasen.versions import compare_versions

_log = logging.getLogger(__name__)
_REQUIRED_FILES = ("model", "example")


@dataclass(frozen=True, kw_only=True)
class NothingToDecide:
    """A run that published no model, or was not to be deployed, or is not there any more."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Unverified:
    """Bytes under a manifest's key that are not proved to be what a run of this store published."""

    pipeline: str
    run: str
    object_sha256: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model version whose run is real."""

    pipeline: str
    run: str
    endpoint: str
    manifest: Manifest
    manifest_sha256: str
    model: PublishedModel
    release: Release
    start: Start


def open_candidate(
    store: Store, trust: TrustStore, pipeline: str, run: str, *, environment: str
) -> NothingToDecide | Unverified | Candidate:
    """Return what lies under a manifest's key.

    Raises:
        StoreUnavailable: The store is down; nothing can be said.
    """
    try:
        data = store.read(manifest_key(pipeline, run))
    except ObjectNotFound:
        return NothingToDecide(reason="the manifest is gone")
    try:
        verified = verify_manifest(data, trust, pipeline, run, environment=environment)
        start = _read_start(store, verified.manifest)
        if verified.manifest.model is None:
            return NothingToDecide(reason="the run published no model")
        if not start.deploy:
            return NothingToDecide(reason="the run was started without deployment")
        return _candidate(store, trust, verified, verified.manifest.model, start, environment=environment)
    except (TrustError, UnreadableRecord, ObjectNotFound, InvalidInput) as error:
        return Unverified(
            pipeline=pipeline, run=run, object_sha256=hashlib.sha256(data).hexdigest(), reason=str(error)
        )


def _candidate(
    store: Store,
    trust: TrustStore,
    verified: VerifiedManifest,
    model: PublishedModel,
    start: Start,
    *,
    environment: str,
) -> Candidate:
    manifest = verified.manifest
    release = read_release(store, trust, manifest.pipeline, manifest.release, environment=environment)
    return Candidate(
        pipeline=manifest.pipeline,
        run=manifest.run,
        endpoint=release.spec.endpoint,
        manifest=manifest,
        manifest_sha256=verified.sha256,
        model=model,
        release=release,
        start=start,
    )


def _read_start(store: Store, manifest: Manifest) -> Start:
    """Return the start record that the manifest was signed for: it ties the manifest to a run of this very store."""
    key = start_key(manifest.pipeline, manifest.run)
    data = store.read(key)
    if hashlib.sha256(data).hexdigest() != manifest.start_sha256:
        raise DigestMismatch(f"start record {key!r} is not the one that the manifest was signed for")
    start = Start.from_bytes(data, source=key)
    said = (start.run, start.pipeline, start.release, start.environment, start.nonce)
    if said != (manifest.run, manifest.pipeline, manifest.release, manifest.environment, manifest.nonce):
        raise DigestMismatch(f"start record {key!r} and the manifest speak of different runs")
    return start


def check_contents(
    store: Store, candidate: Candidate, *, environment: str, scratch_dir: Path
) -> dict[str, StepResult]:
    """Check everything that a candidate names and return the results of its steps, the more trusted ones last.

    What `_qualify` measured by running the model comes after what the notebooks logged about it.

    Raises:
        TrustError, ObjectNotFound, UnreadableRecord, InvalidInput: Something is not what was signed for.
        ModelFailed: The model was not qualified, or with other libraries than these.
        StoreUnavailable: The store is down; nothing can be said.
    """
    manifest = candidate.manifest
    if "workspace" in {candidate.start.origin, candidate.release.origin} and environment != "dev":
        raise TrustError(f"the run comes from a working tree, which is never deployed in {environment!r}")
    for name in _REQUIRED_FILES:
        if name not in candidate.model.files:
            raise ObjectNotFound(
                f"the manifest names no {name!r} file; it has {sorted(candidate.model.files)}"
            )
    for file in candidate.model.files.values():
        _check_file(store, file, pipeline=candidate.pipeline, scratch_dir=scratch_dir)
    if QUALIFY_STEP not in manifest.steps:
        raise ModelFailed("the model was never run before publication: the manifest has no step '_qualify'")
    _check_libraries(manifest)
    return read_results(store, manifest)


def _check_libraries(manifest: Manifest) -> None:
    """Compare the libraries that the model was qualified with to those of this image, which serving shares.

    Raises:
        ModelFailed: Python, or a library of the serving set, is of another major or minor version.
    """
    differing = compare_versions(manifest.versions)
    breaking = [each for each in differing if each.breaks]
    if breaking:
        raise ModelFailed(
            "the model was qualified with other libraries than it would be served with: "
            f"{'; '.join(map(str, breaking))}; run the pipeline again in this environment"
        )
    if differing:
        _log.warning(
            "run %s of %s was qualified with other libraries, only their last place differs: %s",
            manifest.run,
            manifest.pipeline,
            "; ".join(map(str, differing)),
        )


def read_results(store: Store, manifest: Manifest) -> dict[str, StepResult]:
    """Return the results of a published run's steps, that of `_qualify` last.

    Raises:
        TrustError, ObjectNotFound, UnreadableRecord: One is not what was signed for.
        ModelFailed: A step did not succeed.
    """
    steps = sorted(manifest.steps, key=lambda step: step == QUALIFY_STEP)
    return {step: _read_result(store, manifest, step) for step in steps}


def _check_file(store: Store, file: FileRecord, *, pipeline: str, scratch_dir: Path) -> None:
    if not file.key.startswith(f"runs/{pipeline}/"):
        raise DigestMismatch(f"the manifest names {file.key!r}, which no run of {pipeline!r} wrote")
    stat = store.stat(file.key)
    if stat is None:
        raise ObjectNotFound(f"{file.key!r}, which the manifest names, is gone")
    if stat.size_bytes != file.size_bytes:
        raise DigestMismatch(
            f"{file.key!r} has {stat.size_bytes} bytes; the manifest names {file.size_bytes}"
        )
    scratch_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_dir, prefix="check-") as folder:
        store.download(file.key, Path(folder) / "file", sha256=file.sha256)


def _read_result(store: Store, manifest: Manifest, step: str) -> StepResult:
    result = read_published_result(store, manifest, step)
    if result.verdict is not Verdict.SUCCEEDED:
        raise ModelFailed(f"step {step!r} ended as {result.verdict.value!r}, not as 'succeeded'")
    return result
