"""Two runs of a pipeline side by side: only what differs, as data for the command line and for pages.

Works for runs that failed as for those that published: it reads start records and results, and of the manifest only the
versions of the libraries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rasen.batch.code_difference import CodeChange as CodeChange  # noqa: PLC0414 - the name that callers import from here
from rasen.batch.code_difference import compare_code
from rasen.batch.finish import read_finished
from rasen.batch.queries import find_run, steps_of, trusted_release
from rasen.batch.start import read_start, step_parameters
from rasen.errors import InvalidInput, RasenError
from rasen.metric_directions import Direction
from rasen.model.metrics import direction
from rasen.pipeline_gate_keys import ComparingGate
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import Metric, Read, Start, StepResult, Verdict
from rasen.tracking.results import counted_attempt

_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that differs; `None` where the run has none."""

    name: str
    left: Any  # Any: JSON
    right: Any  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class MetricChange:
    """A metric of both runs, or of one; `percent` is of the left one's size, `better` says whether the right one is."""

    name: str
    slice: dict[str, str]
    left: float | None
    right: float | None
    difference: float | None
    percent: float | None
    direction: Direction | None
    better: bool | None


@dataclass(frozen=True, kw_only=True)
class TableChange:
    """A table that a step read or saved and that is not the same; `columns` holds what differs in its statistics."""

    step: str
    name: str
    saved: bool
    left_sha256: str | None
    right_sha256: str | None
    left_rows: int | None
    right_rows: int | None
    query: tuple[Change, ...]
    columns: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class StepSide:
    """How a step went in one run."""

    verdict: Verdict | None
    attempt: int | None
    reused_from: str | None
    seconds: float | None
    cpu_seconds: float | None
    peak_bytes: int | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """One step in both runs."""

    step: str
    left: StepSide | None
    right: StepSide | None


@dataclass(frozen=True, kw_only=True)
class RunSide:
    """One of the two runs."""

    run: str
    release: str
    started_at: datetime
    verdict: Verdict | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two runs; each list is empty where nothing does.

    `code_unknown` and `versions_unknown` say why something could not be compared. `steps` lists all of them, because no
    two runs take equally long.
    """

    pipeline: str
    left: RunSide
    right: RunSide
    origin: tuple[Change, ...]
    parameters: tuple[Change, ...]
    metrics: tuple[MetricChange, ...]
    code: tuple[CodeChange, ...]
    code_unknown: str | None
    tables: tuple[TableChange, ...]
    versions: tuple[Change, ...]
    versions_unknown: str | None
    steps: tuple[StepChange, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs but the time that it took."""
        verdicts = all(
            step.left is not None and step.right is not None and step.left.verdict == step.right.verdict
            for step in self.steps
        )
        return verdicts and not (
            self.origin or self.parameters or self.metrics or self.code or self.tables or self.versions
        )


def compare_runs(settings: Settings, left: str, right: str) -> Comparison:
    """Compare two runs of one pipeline, each named by enough of its id.

    Raises:
        NotFound: There is no such run, or more than one.
        InvalidInput: They are of different pipelines.
    """
    store = open_store(settings)
    rows = [find_run(settings, beginning) for beginning in (left, right)]
    if rows[0].pipeline != rows[1].pipeline:
        raise InvalidInput(
            f"run {rows[0].run!r} is of pipeline {rows[0].pipeline!r} and run {rows[1].run!r} of "
            f"{rows[1].pipeline!r}; only runs of one pipeline can be compared"
        )
    first, second = (_Side(settings, store, row.pipeline, row.run) for row in rows)
    code, code_unknown = compare_code(store, first.release, second.release)
    versions, versions_unknown = _compare_versions(first, second)
    names = list(dict.fromkeys([*first.steps, *second.steps]))
    names.sort(key=lambda name: name == QUALIFY_STEP)
    return Comparison(
        pipeline=rows[0].pipeline,
        left=first.describe(),
        right=second.describe(),
        origin=tuple(_changes(first.origin(), second.origin())),
        parameters=tuple(_compare_parameters(first.parameters(), second.parameters())),
        metrics=tuple(_compare_metrics(first.metrics(), second.metrics(), second.directions())),
        code=code,
        code_unknown=code_unknown,
        tables=tuple(_compare_tables(names, first, second)),
        versions=versions,
        versions_unknown=versions_unknown,
        steps=tuple(
            StepChange(step=name, left=first.step_side(name), right=second.step_side(name)) for name in names
        ),
    )


class _Side:
    """One run with everything that is compared."""

    def __init__(self, settings: Settings, store: Store, pipeline: str, run: str) -> None:
        self.start: Start = read_start(store, pipeline, run).start
        self.release: Release | None = trusted_release(settings, store, self.start)
        try:
            self.finished = read_finished(settings, store, pipeline, run)
        except RasenError:  # a manifest that is not trusted any more is none
            self.finished = None
        self.steps = steps_of(store, self.start, self.release)
        self._attempts = {step: counted_attempt(store, self.start, step) for step in self.steps}

    def describe(self) -> RunSide:
        """Return what stands at the head."""
        end = self.finished.end if self.finished is not None else None
        return RunSide(
            run=self.start.run,
            release=self.start.release,
            started_at=instant_of(self.start.run),
            verdict=self.finished.verdict if self.finished is not None else None,
            error=end.error if end is not None else None,
        )

    def origin(self) -> dict[str, object]:
        """Return where the run came from."""
        return {
            "release": self.start.release,
            "commit": self.release.commit if self.release is not None else None,
            "environment": self.start.environment,
            "environment digest": self.start.image,
            "deploy": self.start.deploy,
            "resumes": self.start.resumes,
            "verdict": self.finished.verdict.value if self.finished is not None else None,
        }

    def parameters(self) -> dict[str, dict[str, Any]]:  # Any: JSON
        """Return each parameter's value in each step that has it."""
        found: dict[str, dict[str, Any]] = {}
        try:
            resolved = step_parameters(self.release, self.start) if self.release is not None else {}
        except RasenError:
            resolved = {}
        for step, one in resolved.items():
            for name, value in one.values.items():
                found.setdefault(name, {})[step] = value
        return found

    def result(self, step: str) -> StepResult | None:
        """Return the result of a step that counts."""
        attempt = self._attempts.get(step)
        return attempt.result if attempt is not None else None

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], Metric]:
        """Return the metrics by name and slice; of one that was logged twice the last counts."""
        return {
            (metric.name, tuple(sorted(metric.slice.items()))): metric
            for step in self.steps
            if (result := self.result(step)) is not None
            for metric in result.metrics
        }

    def directions(self) -> dict[str, Direction]:
        """Return which way metrics are better of which `pipeline.yaml` says so."""
        gates = self.release.spec.deploy.gates if self.release is not None else None
        return {
            gate.metric: gate.direction
            for gate in gates or ()
            if isinstance(gate, ComparingGate) and gate.direction is not None
        }

    def step_side(self, step: str) -> StepSide | None:
        """Return how a step went."""
        if step not in self.steps:
            return None
        attempt, result = self._attempts[step], self.result(step)
        skipped = attempt is None and self.finished is not None
        error = result.error if result is not None else None
        return StepSide(
            verdict=result.verdict if result is not None else (Verdict.SKIPPED if skipped else None),
            attempt=attempt.number if attempt is not None else None,
            reused_from=self.start.reuses.get(step),
            seconds=result.seconds if result is not None else None,
            cpu_seconds=result.cpu_seconds if result is not None else None,
            peak_bytes=result.peak_bytes if result is not None else None,
            error=f"{error.name}: {error.message}" if error is not None else None,
        )


def _changes(left: Mapping[str, object], right: Mapping[str, object]) -> Iterator[Change]:
    for name in dict.fromkeys([*left, *right]):
        before, after = left.get(name, _MISSING), right.get(name, _MISSING)
        if before != after:
            yield Change(
                name=name,
                left=None if before is _MISSING else before,
                right=None if after is _MISSING else after,
            )


def _compare_parameters(
    left: Mapping[str, Mapping[str, Any]],
    right: Mapping[str, Mapping[str, Any]],  # Any: JSON
) -> Iterator[Change]:
    """Yield a parameter once where all its steps agree, else once for each step, as `step.name`."""
    for name in dict.fromkeys([*left, *right]):
        before, after = left.get(name, {}), right.get(name, {})
        found = list(_changes(before, after))
        alike = len({(repr(one.left), repr(one.right)) for one in found}) == 1
        if found and alike and len(found) == len({*before, *after}):
            yield Change(name=name, left=found[0].left, right=found[0].right)
        else:
            yield from (Change(name=f"{one.name}.{name}", left=one.left, right=one.right) for one in found)


def _compare_metrics(
    left: Mapping[Any, Metric],  # Any: name and slice
    right: Mapping[Any, Metric],  # Any: as above
    declared: Mapping[str, Direction],
) -> Iterator[MetricChange]:
    for key in dict.fromkeys([*left, *right]):
        before, after = left.get(key), right.get(key)
        old, new = before.value if before else None, after.value if after else None
        if old == new or (old is not None and new is not None and math.isnan(old) and math.isnan(new)):
            continue
        metric = after or before
        assert metric is not None
        difference = new - old if old is not None and new is not None else None
        if difference is not None and not math.isfinite(difference):
            difference = None
        way = declared.get(metric.name) or direction(metric.name)
        yield MetricChange(
            name=metric.name,
            slice=metric.slice,
            left=old,
            right=new,
            difference=difference,
            percent=100 * difference / abs(old) if difference is not None and old else None,
            direction=way,
            better=(difference < 0) == (way == "minimize") if difference and way else None,
        )


def _compare_versions(left: _Side, right: _Side) -> tuple[tuple[Change, ...], str | None]:
    if left.start.image == right.start.image:
        return (), None  # the digest covers them
    manifests = [side.finished.manifest if side.finished is not None else None for side in (left, right)]
    if manifests[0] is None or manifests[1] is None:
        return (), "the environments differ, and only a run that succeeded names its libraries"
    return tuple(_changes(manifests[0].versions, manifests[1].versions)), None


def _compare_tables(steps: Iterable[str], left: _Side, right: _Side) -> Iterator[TableChange]:
    for step in steps:
        before, after = left.result(step), right.result(step)
        if before is None or after is None:
            continue  # the step's verdict says so already
        old, new = ({read.name: read for read in result.reads} for result in (before, after))
        for name in dict.fromkeys([*old, *new]):
            change = _compare_read(step, name, old.get(name), new.get(name))
            if change is not None:
                yield change
        for name in dict.fromkeys([*before.tables, *after.tables]):
            first, second = _digest(before.tables.get(name)), _digest(after.tables.get(name))
            if first != second:
                yield TableChange(
                    step=step,
                    name=name,
                    saved=True,
                    left_sha256=first,
                    right_sha256=second,
                    left_rows=None,
                    right_rows=None,
                    query=(),
                    columns=(),
                )


def _compare_read(step: str, name: str, left: Read | None, right: Read | None) -> TableChange | None:
    first, second = (_digest(read.table) if read else None for read in (left, right))
    query = tuple(_changes(_query(left), _query(right))) if left and right else ()
    if first == second and not query:
        return None
    old, new = (read.statistics if read else {} for read in (left, right))
    return TableChange(
        step=step,
        name=name,
        saved=False,
        left_sha256=first,
        right_sha256=second,
        left_rows=old.get("rows"),
        right_rows=new.get("rows"),
        query=query,
        columns=tuple(_changes(_flatten(old.get("columns", {})), _flatten(new.get("columns", {}))))
        if left and right
        else (),
    )


def _query(read: Read) -> dict[str, object]:
    asked: dict[str, object] = {"sql": read.sql, "file": read.file}
    return asked | {f"@{name}": value for name, value in read.parameters.items()}


def _flatten(columns: Any, prefix: str = "") -> dict[str, object]:  # Any: JSON
    """Return nested statistics as `column.mean`, `column.quantiles.p50`; how often a category occurs is no news."""
    flat: dict[str, object] = {}
    for name, value in columns.items():
        if name == "categories" and isinstance(value, dict):
            flat[f"{prefix}categories"] = sorted(value)
        elif isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _digest(key: str | None) -> str | None:
    """Return the SHA-256 that a table's key ends with: its name is its content."""
    return key.rpartition("/")[2].removesuffix(".parquet") if key is not None else None
