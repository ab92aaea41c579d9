"""What the ledger wants served: found, verified, and fetched to this disk.

`heads.json` and the reload hint only say when to look; what counts is the newest signed ledger record and the signed
manifest that it names by digest. Both are copied, as they are, into a small directory store on this disk once the
revision is live: a supervisor that starts while the store is down verifies those copies exactly as it would the
originals. Files are cached under their digest, and whoever loads one checks it again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rasen.deploy.ledger import find_head, list_endpoints, read_heads, read_record
from rasen.errors import DigestMismatch, NotFound, ObjectNotFound, StoreError, StoreUnavailable, TrustError
from rasen.model.engine_plan import EnginePlan
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, MemoryStore, Store
from rasen.tracking.keys import deployment_key, manifest_key, result_key
from rasen.tracking.ledger_records import FallbackPolicy as DecidedFallback
from rasen.tracking.ledger_records import Variant as NamedVariant
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import FileRecord, Manifest, StepResult, UnreadableRecord
from rasen.tracking.signature import TrustStore, load_trust
from rasen_serving.messages import (
    CHAMPION,
    CachedFile,
    FallbackPolicy,
    LogPolicy,
    Revision,
    Variant,
    Version,
)

logger = logging.getLogger(__name__)

_FILES = ("model", "example")
_MORE_FILES = ("profile", "onnx")
"""Fetched when the version has them."""

_KEPT_SECONDS = 3600.0
"""A cached file that nothing live needs is deleted when it was not used for so long."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the store found.

    Args:
        newest: The number of each endpoint's newest ledger record.
        stale: Why the store could not be believed, `""` when it could.
    """

    newest: dict[str, int]
    stale: str


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A revision whose records were verified and whose files lie on this disk.

    Args:
        revision: What the workers are told.
        records: The signed objects that it rests on, by key, as they were read.
        left_out: Why variants of the record are not in the revision, by run.
    """

    revision: Revision
    records: dict[str, bytes]
    left_out: dict[str, str] = field(default_factory=dict)

    def without(self, variant: Variant, reason: str) -> Resolved:
        """Return the same without a variant that cannot be loaded here."""
        kept = [one for one in self.revision.variants if one is not variant]
        return Resolved(
            revision=msgspec.structs.replace(self.revision, variants=kept),
            records=self.records,
            left_out=self.left_out | {variant.version.run: reason},
        )

    def planned(self, plans: Mapping[str, EnginePlan | None]) -> Resolved:
        """Return the same with what was measured when its versions were tried, by their identity."""
        variants = [
            msgspec.structs.replace(
                one,
                version=msgspec.structs.replace(one.version, plan=plans.get(one.version.identity)),
            )
            for one in self.revision.variants
        ]
        return Resolved(
            revision=msgspec.structs.replace(self.revision, variants=variants),
            records=self.records,
            left_out=self.left_out,
        )

    def profile_only(self, reason: str) -> Resolved:
        """Return the same with the champion's profile answering for it, because it may not be executed."""
        champion = self.revision.variants[0]
        version = msgspec.structs.replace(champion.version, quarantined=reason)
        variants = [msgspec.structs.replace(champion, version=version)]
        return Resolved(
            revision=msgspec.structs.replace(self.revision, variants=variants, rollout=None),
            records=self.records,
            left_out=self.left_out,
        )

    def describe(self) -> str:
        """Name what answers, in a sentence."""
        champion = self.revision.champion
        who = f"the profile of {champion.run}" if champion.quarantined else f"model {champion.run}"
        return f"{who} (revision {self.revision.number})"


class Revisions:
    """Reads ledgers and manifests, and keeps what a start without the store needs.

    Called from threads, one at a time.
    """

    def __init__(self, store: Store, settings: Settings, *, sweep_seconds: float = 60.0) -> None:
        """Read from `store`; look at most every `sweep_seconds` for cached files that nobody needs."""
        self._store = store
        self._settings = settings
        self._kept = DirectoryStore(settings.cache_dir / "records")
        self._files = settings.cache_dir / "files"
        self._sweep_seconds = sweep_seconds
        self._sweep_at = 0.0

    def look(self, known: dict[str, int], *, thorough: bool) -> Look:
        """Return the newest record number of every endpoint.

        Args:
            known: The numbers of the look before; none is ever taken back.
            thorough: Also look for records and endpoints that `heads.json` does not name.
        """
        try:
            heads = read_heads(self._store)
            names = heads.keys() | known.keys()
            if thorough:
                names |= set(list_endpoints(self._store))
            newest = dict(known)
            for name in sorted(names):
                before, hint = known.get(name, 0), heads.get(name, 0)
                if not thorough and hint <= before:
                    continue
                found = find_head(self._store, name, hint=max(hint, before))
                if found < before:
                    return Look(
                        newest=known, stale=f"the store has lost record {before} of endpoint {name!r}"
                    )
                if found:
                    newest[name] = found
        except (StoreError, OSError) as error:
            return Look(newest=known, stale=str(error))
        return Look(newest=newest, stale="")

    def kept(self) -> dict[str, int]:
        """Return the number of the revision of each endpoint that was live last, from this disk."""
        numbers = {name: find_head(self._kept, name) for name in list_endpoints(self._kept)}
        return {name: number for name, number in numbers.items() if number}

    def resolve(self, endpoint: str, number: int) -> Resolved:
        """Verify a revision and fetch its files.

        Raises:
            NotFound: The record names no version.
            TrustError, UnreadableRecord: Something cannot be trusted or read; nothing was loaded.
            ObjectNotFound: The record, the manifest or a file is gone.
            StoreUnavailable: The store is down; nothing is known.
        """
        return self._resolve(self._store, endpoint, number)

    def resolve_kept(self, endpoint: str) -> Resolved:
        """Verify, without the store, the revision of the endpoint that was live last.

        Raises:
            ObjectNotFound: None was kept.
            RasenError: As `resolve`.
        """
        number = find_head(self._kept, endpoint)
        if number == 0:
            raise ObjectNotFound(f"no revision of endpoint {endpoint!r} was ever live here")
        return self._resolve(self._kept, endpoint, number)

    def keep(self, resolved: Resolved, *, held: list[Revision]) -> None:
        """Keep what a start without the store needs of a revision that is live now, and clear what is not needed.

        Args:
            resolved: The revision.
            held: The revisions of its endpoint that are in use, this one included.
        """
        revision = resolved.revision
        for key in reversed(resolved.records):  # the ledger record last: what it names is there by then
            self._kept.write(key, resolved.records[key])
        for stat in list(self._kept.list(f"endpoints/{revision.endpoint}/deployments/")):
            if stat.key not in resolved.records:
                self._kept.delete(stat.key)
        versions = [variant.version for one in held for variant in one.variants]
        manifests = {manifest_key(version.pipeline, version.run) for version in versions}
        for pipeline in {version.pipeline for version in versions}:
            for stat in list(self._kept.list(f"manifests/{pipeline}/")):
                if stat.key not in manifests:
                    self._kept.delete(stat.key)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + self._sweep_seconds
            self._sweep({Path(file.path).name for version in versions for file in version.files.values()})

    def _sweep(self, needed: set[str]) -> None:
        """Delete cached files that no kept manifest names, also not one of an endpoint that sleeps."""
        for stat in self._kept.list("manifests/"):
            payload = json.loads(self._kept.read(stat.key).partition(b"\n")[2])
            needed |= {file["sha256"] for file in payload["model"]["files"].values()}
        for path in self._files.glob("*"):
            if path.name not in needed and time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink()

    def discard_files(self, revision: Revision) -> None:
        """Delete the cached files of a revision, because somebody found them damaged."""
        for variant in revision.variants:
            for file in variant.version.files.values():
                Path(file.path).unlink(missing_ok=True)

    def _resolve(self, store: Store, endpoint: str, number: int) -> Resolved:
        try:
            return self._verify(store, endpoint, number)
        except OSError as error:
            raise StoreUnavailable(
                f"revision {number} of {endpoint!r} could not be fetched: {error}"
            ) from error

    def _verify(self, store: Store, endpoint: str, number: int) -> Resolved:
        trust = load_trust(self._settings)
        environment = self._settings.environment
        # Verified in memory, from the bytes that will be kept.
        shelf = MemoryStore()
        records: dict[str, bytes] = {}

        def fetch(key: str) -> None:
            records[key] = store.read(key)
            shelf.write(key, records[key])

        fetch(deployment_key(endpoint, number))
        record = read_record(shelf, trust, endpoint, number, environment=environment)
        champions = [variant for variant in record.state.variants if variant.role == CHAMPION]
        if not champions:
            raise NotFound(
                f"ledger record {record.number} names no version: {record.action}: "
                f"{record.reason or 'no reason given'}"
            )
        variants: list[Variant] = []
        left_out: dict[str, str] = {}
        for named in [*champions, *(one for one in record.state.variants if one.role != CHAMPION)]:
            try:
                fetch(manifest_key(named.pipeline, named.run))
                version = self._version(shelf, trust, named)
            except (TrustError, UnreadableRecord, NotFound, ObjectNotFound) as error:
                if named.role == CHAMPION:
                    raise
                left_out[named.run] = str(error)  # the champion answers all the same
                continue
            variants.append(Variant(version=version, role=named.role, weight=named.weight))
        revision = Revision(
            endpoint=endpoint,
            number=number,
            decided_at=record.decided_at.isoformat(),
            variants=variants,
            rollout=None if record.state.rollout is None else record.state.rollout.model_dump(mode="json"),
            fallback=_fallback(record.state.fallback),
            log=LogPolicy(sample=record.state.log.sample, exclude=tuple(record.state.log.exclude)),
        )
        return Resolved(revision=revision, records=records, left_out=left_out)

    def _version(self, shelf: Store, trust: TrustStore, named: NamedVariant) -> Version:
        verified = read_manifest(
            shelf, trust, named.pipeline, named.run, environment=self._settings.environment
        )
        if verified.sha256 != named.manifest_sha256:
            raise DigestMismatch(
                f"the manifest of run {named.run!r} has sha256 {verified.sha256[:12]}…, "
                f"the ledger names {named.manifest_sha256[:12]}…"
            )
        manifest = verified.manifest
        model = manifest.model
        if model is None:
            raise NotFound(f"run {named.run!r} of {named.pipeline!r} published no model")
        missing = [role for role in _FILES if role not in model.files]
        if missing:
            raise NotFound(f"the manifest of run {named.run!r} names no file {missing[0]!r}")
        return Version(
            run=named.run,
            pipeline=named.pipeline,
            manifest_sha256=verified.sha256,
            files={
                role: self._fetch_file(model.files[role])
                for role in (*_FILES, *_MORE_FILES)
                if role in model.files
            },
            versions=manifest.versions,
            schema=model.schema_,
            major=model.major,
            metrics=self._metrics(manifest),
            description=model.description,
            trained_until=model.trained_until,
            published_at=manifest.published_at.isoformat(),
            row_wise=model.qualification.row_wise is True,
            engines=model.qualification.usable_engines,
        )

    def _fetch_file(self, file: FileRecord) -> CachedFile:
        if len(file.sha256) != 64 or not file.sha256.isalnum():
            raise DigestMismatch(f"{file.sha256[:80]!r} is no SHA-256")
        path = self._files / file.sha256
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
            os.utime(path)
        else:
            self._store.download(file.key, path, sha256=file.sha256)
        return CachedFile(key=file.key, path=str(path), sha256=file.sha256, size_bytes=file.size_bytes)

    def _metrics(self, manifest: Manifest) -> dict[str, float]:
        """Return what the run logged over all rows; what cannot be proved is left out, the model serves without."""
        metrics: dict[str, float] = {}
        for name, step in manifest.steps.items():
            key = result_key(manifest.pipeline, step.reused_from or manifest.run, name, step.attempt)
            try:
                data = self._store.read(key)
                if hashlib.sha256(data).hexdigest() == step.result_sha256:
                    found = StepResult.from_bytes(data, source=key).metrics
                    metrics |= {
                        metric.name: metric.value
                        for metric in found
                        if not metric.slice and math.isfinite(metric.value)
                    }
            except (StoreError, UnreadableRecord, OSError) as error:
                logger.warning(
                    "the metrics of step %r of run %s are not shown: %s", name, manifest.run, error
                )
        return metrics


def _fallback(decided: DecidedFallback) -> FallbackPolicy:
    budget = decided.timeout_seconds
    return FallbackPolicy(
        on=tuple(decided.on),
        timeout_seconds=FallbackPolicy().timeout_seconds if budget is None else budget,
        stale_after_seconds=decided.stale_after_seconds,
    )
