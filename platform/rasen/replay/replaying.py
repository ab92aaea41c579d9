"""`rasen replay`: requests that were answered, asked again.

Without a version each row goes to the version that answered it, executed by the engine that answered it, and the
answers must come out as they were. With one version its answers are compared with those that were given, with two they
are compared with one another. Rows that cannot be asked again are counted by their reason, never dropped in silence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rasen.errors import InvalidInput, NotFound, RasenError
from rasen.replay.asking import DEFAULT_SECONDS, Answer, Answered, Question, ask_versions
from rasen.replay.calls import CHOSEN, PROFILE, AskedRow
from rasen.replay.differences import Comparison, compare_answers
from rasen.replay.request_log import LoggedRow, RequestLog, Wanted, open_log, refuse_nothing
from rasen.replay.versions import Ledger, NamedVersion
from rasen.settings import Settings
from rasen.tracking.ledger_records import LedgerRecord

AS_LOGGED = "as logged"
_SHADOW = "shadow"


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Logged rows with two lots of answers.

    Args:
        endpoint: Whose requests.
        rows: What was asked again, in the order in which it was asked.
        left: What they are compared with: the logged answers, or the first version's.
        right: What came out.
        left_label: Whose answers are on the left.
        right_label: Whose are on the right.
        comparison: How far they are apart.
        answered: What became of each version that was asked.
        left_out: Rows that were not asked, by the reason.
        requests: How many requests were asked again.
        more: How many requests of the window the limit left out.
        notes: What a reader should know besides.
    """

    endpoint: str
    rows: list[LoggedRow]
    left: list[Answer]
    right: list[Answer]
    left_label: str
    right_label: str
    comparison: Comparison
    answered: list[Answered]
    left_out: dict[str, int]
    requests: int
    more: int
    notes: list[str]


def replay_requests(
    settings: Settings,
    endpoint: str,
    wanted: Wanted,
    *,
    versions: Sequence[str] = (),
    seconds: float = DEFAULT_SECONDS,
    exact: bool = False,
    log: RequestLog | None = None,
) -> Replayed:
    """Ask logged requests again.

    Args:
        settings: Where endpoint and log are.
        endpoint: Whose requests.
        wanted: Which of them.
        versions: None: each row on the version that answered it. One: instead of that. Two: against one another.
        seconds: How long each version may take.
        exact: Call models, too, with as many rows as when they answered; slow.
        log: Where the log is, if not where the settings say.

    Raises:
        NotFound: The endpoint or a version does not exist, or no such request was logged.
        InvalidInput: More than two versions are named.
        RasenError: A named version cannot be asked at all.
    """
    if len(versions) > 2:
        raise InvalidInput(f"{len(versions)} versions are named; a replay compares at most two")
    ledger = Ledger(settings, endpoint)
    named = [ledger.find(text) for text in versions]
    opened = open_log(settings, ledger.store) if log is None else log
    found = opened.read(endpoint, wanted)
    if not found.rows:
        raise refuse_nothing(opened, endpoint, wanted)
    sorter = _Sorter(ledger, found.rows)
    if not named:
        return _reproduce(settings, sorter, found.requests, seconds=seconds, exact=exact)
    return _ask_others(settings, sorter, named, found.requests, seconds=seconds)


class _Sorter:
    """What the ledger says of logged rows: who answered them, and what was kept out of them."""

    def __init__(self, ledger: Ledger, rows: Sequence[LoggedRow]) -> None:
        self.ledger = ledger
        self.rows = rows
        self.left_out: Counter[str] = Counter()
        self._records: dict[int, LedgerRecord | str] = {}
        self._schemas: dict[NamedVersion, frozenset[str] | str] = {}
        self._requests: dict[tuple[str, int, str, str], int] = {}

    def record(self, number: int) -> LedgerRecord | str:
        """Return the record of a revision, or why there is none."""
        if number not in self._records:
            try:
                self._records[number] = self.ledger.record(number)
            except RasenError as error:
                self._records[number] = str(error)
        return self._records[number]

    def version_of(self, row: LoggedRow) -> NamedVersion | str:
        """Return the version that answered a row, or why that cannot be said."""
        record = self.record(row.revision)
        if isinstance(record, str):
            return record
        for variant in record.state.variants:
            if variant.run == row.model:
                number = row.revision if variant.role == "champion" else 0
                return NamedVersion(
                    run=variant.run,
                    pipeline=variant.pipeline,
                    manifest_sha256=variant.manifest_sha256,
                    number=number,
                )
        return f"ledger record {row.revision} knows no version {row.model!r}"

    def withheld(self, row: LoggedRow, version: NamedVersion) -> str:
        """Return why a row is not complete enough for a version, `""` when it is."""
        record = self.record(row.revision)
        if isinstance(record, str) or not record.state.log.exclude:
            return ""
        if version not in self._schemas:
            try:
                self._schemas[version] = frozenset(self.ledger.verify(version).schema.names)
            except RasenError as error:
                self._schemas[version] = str(error)
        names = self._schemas[version]
        if isinstance(names, str):
            return ""  # asking it tells
        missing = sorted(set(record.state.log.exclude) & names)
        if not missing:
            return ""
        columns = ", ".join(map(repr, missing))
        return f"{columns} was kept out of the log (deploy.log.exclude), and the version needs it"

    def request_of(self, row: LoggedRow) -> int:
        """Return a number that the rows of a request have in common."""
        return self._requests.setdefault(row.request, len(self._requests))


def _reproduce(
    settings: Settings, sorter: _Sorter, requests: int, *, seconds: float, exact: bool
) -> Replayed:
    """Ask each row's own version, executed as it was."""
    groups: dict[str, tuple[NamedVersion, list[int]]] = {}
    for position, row in enumerate(sorter.rows):
        version = sorter.version_of(row)
        if isinstance(version, str):
            sorter.left_out[version] += 1
            continue
        reason = "it got no answer then: the model failed" if row.outputs is None else ""
        reason = reason or sorter.withheld(row, version)
        if reason:
            sorter.left_out[reason] += 1
            continue
        groups.setdefault(version.run, (version, []))[1].append(position)
    questions = [
        Question(version=version, rows=[_as_it_was(sorter, sorter.rows[position]) for position in positions])
        for version, positions in groups.values()
    ]
    answered = ask_versions(settings, sorter.ledger, questions, seconds=seconds, exact=exact)
    _refuse_silence(answered)
    by_position = {
        position: answer
        for (_, positions), one in zip(groups.values(), answered, strict=True)
        for position, answer in zip(positions, one.answers, strict=True)
    }
    kept = sorted(by_position)
    return _replayed(
        sorter,
        [sorter.rows[position] for position in kept],
        (AS_LOGGED, [_logged(sorter.rows[position]) for position in kept]),
        ("asked again", [by_position[position] for position in kept]),
        answered,
        requests,
        notes=_notes(sorter.rows, exact=exact),
    )


def _as_it_was(sorter: _Sorter, row: LoggedRow) -> AskedRow:
    engine = PROFILE if row.source == PROFILE else row.engine
    return AskedRow(text=row.inputs, request=sorter.request_of(row), engine=engine, batch_rows=row.batch_rows)


def _ask_others(
    settings: Settings, sorter: _Sorter, named: Sequence[NamedVersion], requests: int, *, seconds: float
) -> Replayed:
    """Ask one or two versions for all rows."""
    rows: list[LoggedRow] = []
    for row in sorter.rows:
        # What answered does not matter to who is asked now, but a shadow's row is a request's second one.
        reason = "it was a copy for a shadow; the request itself is asked" if row.variant == _SHADOW else ""
        reason = reason or next(filter(None, (sorter.withheld(row, version) for version in named)), "")
        if not reason and len(named) == 1 and row.outputs is None:
            reason = "it got no answer then, so there is nothing to compare with: the model failed"
        if reason:
            sorter.left_out[reason] += 1
        else:
            rows.append(row)
    asked = [AskedRow(text=row.inputs, request=sorter.request_of(row), engine=CHOSEN) for row in rows]
    questions = [Question(version=version, rows=asked) for version in named]
    answered = ask_versions(settings, sorter.ledger, questions, seconds=seconds)
    for one in answered:
        _refuse_silence([one])
    sides = [(f"version {one.version.name}", one.answers) for one in answered]
    if len(sides) == 1:
        sides.insert(0, (AS_LOGGED, [_logged(row) for row in rows]))
    profiles = sum(row.source == PROFILE for row in rows) if len(named) == 1 else 0
    notes = [f"{profiles} of the logged answers were the profile's, not a model's"] if profiles else []
    return _replayed(sorter, rows, sides[0], sides[1], answered, requests, notes=notes)


def _replayed(
    sorter: _Sorter,
    rows: list[LoggedRow],
    left: tuple[str, list[Answer]],
    right: tuple[str, list[Answer]],
    answered: list[Answered],
    requests: int,
    *,
    notes: list[str],
) -> Replayed:
    if not rows:
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in sorter.left_out.most_common())
        raise NotFound(f"none of the {len(sorter.rows)} logged rows can be asked again: {reasons}")
    taken = len({row.request for row in sorter.rows})
    return Replayed(
        endpoint=sorter.ledger.endpoint,
        rows=rows,
        left=left[1],
        right=right[1],
        left_label=left[0],
        right_label=right[0],
        comparison=compare_answers(left[1], right[1]),
        answered=answered,
        left_out=dict(sorter.left_out.most_common()),
        requests=len({row.request for row in rows}),
        more=max(0, requests - taken),
        notes=notes,
    )


def _refuse_silence(answered: Sequence[Answered]) -> None:
    """Raise the first version's error when none of them has an answer to any row."""
    failures = [one.failure for one in answered if one.failure is not None]
    if failures and all(answer.problem for one in answered for answer in one.answers):
        raise failures[0]


def _logged(row: LoggedRow) -> Answer:
    return Answer(value=json.loads(row.outputs)) if row.outputs is not None else Answer(problem="no answer")


def _notes(rows: Sequence[LoggedRow], *, exact: bool) -> list[str]:
    notes = []
    profiles = sum(row.source == PROFILE for row in rows)
    if profiles:
        notes.append(f"{profiles} rows were answered by the profile, and are asked of the same profile")
    shadows = sum(row.variant == _SHADOW for row in rows)
    if shadows:
        notes.append(f"{shadows} rows are copies that a shadow answered, and are asked of the same version")
    native = sum(row.engine == "native" and row.batch_rows > 0 for row in rows)
    if native and not exact:
        notes.append(
            f"{native} rows were answered by the model itself, and are asked many at once, which may change their last "
            "bits; --exact asks as it was then"
        )
    return notes


def table_of(replayed: Replayed) -> dict[str, list[Any]]:  # Any: JSON values
    """Return what was replayed as columns: where each row comes from, its inputs, both answers."""
    table: dict[str, list[Any]] = {  # Any: JSON values
        "request_id": [row.request_id for row in replayed.rows],
        "row": [row.row for row in replayed.rows],
        "at": [row.time.isoformat() for row in replayed.rows],
        "model": [row.model for row in replayed.rows],
        "inputs": [row.inputs for row in replayed.rows],
    }
    for label, answers in ((replayed.left_label, replayed.left), (replayed.right_label, replayed.right)):
        table[label] = [
            json.dumps(answer.value) if isinstance(answer.value, dict) else answer.value for answer in answers
        ]
        if any(answer.problem for answer in answers):
            table[f"{label} problem"] = [answer.problem or None for answer in answers]
    return table
