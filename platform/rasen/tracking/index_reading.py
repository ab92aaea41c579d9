"""What the index reads of the store: records become rows here, whatever is wrong with one of them becomes a problem.

Nothing here knows the database, so a rebuild lets several processes read. A store that is down still raises.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from rasen.errors import InvalidInput, ObjectNotFound, RasenError, StoreUnavailable
from rasen.store import Stat, Store
from rasen.tracking.ids import check_run_id, instant_of
from rasen.tracking.index_rows import Problem
from rasen.tracking.index_search import searchable
from rasen.tracking.keys import deployment_key, end_key, manifest_key, release_key, result_key, start_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import End, Manifest, Part, Record, Start, StepResult, UnreadableRecord, Verdict
from rasen.tracking.signature import Role, TrustStore, read_signed

_ERROR_SEARCHED = 2000  # characters; the rest of an error is rarely what anybody remembers
_PARAMETERS_SEARCHED = 2000


Column = str | int | float | None
_Found = TypeVar("_Found")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the records lie, and who is believed."""

    store: Store
    trust: TrustStore
    environment: str


@dataclass(frozen=True, kw_only=True)
class FoundEnd:
    """How a run ended: columns of its row, its finite metrics, and what that adds to the words it is found by."""

    columns: dict[str, Column]
    metrics: dict[str, float] = field(default_factory=dict)
    body: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run that was started: columns of its row, those of its end among them if it has one."""

    pipeline: str
    run: str
    columns: dict[str, Column]
    metrics: dict[str, float] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class ReleaseSummary(Record):
    """What lists say of a release; the whole record is `rasen.release_record.Release`, which lies above this module."""

    pipeline: str
    release: str
    origin: Literal["release", "workspace"]
    commit: str | None = None
    sequence: int = 0
    author: str | None = None
    message: str | None = None
    committed_at: datetime | None = None
    spec: _Spec


class _Deploy(Part):
    endpoint: str | None = None


class _Spec(Part):
    name: str
    deploy: _Deploy = _Deploy()

    @property
    def endpoint(self) -> str:
        return self.deploy.endpoint or self.name


@dataclass(frozen=True, kw_only=True)
class FoundRelease:
    """A registered release, and when the store got it."""

    summary: ReleaseSummary
    registered_at: datetime


def read_run(source: Source, pipeline: str, name: str, *, ended: bool = True) -> FoundRun | Problem | None:
    """Return the run whose start lies under a name of a pipeline's folder, `None` when it is gone.

    Args:
        source: Where to read.
        pipeline: The folder.
        name: The name in it, `<run>.json`.
        ended: Whether to look for its end.
    """
    run = name.removesuffix(".json")
    key = f"starts/{pipeline}/{name}"
    try:
        stat = source.store.stat(key)
        if stat is None:
            return None
        if key != start_key(pipeline, check_run_id(run)):
            raise UnreadableRecord(f"{key!r} is not the name of a start record")
        start = Start.from_bytes(source.store.read(key), source=key)
        if (start.pipeline, start.run) != (pipeline, run):
            raise UnreadableRecord(f"{key!r} speaks of run {start.run!r} of {start.pipeline!r}")
        instant_of(run)
    except ObjectNotFound:
        return None
    except (UnreadableRecord, InvalidInput) as error:
        return Problem(key=key, problem=str(error))
    body = searchable(_texts(start))
    end = read_end(source, pipeline, run, begun_at=stat.updated_at) if ended else None
    columns: dict[str, Column] = {
        "run": run,
        "digest": run.rpartition("-")[2],
        "pipeline": pipeline,
        "release_id": start.release,
        "origin": start.origin,
        "deploy": start.deploy,
        "trigger_key": start.trigger,
        "trigger_kind": start.trigger.partition(":")[0],
        "begun_at": stat.updated_at.isoformat(),
        "resumes": start.resumes,
        "qualifies": start.qualifies,
        "body": body if end is None else join_words(body, end.body),
    }
    if end is None:
        return FoundRun(pipeline=pipeline, run=run, columns=columns)
    return FoundRun(
        pipeline=pipeline,
        run=run,
        columns=columns | end.columns,
        metrics=end.metrics,
        problems=end.problems,
    )


def read_end(source: Source, pipeline: str, run: str, *, begun_at: datetime) -> FoundEnd | None:
    """Return how a run ended, `None` when it has not; what cannot be believed or read counts as failed.

    Args:
        source: Where to read.
        pipeline: Whose run.
        run: Its id.
        begun_at: When its start was written, by the store's clock.
    """
    store = source.store
    key = manifest_key(pipeline, run)
    written = store.stat(key)
    if written is not None:
        try:
            manifest = read_manifest(
                store, source.trust, pipeline, run, environment=source.environment
            ).manifest
        except StoreUnavailable:
            raise
        except RasenError as refused:
            error = f"its manifest is refused: {refused}"
            end = End(
                run=run, pipeline=pipeline, verdict=Verdict.FAILED, error=error, ended_at=instant_of(run)
            )
            return _found_end(end, begun_at, written, problems=(Problem(key=key, problem=error),))
        return _published(store, manifest, begun_at, written)
    key = end_key(pipeline, run)
    written = store.stat(key)
    if written is None:
        return None
    problems: tuple[Problem, ...] = ()
    try:
        end = End.from_bytes(store.read(key), source=key)
    except ObjectNotFound:
        return None
    except UnreadableRecord as unreadable:
        error = f"the record of its end cannot be read: {unreadable}"
        problems = (Problem(key=key, problem=error),)
        end = End(run=run, pipeline=pipeline, verdict=Verdict.FAILED, error=error, ended_at=instant_of(run))
    return _found_end(end, begun_at, written, problems=problems)


def _found_end(end: End, begun_at: datetime, written: Stat, *, problems: tuple[Problem, ...]) -> FoundEnd:
    return FoundEnd(
        columns={
            "verdict": end.verdict.value,
            "ended_at": end.ended_at.isoformat(),
            "step": end.step,
            "error": end.error,
            "seconds": (written.updated_at - begun_at).total_seconds(),
        },
        body=searchable([end.step or "", (end.error or "")[:_ERROR_SEARCHED]]),
        problems=problems,
    )


def _published(store: Store, manifest: Manifest, begun_at: datetime, written: Stat) -> FoundEnd:
    metrics, problems = _metrics(store, manifest)
    return FoundEnd(
        columns={
            "verdict": Verdict.SUCCEEDED.value,
            "ended_at": manifest.published_at.isoformat(),
            "metrics": json.dumps(metrics),
            "has_model": manifest.model is not None,
            "seconds": (written.updated_at - begun_at).total_seconds(),
        },
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        problems=problems,
    )


def read_release_summary(source: Source, pipeline: str, release: str) -> FoundRelease | Problem | None:
    """Return a release after its signature was checked, `None` while it is not registered completely."""
    key = release_key(pipeline, release)
    stat = source.store.stat(key)
    if stat is None:
        return None

    def parse(payload: bytes) -> FoundRelease:
        summary = ReleaseSummary.from_bytes(payload, source=key)
        if (summary.pipeline, summary.release) != (pipeline, release):
            raise UnreadableRecord(f"{key!r} speaks of release {summary.release!r} of {summary.pipeline!r}")
        return FoundRelease(summary=summary, registered_at=stat.updated_at)

    return _read_believed(source, key, Role.REGISTRAR, parse)


def read_deployment(source: Source, endpoint: str, number: int) -> LedgerRecord | Problem | None:
    """Return a record of a ledger after its signature was checked, `None` when there is none of that number."""
    key = deployment_key(endpoint, number)

    def parse(payload: bytes) -> LedgerRecord:
        record = LedgerRecord.from_bytes(payload, source=key)
        if (record.endpoint, record.number) != (endpoint, number):
            raise UnreadableRecord(f"{key!r} speaks of number {record.number} of {record.endpoint!r}")
        return record

    return _read_believed(source, key, Role.DECIDER, parse)


def _read_believed(
    source: Source, key: str, role: Role, parse: Callable[[bytes], _Found]
) -> _Found | Problem | None:
    """Return what a signed object says, why it is not believed, or `None` when there is none."""
    try:
        payload = read_signed(
            source.store, key, trust=source.trust, role=role, environment=source.environment
        )
        return parse(payload)
    except ObjectNotFound:
        return None
    except StoreUnavailable:
        raise
    except RasenError as error:
        return Problem(key=key, problem=str(error))


def read_runs(source: Source, pipeline: str, names: Iterable[str]) -> list[FoundRun | Problem]:
    """Return what lies under some names of a pipeline's folder of starts, without those that are gone."""
    found = (read_run(source, pipeline, name) for name in names)
    return [one for one in found if one is not None]


def _metrics(store: Store, manifest: Manifest) -> tuple[dict[str, float], tuple[Problem, ...]]:
    """Return the metrics of all rows, those recomputed by the qualification last, because they count."""
    metrics: dict[str, float] = {}
    problems: list[Problem] = []
    for step, published in manifest.steps.items():
        key = result_key(manifest.pipeline, published.reused_from or manifest.run, step, published.attempt)
        try:
            result = StepResult.from_bytes(store.read(key), source=key)
        except ObjectNotFound:
            continue  # removed with its run: the list goes on without its numbers
        except UnreadableRecord as error:
            problems.append(Problem(key=key, problem=str(error)))
            continue
        metrics |= {metric.name: metric.value for metric in result.metrics if not metric.slice}
    return metrics, tuple(problems)


def _texts(start: Start) -> Iterable[str]:
    yield start.run.rpartition("-")[2]
    yield start.pipeline
    yield start.release
    yield start.trigger
    for name, value in start.parameters.items():
        yield name
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield text[:_PARAMETERS_SEARCHED]


def join_words(one: str, other: str) -> str:
    """Return the words of two texts that `searchable` made, each once."""
    return " ".join(dict.fromkeys([*one.split(), *other.split()])) if other else one
