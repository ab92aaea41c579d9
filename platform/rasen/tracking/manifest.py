"""Manifests: the signed list of everything a run published. Before it exists nothing was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from rasen.errors import SignatureInvalid
from rasen.store import Store
from rasen.tracking.keys import manifest_key
from rasen.tracking.records import Manifest
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, write_signed


@dataclass(frozen=True, kw_only=True)
class VerifiedManifest:
    """A manifest whose signature was checked, with the SHA-256 of its payload."""

    manifest: Manifest
    sha256: str


def write_manifest(store: Store, manifest: Manifest, signer: Signer) -> str:
    """Publish a run; return the SHA-256 of the manifest's payload.

    Raises:
        PreconditionFailed: The run was published with another content.
    """
    return write_signed(store, manifest_key(manifest.pipeline, manifest.run), manifest.to_bytes(), signer)


def read_manifest(
    store: Store, trust: TrustStore, pipeline: str, run: str, *, environment: str
) -> VerifiedManifest:
    """Return a run's manifest after checking its signature, its key and its environment.

    Raises:
        ObjectNotFound: The run has published nothing.
        SignatureInvalid, KeyRefused: It cannot be trusted.
    """
    return verify_manifest(
        store.read(manifest_key(pipeline, run)), trust, pipeline, run, environment=environment
    )


def verify_manifest(
    data: bytes, trust: TrustStore, pipeline: str, run: str, *, environment: str
) -> VerifiedManifest:
    """Check the bytes of a manifest that was read under its key.

    Raises:
        SignatureInvalid, KeyRefused: It cannot be trusted, or speaks of another run or environment.
    """
    key = manifest_key(pipeline, run)
    payload = open_signed(data, key, trust=trust, role=Role.CONTROL, environment=environment)
    manifest = Manifest.from_bytes(payload, source=key)
    if (manifest.pipeline, manifest.run, manifest.environment) != (pipeline, run, environment):
        raise SignatureInvalid(
            f"manifest {key!r} speaks of run {manifest.run!r} of {manifest.pipeline!r} in {manifest.environment!r}"
        )
    return VerifiedManifest(manifest=manifest, sha256=hashlib.sha256(payload).hexdigest())


def list_manifests(store: Store, pipeline: str, *, after: str | None = None) -> Iterator[str]:
    """Yield the ids of a pipeline's published runs, oldest first, those after the run `after`."""
    prefix = f"manifests/{pipeline}/"
    for stat in store.list(prefix, after=manifest_key(pipeline, after) if after else ""):
        if stat.key.endswith(".json"):
            yield stat.key[len(prefix) : -len(".json")]
