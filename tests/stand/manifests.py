"""Published runs without running notebooks: what a registrar and a control process would have written and signed.

The model file is not a model but a booby trap: whoever unpickles it leaves a mark (`Trap`), and the tests of the
function end by looking for it, because the function never unpickles anything.
"""

import base64
import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rasen.store import Store
from rasen.tracking.ids import run_id
from rasen.tracking.keys import QUALIFY_STEP, current_key, manifest_key, release_key, start_key, step_prefix
from rasen.tracking.manifest import write_manifest
from rasen.tracking.records import FileRecord, Manifest, PublishedModel, Qualification, Start, Verdict
from rasen.tracking.signature import PublicKey, Role, Signer, TrustStore, write_signed
from stand.published import Trap, release_of, write_file, write_step

FIRST_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"rmse": 3.1, "profile_rmse": 4.0}
BAD = {"rmse": 4.2, "profile_rmse": 4.0}


class KeptKey:
    """A signer whose key lives as long as the test."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.private = Ed25519PrivateKey.generate()
        self.public = base64.b64encode(self.private.public_key().public_bytes_raw()).decode()
        self.key_id = hashlib.sha256(self.public.encode()).hexdigest()[:16]

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)

    def trusted(self, *environments: str, state: Any = "active") -> PublicKey:
        return PublicKey(
            key_id=self.key_id,
            role=self.role,
            public_key=self.public,
            environments=list(environments),
            state=state,
            kept_in="kms",
        )


@dataclass
class Publisher:
    """Registers pipelines and publishes runs in one store and environment."""

    store: Store
    trap: Path
    environment: str = "dev"
    registrar: Signer = field(default_factory=lambda: KeptKey(Role.REGISTRAR))
    control: Signer = field(default_factory=lambda: KeptKey(Role.CONTROL))
    decider: Signer = field(default_factory=lambda: KeptKey(Role.DECIDER))
    operator: Signer = field(default_factory=lambda: KeptKey(Role.OPERATOR))
    strangers: tuple[PublicKey, ...] = ()

    def trust(self) -> TrustStore:
        ours = [
            key
            for key in (self.registrar, self.control, self.decider, self.operator)
            if isinstance(key, KeptKey)
        ]
        return TrustStore(keys=[*(key.trusted(self.environment) for key in ours), *self.strangers])

    def register(
        self,
        pipeline: str = "demand",
        *,
        endpoint: str | None = None,
        gates: Sequence[Mapping[str, object]] | None = None,
        release: str = "1-0123456789ab",
        origin: Any = "release",
        signer: Signer | None = None,
        **keys: object,
    ) -> str:
        """Write a release whose one step is `train`; make it the current one; return its id.

        What is not named here becomes a key of `deploy`.
        """
        deploy = {
            "endpoint": endpoint or pipeline,
            **({"gates": list(gates)} if gates is not None else {}),
            **keys,
        }
        text = json.dumps(
            {
                "name": pipeline,
                "owner": "us",
                "steps": {"train": {"notebook": "train.ipynb"}},
                "deploy": deploy,
            }
        )
        record = release_of(pipeline, release, text, image="sha256:0", origin=origin)
        write_signed(self.store, release_key(pipeline, release), record.to_bytes(), signer or self.registrar)
        current = {
            "format": 1,
            "pipeline": pipeline,
            "release": release,
            "sequence": 1,
            "folder": pipeline,
            "content_sha256": "",
            "image": "",
        }
        self.store.write(current_key(pipeline), json.dumps(current).encode())
        return release

    def publish(
        self,
        number: int,
        pipeline: str = "demand",
        *,
        metrics: Mapping[str, float] = GOOD,
        qualified: Mapping[str, float] | None = None,
        model: bool = True,
        deploy: bool = True,
        origin: Any = "release",
        release: str = "1-0123456789ab",
        verdict: Verdict = Verdict.SUCCEEDED,
        without: Sequence[str] = (),
        schema: Mapping[str, object] | None = None,
        versions: Mapping[str, str] | None = None,
        major: int = 1,
        champion: str | None = None,
        evaluation: Mapping[str, Sequence[float]] | None = None,
        request: str | None = None,
        qualifies: str | None = None,
        judged_at: str | None = None,
        signer: Signer | None = None,
    ) -> str:
        """Publish the pipeline's run number `number` and return its id.

        Args:
            number: Runs are as old as their numbers say, in whatever order they are published.
            pipeline: Whose run.
            metrics: What `train` logged.
            qualified: What `_qualify` measured.
            model: Whether it published one.
            deploy: Whether the run was started for deployment.
            origin: What the start record says of the release.
            release: Which release it ran.
            verdict: How `_qualify` ended.
            without: Names of model files, or `_qualify`, that the manifest leaves out.
            schema: What the model takes and gives.
            versions: The libraries that it was qualified with; by default the manifest says nothing of them.
            major: The contract's major version.
            champion: The version that `_qualify` compared it with.
            evaluation: The columns of the held-out rows that it wrote.
            request: Id of the request that the run answers, instead of its number.
            qualifies: The version that the run qualifies anew.
            judged_at: The endpoint that it does so for, when that is not its own.
            signer: Who signs the manifest instead of control.
        """
        run = run_of(number)
        start = Start(
            run=run,
            pipeline=pipeline,
            release=release,
            origin=origin,
            environment=self.environment,
            nonce=f"nonce{number}",
            trigger=f"request:{request or number}",
            deploy=deploy,
            qualifies=qualifies,
            judged_at=judged_at,
            image="sha256:0",
        )
        self.store.write(start_key(pipeline, run), start.to_bytes())
        files = {
            "model": write_file(
                self.store, pipeline, run, "model.cloudpickle", pickle.dumps(Trap(self.trap)) + bytes(3000)
            ),
            "example": write_file(self.store, pipeline, run, "example.json", b'{"rows": [{"hour": 7}]}'),
        }
        steps = {"train": write_step(self.store, pipeline, run, "train", metrics, Verdict.SUCCEEDED)}
        if model:
            steps[QUALIFY_STEP] = write_step(
                self.store,
                pipeline,
                run,
                QUALIFY_STEP,
                qualified or {},
                verdict,
                files=self._write_evaluation(pipeline, run, evaluation),
                qualification={"champion": champion and {"run": champion, "evaluated": True, "reason": ""}},
            )
        manifest = Manifest(
            start_sha256=hashlib.sha256(start.to_bytes()).hexdigest(),
            run=run,
            pipeline=pipeline,
            release=release,
            commit="0" * 40,
            environment=self.environment,
            nonce=start.nonce,
            image="sha256:0",
            versions=dict(versions or {}),
            steps={name: step for name, step in steps.items() if name not in without},
            model=PublishedModel(
                files={name: file for name, file in files.items() if name not in without},
                schema_=dict(schema or {}),
                major=major,
                qualification=Qualification(row_wise=True, champion=champion),
            )
            if model
            else None,
            published_at=FIRST_INSTANT,
        )
        write_manifest(self.store, manifest, signer or self.control)
        return run

    def _write_evaluation(
        self, pipeline: str, run: str, columns: Mapping[str, Sequence[float]] | None
    ) -> list[FileRecord]:
        if columns is None:
            return []
        import pandas as pd

        data = pd.DataFrame(columns).to_parquet(index=False)
        key = step_prefix(pipeline, run, QUALIFY_STEP, 1) + "evaluation.parquet"
        self.store.write(key, data, if_generation=0)
        return [FileRecord(key=key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))]

    def manifest_key(self, number: int, pipeline: str = "demand") -> str:
        return manifest_key(pipeline, run_of(number))


def run_of(number: int) -> str:
    """Return the id of run number `number`."""
    return run_id(FIRST_INSTANT + timedelta(minutes=number), f"request:{number}")
