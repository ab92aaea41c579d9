"""Deployed model versions without a run of notebooks: what batch and the deploy function would have left in the store.

Everything goes through the public functions of `rasen`: the files of a publication are those of `rasen.publish`, the
manifest is signed by this machine's `control` key, the ledger record by its `decider` key.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rasen.deploy.ledger import append, find_head, write_heads
from rasen.model.profile import Profile
from rasen.model.publishing import Publication, prepare
from rasen.settings_model import Settings
from rasen.store import Store
from rasen.tracking.ids import run_id
from rasen.tracking.keys import QUALIFY_STEP, release_key, start_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord, RolloutState, Variant
from rasen.tracking.manifest import read_manifest, write_manifest
from rasen.tracking.records import FileRecord, Manifest, PublishedModel, Qualification, Start
from rasen.tracking.signature import Role, Signer, load_trust, open_signer, write_signed
from rasen.versions import environment_digest, serving_versions
from stand.published import release_of, write_file, write_step

RELEASE = "1-0123456789ab"
DESCRIPTION = "Made for a test."
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """A published model version, not deployed yet."""

    __hash__ = object.__hash__  # by identity, although its files are a mapping

    pipeline: str
    run: str
    manifest_sha256: str
    files: dict[str, FileRecord]


def linear(slope: float) -> Callable[[pd.DataFrame], "pd.Series[float]"]:
    """Return a model that multiplies the column `hour`; a closure, so that it is pickled by value."""

    def predict(frame: pd.DataFrame) -> "pd.Series[float]":
        return frame["hour"].astype("float64") * slope

    return predict


def example_rows() -> pd.DataFrame:
    """Return the example that goes with `linear`."""
    return pd.DataFrame({"origin": ["JFK", "EWR"], "hour": [7, 18]})


def publish_version(
    store: Store,
    settings: Settings,
    *,
    number: int,
    pipeline: str = "demand",
    model: object = None,
    example: pd.DataFrame | None = None,
    profile: Profile | None = None,
    metrics: Mapping[str, float] | None = None,
    signer: Signer | None = None,
    change: Callable[[Publication], Publication] | None = None,
    engines: Sequence[str] = (),
    onnx: bytes | None = None,
    row_wise: bool = True,
    description: str = DESCRIPTION,
    deploy: Mapping[str, object] | None = None,
) -> PublishedVersion:
    """Publish the run number `number` of a pipeline: release, start, files, results, and the signed manifest last.

    Args:
        store: Where to.
        settings: Whose keys sign, and for which environment.
        number: Runs are as old as their numbers say.
        pipeline: Whose run.
        model: Anything with `predict`; by default `linear(number)`.
        example: By default `example_rows()`.
        profile: The baseline.
        metrics: What `train` logged.
        signer: Who signs the manifest instead of this machine's control.
        change: Changes the files before they are written, for versions that are wrong.
        description: What the analyst says of it.
        engine: What qualification found equal to the model.
        row_wise: What it found of the rows.
        deploy: `deploy` of the pipeline; counts with the first version of a pipeline.
    """
    run = run_id(_FIRST + timedelta(minutes=number), f"request:{number}")
    publication = prepare(
        linear(number) if model is None else model,
        example=example_rows() if example is None else example,
        folder=Path(tempfile.gettempdir()),
        profile=profile,
    )
    if change is not None:
        publication = change(publication)
    _write_release(store, settings, pipeline, deploy or {})
    start = Start(
        run=run,
        pipeline=pipeline,
        release=RELEASE,
        origin="release",
        environment=settings.environment,
        nonce=f"nonce{number}",
        trigger=f"request:{number}",
        image=environment_digest(),
    )
    store.write(start_key(pipeline, run), start.to_bytes(), if_generation=0)
    files = {
        role: write_file(store, pipeline, run, name, data)
        for role, name, data in (
            ("model", "model.cloudpickle", publication.model),
            ("example", "example.json", publication.example),
            ("profile", "profile.json", publication.profile),
            ("onnx", "model.onnx", onnx),
        )
        if data is not None
    }
    logged = {"rmse": 3.1, "profile_rmse": 4.0} if metrics is None else metrics
    manifest = Manifest(
        start_sha256=hashlib.sha256(start.to_bytes()).hexdigest(),
        run=run,
        pipeline=pipeline,
        release=RELEASE,
        commit="0" * 40,
        environment=settings.environment,
        nonce=start.nonce,
        image=environment_digest(),
        versions=serving_versions(),
        steps={
            "train": write_step(store, pipeline, run, "train", logged),
            QUALIFY_STEP: write_step(store, pipeline, run, QUALIFY_STEP, {}),
        },
        model=PublishedModel(
            files=files,
            schema_=publication.schema.to_dict(),
            target=publication.target,
            trained_until=publication.trained_until,
            description=description,
            qualification=Qualification(row_wise=row_wise, engines=list(engines)),
        ),
        files=list(files.values()),
        published_at=_FIRST + timedelta(minutes=number),
    )
    sha256 = write_manifest(store, manifest, signer or open_signer(settings, Role.CONTROL))
    return PublishedVersion(pipeline=pipeline, run=run, manifest_sha256=sha256, files=files)


def deploy_version(
    store: Store,
    settings: Settings,
    version: PublishedVersion,
    *,
    endpoint: str | None = None,
    action: Literal["deploy", "rollback"] = "deploy",
    signer: Signer | None = None,
) -> int:
    """Write the ledger record that makes a version the champion of an endpoint; return its number."""
    name = endpoint or version.pipeline
    number = find_head(store, name) + 1
    record = LedgerRecord(
        endpoint=name,
        number=number,
        action=action,
        run=version.run,
        actor="function",
        reason="all gates passed",
        state=EndpointState(
            newest_run=version.run,
            pipeline=version.pipeline,
            variants=[
                Variant(run=version.run, pipeline=version.pipeline, manifest_sha256=version.manifest_sha256)
            ],
        ),
        decided_at=_FIRST + timedelta(days=1),
    )
    assert append(store, signer or open_signer(settings, Role.DECIDER), record)
    write_heads(store, {name: number})
    return number


def share_out(
    store: Store,
    settings: Settings,
    versions: Mapping[PublishedVersion, tuple[Literal["champion", "challenger", "shadow"], float]],
    *,
    endpoint: str,
    kind: Literal["canary", "ab", "shadow", "bandit"] = "ab",
    floor: float = 0.0,
) -> int:
    """Write the ledger record by which several versions, each with role and weight, answer; return its number."""
    number = find_head(store, endpoint) + 1
    candidate = list(versions)[-1]
    record = LedgerRecord(
        endpoint=endpoint,
        number=number,
        action="deploy",
        run=candidate.run,
        actor="function",
        reason="all gates passed",
        state=EndpointState(
            newest_run=candidate.run,
            pipeline=candidate.pipeline,
            variants=[
                Variant(
                    run=version.run,
                    pipeline=version.pipeline,
                    manifest_sha256=version.manifest_sha256,
                    role=role,
                    weight=weight,
                )
                for version, (role, weight) in versions.items()
            ],
            rollout=RolloutState(
                kind=kind, run=candidate.run, salt=number, step_number=number, steps=[0.5], floor=floor
            ),
        ),
        decided_at=_FIRST + timedelta(days=1),
    )
    assert append(store, open_signer(settings, Role.DECIDER), record)
    write_heads(store, {endpoint: number})
    return number


def publish_and_deploy(
    store: Store, settings: Settings, *, number: int, pipeline: str = "demand", **options: Any
) -> PublishedVersion:
    """Publish a version and make it the champion of the endpoint that is called like its pipeline."""
    version = publish_version(store, settings, number=number, pipeline=pipeline, **options)
    deploy_version(store, settings, version)
    return version


def repeat_deployment(store: Store, settings: Settings, version: PublishedVersion) -> int:
    """Write one more record that names the same version, as a refusal of another one does."""
    read_manifest(
        store, load_trust(settings), version.pipeline, version.run, environment=settings.environment
    )
    return deploy_version(store, settings, version)


def with_model_bytes(data: bytes) -> Callable[[Publication], Publication]:
    """Return a change that publishes other bytes as the model, correctly digested and signed."""
    return lambda publication: replace(publication, model=data)


def _write_release(store: Store, settings: Settings, pipeline: str, deploy: Mapping[str, object]) -> None:
    key = release_key(pipeline, RELEASE)
    if store.stat(key) is not None:
        return
    text = f"name: {pipeline}\nowner: us\ndescription: {DESCRIPTION}\nsteps: {{train: {{notebook: train.ipynb}}}}\n"
    text += f"deploy: {json.dumps(dict(deploy))}\n"
    record = release_of(pipeline, RELEASE, text, image=environment_digest())
    write_signed(store, key, record.to_bytes(), open_signer(settings, Role.REGISTRAR))


def moody() -> Callable[[pd.DataFrame], Any]:
    """Return a model that answers 1, and goes wrong in as many ways as there are hours above 100."""

    def predict(frame: pd.DataFrame) -> Any:
        import os
        import time

        import numpy as np

        answers = np.ones(len(frame))
        match int(frame["hour"].iloc[0]):
            case 101:
                raise ValueError("a secret of the model")
            case 102:
                return answers * float("nan")
            case 103:
                return answers[:0]
            case 104:
                os._exit(3)
            case 105:
                time.sleep(3600)
            case 106:
                raise SystemExit(4)
            case 107:
                raise KeyboardInterrupt
            case 108:
                return ["one"] * len(frame)
        return answers

    return predict
