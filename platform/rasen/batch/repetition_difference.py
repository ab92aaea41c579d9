"""Everything that a repetition made against what the run made, artifact by artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from rasen.batch.notebook_difference import compare_notebooks
from rasen.data.table_difference import Difference, Outcome, compare_numbers, compare_tables
from rasen.model.loading import check_digest
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import FileRecord, Metric, StepResult

_OF_CHAMPION = "champion"  # what was live then is not asked again, so what it answered is not compared
_EVALUATED = "evaluation.parquet"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One artifact of a step in both executions."""

    step: str
    artifact: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One execution: the results of its steps, and the store where their files lie."""

    store: Store
    results: Mapping[str, StepResult]

    def files(self, step: str) -> dict[str, FileRecord]:
        """Return a step's files by their key within the attempt."""
        result = self.results[step]
        return {"/".join(file.key.split("/")[5:]): file for file in result.files}

    def read(self, file: FileRecord) -> bytes:
        """Return a file's bytes.

        Raises:
            DigestMismatch: They are not those that the result names.
        """
        data = self.store.read(file.key)
        check_digest(data, sha256=file.sha256, what=repr(file.key))
        return data


def compare_executions(left: Side, right: Side) -> Iterator[Compared]:
    """Yield every artifact of the first execution, and what only the second has, in the order of execution."""
    for step in dict.fromkeys([*left.results, *right.results]):
        before, after = left.results.get(step), right.results.get(step)
        if before is None or after is None:
            detail = "was not executed this time" if after is None else "was not executed then"
            yield Compared(step=step, artifact="verdict", outcome="different", detail=detail)
            continue
        yield Compared(step=step, artifact="verdict", **_verdicts(before, after))
        yield from _compare_files(step, left, right)
        yield from _compare_tables(step, left, right)
        yield from _compare_metrics(step, before.metrics, after.metrics)
        if before.model is not None or after.model is not None:
            yield from _compare_model(step, left, right)


def _verdicts(left: StepResult, right: StepResult) -> dict[str, Any]:  # Any: outcome and detail
    said = [
        result.verdict.value + (f", {result.error.name}: {result.error.message}" if result.error else "")
        for result in (left, right)
    ]
    names = [(result.verdict, result.error.name if result.error else "") for result in (left, right)]
    if names[0] == names[1]:
        return {"outcome": "identical"}
    return {"outcome": "different", "detail": f"{said[0]} → {said[1]}"}


def _compare_files(step: str, left: Side, right: Side) -> Iterator[Compared]:
    before, after = left.files(step), right.files(step)
    if "output.ipynb" in before or "output.ipynb" in after:
        found = _both(left, before.get("output.ipynb"), right, after.get("output.ipynb"))
        yield _compared(step, "notebook", compare_notebooks(*found) if found is not None else None)
    figures = left.results[step].figures, right.results[step].figures
    for name in dict.fromkeys([*figures[0], *figures[1]]):
        both = _both(
            left, _named(left, step, figures[0].get(name)), right, _named(right, step, figures[1].get(name))
        )
        difference = None if both is None else _bytes(*both, what="another picture")
        yield _compared(step, f"figure {name}", difference)
    if step == QUALIFY_STEP and (_EVALUATED in before or _EVALUATED in after):
        both = _both(left, before.get(_EVALUATED), right, after.get(_EVALUATED))
        difference = None if both is None else compare_tables(*both, without=_OF_CHAMPION)
        yield _compared(step, "predictions on the evaluation rows", difference)


def _compare_tables(step: str, left: Side, right: Side) -> Iterator[Compared]:
    sides = []
    for side in (left, right):
        result = side.results[step]
        tables = {f"read {read.name}": read.table for read in result.reads}
        sides.append(tables | {f"table {name}": key for name, key in result.tables.items()})
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        both = _both(
            left, _named(left, step, sides[0].get(name)), right, _named(right, step, sides[1].get(name))
        )
        yield _compared(step, name, None if both is None else compare_tables(*both))


def _compare_metrics(step: str, left: list[Metric], right: list[Metric]) -> Iterator[Compared]:
    sides = [
        {
            _metric_name(metric): metric.value
            for metric in metrics
            if not (step == QUALIFY_STEP and metric.name.startswith(_OF_CHAMPION))
        }
        for metrics in (left, right)
    ]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(name) for side in sides)
        if before is None or after is None:
            difference = None
        else:
            outcome = compare_numbers(before, after)
            difference = Difference(
                outcome=outcome, detail="" if outcome == "identical" else f"{before!r} → {after!r}"
            )
        yield _compared(step, f"metric {name}", difference)


def _compare_model(step: str, left: Side, right: Side) -> Iterator[Compared]:
    """Compare what was published: first what tells whether the model answers the same, then its bytes."""
    models = left.results[step].model, right.results[step].model
    if models[0] is None or models[1] is None:
        yield _compared(step, "model", None)
        return
    yield _compared(step, "model's schema", _json(models[0].schema_, models[1].schema_))
    files = models[0].files, models[1].files
    answers: list[Outcome] = []
    for role in sorted({*files[0], *files[1]} - {"model"}):
        both = _both(left, files[0].get(role), right, files[1].get(role))
        if both is None:
            difference = None
        elif PurePosixPath(files[0][role].key).suffix == ".parquet":
            difference = compare_tables(*both)
        else:
            difference = _compare_json_files(*both)
        names = {"example": "model's predictions on the example", "evaluation": "model's evaluation rows"}
        compared = _compared(step, names.get(role, f"model's {role}"), difference)
        if role == "example":
            answers.append(compared.outcome)
        yield compared
    answers += _answers_on_evaluation(left, right)
    both = _both(left, files[0].get("model"), right, files[1].get("model"))
    if both is None or both[0] == both[1]:
        yield _compared(step, "model", None if both is None else Difference(outcome="identical"))
    elif answers and "different" not in answers:
        detail = "other bytes, but it answers the same, example and evaluation rows alike"
        yield Compared(step=step, artifact="model", outcome="equal", detail=detail)
    else:
        detail = f"other bytes: {len(both[0]):,} → {len(both[1]):,}"
        yield Compared(step=step, artifact="model", outcome="different", detail=detail)


def _answers_on_evaluation(left: Side, right: Side) -> list[Outcome]:
    """Return how the predictions on the evaluation rows compare, if both were qualified on some."""
    if QUALIFY_STEP not in left.results or QUALIFY_STEP not in right.results:
        return []
    files = [side.files(QUALIFY_STEP).get(_EVALUATED) for side in (left, right)]
    both = _both(left, files[0], right, files[1])
    return [] if both is None else [compare_tables(*both, without=_OF_CHAMPION).outcome]


def _compare_json_files(left: bytes, right: bytes) -> Difference:
    import json

    return Difference(outcome="identical") if left == right else _json(json.loads(left), json.loads(right))


def _json(left: Any, right: Any, path: str = "") -> Difference:  # Any: JSON
    """Compare two JSON values; numbers within the tolerance are equal."""
    near = ""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        pairs = [(f"{path}.{name}".lstrip("."), left[name], right[name]) for name in left]
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = [(f"{path}[{place}]", *both) for place, both in enumerate(zip(left, right, strict=True))]
    else:
        numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (left, right))
        outcome: Outcome = (
            compare_numbers(left, right) if numbers else ("identical" if left == right else "different")
        )
        shown = f"{path or 'document'}: {_short(left)} → {_short(right)}"
        return Difference(outcome=outcome, detail="" if outcome == "identical" else shown)
    for place, before, after in pairs:
        found = _json(before, after, place)
        if found.outcome == "different":
            return found
        near = near or found.detail
    return Difference(outcome="equal" if near else "identical", detail=near)


def _both(
    left: Side, first: FileRecord | None, right: Side, second: FileRecord | None
) -> tuple[bytes, bytes] | None:
    """Return the bytes of both files, `None` when there is only one."""
    if first is None or second is None:
        return None
    return left.read(first), right.read(second)


def _named(side: Side, step: str, key: str | None) -> FileRecord | None:
    return next((file for file in side.results[step].files if file.key == key), None)


def _bytes(left: bytes, right: bytes, *, what: str) -> Difference:
    if left == right:
        return Difference(outcome="identical")
    return Difference(outcome="different", detail=f"{what}: {len(left):,} → {len(right):,} bytes")


def _compared(step: str, artifact: str, difference: Difference | None) -> Compared:
    if difference is None:
        difference = Difference(outcome="different", detail="only one of the two executions has it")
    return Compared(step=step, artifact=artifact, outcome=difference.outcome, detail=difference.detail)


def _metric_name(metric: Metric) -> str:
    where = ", ".join(f"{name}={value}" for name, value in sorted(metric.slice.items()))
    return f"{metric.name} of {where}" if where else metric.name


def _short(value: Any) -> str:  # Any: JSON
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
