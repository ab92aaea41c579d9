"""What every published run of the tests is made of: a release, files, results of steps, and a model that is a trap."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasen.pipeline import parse_pipeline
from rasen.release_record import BundleRecord, Release
from rasen.store import Store
from rasen.tracking.keys import result_key, step_prefix
from rasen.tracking.records import FileRecord, Metric, PublishedStep, StepResult, Verdict


class Trap:
    """Writes its file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.file, "somebody unpickled a model"))


def release_of(pipeline: str, release: str, yaml: str, *, image: str, origin: Any = "release") -> Release:
    """Return the record of a release whose `pipeline.yaml` is `yaml`, and which has no files."""
    return Release(
        pipeline=pipeline,
        release=release,
        origin=origin,
        commit="0" * 40,
        sequence=1,
        folder=pipeline,
        bundle=BundleRecord(sha256="", size_bytes=0, content_sha256=""),
        image=image,
        owner="us",
        author=None,
        committed_at=None,
        spec=parse_pipeline(yaml),
        parameters={},
    )


def write_file(store: Store, pipeline: str, run: str, name: str, data: bytes) -> FileRecord:
    """Write a file of the model that step `train` published."""
    key = step_prefix(pipeline, run, "train", 1) + f"model/{name}"
    store.write(key, data, if_generation=0)
    return FileRecord(key=key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def write_step(
    store: Store,
    pipeline: str,
    run: str,
    step: str,
    metrics: Mapping[str, float],
    verdict: Verdict = Verdict.SUCCEEDED,
    *,
    files: Sequence[FileRecord] = (),
    qualification: Mapping[str, Any] | None = None,
) -> PublishedStep:
    """Write the result of a step."""
    result = StepResult(
        attempt=1,
        verdict=verdict,
        seconds=1.0,
        metrics=[Metric(name=name, value=value) for name, value in metrics.items()],
        files=list(files),
        qualification=None if qualification is None else dict(qualification),
    )
    data = result.to_bytes()
    store.write(result_key(pipeline, run, step, 1), data, if_generation=0)
    return PublishedStep(attempt=1, result_sha256=hashlib.sha256(data).hexdigest())
