"""How long a model takes for a request, measured in the process that qualifies it: from JSON values to checked answers.

The candidate and the live version are measured by the same code on the same machine, minutes apart at most, so that the
two can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from rasen.model.engines import Engine, NativeEngine, choose_engines
from rasen.model.loading import LoadedModel
from rasen.model.qualification_report import ChampionReport, Report

_ROWS = (1, 100)
_REPEATS = 20
_SECONDS = 1.0


def measure_latency(
    loaded: LoadedModel,
    values: dict[str, list[object]],
    *,
    engines: Sequence[str],
    graph: bytes | None,
    report: Report | ChampionReport,
) -> None:
    """Write into the report what requests of one row and of a hundred take, in milliseconds: `rows_1`, `rows_100`.

    Args:
        loaded: The model.
        values: The example, one list of JSON values a column.
        engines: What was found equal to the model.
        graph: The model as an ONNX graph, if it has one.
        report: What is told of each stage.
    """
    report.stage("measuring the engines")
    native: Engine = NativeEngine(loaded.model, loaded.schema)
    chosen = (
        choose_engines(engines, loaded.model, loaded.schema, onnx=graph, example=values) if engines else None
    )
    for rows in _ROWS:
        report.stage(f"measuring the latency of {rows} rows")
        repeated = {name: repeat(column, rows) for name, column in values.items()}
        engine = native if chosen is None else chosen.for_rows(rows)
        seconds: list[float] = []
        while len(seconds) < _REPEATS and sum(seconds) < _SECONDS:
            begun = time.perf_counter()
            engine.predict(repeated)
            seconds.append(time.perf_counter() - begun)
        report.latency_ms[f"rows_{rows}"] = round(1000 * median(seconds), 3)


def repeat(column: list[object], rows: int) -> list[object]:
    """Return as many values as there are `rows`, again and again those of the column."""
    return (column * (rows // len(column) + 1))[:rows]
