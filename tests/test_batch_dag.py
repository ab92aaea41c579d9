"""Which step may run when: held for every graph, not for an example."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.batch.dag import Capacity, Node, Schedule

WIDE = Capacity(jobs=100, cpu=100, memory_bytes=10**12)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Node]:
    size = draw(st.integers(1, 12))
    nodes: dict[str, Node] = {}
    for index in range(size):
        needs = draw(st.sets(st.sampled_from(sorted(nodes)), max_size=3)) if nodes else set()
        nodes[f"s{index}"] = Node(
            needs=tuple(sorted(needs)),
            cpu=draw(st.sampled_from([0.5, 1, 2, 4])),
            memory_bytes=draw(st.integers(0, 8)),
        )
    return nodes


@given(graphs(), st.integers(1, 4), st.sampled_from([1, 2, 4]), st.integers(1, 8), st.data())
def test_every_step_runs_once_or_is_skipped_and_never_before_its_needs(
    nodes: dict[str, Node], jobs: int, cpu: float, memory_bytes: int, data: st.DataObject
) -> None:
    capacity = Capacity(jobs=jobs, cpu=cpu, memory_bytes=memory_bytes)
    failing = data.draw(st.sets(st.sampled_from(sorted(nodes))))
    schedule = Schedule(nodes, capacity)
    running: list[str] = []
    succeeded: set[str] = set()
    ended: list[str] = []
    skipped: list[str] = []
    while not schedule.done:
        while (step := schedule.begin_next()) is not None:
            assert set(nodes[step].needs) <= succeeded
            running.append(step)
            assert len(running) <= jobs
            if len(running) > 1:  # one alone may be larger than the machine
                assert sum(nodes[name].cpu for name in running) <= cpu
                assert sum(nodes[name].memory_bytes for name in running) <= memory_bytes
        assert running, "something runs, or all is done"
        step = running.pop(data.draw(st.integers(0, len(running) - 1)))
        ended.append(step)
        skipped += schedule.end(step, succeeded=step not in failing)
        if step not in failing:
            succeeded.add(step)
    assert sorted(ended + skipped) == sorted(nodes), "each exactly once"
    for name in skipped:
        assert any(need in failing or need in skipped for need in nodes[name].needs), "only behind a failure"


def test_as_many_run_at_once_as_there_are_places() -> None:
    schedule = Schedule({name: Node() for name in "abc"}, Capacity(jobs=2, cpu=8, memory_bytes=0))
    assert [schedule.begin_next() for _ in range(3)] == ["a", "b", None]
    assert schedule.end("a", succeeded=True) == []
    assert schedule.begin_next() == "c"


def test_the_longest_chain_begins_first() -> None:
    nodes = {"leaf": Node(), "head": Node(), "middle": Node(needs=("head",)), "end": Node(needs=("middle",))}
    assert Schedule(nodes, WIDE).begin_next() == "head"


def test_a_heavy_step_waits_and_lets_light_ones_pass() -> None:
    nodes = {"first": Node(cpu=2), "heavy": Node(cpu=4), "light": Node(cpu=2)}
    schedule = Schedule(nodes, Capacity(jobs=9, cpu=4, memory_bytes=0))
    assert [schedule.begin_next() for _ in range(3)] == ["first", "light", None]
    schedule.end("first", succeeded=True)
    assert schedule.begin_next() is None
    schedule.end("light", succeeded=True)
    assert schedule.begin_next() == "heavy"


def test_a_step_larger_than_the_machine_runs_alone() -> None:
    schedule = Schedule(
        {"huge": Node(memory_bytes=10), "small": Node()}, Capacity(jobs=9, cpu=9, memory_bytes=4)
    )
    assert [schedule.begin_next() for _ in range(2)] == ["huge", None]
    schedule.end("huge", succeeded=True)
    assert schedule.begin_next() == "small"


def test_a_failure_stops_only_what_needs_it() -> None:
    nodes = {
        "a": Node(),
        "b": Node(),
        "after_a": Node(needs=("a",)),
        "after_both": Node(needs=("after_a", "b")),
        "after_b": Node(needs=("b",)),
    }
    schedule = Schedule(nodes, WIDE)
    assert {schedule.begin_next(), schedule.begin_next()} == {"a", "b"}
    assert schedule.end("a", succeeded=False) == ["after_a", "after_both"]
    assert schedule.end("b", succeeded=True) == []
    assert schedule.begin_next() == "after_b"


def test_a_stopped_schedule_begins_nothing_and_is_done_when_the_last_has_ended() -> None:
    schedule = Schedule({"a": Node(), "b": Node(needs=("a",)), "c": Node(needs=("b",))}, WIDE)
    assert schedule.begin_next() == "a"
    assert schedule.stop() == ["b", "c"]
    assert schedule.begin_next() is None
    assert not schedule.done
    assert schedule.end("a", succeeded=True) == []
    assert schedule.done


@pytest.mark.parametrize("shape", ["chain", "wide", "random"])
def test_a_thousand_steps_come_to_an_end(shape: str) -> None:
    chooser = random.Random(1)
    nodes: dict[str, Node] = {}
    for index in range(1000):
        match shape:
            case "chain":
                needs = [f"s{index - 1}"] if index else []
            case "wide":
                needs = ["s0"] if index else []
            case _:
                needs = [f"s{chooser.randrange(index)}" for _ in range(min(index, 5))]
        nodes[f"s{index}"] = Node(needs=tuple(needs))
    schedule = Schedule(nodes, Capacity(jobs=7, cpu=7, memory_bytes=0))
    ended = 0
    running: list[str] = []
    while not schedule.done:
        while (step := schedule.begin_next()) is not None:
            running.append(step)
        schedule.end(running.pop(0), succeeded=True)
        ended += 1
    assert ended == 1000
