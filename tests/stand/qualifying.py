"""`_qualify` of a run without its notebooks: a model's files in a store, the result that names them, and the work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rasen.batch.live import LiveWriter
from rasen.batch.qualify import qualify
from rasen.batch.work import Ending, Work
from rasen.model.publishing import prepare
from rasen.settings import load_settings
from rasen.store import open_store
from rasen.tracking.keys import QUALIFY_STEP, result_key
from rasen.tracking.records import LiveStep, Metric, ModelRecord, Start, StepResult, Verdict
from rasen.tracking.signature import load_trust
from rasen.versions import environment_digest, serving_versions
from stand.published import release_of, write_file

RUN = "20260201T000000000Z-0123456789ab"
PIPELINE = "demand"


class Qualifying:
    """One run of the pipeline `demand`, whose step `train` has published a model."""

    def __init__(self, folder: Path, *, warm: bool = True) -> None:
        self.settings = load_settings(home=folder / "home", zygote=warm)
        self.store = open_store(self.settings)
        self.folder = folder / "attempt"
        self.ending: Ending | None = None

    def run(
        self,
        model: object,
        example: pd.DataFrame,
        *,
        logged: tuple[str, ...] = ("rmse",),
        deploy: Mapping[str, object] | None = None,
        versions: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Ending:
        """Publish a model as the run's and qualify it; the attempt's folder is kept."""
        made = prepare(model, example=example, folder=self.folder, **options)
        files = {
            role: write_file(self.store, PIPELINE, RUN, name, data)
            for role, name, data in (
                ("model", "model.cloudpickle", made.model),
                ("example", "example.json", made.example),
                ("profile", "profile.json", made.profile),
                ("evaluation", "evaluation.parquet", made.evaluation),
            )
            if data is not None
        }
        result = StepResult(
            attempt=1,
            verdict=Verdict.SUCCEEDED,
            seconds=1.0,
            metrics=[Metric(name=name, value=1.0) for name in logged],
            model=ModelRecord(
                files=files,
                schema_=made.schema.to_dict(),
                target=made.target,
                time=made.time,
                slices=list(made.slices),
                trained_until=made.trained_until,
                versions=dict(serving_versions() if versions is None else versions),
            ),
            files=list(files.values()),
        )
        self.store.write(result_key(PIPELINE, RUN, "train", 1), result.to_bytes())
        self.ending = qualify(self._work(deploy or {}))
        return self.ending

    @property
    def found(self) -> dict[str, Any]:
        """What the qualification told."""
        assert self.ending is not None
        assert self.ending.qualification is not None
        return self.ending.qualification

    @property
    def error(self) -> str:
        """Name and message of the error."""
        assert self.ending is not None
        assert self.ending.error is not None
        return f"{self.ending.error.name}: {self.ending.error.message}"

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all rows that were recorded."""
        lines = (self.folder / "staging" / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return {record["name"]: record["value"] for record in records if not record["slice"]}

    def rows(self) -> pd.DataFrame:
        """Return the evaluation rows as they would be uploaded."""
        return pd.read_parquet(self.folder / "staging" / "evaluation.parquet")

    def _work(self, deploy: Mapping[str, object]) -> Work:
        text = f"name: {PIPELINE}\nowner: us\nsteps: {{train: {{notebook: train.ipynb}}}}\n"
        text += f"deploy: {json.dumps(dict(deploy))}\n"
        release = release_of(PIPELINE, "2-0123456789ab", text, image=environment_digest())
        for name in ("staging", "inputs"):
            (self.folder / name).mkdir(parents=True)
        live = LiveStep(run=RUN, pipeline=PIPELINE, step=QUALIFY_STEP, attempt=1, phase="preparing")
        return Work(
            settings=self.settings,
            store=self.store,
            trust=load_trust(self.settings),
            release=release,
            start=Start(
                run=RUN,
                pipeline=PIPELINE,
                release=release.release,
                origin="release",
                environment=self.settings.environment,
                nonce="",
                trigger="request:1",
                image=environment_digest(),
            ),
            step=QUALIFY_STEP,
            attempt=1,
            parameters={},
            folder=self.folder,
            live=LiveWriter(self.store, live),
        )
