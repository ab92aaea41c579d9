"""Where an answer changed: in at most ⌈log₂ N⌉ loads between the two ends, honest about what cannot be loaded."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput, NotFound
from rasen.replay.asking import Answer
from rasen.replay.bisecting import Look, Said, Searcher, bisect, describe_answers, find_changes
from rasen.replay.versions import Champion, NamedVersion
from rasen.tracking.ledger_records import EndpointState, LedgerRecord


def searcher(
    answers: Sequence[float | str | Answer],
    runs: list[str] | None = None,
    tell: Callable[[Look], None] = lambda _: None,
) -> Searcher:
    """Return what asks versions with these answers; a text is why one cannot be loaded."""
    names = runs or [f"run-{number}" for number in range(len(answers))]
    champions = [
        Champion(
            record=LedgerRecord(
                endpoint="demand",
                number=number + 1,
                action="deploy",
                run=run,
                actor="function",
                reason="",
                state=EndpointState(),
                decided_at=datetime(2026, 1, 1, tzinfo=UTC),
            ),
            version=NamedVersion(run=run, pipeline="demand", number=number + 1),
        )
        for number, run in enumerate(names)
    ]
    said = dict(zip(names, answers, strict=True))

    def ask(champion: Champion) -> Said:
        answer = said[champion.version.run]
        if isinstance(answer, str):
            return Said(skipped=answer, loaded=False)
        return Said(answers=[answer if isinstance(answer, Answer) else Answer(value=answer)])

    return Searcher(champions, ask, tell=tell)


@given(count=st.integers(1, 200), data=st.data())
def test_one_change_is_found_in_a_logarithm_of_loads(count: int, data: st.DataObject) -> None:
    change = data.draw(st.integers(1, count))
    found = bisect(searcher([1.0] * change + [2.0] * (count - change)))
    if change == count:
        assert found.changed is None
        assert found.loads == min(count, 2)
        return
    assert found.changed is not None
    assert found.changed.champion.record.number == change + 1
    assert found.good.champion.record.number == change
    assert found.between == []
    assert found.candidates == count - 1
    assert found.loads <= 2 + ceil(log2(count - 1))


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, "gone"]), min_size=1, max_size=40))
def test_what_is_found_is_a_change_whatever_else_there_is(answers: list[float | str]) -> None:
    usable = [one for one in answers if not isinstance(one, str)]
    if not usable:
        with pytest.raises(NotFound, match="can be loaded; the first: gone"):
            bisect(searcher(answers))
        return
    found = bisect(searcher(answers))
    first, last = usable[0], usable[-1]
    assert (found.changed is None) == (first == last)
    if found.changed is None:
        return
    good, changed = found.good.champion.record.number, found.changed.champion.record.number
    assert answers[good - 1] == first
    assert answers[changed - 1] != first
    # Between the two is nothing but what cannot be loaded, and all of it is named.
    assert all(isinstance(one, str) for one in answers[good : changed - 1])
    assert [one.champion.record.number for one in found.between] == list(range(good + 1, changed))


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, "gone"]), min_size=1, max_size=40))
def test_all_changes_are_found_by_asking_all(answers: list[float | str]) -> None:
    usable = [(number, one) for number, one in enumerate(answers, 1) if not isinstance(one, str)]
    expected = [after[0] for before, after in pairwise(usable) if before[1] != after[1]]
    assert [change.after.champion.record.number for change in find_changes(searcher(answers))] == expected


def test_a_version_that_came_back_is_loaded_once() -> None:
    found = searcher([1.0, 2.0, 1.0, 2.0], ["a", "b", "a", "b"])
    assert len(find_changes(found)) == 3
    assert found.loads == 2


def test_the_last_bits_are_no_change() -> None:
    assert bisect(searcher([1.0, 1.0 + 1e-9])).changed is None


def test_a_good_version_without_an_answer_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"record 1, the good version.* hour is text; name another one with --good"
    ):
        bisect(searcher([Answer(problem="refused: hour is text"), 2.0]))


def test_a_refusal_is_an_answer_too() -> None:
    found = bisect(searcher([1.0, 1.0, Answer(problem="refused"), 1.0, Answer(problem="refused")]))
    assert found.changed is not None
    assert found.changed.answers[0].problem == "refused"


def test_each_look_is_told_as_soon_as_there_is_one() -> None:
    told: list[Look] = []
    found = bisect(searcher([1.0, "gone", 2.0], tell=told.append))
    assert [one.verdict for one in told] == ["good", "changed", "skipped"]
    assert told == found.looks


def test_answers_are_described_in_a_line() -> None:
    said = [
        Answer(value=1.23456789012),
        Answer(value={"low": True}),
        Answer(problem="late"),
        Answer(value="x"),
    ]
    assert describe_answers(said) == "1.2345679, low=true, late, … (4 rows)"
