"""The version that is live while a run is qualified: found in the ledger, verified, and its files fetched.

A pipeline is compared with the champion of its own endpoint. Where another one invites it and compares champions, the
decider asks for a qualification beside that one's (`Start.judged_at`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasen.batch.work import Work
from rasen.deploy import ledger
from rasen.deploy.rollout import champion_of
from rasen.errors import DigestMismatch, NotFound, RasenError, StoreUnavailable
from rasen.tracking.ledger_records import Variant
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Manifest, PublishedModel


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The live version; `model` and `files` are there unless `problem` says why it cannot be loaded.

    Args:
        run: The version, empty when the ledger itself cannot be read.
        problem: Why there is nothing to load, empty when there is.
        model: What its manifest says.
        versions: The libraries that it was published with.
        files: By role, the name of the file in the folder and its digest.
    """

    run: str
    problem: str = ""
    model: PublishedModel | None = None
    versions: dict[str, str] | None = None
    files: dict[str, dict[str, str]] | None = None

    def described(self) -> dict[str, Any]:  # Any: JSON
        """Return what a process that loads it has to know."""
        assert self.model is not None
        return {
            "files": dict(self.files or {}),
            "schema": self.model.schema_,
            "engines": list(self.model.qualification.usable_engines),
            "versions": dict(self.versions or {}),
        }


def fetch_champion(work: Work, folder: Path) -> Champion | None:
    """Fetch what is live behind the endpoint that the run is for into `folder`; `None` before the first deployment.

    Raises:
        StoreUnavailable: The store is down.
    """
    endpoint = work.start.judged_at or work.release.spec.endpoint
    try:
        record = ledger.latest(work.store, work.trust, endpoint, environment=work.settings.environment)
    except StoreUnavailable:
        raise
    except RasenError as error:
        return Champion(run="", problem=f"the ledger of {endpoint!r} cannot be read: {error}")
    live = None if record is None else champion_of(record.state)
    if live is None:
        return None
    try:
        manifest, model = _verified(work, live)
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for role, file in model.files.items():
            if role != "evaluation":  # those are its own held-out rows, which nobody asks it for
                name = Path(file.key).name
                work.store.download(file.key, folder / name, sha256=file.sha256)
                files[role] = {"path": name, "sha256": file.sha256}
    except StoreUnavailable:
        raise
    except RasenError as error:
        return Champion(run=live.run, problem=str(error))
    return Champion(run=live.run, model=model, versions=manifest.versions, files=files)


def _verified(work: Work, live: Variant) -> tuple[Manifest, PublishedModel]:
    verified = read_manifest(
        work.store, work.trust, live.pipeline, live.run, environment=work.settings.environment
    )
    if verified.sha256 != live.manifest_sha256:
        raise DigestMismatch(
            f"the manifest of run {live.run!r} has sha256 {verified.sha256[:12]}…, the ledger names "
            f"{live.manifest_sha256[:12]}…"
        )
    if verified.manifest.model is None:
        raise NotFound(f"run {live.run!r} of {live.pipeline!r} published no model")
    return verified.manifest, verified.manifest.model
