"""Qualification: the model that a run is about to publish is executed before the manifest is written."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasen.batch.work import Ending, Work
from rasen.batch.zygote_client import start_module
from rasen.errors import PlatformFailed
from rasen.model.pickle_globals import list_globals
from rasen.settings import child_environment
from rasen.tracking.records import ErrorRecord, ModelRecord, Verdict

_TIMEOUT_SECONDS = 600.0


def qualify(work: Work) -> Ending:
    """Execute the model that the run is about to publish, in a fresh process without a context."""
    model = _published_model(work)
    inputs = work.folder / "inputs"
    described: dict[str, Any] = model.model_dump(mode="json", by_alias=True)  # Any: JSON
    for name, file in model.files.items():
        path = inputs / Path(file.key).name
        work.store.download(file.key, path, sha256=file.sha256)
        described["files"][name] = {"path": path.name, "sha256": file.sha256}
    imported = list_globals((inputs / Path(model.files["model"].key).name).read_bytes())
    described["metrics"] = [
        metric.model_dump(mode="json")
        for step in work.release.spec.steps
        for metric in work.result_of(step).metrics
    ]
    (inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")
    staging = work.folder / "staging"
    work.live.enter("running")
    process = start_module(
        work.settings,
        "rasen.model.qualification",
        [str(inputs), str(staging)],
        environment=child_environment(),
        cwd=inputs,
    )
    timed_out = False
    code: int | None = None
    try:
        code = process.wait(_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        process.close()
    # The process writes down what it is about to do, so a model that ends it leaves the reason behind.
    found = staging / "qualification.json"
    qualification = json.loads(found.read_bytes()) if found.is_file() else None
    if qualification is not None:
        qualification["pickle_globals"] = asdict(imported)
    passed = qualification is not None and qualification["passed"] is True
    if code == 0 and passed:
        return Ending(verdict=Verdict.SUCCEEDED, qualification=qualification)
    reason = str(qualification["reason"]) if qualification is not None else "it left no word"
    if timed_out:
        message = f"the model did not answer within {_TIMEOUT_SECONDS:.0f} s of qualification: {reason}"
        error = ErrorRecord(name="QualificationTimeout", message=message)
        return Ending(verdict=Verdict.TIMED_OUT, error=error, qualification=qualification)
    if code == 1 and qualification is not None:
        error = ErrorRecord(name="NotQualified", message=reason)
        return Ending(verdict=Verdict.FAILED, error=error, qualification=qualification)
    message = f"the process that executed the model ended with {code}: {reason}"
    error = ErrorRecord(name="ModelDied", message=message)
    return Ending(verdict=Verdict.KERNEL_DIED, error=error, qualification=qualification)


def _published_model(work: Work) -> ModelRecord:
    for step in work.release.spec.steps:
        model = work.result_of(step).model
        if model is not None:
            return model
    raise PlatformFailed(f"run {work.run!r} has published no model; there is nothing to qualify")
