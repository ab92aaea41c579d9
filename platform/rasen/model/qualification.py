"""`python -m rasen.model.qualification INPUTS STAGING`: execute a model once, in a fresh process, before it counts.

Everything later (the function, the gates) is arithmetic on what is written here, so nobody else needs to run the
model to judge it. The folder `INPUTS` holds `model.json` and the files it names with their digests; the process is
given no context, no store and no key. `qualification.json` is rewritten before each stage: should the model end or
hang the process, the file that is left says what it was doing.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, ModelFailed, RasenError
from rasen.metric_directions import DIRECTIONS
from rasen.model.engine_checks import Comparison
from rasen.model.engines import Engine, NativeEngine, choose_engines, make_engines
from rasen.model.frames import FrameBuilder, conform, to_values
from rasen.model.loading import LoadedModel, assemble, check_digest
from rasen.model.metrics import PROFILE_PREFIX, compute
from rasen.model.onnx_conversion import NotConverted, convert_to_onnx
from rasen.model.onnx_engine import OnnxEngine
from rasen.model.predictions import Predictions, concatenate, difference, normalise, predict, take
from rasen.tracking.records import FileRecord
from rasen.versions import serving_versions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MANY_ROWS = 1000
_ROW_WISE_ROWS = 50
_LATENCY_ROWS = (1, 100)
_LATENCY_REPEATS = 20
_LATENCY_SECONDS = 1.0
_MOST_SLICES = 200
UNSEEN = "(unseen)"


class _Refused(Exception):
    """The model may not be published; the text says why."""


@dataclass
class _Report:
    """What is known so far, on disk after every change."""

    path: Path
    findings: list[str] = field(default_factory=list)
    row_wise: bool | None = None
    engine: str = "native"
    equal_engines: list[str] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    evaluation_rows: int | None = None

    def stage(self, doing: str) -> None:
        """Note what the model is about to be asked, in case it never answers."""
        _say(f"{doing} …")
        self.write(passed=False, reason=f"the process did not come back from {doing}")

    def write(self, *, passed: bool, reason: str) -> None:
        """Write the report; it appears whole."""
        document = {
            "format": 1,
            "passed": passed,
            "reason": reason,
            "findings": self.findings,
            "engine": self.engine,
            "equal_engines": self.equal_engines,
            "engines": self.engines,
            "row_wise": self.row_wise,
            "latency_ms": self.latency_ms,
            "evaluation_rows": self.evaluation_rows,
            "versions": serving_versions(),
        }
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(json.dumps(document, indent=1), encoding="utf-8")
        scratch.replace(self.path)


def main(arguments: list[str] | None = None) -> int:
    """Qualify the model in the folder INPUTS, write to the folder STAGING; return 0 if qualified, 1 if refused."""
    inputs, staging = map(Path, arguments if arguments is not None else sys.argv[1:])
    report = _Report(staging / "qualification.json")
    try:
        qualify(inputs, staging, report)
    except (_Refused, RasenError) as error:
        reason = str(error) if isinstance(error, _Refused) else f"{type(error).__name__}: {error}"
        report.write(passed=False, reason=reason)
        _say(f"refused: {reason}")
        return 1
    report.write(passed=True, reason="every check passed")
    for finding in report.findings:
        _say(f"finding: {finding}")
    _say("qualified")
    return 0


def qualify(inputs: Path, staging: Path, report: _Report) -> None:
    """Run all checks in order.

    Raises:
        RasenError: A file is not what was published, or the model failed.
        _Refused: The model answers, but not as it must.
    """
    described = json.loads((inputs / "model.json").read_bytes())
    files = {
        name: FileRecord(key=file["path"], sha256=file["sha256"], size_bytes=0)
        for name, file in described["files"].items()
        if file is not None
    }
    report.stage("loading the model in a fresh process")
    loaded = assemble(files, described["schema"], lambda file: (inputs / file.key).read_bytes())
    report.stage("predicting the example")
    answers = predict(loaded.model, loaded.example, loaded.schema.output)
    differs = difference(loaded.predictions, answers)
    if differs is not None:
        raise _Refused(f"the example gets another answer in a fresh process than in the notebook: {differs}")
    values = to_values(loaded.schema, loaded.example)
    _check_counts(loaded, values, answers, report)
    _try_edge_rows(loaded, values, report)
    evaluation = _read_evaluation(inputs, files)
    _check_row_wise(loaded, evaluation, report)
    graph = _compare_engines(loaded, values, evaluation, report)
    if graph is not None:
        (staging / "model.onnx").write_bytes(graph)
    _measure_latency(loaded, values, graph, report)
    if evaluation is not None:
        _evaluate(loaded, evaluation, described, staging, report)


def _check_counts(
    loaded: LoadedModel, values: dict[str, list[object]], answers: Predictions, report: _Report
) -> None:
    """Ask for one row and for many: a request may have any number of them."""
    builder = FrameBuilder(loaded.schema)
    for rows in (1, MANY_ROWS):
        report.stage(f"predicting {rows} {'row' if rows == 1 else 'rows'}")
        repeated = {name: _repeat(column, rows) for name, column in values.items()}
        again = predict(loaded.model, builder.build(repeated), loaded.schema.output)
        differs = difference(take(answers, slice(0, 1)), take(again, slice(0, 1)))
        if differs is not None:
            report.findings.append(
                f"the first example row alone or among {rows} gets another answer: {differs}"
            )


def _try_edge_rows(loaded: LoadedModel, values: dict[str, list[object]], report: _Report) -> None:
    """Ask what a client may well ask; that the model cannot answer is a finding, for serving has the profile."""
    builder = FrameBuilder(loaded.schema)
    row = {name: column[:1] for name, column in values.items()}
    for what, changes in _edge_rows(loaded):
        report.stage(f"predicting a row with {what}")
        try:
            predict(loaded.model, builder.build(row | changes), loaded.schema.output)
        except (ModelFailed, InvalidInput) as error:
            report.findings.append(f"a row with {what} cannot be predicted: {error}")


def _edge_rows(loaded: LoadedModel) -> Iterator[tuple[str, dict[str, list[object]]]]:
    nullable = [column.name for column in loaded.schema.inputs if column.nullable]
    for name in nullable:
        yield f"null in {name!r}", {name: [None]}
    if len(nullable) > 1:
        yield "null in every nullable column", {name: [None] for name in nullable}
    for column in loaded.schema.inputs:
        if column.type is ColumnType.STRING:
            yield f"an unseen {column.name!r}", {column.name: [UNSEEN]}


def _check_row_wise(loaded: LoadedModel, evaluation: pd.DataFrame | None, report: _Report) -> None:
    """Find out whether a row's answer depends on the rows beside it: only if not may requests share a batch."""
    report.stage("comparing rows alone with rows in a batch")
    source = loaded.example if evaluation is None else conform(loaded.schema, evaluation.head(_ROW_WISE_ROWS))
    together = predict(loaded.model, source, loaded.schema.output)
    try:
        singles = [
            predict(loaded.model, source.iloc[[row]].reset_index(drop=True), loaded.schema.output)
            for row in range(len(source))
        ]
        differs = difference(together, concatenate(singles))
    except ModelFailed as error:
        differs = f"alone {error}"
    report.row_wise = differs is None
    if differs is not None:
        report.findings.append(f"a row alone and in a batch gets different answers: {differs}")


def _compare_engines(
    loaded: LoadedModel, values: dict[str, list[object]], evaluation: pd.DataFrame | None, report: _Report
) -> bytes | None:
    """Compare what could execute the model faster with the model itself; only what answers the same may serve.

    Returns:
        The model as an ONNX graph, when that was found equal.
    """
    if not report.row_wise:
        return None
    rows = values
    if evaluation is not None:
        rows = to_values(loaded.schema, conform(loaded.schema, evaluation))
    comparison = Comparison(loaded.model, loaded.schema, rows)
    for engine in make_engines(loaded.model, loaded.schema):
        _compare_engine(engine, comparison, report)
    if "folded" in report.equal_engines:
        return None  # no graph is quicker than one product with a vector, and the conversion takes seconds
    report.stage("converting the model to ONNX")
    try:
        graph = convert_to_onnx(loaded.model, loaded.schema)
        if graph is None:
            return None
        converted = OnnxEngine(graph, loaded.schema)
    except (NotConverted, ModelFailed) as error:
        report.engines["onnx"] = str(error)
        report.findings.append(f"the model is not executed by ONNX Runtime: {error}")
        return None
    return graph if _compare_engine(converted, comparison, report) else None


def _compare_engine(engine: Engine, comparison: Comparison, report: _Report) -> bool:
    report.stage(f"comparing the engine {engine.name!r} with the model")
    differs, compared = comparison.compare(engine)
    report.engines[engine.name] = differs or f"the same on {compared} rows"
    if differs is None:
        report.equal_engines.append(engine.name)
        if report.engine == "native":
            report.engine = engine.name
    return differs is None


def _measure_latency(
    loaded: LoadedModel, values: dict[str, list[object]], graph: bytes | None, report: _Report
) -> None:
    """Measure, in this process, a request's way from JSON values to checked answers."""
    report.stage("measuring the engines")
    native: Engine = NativeEngine(loaded.model, loaded.schema)
    engines = (
        choose_engines(report.equal_engines, loaded.model, loaded.schema, onnx=graph, example=values)
        if report.equal_engines
        else None
    )
    for rows in _LATENCY_ROWS:
        report.stage(f"measuring the latency of {rows} rows")
        repeated = {name: _repeat(column, rows) for name, column in values.items()}
        engine = native if engines is None else engines.for_rows(rows)
        seconds: list[float] = []
        while len(seconds) < _LATENCY_REPEATS and sum(seconds) < _LATENCY_SECONDS:
            begun = time.perf_counter()
            engine.predict(repeated)
            seconds.append(time.perf_counter() - begun)
        report.latency_ms[f"rows_{rows}"] = round(1000 * median(seconds), 3)


def _read_evaluation(inputs: Path, files: Mapping[str, FileRecord]) -> pd.DataFrame | None:
    import pandas as pd

    if "evaluation" not in files:
        return None
    data = (inputs / files["evaluation"].key).read_bytes()
    check_digest(data, sha256=files["evaluation"].sha256, what="the evaluation")
    return pd.read_parquet(io.BytesIO(data))


def _evaluate(
    loaded: LoadedModel,
    evaluation: pd.DataFrame,
    described: Mapping[str, Any],  # Any: JSON of the batch step
    staging: Path,
    report: _Report,
) -> None:
    """Predict the held-out rows, and write them with what happened, what the profile says, and the metrics."""
    import pandas as pd

    report.stage(f"predicting {len(evaluation)} evaluation rows")
    rows = conform(loaded.schema, evaluation)
    target = normalise(evaluation[described["target"]], rows=len(rows))
    assert not isinstance(target, dict)
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
    pd.DataFrame(columns).to_parquet(staging / "evaluation.parquet", index=False, compression="zstd")
    report.evaluation_rows = len(rows)
    logged = {metric["name"].removeprefix(PROFILE_PREFIX) for metric in described.get("metrics") or []}
    lines: list[dict[str, object]] = []
    for name in [name for name in DIRECTIONS if name in logged]:
        for source, prediction in predicted.items():
            label = PROFILE_PREFIX + name if source else name
            try:
                lines.append({"name": label, "value": compute(name, target, prediction), "slice": {}})
            except InvalidInput as error:
                report.findings.append(f"{label} cannot be computed on the evaluation rows: {error}")
                continue
            lines += _slice_metrics(name, label, target, prediction, slices, report)
    _append_records(staging / "records.jsonl", lines)


def _slice_metrics(
    name: str,
    label: str,
    target: np.ndarray,
    prediction: np.ndarray,
    slices: Mapping[str, pd.Series],
    report: _Report,
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


def _append_records(path: Path, metrics: list[dict[str, object]]) -> None:
    """Write the metrics as the SDK would, all with one `write`."""
    data = b"".join(json.dumps({"kind": "metric", **metric}).encode() + b"\n" for metric in metrics)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the step's log


def _repeat(column: list[object], rows: int) -> list[object]:
    return (column * (rows // len(column) + 1))[:rows]


if __name__ == "__main__":
    sys.exit(main())
