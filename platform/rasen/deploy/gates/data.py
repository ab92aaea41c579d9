"""The `data` gate: what the version was trained on is much like what the live version was trained on.

A model that is good on other data than its predecessor's has proved little. The snapshots of both runs are compared,
read by read and column by column (`column_drift.py`); what has changed is named with its numbers. By default a
difference holds the version: data may change for a good reason, which a person knows and arithmetic does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rasen.deploy.gates.column_drift import ColumnDrift, compare_column
from rasen.deploy.gates.live_version import first, is_first, the_candidate, unavailable
from rasen.deploy.gates.measured import Unmeasured
from rasen.errors import ObjectNotFound, TrustError
from rasen.pipeline_gates_contract import DataGate
from rasen.suggestion import suggest
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    import pyarrow as pa

    from rasen.deploy.evidence import Evidence, RunFiles

_CHANCE = 0.001
_DIGEST = re.compile(r"[0-9a-f]{64}(#[0-9]+)?")
_TOLD = 5
_NUMBERED = 20


@dataclass
class _Comparison:
    """What was found so far, over all tables."""

    columns: list[tuple[str, ColumnDrift]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: int = 0


def judge(name: str, gate: DataGate, evidence: Evidence) -> GateVerdict:
    """Return whether the candidate's tables are much like the live version's.

    Raises:
        Unmeasured: The candidate has no such table, or it is not there as it was signed for.
    """
    files = the_candidate(evidence).files
    if files is None:
        raise Unmeasured("its tables cannot be read", "missing")
    tables = _tables(gate, files)
    if is_first(evidence):
        return first(name, ", ".join(_called(table, files) for table in tables[:_TOLD]) + _more(tables))
    live = evidence.champion
    if live is None or live.files is None:
        problem = f"the live version cannot be looked at: {evidence.champion_problem or 'its files are gone'}"
        return unavailable(name, problem, answer=gate.answer)
    found = _Comparison()
    for table in tables:
        if table in live.files.tables:
            _compare_table(found, table, gate, files, live.files, several=len(tables) > 1)
        else:
            found.notes.append(f"the live version did not read {_called(table, files)}{_hint(table)}")
    gone = [table for table in _reads(live.files) if table not in files.tables and gate.table is None]
    found.notes += [
        f"only the live version read {_called(table, live.files)}{_hint(table)}" for table in gone
    ]
    return _verdict(name, gate, found)


def _tables(gate: DataGate, files: RunFiles) -> list[str]:
    if gate.table is not None:
        if gate.table not in files.tables:
            raise Unmeasured(
                f"the run read and saved no table {gate.table!r}: {_suggest(gate.table, files)}", "missing"
            )
        return [gate.table]
    tables = _reads(files) or list(files.tables)
    if not tables:
        raise Unmeasured("the run read and saved no table that could be compared", "missing")
    return tables


def _reads(files: RunFiles) -> list[str]:
    reads = [read.name for result in files.results.values() for read in result.reads]
    return [name for name in dict.fromkeys(reads) if name in files.tables]


def _compare_table(
    found: _Comparison, name: str, gate: DataGate, new: RunFiles, old: RunFiles, *, several: bool
) -> None:
    called = _called(name, new)
    prefix = f"{called}: " if several else ""
    if new.tables[name].sha256 == old.tables[name].sha256:
        found.tables += 1
        found.notes.append(f"{called} is the same, byte by byte")
        return
    try:
        after = _read(new, name)
    except _Unreadable as error:
        raise Unmeasured(f"{called} of the candidate cannot be read: {error}", "unreadable") from None
    try:
        before = _read(old, name)
    except _Unreadable as error:
        found.unavailable.append(f"{called} of the live version cannot be read: {error}")
        return
    found.tables += 1
    if not after.num_rows:
        found.problems.append(f"{prefix}there are no rows; there were {before.num_rows}")
        return
    if not before.num_rows:
        found.unavailable.append(f"{called} of the live version has no rows to compare with")
        return
    change = after.num_rows / before.num_rows - 1
    if gate.rows is not None and abs(change) > gate.rows:
        found.problems.append(
            f"{prefix}{after.num_rows} rows instead of {before.num_rows}, {100 * change:+.3g} %, more than "
            f"{100 * gate.rows:.3g} %"
        )
    _compare_columns(found, prefix, gate, before, after)


def _compare_columns(
    found: _Comparison, prefix: str, gate: DataGate, before: pa.Table, after: pa.Table
) -> None:
    olds = dict(zip(before.column_names, before.columns, strict=True))
    news = dict(zip(after.column_names, after.columns, strict=True))
    wanted = gate.columns or [name for name in news if name in olds]
    compared = [name for name in wanted if name in olds and name in news and name not in gate.ignore]
    for name in wanted if gate.columns is not None else ():
        for columns, whose in ((news, "the candidate's"), (olds, "the live version's")):
            if name not in columns:
                found.problems.append(
                    f"{prefix}there is no column {name!r} in {whose} table: {suggest(name, columns)}"
                )
    if gate.columns is None:
        for some, others, what in ((news, olds, "new columns"), (olds, news, "columns that are gone")):
            only = [name for name in some if name not in others and name not in gate.ignore]
            if only:
                found.notes.append(f"{prefix}{what}: {', '.join(map(repr, only[:_TOLD]))}{_more(only)}")
    for name in compared:
        drift = compare_column(
            name, olds[name], news[name], gate, alpha=_CHANCE / (2 * max(len(compared), 1))
        )
        found.columns.append((prefix, drift))


def _verdict(name: str, gate: DataGate, found: _Comparison) -> GateVerdict:
    differing = [(prefix, drift) for prefix, drift in found.columns if drift.problems]
    sentences = list(found.problems)
    sentences += [f"{prefix}{drift.name}: {', '.join(drift.problems)}" for prefix, drift in differing]
    notes = found.notes + [
        f"{prefix}{drift.name} {note}" for prefix, drift in found.columns for note in drift.notes
    ]
    tables = f"{found.tables} {'table' if found.tables == 1 else 'tables'}"
    counted = f"{len(differing)} of {len(found.columns)} columns in {tables} differ"
    numbers: dict[str, float] = {
        "tables": found.tables,
        "columns": len(found.columns),
        "differing": len(differing),
    }
    numbers |= _numbers(found)
    told = f"; told: {_some(notes)}" if notes else ""
    if sentences:
        reason = f"{counted}: {_some(sentences)}{told}"
        return GateVerdict(gate=name, answer=gate.answer, outcome="drift", numbers=numbers, reason=reason)
    if found.unavailable or not found.tables:
        problem = (
            _some(found.unavailable)
            or "no table of the candidate can be compared with one of the live version"
        )
        reason = f"{problem}; {counted}{told}"
        return GateVerdict(
            gate=name, answer=gate.answer, outcome="unavailable", numbers=numbers, reason=reason
        )
    return GateVerdict(gate=name, answer="pass", outcome="steady", numbers=numbers, reason=f"{counted}{told}")


def _numbers(found: _Comparison) -> dict[str, float]:
    """Return the numbers of the columns that differ, then of those that moved most; the ledger keeps no more."""
    ranked = sorted(
        found.columns, key=lambda each: (not each[1].problems, -each[1].numbers.get("psi", 0.0), each[1].name)
    )
    return {
        f"{prefix}{drift.name} {key}": value
        for prefix, drift in ranked[:_NUMBERED]
        for key, value in drift.numbers.items()
    }


class _Unreadable(Exception):
    """A table that is not there as it was signed for; the text says why."""


def _read(files: RunFiles, name: str) -> pa.Table:
    import pyarrow as pa

    try:
        return files.read_table(name)
    except (TrustError, ObjectNotFound, pa.ArrowException, OSError) as error:
        raise _Unreadable(str(error)) from None


def _called(table: str, files: RunFiles) -> str:
    """Return what a table is called in sentences: a read without a name by the beginning of its query."""
    if not _DIGEST.fullmatch(table):
        return f"table {table!r}"
    for result in files.results.values():
        for read in result.reads:
            if read.name == table and read.sql:
                return f"table {table[:8]} ({' '.join(read.sql.split())[:60]!r})"
    return f"table {table[:8]}"


def _hint(table: str) -> str:
    if not _DIGEST.fullmatch(table):
        return ""
    return (
        "; a read without `name=` is known by its query, and a changed query is another one: give it a name"
    )


def _suggest(table: str, files: RunFiles) -> str:
    named = [name for name in files.tables if not _DIGEST.fullmatch(name)]
    unnamed = len(files.tables) - len(named)
    said = suggest(table, named)
    if unnamed:
        reads = "read has" if unnamed == 1 else "reads have"
        said += f"; {unnamed} more {reads} no name: give `name=` to rasen.read_sql"
    return said


def _some(sentences: Sequence[str]) -> str:
    return "; ".join(sentences[:_TOLD]) + _more(sentences)


def _more(things: Sequence[str]) -> str:
    return f" and {len(things) - _TOLD} more" if len(things) > _TOLD else ""
