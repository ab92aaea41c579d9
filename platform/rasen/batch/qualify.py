"""Qualification: the model that a run is about to publish is executed before the manifest is written.

All that executes a model happens here, so that nobody who decides later has to: the candidate is loaded and asked in a
fresh process, the live version is asked about the same held-out rows in another, and each gate notebook runs with the
one and with the other. Only the first can refuse the candidate here. The others leave numbers for the gates, and where
they fail, the reason.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, assert_never

from rasen.batch.executor import machine_memory_bytes
from rasen.batch.gate_notebooks import Judged, run_gate_notebooks
from rasen.batch.live_champion import Champion, fetch_champion
from rasen.batch.model_process import MOST_PRINTED_BYTES, Ended, Limits, run_model_process
from rasen.batch.work import Ending, Work
from rasen.errors import PlatformFailed
from rasen.model.pickle_globals import list_globals
from rasen.model.qualification_report import FORKED_FILE
from rasen.model.qualify_champion import PREDICTIONS_FILE, REPORT_FILE
from rasen.model.qualify_evaluation import EVALUATION_FILE
from rasen.pipeline_deploy import Qualification
from rasen.recorder import RECORDS_FILE
from rasen.tracking.records import ErrorRecord, ModelRecord, Verdict

_MEMORY_SHARE = 0.75  # of the machine, where the pipeline says nothing: others want to live on
_REPORT_FILE = "qualification.json"


def qualify(work: Work) -> Ending:
    """Execute the model that the run is about to publish, and with it all that the gates will judge from.

    Raises:
        StoreError: The model's files could not be fetched.
        PlatformFailed: The run has published no model, or no process could be started.
    """
    model = _published_model(work)
    limits = _limits(work.release.spec.deploy.qualification)
    inputs, staging = work.folder / "inputs", work.folder / "staging"
    described = _fetch(work, model, inputs)
    (inputs / "model.json").write_text(json.dumps(described), encoding="utf-8")
    work.live.enter("running")
    arguments = [str(inputs), str(staging)]
    module = "rasen.model.qualification"
    ended = run_model_process(work.settings, module, arguments, folder=inputs, limits=limits)
    ending = _judge_candidate(_read_report(staging / _REPORT_FILE), ended, staging, limits)
    if ending.qualification is not None:
        imported = list_globals((inputs / Path(model.files["model"].key).name).read_bytes())
        ending = replace(ending, qualification={**ending.qualification, "pickle_globals": asdict(imported)})
    if ending.verdict is not Verdict.SUCCEEDED or ending.qualification is None:
        return ending
    found = dict(ending.qualification)
    champion = fetch_champion(work, work.folder / "champion")
    found |= _ask_champion(work, champion, described, limits)
    judged = {"candidate": Judged(folder=inputs, described=described)}
    if champion is not None and champion.model is not None:
        judged["champion"] = Judged(folder=work.folder / "champion", described=champion.described())
    found["notebooks"] = run_gate_notebooks(work, judged, memory_bytes=limits.memory_bytes)
    (staging / _REPORT_FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return replace(ending, qualification=found)


def _published_model(work: Work) -> ModelRecord:
    for step in work.release.spec.steps:
        model = work.result_of(step).model
        if model is not None:
            return model
    raise PlatformFailed(f"run {work.run!r} has published no model; there is nothing to qualify")


def _limits(declared: Qualification) -> Limits:
    return Limits(
        timeout_seconds=declared.timeout_seconds,
        memory_bytes=declared.memory_bytes or int(_MEMORY_SHARE * machine_memory_bytes()),
    )


def _fetch(work: Work, model: ModelRecord, inputs: Path) -> dict[str, Any]:  # Any: JSON
    """Fetch the model's files, and return what a process that loads them has to know."""
    described: dict[str, Any] = model.model_dump(mode="json", by_alias=True)  # Any: JSON
    for name, file in model.files.items():
        path = inputs / Path(file.key).name
        work.store.download(file.key, path, sha256=file.sha256)
        described["files"][name] = {"path": path.name, "sha256": file.sha256}
    described["metrics"] = [
        metric.model_dump(mode="json")
        for step in work.release.spec.steps
        for metric in work.result_of(step).metrics
    ]
    return described


def _read_report(path: Path) -> dict[str, Any] | None:  # Any: JSON
    try:
        report: dict[str, Any] = json.loads(path.read_bytes())  # Any: JSON
    except (OSError, ValueError):
        return None
    return report


def _judge_candidate(
    report: dict[str, Any] | None,  # Any: JSON
    ended: Ended,
    staging: Path,
    limits: Limits,
) -> Ending:
    """Return what the end of the candidate's process means; the process writes down what it is about to do."""
    passed = report is not None and report.get("passed") is True
    reason = str(report.get("reason")) if report is not None else "it left no word"
    if passed and ended.how != "by itself":
        reason = "every check passed, but the process did not end: something of the model runs on"
    verdict, name, message = _verdict(ended, reason, limits, passed=passed)
    if ended.how == "by itself" and ((staging / FORKED_FILE).exists() or ended.left_behind):
        left = (
            f" {ended.left_behind} of them were still there when it had ended:" if ended.left_behind else ""
        )
        verdict, name = Verdict.FAILED, "NotQualified"
        message = (
            f"the model starts processes and leaves them to others;{left} a service would collect them with every "
            f"request ({reason})"
        )
    if report is not None and verdict is not Verdict.SUCCEEDED:
        report = {**report, "passed": False, "reason": message}
        (staging / _REPORT_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return Ending(
        verdict=verdict,
        error=None if verdict is Verdict.SUCCEEDED else ErrorRecord(name=name, message=message),
        peak_bytes=ended.peak_bytes,
        cpu_seconds=round(ended.cpu_seconds, 3),
        qualification=report,
    )


def _verdict(ended: Ended, reason: str, limits: Limits, *, passed: bool) -> tuple[Verdict, str, str]:
    match ended.how:
        case "too long":
            message = (
                f"the model did not answer within {limits.timeout_seconds:.0f} s of qualification: {reason}"
            )
            return Verdict.TIMED_OUT, "QualificationTimeout", message
        case "too much memory":
            return Verdict.OUT_OF_MEMORY, "OutOfMemory", f"{ended.memory_problem}: {reason}"
        case "printed too much":
            message = f"the model printed more than {MOST_PRINTED_BYTES:,} bytes: {reason}"
            return Verdict.FAILED, "NotQualified", message
        case "by itself":
            pass
        case _:
            assert_never(ended.how)
    if ended.memory_problem:
        return Verdict.OUT_OF_MEMORY, "OutOfMemory", f"{ended.memory_problem}: {reason}"
    if ended.code == 0 and passed:
        return Verdict.SUCCEEDED, "", ""
    if ended.code == 1 and not reason.startswith("the process did not come back"):
        return Verdict.FAILED, "NotQualified", reason
    return (
        Verdict.KERNEL_DIED,
        "ModelDied",
        f"the process that executed the model ended with {ended.code}: {reason}",
    )


def _ask_champion(
    work: Work,
    champion: Champion | None,
    described: Mapping[str, Any],  # Any: JSON
    limits: Limits,
) -> dict[str, Any]:  # Any: JSON
    """Have the live version predict the candidate's rows; return what the gates are told of that."""
    if champion is None:
        return {"champion": None}
    told: dict[str, Any] = {"run": champion.run, "evaluated": False, "reason": champion.problem}  # Any: JSON
    if champion.model is None:
        return {"champion": told}
    report, problem = _run_champion(work, champion, described, limits)
    if not problem:
        problem = _add_predictions(work.folder)
    if not problem:
        _append_metrics(work.folder / "staging" / RECORDS_FILE, report.get("metrics", {}))
    told |= {"evaluated": not problem, "reason": problem}
    return {"champion": told, "champion_latency_ms": report.get("latency_ms", {})}


def _run_champion(
    work: Work,
    champion: Champion,
    described: Mapping[str, Any],  # Any: JSON
    limits: Limits,
) -> tuple[dict[str, Any], str]:  # Any: JSON
    """Return what the live version's process wrote, and why it has predicted nothing, empty if it has."""
    assert champion.model is not None
    inputs, staging = work.folder / "champion", work.folder / "champion_staging"
    staging.mkdir()
    asked = champion.described() | {
        "output": described["schema"]["output"],
        "target": described["target"],
        "metrics": described["metrics"],
    }
    evaluation = described["files"].get("evaluation")
    if evaluation is not None:
        shutil.copyfile(work.folder / "inputs" / evaluation["path"], inputs / "candidate_rows.parquet")
        asked["files"]["evaluation"] = evaluation | {"path": "candidate_rows.parquet"}
    (inputs / "champion.json").write_text(json.dumps(asked), encoding="utf-8")
    module = "rasen.model.qualify_champion"
    arguments = [str(inputs), str(staging)]
    ended = run_model_process(work.settings, module, arguments, folder=inputs, limits=limits)
    report = _read_report(staging / REPORT_FILE) or {"reason": "it left no word"}
    reason = str(report.get("reason"))
    targets = (champion.model.target, described["target"])
    if None not in targets and len(set(targets)) > 1:
        return report, f"the live version predicts {targets[0]!r}, the candidate {targets[1]!r}"
    if ended.how != "by itself" or ended.code not in (0, 1) or ended.memory_problem:
        why = ended.memory_problem or {"by itself": f"it ended with {ended.code}"}.get(ended.how, ended.how)
        return report, f"the live version could not be asked, {why}: {reason}"
    return report, reason if ended.code == 1 or report.get("passed") is not True else ""


def _add_predictions(folder: Path) -> str:
    """Put the live version's predictions beside the candidate's; return why that cannot be, empty if it was done."""
    import pyarrow as pa
    import pyarrow.parquet

    path = folder / "staging" / EVALUATION_FILE
    try:
        rows = pa.parquet.read_table(path)
        predictions = pa.parquet.read_table(folder / "champion_staging" / PREDICTIONS_FILE)
        if rows.num_rows != predictions.num_rows:
            return (
                f"the live version predicted {predictions.num_rows} rows, the candidate {rows.num_rows}: "
                "they cannot be put side by side"
            )
        both = rows.append_column("champion", predictions["champion"])
        pa.parquet.write_table(both, path, compression="zstd")
    except (pa.ArrowException, OSError, KeyError) as error:
        return f"what the live version predicted cannot be read: {error}"
    return ""


def _append_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    lines = [
        json.dumps({"kind": "metric", "name": name, "value": value, "slice": {}}) + "\n"
        for name, value in metrics.items()
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(lines))
