"""Questions about runs as SQL that stays quick with a million of them.

SQLite follows one index at a time, so what matters is which. A condition that few runs meet leads: those runs are
fetched and the other conditions looked at. Where every condition is met by many, the newest runs are walked through
until enough fit. Which of the two it is, is counted first, up to a limit.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rasen.errors import InvalidInput
from rasen.tracking.index_layout import first_id
from rasen.tracking.index_search import Query, parse_query

_FEW = 5000
_MOST_WORDS = 500
_LAST = "\U0010ffff"
_METRIC = re.compile(r"\s*(?P<name>[^<>=!\s]+)\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>[^<>=!]+?)\s*")
Sign = Literal["<", "<=", ">", ">=", "=", "!="]
_SIGNS: dict[str, Sign] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "=": "=", "==": "=", "!=": "!="}
_METRIC_IDS: dict[Sign, str] = {
    "<": "SELECT id FROM metrics WHERE name = ? AND value < ?",
    "<=": "SELECT id FROM metrics WHERE name = ? AND value <= ?",
    ">": "SELECT id FROM metrics WHERE name = ? AND value > ?",
    ">=": "SELECT id FROM metrics WHERE name = ? AND value >= ?",
    "=": "SELECT id FROM metrics WHERE name = ? AND value = ?",
    "!=": "SELECT id FROM metrics WHERE name = ? AND value <> ?",
}

Select = Callable[..., list[sqlite3.Row]]


@dataclass(frozen=True, kw_only=True)
class MetricCondition:
    """A metric of all rows compared with a number; a run without the metric, or with NaN, does not meet it."""

    name: str
    sign: Sign
    value: float


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs are asked for; what is `None` or empty does not matter.

    Args:
        pipeline: Its name.
        verdict: How they ended; `running` for those that have not.
        release: The release's id.
        origin: `release` or `workspace`.
        trigger: What started them: `cron`, `request`, `resume`, `airflow`, or a whole trigger key.
        since: Not before this instant, aware.
        until: Before this instant, aware.
        metrics: All of them are met.
        search: Words that all occur.
        before: Only runs behind this one in the list, as `pipeline/run`; nothing when there is no such run.
    """

    pipeline: str | None = None
    verdict: str | None = None
    release: str | None = None
    origin: str | None = None
    trigger: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    metrics: tuple[MetricCondition, ...] = ()
    search: str | None = None
    before: str | None = None


def parse_metric(text: str) -> MetricCondition:
    """Return a condition that somebody typed, such as `rmse<3`.

    Raises:
        InvalidInput: It is none.
    """
    match = _METRIC.fullmatch(text)
    try:
        value = float(match["value"]) if match else float("nan")
    except ValueError:
        value = float("nan")
    if match is None or math.isnan(value):
        raise InvalidInput(
            f"{text!r} is no condition on a metric; write a name, one of < <= > >= = !=, and a number, as in 'rmse<3'"
        )
    return MetricCondition(name=match["name"], sign=_SIGNS[match["sign"]], value=value)


def select_runs(select: Select, wanted: RunFilter, *, limit: int) -> list[sqlite3.Row]:
    """Return the newest runs that are asked for, newest first.

    Args:
        select: Runs one query with its values.
        wanted: Which.
        limit: How many.

    Raises:
        InvalidInput: There is nothing to search for in the text.
    """
    clauses, values = _columns(wanted)
    query = parse_query(wanted.search) if wanted.search is not None else None
    if query is not None:
        for run in query.runs:
            clauses.append("run >= ? AND run < ?")
            values += [run, run + "~"]
    many: list[tuple[str, tuple[object, ...]]] = []
    for metric in wanted.metrics:
        # The index by value leads to the few, that by name and id is walked for the many.
        text = _METRIC_IDS[metric.sign]
        few = _few(select, f"{text} LIMIT ?", metric.name, metric.value)
        if few is None:
            many.append((f"EXISTS ({text} AND metrics.id = runs.id)", (metric.name, metric.value)))
        else:
            clauses.append(f"id IN ({_listed(few)})")
    walk = "runs"
    match = query.match(lambda word: _complete(select, word)) if query is not None else ""
    if query is not None and match:
        few = _few(select, "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid DESC LIMIT ?", match)
        if few is not None:
            clauses.append(f"id IN ({_listed(few)})")
        else:
            rows = _narrowed(select, clauses, values, many, query, limit) if clauses else None
            if rows is not None:
                return rows
            walk = "texts CROSS JOIN runs ON runs.id = texts.rowid"
            clauses.append("texts MATCH ?")
            values.append(match)
    for clause, its_values in many:
        clauses.append(clause)
        values += its_values
    order = "texts.rowid" if walk != "runs" else "id"
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    # The clauses are made of constants; what was typed is among the values.
    return select(f"SELECT runs.* FROM {walk}{where} ORDER BY {order} DESC LIMIT ?", *values, limit)  # noqa: S608


def _columns(wanted: RunFilter) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    for clause, value in _conditions(wanted):
        clauses.append(clause)
        if value is not None:
            values.append(value)
    if wanted.before is not None:
        clauses.append("id < (SELECT known.id FROM runs AS known WHERE known.pipeline = ? AND known.run = ?)")
        pipeline, _, run = wanted.before.rpartition("/")
        values += [pipeline, run]
    return clauses, values


def _conditions(wanted: RunFilter) -> Iterator[tuple[str, object]]:
    if wanted.pipeline is not None:
        yield "pipeline = ?", wanted.pipeline
    if wanted.verdict == "running":
        yield "verdict IS NULL", None
    elif wanted.verdict is not None:
        yield "verdict = ?", wanted.verdict
    if wanted.release is not None:
        yield "release_id = ?", wanted.release
    if wanted.origin is not None:
        yield "origin = ?", wanted.origin
    if wanted.trigger is not None:
        kind, colon, _ = wanted.trigger.partition(":")
        yield "trigger_kind = ?", kind
        if colon:
            yield "trigger_key = ?", wanted.trigger
    if wanted.since is not None:
        yield "id >= ?", first_id(wanted.since)
    if wanted.until is not None:
        yield "id < ?", first_id(wanted.until)


def _complete(select: Select, word: str) -> list[str] | None:
    """Return the words of the index that begin with one, digests of runs included; `None` when they are too many."""
    found: list[str] = []
    for text in (
        "SELECT word FROM words WHERE word >= ? AND word < ? LIMIT ?",
        "SELECT digest FROM runs WHERE digest >= ? AND digest < ? LIMIT ?",
    ):
        found += [row[0] for row in select(text, word, word + _LAST, _MOST_WORDS + 1)]
    return list(dict.fromkeys(found)) if len(found) <= _MOST_WORDS else None


def _few(select: Select, text: str, *values: object) -> list[int] | None:
    """Return the ids that meet one condition, `None` when they are many."""
    found = [row[0] for row in select(text, *values, _FEW + 1)]
    return found if len(found) <= _FEW else None


def _narrowed(
    select: Select,
    clauses: list[str],
    values: list[object],
    many: list[tuple[str, tuple[object, ...]]],
    query: Query,
    limit: int,
) -> list[sqlite3.Row] | None:
    """Return the runs when few meet all other conditions than the words; `None` when many do."""
    conditions = [*clauses, *(clause for clause, _ in many)]
    everything = [*values, *(value for _, its_values in many for value in its_values)]
    text = f"SELECT id, body FROM runs WHERE {' AND '.join(conditions)} LIMIT ?"  # noqa: S608 - made of constants
    rows = select(text, *everything, _FEW + 1)
    if len(rows) > _FEW:
        return None
    fitting = sorted((row["id"] for row in rows if query.fits(row["body"])), reverse=True)[:limit]
    return select(f"SELECT * FROM runs WHERE id IN ({_listed(fitting)}) ORDER BY id DESC")  # noqa: S608 - integers


def _listed(identifiers: list[int]) -> str:
    return ", ".join(map(str, identifiers))
