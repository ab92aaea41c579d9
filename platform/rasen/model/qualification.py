"""`python -m rasen.model.qualification INPUTS STAGING`: execute a model once, in a fresh process, before it counts.

Everything later (the function, the gates) is arithmetic on what is written here, so nobody else needs to run the
model to judge it. The folder `INPUTS` holds `model.json` and the files it names with their digests; the process is
given no context, no store and no key. `qualification.json` is rewritten before each stage: should the model end or
hang the process, the file that is left says what it was doing.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, ModelFailed, RasenError
from rasen.model.engine_checks import REAL_ROWS, Comparison
from rasen.model.engines import Engine, make_engines
from rasen.model.frames import FrameBuilder, conform, to_values
from rasen.model.loading import LoadedModel, assemble
from rasen.model.onnx_conversion import NotConverted, convert_to_onnx
from rasen.model.onnx_engine import OnnxEngine
from rasen.model.predictions import Predictions, concatenate, difference, predict, take
from rasen.model.qualification_report import Refused, Report, say
from rasen.model.qualify_evaluation import evaluate, read_evaluation
from rasen.model.qualify_latency import measure_latency, repeat
from rasen.tracking.records import FileRecord
from rasen.versions import compare_versions

if TYPE_CHECKING:
    import pandas as pd

MANY_ROWS = 1000
_ROW_WISE_ROWS = 50
UNSEEN = "(unseen)"
_STATUS = Path("/proc/self/status")


def main(arguments: list[str] | None = None) -> int:
    """Qualify the model in the folder INPUTS, write to the folder STAGING; return 0 if qualified, 1 if refused."""
    inputs, staging = map(Path, arguments if arguments is not None else sys.argv[1:])
    report = Report(staging / "qualification.json")
    try:
        qualify(inputs, staging, report)
    except (Refused, RasenError) as error:
        reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        report.write(passed=False, reason=reason)
        say(f"refused: {reason}")
        return 1
    report.write(passed=True, reason="every check passed")
    for finding in report.findings:
        say(f"finding: {finding}")
    say("qualified")
    return 0


def qualify(inputs: Path, staging: Path, report: Report) -> None:
    """Run all checks in order.

    Raises:
        RasenError: A file is not what was published, or the model failed.
        Refused: The model answers, but not as it must.
    """
    described = json.loads((inputs / "model.json").read_bytes())
    files = files_of(described)
    _compare_libraries(described.get("versions") or {}, report)
    report.stage("loading the model in a fresh process")
    report.size_bytes = (inputs / files["model"].key).stat().st_size
    before = _own_bytes()
    loaded = assemble(files, described["schema"], lambda file: (inputs / file.key).read_bytes())
    report.memory_bytes = max(0, _own_bytes() - before)
    report.stage("predicting the example")
    answers = predict(loaded.model, loaded.example, loaded.schema.output)
    differs = difference(loaded.predictions, answers)
    if differs is not None:
        raise Refused(f"the example gets another answer in a fresh process than in the notebook: {differs}")
    values = to_values(loaded.schema, loaded.example)
    _check_counts(loaded, values, answers, report)
    _try_edge_rows(loaded, values, report)
    evaluation = read_evaluation(inputs, files)
    _check_row_wise(loaded, evaluation, report)
    graph = _compare_engines(loaded, values, evaluation, report)
    if graph is not None:
        (staging / "model.onnx").write_bytes(graph)
    measure_latency(loaded, values, engines=report.equal_engines, graph=graph, report=report)
    if evaluation is not None:
        evaluate(loaded, evaluation, described, staging, report)


def files_of(described: Mapping[str, Any]) -> dict[str, FileRecord]:  # Any: JSON of the batch step
    """Return the files that lie beside `model.json`, by role."""
    return {
        name: FileRecord(key=file["path"], sha256=file["sha256"], size_bytes=0)
        for name, file in described["files"].items()
        if file is not None
    }


def _compare_libraries(recorded: Mapping[str, str], report: Report) -> None:
    """Compare the libraries of the kernel that made the model with those that will serve it."""
    differing = compare_versions(recorded)
    report.versions_differ = "; ".join(map(str, differing))
    if not differing:
        return
    breaking = [each for each in differing if each.breaks]
    if breaking:
        raise Refused(
            "the model was made with other libraries than it would be served with: "
            f"{'; '.join(map(str, breaking))}; run the notebook in the platform's environment"
        )
    report.findings.append(
        f"libraries of the notebook and of serving differ in their last place: {report.versions_differ}"
    )


def _own_bytes() -> int:
    """Return how much memory this process takes that belongs to no file."""
    gc.collect()
    lines = _STATUS.read_bytes().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"RssAnon:"))


def _check_counts(
    loaded: LoadedModel, values: dict[str, list[object]], answers: Predictions, report: Report
) -> None:
    """Ask for one row and for many: a request may have any number of them."""
    builder = FrameBuilder(loaded.schema)
    for rows in (1, MANY_ROWS):
        report.stage(f"predicting {rows} {'row' if rows == 1 else 'rows'}")
        repeated = {name: repeat(column, rows) for name, column in values.items()}
        again = predict(loaded.model, builder.build(repeated), loaded.schema.output)
        differs = difference(take(answers, slice(0, 1)), take(again, slice(0, 1)))
        if differs is not None:
            report.findings.append(
                f"the first example row alone or among {rows} gets another answer: {differs}"
            )


def _try_edge_rows(loaded: LoadedModel, values: dict[str, list[object]], report: Report) -> None:
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


def _check_row_wise(loaded: LoadedModel, evaluation: pd.DataFrame | None, report: Report) -> None:
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
    loaded: LoadedModel, values: dict[str, list[object]], evaluation: pd.DataFrame | None, report: Report
) -> bytes | None:
    """Compare what could execute the model faster with the model itself; only what answers the same may serve.

    Returns:
        The model as an ONNX graph, when that was found equal.
    """
    if not report.row_wise:
        return None
    rows = values
    if evaluation is not None:
        rows = to_values(loaded.schema, conform(loaded.schema, evaluation.head(REAL_ROWS)))
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


def _compare_engine(engine: Engine, comparison: Comparison, report: Report) -> bool:
    report.stage(f"comparing the engine {engine.name!r} with the model")
    differs, compared = comparison.compare(engine)
    report.engines[engine.name] = differs or f"the same on {compared} rows"
    if differs is None:
        report.equal_engines.append(engine.name)
        if report.engine == "native":
            report.engine = engine.name
    return differs is None


if __name__ == "__main__":
    sys.exit(main())
