"""The held-out rows of a run under its model: predictions beside what happened, and the metrics that follow.

The gates judge what is written here and execute nothing. The notebook's own numbers of the same names are computed
again, because it may have computed them on other rows.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import InvalidInput
from rasen.metric_directions import DIRECTIONS
from rasen.model.frames import conform
from rasen.model.loading import LoadedModel, check_digest
from rasen.model.metrics import PROFILE_PREFIX, compute
from rasen.model.predictions import normalise, predict
from rasen.model.qualification_report import Report
from rasen.tracking.records import FileRecord

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

EVALUATION_FILE = "evaluation.parquet"
_RECORDS_FILE = "records.jsonl"  # of the SDK, which lies above this module
_MOST_SLICES = 200


def read_evaluation(inputs: Path, files: Mapping[str, FileRecord]) -> pd.DataFrame | None:
    """Return the rows that the run held out, `None` when it published none.

    Raises:
        DigestMismatch: They are not the ones that were published.
    """
    import pandas as pd

    if "evaluation" not in files:
        return None
    data = (inputs / files["evaluation"].key).read_bytes()
    check_digest(data, sha256=files["evaluation"].sha256, what="the evaluation")
    return pd.read_parquet(io.BytesIO(data))


def target_of(evaluation: pd.DataFrame, name: str) -> np.ndarray:
    """Return what happened, as it is compared with predictions."""
    target = normalise(evaluation[name], rows=len(evaluation))
    assert not isinstance(target, dict)
    return target


def metrics_to_compute(described: Mapping[str, Any]) -> list[str]:  # Any: JSON of the batch step
    """Return the metrics that are computed from rows: those that the notebooks logged, of the model or its profile."""
    logged = {metric["name"].removeprefix(PROFILE_PREFIX) for metric in described.get("metrics") or []}
    return [name for name in DIRECTIONS if name in logged]


def evaluate(
    loaded: LoadedModel,
    evaluation: pd.DataFrame,
    described: Mapping[str, Any],  # Any: JSON of the batch step
    staging: Path,
    report: Report,
) -> None:
    """Predict the held-out rows, and write them with what happened, what the profile says, and the metrics.

    Raises:
        ModelFailed: The model does not answer them.
        InvalidInput: They are not what the schema says.
    """
    import pandas as pd

    report.stage(f"predicting {len(evaluation)} evaluation rows")
    rows = conform(loaded.schema, evaluation)
    target = target_of(evaluation, described["target"])
    answers = predict(loaded.model, rows, loaded.schema.output)
    predicted = {"profile": loaded.profile.predict(rows)} if loaded.profile is not None else {}
    columns: dict[str, Any] = {"target": target}  # Any: arrays and Series
    if isinstance(answers, dict):
        columns |= {f"prediction_{name}": array for name, array in answers.items()}
    else:
        predicted = {"": answers, **predicted}
        columns["prediction"] = answers
    if "profile" in predicted:
        columns["profile"] = predicted["profile"]
    if described.get("time"):
        columns["time"] = evaluation[described["time"]]
    slices = {name: evaluation[name] for name in described.get("slices") or []}
    columns |= {f"slice_{name}": values for name, values in slices.items()}
    pd.DataFrame(columns).to_parquet(staging / EVALUATION_FILE, index=False, compression="zstd")
    report.evaluation_rows = len(rows)
    lines = [*_metrics(described, target, predicted, slices, report), *_profile_metrics(loaded, rows)]
    _append_records(staging / _RECORDS_FILE, lines)


def _metrics(
    described: Mapping[str, Any],  # Any: JSON of the batch step
    target: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    slices: Mapping[str, pd.Series],
    report: Report,
) -> Iterator[dict[str, object]]:
    for name in metrics_to_compute(described):
        for source, prediction in predicted.items():
            label = PROFILE_PREFIX + name if source else name
            try:
                yield {"name": label, "value": compute(name, target, prediction), "slice": {}}
            except InvalidInput as error:
                report.findings.append(f"{label} cannot be computed on the evaluation rows: {error}")
                continue
            yield from _slice_metrics(name, label, target, prediction, slices, report)


def _slice_metrics(
    name: str,
    label: str,
    target: np.ndarray,
    prediction: np.ndarray,
    slices: Mapping[str, pd.Series],
    report: Report,
) -> Iterator[dict[str, object]]:
    for column, values in slices.items():
        plain = values.astype(object)  # a category would also list the values that do not occur
        groups = plain.groupby(plain, sort=True).indices
        if len(groups) > _MOST_SLICES:
            finding = (
                f"slice {column!r} has {len(groups)} values, {_MOST_SLICES} are the most: no metrics by it"
            )
            if finding not in report.findings:
                report.findings.append(finding)
            continue
        for value, rows in groups.items():
            try:
                number = compute(name, target[rows], prediction[rows])
            except InvalidInput:
                continue  # not defined here, for example auc where one class occurs; of all rows it is
            yield {"name": label, "value": number, "slice": {column: str(value)}}


def _profile_metrics(loaded: LoadedModel, rows: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield what a gate watches of the profile itself: its mean over these rows, and the share of rows it knows."""
    profile = loaded.profile
    if profile is None or rows.empty:
        return
    for name, value in (("mean", float(profile.predict(rows).mean())), ("coverage", profile.coverage(rows))):
        yield {"name": PROFILE_PREFIX + name, "value": value, "slice": {}}


def _append_records(path: Path, metrics: list[dict[str, object]]) -> None:
    """Write the metrics as the SDK would, all with one `write`."""
    data = b"".join(json.dumps({"kind": "metric", **metric}).encode() + b"\n" for metric in metrics)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
