"""A real model behind an endpoint, without a run: its files, a signed manifest and a ledger record."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rasen.deploy import ledger
from rasen.model.publishing import Publication, prepare
from rasen.store import Store
from rasen.tracking.ids import run_id
from rasen.tracking.ledger_records import EndpointState, LedgerRecord, Variant
from rasen.tracking.manifest import write_manifest
from rasen.tracking.records import FileRecord, Manifest, PublishedModel, Qualification
from rasen.tracking.signature import Role, TrustStore
from rasen.versions import serving_versions
from stand.manifests import KeptKey

INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
RUN = run_id(INSTANT, "request:live")


class LivePlatform:
    """The signing side of a platform: publishes models and puts them behind endpoints."""

    def __init__(self, store: Store, folder: Path, *, environment: str = "dev") -> None:
        self.store = store
        self.folder = folder
        self.environment = environment
        self.control = KeptKey(Role.CONTROL)
        self.decider = KeptKey(Role.DECIDER)
        self.trust = TrustStore(keys=[key.trusted(environment) for key in (self.control, self.decider)])

    def publish(
        self,
        model: object,
        example: pd.DataFrame,
        *,
        pipeline: str = "demand",
        run: str = RUN,
        versions: Mapping[str, str] | None = None,
        **options: Any,
    ) -> str:
        """Publish a model as the run's; return the digest of the manifest."""
        made = prepare(model, example=example, folder=self.folder, **options)
        manifest = Manifest(
            start_sha256="0" * 64,
            run=run,
            pipeline=pipeline,
            release="1-0123456789ab",
            commit="0" * 40,
            environment=self.environment,
            nonce="",
            image="sha256:0",
            versions=dict(versions or serving_versions()),
            steps={},
            model=PublishedModel(
                files=self._files(made, f"runs/{pipeline}/{run}/train/1/model/"),
                schema_=made.schema.to_dict(),
                target=made.target,
                time=made.time,
                slices=list(made.slices),
                trained_until=made.trained_until,
                qualification=Qualification(row_wise=True),
            ),
            published_at=INSTANT,
        )
        return write_manifest(self.store, manifest, self.control)

    def deploy(
        self, manifest_sha256: str, *, endpoint: str = "demand", pipeline: str = "demand", run: str = RUN
    ) -> None:
        """Make a published run the endpoint's champion."""
        number = ledger.find_head(self.store, endpoint) + 1
        champion = Variant(run=run, pipeline=pipeline, manifest_sha256=manifest_sha256)
        record = LedgerRecord(
            endpoint=endpoint,
            number=number,
            action="deploy",
            run=run,
            actor="test",
            reason="",
            state=EndpointState(newest_run=run, variants=[champion]),
            decided_at=INSTANT,
        )
        assert ledger.append(self.store, self.decider, record)
        ledger.write_heads(self.store, {endpoint: number})

    def _files(self, made: Publication, prefix: str) -> dict[str, FileRecord]:
        named = {
            "model": ("model.cloudpickle", made.model),
            "example": ("example.json", made.example),
            "profile": ("profile.json", made.profile),
            "evaluation": ("evaluation.parquet", made.evaluation),
        }
        files = {}
        for role, (name, data) in named.items():
            if data is not None:
                self.store.write(prefix + name, data)
                files[role] = FileRecord(
                    key=prefix + name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
                )
        return files
