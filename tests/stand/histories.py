"""Pasts without notebooks, on a clock that a test sets: runs that refer to one another, ledgers, late attempts.

All of it is signed by the real keys of a home, so it can be restored for real. The models are traps: whoever unpickles
one leaves a mark.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rasen.bundle import BundleFile, make_bundle
from rasen.deploy import ledger
from rasen.release_record import BundleRecord
from rasen.settings import Settings, load_settings
from rasen.store import DirectoryStore, MemoryStore, Store
from rasen.tracking.ids import run_id
from rasen.tracking.keys import (
    bundle_key,
    end_key,
    release_key,
    result_key,
    start_key,
    step_prefix,
)
from rasen.tracking.ledger_records import EndpointState, Held, LedgerRecord, Variant
from rasen.tracking.manifest import write_manifest
from rasen.tracking.records import (
    End,
    FileRecord,
    Manifest,
    Metric,
    PublishedModel,
    PublishedStep,
    Qualification,
    Start,
    StepResult,
    Verdict,
)
from rasen.tracking.signature import Role, load_trust, open_signer, write_signed
from stand.published import Trap, release_of

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
RELEASE = "1-0123456789ab"
PIPELINE = "demand"
_YAML = "name: demand\nowner: us\nsteps:\n  train: {notebook: train.ipynb}\n"


class History:
    """A store with a past of the pipeline `demand`; `at` is what the store's clock says.

    With `on_disk` it is the store of the home, as the commands open it, and time passes by making its files older.
    """

    def __init__(
        self, folder: Path, *, on_disk: bool = False, **overrides: Any
    ) -> None:  # Any: fields of the settings
        self.settings: Settings = load_settings(home=folder / "home", **overrides)
        self.at = BEGINNING
        self.trap = folder / "sprung"
        self.store: Store = (
            DirectoryStore(self.settings.store_dir) if on_disk else MemoryStore(clock=lambda: self.at)
        )
        signer = open_signer(self.settings, Role.REGISTRAR)
        self.control = open_signer(self.settings, Role.CONTROL)
        self.decider = open_signer(self.settings, Role.DECIDER)
        self.trust = load_trust(self.settings)
        bundle = make_bundle([BundleFile(path="pipeline.yaml", data=_YAML.encode())])
        self.store.write(bundle_key(PIPELINE, RELEASE), bundle.data)
        record = release_of(PIPELINE, RELEASE, _YAML, image="sha256:0").model_copy(
            update={
                "bundle": BundleRecord(
                    sha256=bundle.sha256, size_bytes=len(bundle.data), content_sha256=bundle.content_sha256
                ),
                "parameters": {"train": ()},
            }
        )
        write_signed(self.store, release_key(PIPELINE, RELEASE), record.to_bytes(), signer)

    def go_on(self, *, days: float) -> None:
        """Let time pass."""
        self.at += timedelta(days=days)
        if isinstance(self.store, DirectoryStore):
            for path in self.store.root.rglob("*"):
                if path.is_file():
                    os.utime(path, (path.stat().st_mtime - 86_400 * days,) * 2)

    def begin(
        self,
        number: int,
        *,
        resumes: int | None = None,
        reuses: Mapping[str, int] | None = None,
        deploy: bool = False,
    ) -> Start:
        """Write the start of run `number`."""
        start = Start(
            run=run_of(number),
            pipeline=PIPELINE,
            release=RELEASE,
            origin="release",
            environment="dev",
            nonce=f"nonce{number}",
            trigger=f"request:{number}",
            deploy=deploy,
            resumes=run_of(resumes) if resumes is not None else None,
            reuses={step: run_of(other) for step, other in (reuses or {}).items()},
            image="sha256:0",
        )
        self.store.write(start_key(PIPELINE, start.run), start.to_bytes(), if_generation=0)
        return start

    def run(
        self,
        number: int,
        *,
        verdict: Verdict | None = Verdict.SUCCEEDED,
        resumes: int | None = None,
        reuses: int | None = None,
        champion: int | None = None,
        deploy: bool = False,
    ) -> str:
        """Write a whole run, or with no verdict one that has not ended, and return its id.

        Args:
            number: Runs are as old as their numbers say.
            verdict: How it ended.
            resumes: The run that it resumes.
            reuses: The run whose `train` it took over, model and all.
            champion: The run that its model was compared with.
            deploy: Whether an endpoint is to decide about it.
        """
        taken = {"train": reuses} if reuses is not None else None
        start = self.begin(number, resumes=resumes, reuses=taken, deploy=deploy)
        run = start.run
        files = {} if reuses is not None else self._attempt(run, 1, number)
        if verdict is None:
            return run
        if verdict is not Verdict.SUCCEEDED:
            end = End(run=run, pipeline=PIPELINE, verdict=verdict, ended_at=self.at)
            self.store.write(end_key(PIPELINE, run), end.to_bytes(), if_generation=0)
            return run
        owner = run_of(reuses) if reuses is not None else run
        data = self.store.read(result_key(PIPELINE, owner, "train", 1))
        if reuses is not None:
            result = StepResult.from_bytes(data)
            files = {file.key.rpartition("/")[2]: file for file in result.files}
        manifest = Manifest(
            start_sha256=hashlib.sha256(start.to_bytes()).hexdigest(),
            run=run,
            pipeline=PIPELINE,
            release=RELEASE,
            commit="0" * 40,
            environment="dev",
            nonce=start.nonce,
            image="sha256:0",
            versions={"python": "2.7"},
            steps={
                "train": PublishedStep(
                    attempt=1,
                    result_sha256=hashlib.sha256(data).hexdigest(),
                    reused_from=owner if reuses is not None else None,
                )
            },
            model=PublishedModel(
                files={"model": files["model.cloudpickle"]},
                schema_={},
                qualification=Qualification(champion=run_of(champion) if champion is not None else None),
            ),
            files=list(files.values()),
            published_at=self.at,
        )
        write_manifest(self.store, manifest, self.control)
        return run

    def _attempt(self, run: str, attempt: int, number: int) -> dict[str, FileRecord]:
        prefix = step_prefix(PIPELINE, run, "train", attempt)
        files = {}
        for name in ("model.cloudpickle", "output.ipynb"):
            data = f"{name} of {number}, attempt {attempt}".encode()
            if name == "model.cloudpickle":
                data = pickle.dumps(Trap(self.trap)) + data
            self.store.write(prefix + name, data, if_generation=0)
            files[name] = FileRecord(
                key=prefix + name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
            )
        result = StepResult(
            attempt=attempt,
            verdict=Verdict.SUCCEEDED,
            seconds=1.0,
            metrics=[Metric(name="rmse", value=float(number))],
            files=list(files.values()),
        )
        self.store.write(result_key(PIPELINE, run, "train", attempt), result.to_bytes(), if_generation=0)
        return files

    def deploy(
        self, *numbers: int, held: int | None = None, newest: int | None = None, endpoint: str = PIPELINE
    ) -> None:
        """Write the next record of a ledger: these runs are behind the endpoint now, the first as champion."""
        number = ledger.find_head(self.store, endpoint) + 1
        variants = [
            Variant(
                run=run_of(one),
                pipeline=PIPELINE,
                manifest_sha256="0" * 64,
                role="champion" if place == 0 else "challenger",
            )
            for place, one in enumerate(numbers)
        ]
        waits = (
            Held(run=run_of(held), pipeline=PIPELINE, manifest_sha256="0" * 64, number=number)
            if held is not None
            else None
        )
        record = LedgerRecord(
            endpoint=endpoint,
            number=number,
            action="hold" if held is not None else "deploy",
            run=run_of(numbers[0]) if numbers else None,
            actor="function",
            reason="tests",
            state=EndpointState(
                variants=variants,
                held=waits,
                pipeline=PIPELINE,
                newest_run=run_of(newest) if newest is not None else None,
            ),
            decided_at=self.at,
        )
        assert ledger.append(self.store, self.decider, record)

    def there(self, number: int) -> bool:
        """Return whether a run's files are still there."""
        return any(True for _ in self.store.list(f"runs/{PIPELINE}/{run_of(number)}/"))

    def keys(self, *prefixes: str) -> Sequence[str]:
        """Return all keys below some prefixes."""
        return [stat.key for prefix in prefixes for stat in self.store.list(prefix)]


def run_of(number: int) -> str:
    """Return the id of run `number`."""
    return run_id(BEGINNING + timedelta(minutes=number), f"request:{number}")
