"""`python -m rasen.model.qualify_champion INPUTS STAGING`: ask the live version about a candidate's held-out rows.

A process of its own, because whatever the live version does here (it may hang, die, or not load any more) says nothing
against the candidate. The folder `INPUTS` holds `champion.json` and the files that it names with the digests of a
verified manifest, and the candidate's rows. `champion.json` in `STAGING` says how far it came, `champion.parquet` holds
one prediction a row, in the order of the rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, RasenError
from rasen.model.frames import conform, to_values
from rasen.model.loading import LoadedModel, assemble, check_digest, differing_versions
from rasen.model.metrics import compute
from rasen.model.predictions import predict
from rasen.model.qualification_report import ChampionReport, Refused, say
from rasen.model.qualify_evaluation import metrics_to_compute, read_evaluation, target_of
from rasen.model.qualify_latency import measure_latency
from rasen.model.schema import Output
from rasen.tracking.records import FileRecord

PREDICTIONS_FILE = "champion.parquet"
REPORT_FILE = "champion.json"
_WORDS = (ColumnType.STRING, ColumnType.DATE, ColumnType.TIMESTAMP)


def main(arguments: list[str] | None = None) -> int:
    """Ask the version in the folder INPUTS, write to the folder STAGING; return 0 if it answered, 1 if it could not."""
    inputs, staging = map(Path, arguments if arguments is not None else sys.argv[1:])
    report = ChampionReport(staging / REPORT_FILE)
    try:
        ask(inputs, staging, report)
    except (Refused, RasenError) as error:
        report.write(passed=False, reason=str(error))
        say(f"the live version is not compared with: {error}")
        return 1
    report.write(passed=True, reason="")
    say(f"the live version has predicted {report.rows} rows")
    return 0


def ask(inputs: Path, staging: Path, report: ChampionReport) -> None:
    """Load the live version, measure it, and have it predict the rows.

    Raises:
        RasenError: It cannot be loaded, does not take these rows, or failed.
        Refused: What it answers cannot be compared.
    """
    described = json.loads((inputs / "champion.json").read_bytes())
    files = {
        name: FileRecord(key=file["path"], sha256=file["sha256"], size_bytes=0)
        for name, file in described["files"].items()
    }
    report.stage("loading the live version")
    try:
        loaded = assemble(files, described["schema"], lambda file: (inputs / file.key).read_bytes())
    except RasenError as error:
        differing = differing_versions(described["versions"])
        raise Refused(f"{error}{f' ({differing})' if differing else ''}") from error
    graph = _read_graph(inputs, files)
    values = to_values(loaded.schema, loaded.example)
    measure_latency(loaded, values, engines=described["engines"], graph=graph, report=report)
    evaluation = read_evaluation(inputs, files)
    if evaluation is None:
        raise Refused("the run published no evaluation rows; give `evaluation=` to rasen.publish")
    _check_comparable(loaded, Output.from_dict(described["output"]))
    report.stage(f"the live version predicting {len(evaluation)} evaluation rows")
    try:
        rows = conform(loaded.schema, evaluation)
    except InvalidInput as error:
        raise Refused(f"the rows are not what the live version takes: {error}") from None
    answers = predict(loaded.model, rows, loaded.schema.output)
    assert not isinstance(answers, dict)  # held by _check_comparable

    import pandas as pd

    pd.DataFrame({"champion": answers}).to_parquet(staging / PREDICTIONS_FILE, index=False)
    report.rows = len(rows)
    target = target_of(evaluation, described["target"])
    for name in metrics_to_compute(described):
        try:
            report.metrics[f"champion_{name}"] = compute(name, target, answers)
        except InvalidInput as error:
            say(f"champion_{name} cannot be computed on the evaluation rows: {error}")


def _read_graph(inputs: Path, files: dict[str, FileRecord]) -> bytes | None:
    if "onnx" not in files:
        return None
    data = (inputs / files["onnx"].key).read_bytes()
    check_digest(data, sha256=files["onnx"].sha256, what="the ONNX graph")
    return data


def _check_comparable(loaded: LoadedModel, candidate: Output) -> None:
    """Refuse answers of another kind than the candidate's: nobody could say which is better."""
    own = loaded.schema.output
    if own.type is None or candidate.type is None:
        raise Refused("models that answer several columns are not compared row by row")
    if (own.type in _WORDS or candidate.type in _WORDS) and own.type is not candidate.type:
        raise Refused(f"the live version answers {own.type.value}, the candidate {candidate.type.value}")


if __name__ == "__main__":
    sys.exit(main())
