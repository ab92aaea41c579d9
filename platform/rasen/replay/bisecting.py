"""`rasen bisect`: the first version whose answer to given rows is another than the good version's.

Like `git bisect`: between a version that is good and one that is bad the middle one is loaded, and half of the versions
are done with. That finds one change for certain, and the only one if the answer changed only once; `find_changes` loads
every version and finds all. A version that cannot be loaded is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasen.errors import InvalidInput, ModelFailed, NotFound
from rasen.replay.asking import DEFAULT_SECONDS, Answer
from rasen.replay.differences import same_answer
from rasen.replay.inputs import Input
from rasen.replay.predicting import ask_each
from rasen.replay.request_log import RequestLog, Wanted, open_log, refuse_nothing
from rasen.replay.versions import Champion, Ledger
from rasen.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one version said.

    Args:
        champion: The version, and the record that made it champion.
        answers: One a row; empty when it could not be loaded.
        skipped: Why it could not be loaded, `""` when it could.
        loads: How many loads there had been with this one; the same as before when it was known already.
        verdict: `good` like the good version, `changed`, or `skipped`.
    """

    champion: Champion
    answers: list[Answer] = field(default_factory=list)
    skipped: str = ""
    loads: int = 0
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Bisected:
    """Where an answer changed.

    Args:
        looks: Each version that was asked, in the order of asking.
        good: The last version that answered as the good one.
        changed: The first that did not, `None` when none did.
        between: Versions between the two that could not be loaded: any of them may be the first.
        candidates: How many versions there are after the good one, up to the bad one.
        loads: How many were loaded, both ends included.
    """

    looks: list[Look]
    good: Look
    changed: Look | None
    between: list[Look]
    candidates: int
    loads: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """A version whose answer is another than that of the version before it."""

    before: Look
    after: Look


def read_request(
    settings: Settings, endpoint: str, wanted: Wanted, *, log: RequestLog | None = None
) -> Input:
    """Return the rows of one logged request as an input.

    Raises:
        NotFound: There is no such endpoint or no such request.
        InvalidInput: Columns of it were kept out of the log.
    """
    ledger = Ledger(settings, endpoint)
    opened = open_log(settings, ledger.store) if log is None else log
    found = opened.read(endpoint, wanted)
    if not found.rows:
        raise refuse_nothing(opened, endpoint, wanted)
    newest = found.rows[-1].request
    rows = [row for row in found.rows if row.request == newest]
    excluded = ledger.record(rows[0].revision).state.log.exclude
    if excluded:
        raise InvalidInput(
            f"request {wanted.request_id!r} is not whole: {', '.join(map(repr, excluded))} was kept out of the log "
            "(deploy.log.exclude); give its rows in a file"
        )
    body = json.dumps({"rows": [json.loads(row.inputs) for row in rows]}).encode()
    return Input(source=f"request {wanted.request_id}", kind="json", data=body)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one version said when it was asked.

    Args:
        answers: One a row; empty when it could not be loaded.
        skipped: Why it could not be loaded, `""` when it could.
        loaded: Whether a load was tried.
    """

    answers: list[Answer] = field(default_factory=list)
    skipped: str = ""
    loaded: bool = True


class Searcher:
    """Asks champions for the same rows, each version at most once, and holds their answers against the first ones."""

    def __init__(
        self,
        champions: Sequence[Champion],
        ask: Callable[[Champion], Said],
        *,
        tell: Callable[[Look], None] = lambda _: None,
    ) -> None:
        """Take the champions from good to bad, in the order in which they came.

        Args:
            champions: At least one.
            ask: Asks one of them.
            tell: Called with each look as soon as there is one.
        """
        self.champions = champions
        self.looks: list[Look] = []
        self.loads = 0
        self._ask = ask
        self._tell = tell
        self._known: dict[str, Said] = {}
        self._reference: list[Answer] | None = None

    def look(self, position: int) -> Look:
        """Ask one version, unless it has been asked before."""
        champion = self.champions[position]
        said = self._known.get(champion.version.run)
        if said is None:
            said = self._known[champion.version.run] = self._ask(champion)
            self.loads += said.loaded
        if self._reference is None and not said.skipped:
            self._reference = said.answers
        verdict = "skipped" if said.skipped else "good" if self._is_good(said.answers) else "changed"
        found = Look(
            champion=champion, answers=said.answers, skipped=said.skipped, loads=self.loads, verdict=verdict
        )
        self.looks.append(found)
        self._tell(found)
        return found

    def _is_good(self, answers: Sequence[Answer]) -> bool:
        return self._reference is not None and same_answers(answers, self._reference)


def open_searcher(
    settings: Settings,
    endpoint: str,
    given: Input,
    *,
    good: int | None = None,
    bad: int | None = None,
    seconds: float = DEFAULT_SECONDS,
    tell: Callable[[Look], None] = lambda _: None,
) -> Searcher:
    """Return what asks the champions of an endpoint from `good` to `bad`; the oldest and the newest by default.

    Args:
        settings: Where the endpoint is.
        endpoint: Its name.
        given: The rows.
        good: Ledger record whose champion answers right.
        bad: Ledger record whose champion does not.
        seconds: How long each version may take.
        tell: Called with each look as soon as there is one.

    Raises:
        NotFound: There is no such endpoint or record.
        InvalidInput: Good is not before bad.
    """
    ledger = Ledger(settings, endpoint)
    champions = ledger.champions()
    if not champions:
        raise NotFound(f"nothing has been live for endpoint {endpoint!r} yet")
    first = 0 if good is None else _position(ledger, champions, good)
    last = len(champions) - 1 if bad is None else _position(ledger, champions, bad)
    if first > last or (first == last and len(champions) > 1):
        raise InvalidInput(
            f"record {champions[first].record.number} (good) and record {champions[last].record.number} (bad) leave "
            "nothing between them: good must be the earlier champion of two"
        )

    def ask(champion: Champion) -> Said:
        _, [answered] = ask_each(settings, ledger, [champion.version], given, seconds=seconds)
        failure = answered.failure
        if answered.loaded:
            return Said(answers=answered.answers)
        if isinstance(failure, InvalidInput) and not isinstance(failure, NotFound):
            return Said(
                answers=[Answer(problem=f"refused: {failure}")], loaded=False
            )  # that is an answer, too
        # Only a model's own failure says that it was tried; what is gone or not trusted is not touched.
        return Said(skipped=str(failure), loaded=isinstance(failure, ModelFailed))

    return Searcher(champions[first : last + 1], ask, tell=tell)


def _position(ledger: Ledger, champions: Sequence[Champion], number: int) -> int:
    ledger.champion(number)  # says what is wrong with it
    return max(position for position, champion in enumerate(champions) if champion.record.number <= number)


def bisect(searcher: Searcher) -> Bisected:
    """Find a version whose answer is not the good version's while that of the one before it is.

    Raises:
        NotFound: No version can be loaded.
        InvalidInput: The good version has no answer to the rows.
    """
    last = len(searcher.champions) - 1
    low, good = _find_good(searcher)
    high, changed = _find_bad(searcher, low)
    candidates = max(high, last) - low
    skipped: dict[int, Look] = {}
    while changed is not None:
        untold = [one for one in range(low + 1, high) if one not in skipped]
        if not untold:
            break
        middle = untold[(len(untold) - 1) // 2]
        found = searcher.look(middle)
        match found.verdict:
            case "skipped":
                skipped[middle] = found
            case "good":
                low, good = middle, found
            case _:
                high, changed = middle, found
    return Bisected(
        looks=searcher.looks,
        good=good,
        changed=changed,
        between=[skipped[one] for one in sorted(skipped) if low < one < high],
        candidates=candidates,
        loads=searcher.loads,
    )


def _find_good(searcher: Searcher) -> tuple[int, Look]:
    """Return the oldest version that can be loaded: what the others are held against."""
    for position, _ in enumerate(searcher.champions):
        found = searcher.look(position)
        if found.verdict == "skipped":
            continue
        problem = next((answer.problem for answer in found.answers if answer.problem), "")
        if problem:
            raise InvalidInput(
                f"record {found.champion.record.number}, the good version, has no answer to compare with: {problem}; "
                "name another one with --good"
            )
        return position, found
    raise NotFound(
        f"none of {len(searcher.champions)} versions can be loaded; the first: {searcher.looks[0].skipped}"
    )


def _find_bad(searcher: Searcher, low: int) -> tuple[int, Look | None]:
    """Return the newest version that can be loaded, `None` for its look when it answers as the good one."""
    for position in range(len(searcher.champions) - 1, low, -1):
        found = searcher.look(position)
        if found.verdict != "skipped":
            return position, found if found.verdict == "changed" else None
    return low, None


def find_changes(searcher: Searcher) -> list[Change]:
    """Ask every version, and return each change from one to the next that can be loaded."""
    changes: list[Change] = []
    before: Look | None = None
    for position in range(len(searcher.champions)):
        found = searcher.look(position)
        if found.verdict == "skipped":
            continue
        if before is not None and not same_answers(before.answers, found.answers):
            changes.append(Change(before=before, after=found))
        before = found
    return changes


def same_answers(one: Sequence[Answer], other: Sequence[Answer]) -> bool:
    """Return whether two versions said the same to all rows; the same refusal is the same."""
    return len(one) == len(other) and all(
        first.problem == second.problem and same_answer(first.value, second.value)
        for first, second in zip(one, other, strict=True)
    )


def describe_answers(answers: Sequence[Answer], *, most: int = 3) -> str:
    """Return answers in a line."""
    told = [answer.problem or show_value(answer.value) for answer in answers[:most]]
    return ", ".join(told) + (f", … ({len(answers)} rows)" if len(answers) > most else "")


def show_value(value: Any) -> str:  # Any: a JSON value
    """Return one answer as text: numbers with as many digits as tell them apart, columns by name."""
    if isinstance(value, dict):
        return " ".join(f"{name}={show_value(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.8g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
