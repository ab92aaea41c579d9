"""What people may do to an endpoint: hold it, let versions in, bring earlier ones back; and what they may not."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rasen.deploy.heads import Head
from rasen.deploy.next_state import record_of
from rasen.deploy.rollout import champion_of
from rasen.errors import InvalidInput, KeyRefused
from rasen.tracking.keys import deployment_key, manifest_key, tombstone_key
from stand.decided import Desk
from stand.manifests import BAD, run_of


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    assert not (tmp_path / "unpickled").exists()


# Rolling back.


def test_a_rollback_brings_the_champion_before_back_and_a_newer_run_goes_live_again(desk: Desk) -> None:
    desk.publish(1)
    desk.publish(2)
    (record,) = desk.give("rollback", reason="late answers")
    assert (record.action, record.run, record.actor) == ("rollback", run_of(1), "ada")
    assert record.reason == f"back to {run_of(1)} of record 1 instead of {run_of(2)}: late answers"
    assert (record.previous, record.state.since, record.state.acted) == (2, 3, 3)
    assert desk.decider.decide("demand") == []  # the run that was rolled back stays decided
    desk.publish(3)
    assert desk.story()[-1] == ("deploy", run_of(3), [run_of(3)])


def test_a_rollback_is_undone_by_one_to_the_record_before(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.publish(number)
    desk.give("rollback", to=1)
    assert desk.live() == [run_of(1)]
    desk.give("rollback", to=3)
    assert desk.live() == [run_of(3)]
    desk.give("rollback")
    assert desk.live() == [run_of(1)], "the champion before this one, whatever came between"


def test_a_rollback_ends_the_rollout_that_is_under_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path, rollout={"kind": "ab"})
    for number in (1, 2):
        desk.publish(number)
    desk.give("promote")
    desk.publish(3)
    assert desk.live() == [run_of(2), run_of(3)]
    desk.give("rollback", to=1)
    assert (desk.live(), desk.records()[-1].state.rollout) == ([run_of(1)], None)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (None, f"has had no other champion than {run_of(1)}: there is nothing to go back to"),
        (1, f"{run_of(1)}, which record 1 names, is live already"),
        (2, f"{run_of(1)}, which record 2 names, is live already"),
        (3, "has no record 3; its records are 1 to 2"),
        (0, "has no record 0; its records are 1 to 2"),
        (-1, "has no record -1; its records are 1 to 2"),
    ],
)
def test_there_must_be_something_to_go_back_to(desk: Desk, to: int | None, message: str) -> None:
    desk.publish(1)
    desk.publish(2, metrics=BAD)
    with pytest.raises(InvalidInput, match=message):
        desk.give("rollback", to=to)
    assert len(desk.records()) == 2


def test_a_rollback_to_what_is_gone_or_going_is_refused_and_nothing_changes(desk: Desk) -> None:
    desk.publish(1)
    desk.publish(2)
    model = next(
        stat.key for stat in desk.store.list(f"runs/demand/{run_of(1)}/") if "cloudpickle" in stat.key
    )
    kept = desk.store.read(model)
    desk.store.delete(model)
    with pytest.raises(
        InvalidInput, match=f"cannot go back to {run_of(1)}: .*, which the manifest names, is gone"
    ):
        desk.give("rollback")
    desk.store.write(model, kept[:-1] + b"\1")
    with pytest.raises(InvalidInput, match=f"cannot go back to {run_of(1)}"):
        desk.give("rollback")
    desk.store.write(model, kept)
    desk.store.write(tombstone_key("demand", run_of(1)), b"{}")
    with pytest.raises(InvalidInput, match="it is marked for removal"):
        desk.give("rollback")
    desk.store.delete(tombstone_key("demand", run_of(1)))
    desk.store.delete(manifest_key("demand", run_of(1)))
    with pytest.raises(InvalidInput, match="the manifest is gone"):
        desk.give("rollback")
    assert desk.story() == [("deploy", run_of(1), [run_of(1)]), ("deploy", run_of(2), [run_of(2)])]


# Holding an endpoint.


def test_while_an_endpoint_is_held_nothing_goes_live_by_itself_and_then_the_newest_does(desk: Desk) -> None:
    desk.publish(1)
    (held,) = desk.give("hold", reason="the sale is on")
    assert (held.action, held.run, held.reason) == (
        "hold",
        None,
        "no version goes live by itself: the sale is on",
    )
    desk.publish(2)
    desk.publish(3)
    desk.publish(4, metrics=BAD)
    waiting = desk.records()[-2]
    assert (waiting.action, waiting.run) == ("hold", run_of(3))
    assert waiting.reason.startswith(
        "ada holds this endpoint (record 2): the sale is on; 1 of 1 gates passed"
    )
    assert desk.live() == [run_of(1)]
    records = desk.give("unhold", by="bob", reason="over")
    assert [(each.action, each.run, each.actor) for each in records] == [
        ("unhold", None, "bob"),
        ("deploy", run_of(3), "function"),
    ]
    state = desk.records()[-1].state
    assert (desk.live(), state.held, state.newest_run) == ([run_of(3)], None, run_of(4))


def test_what_waited_goes_live_also_when_the_function_dies_before_it_could(desk: Desk) -> None:
    desk.publish(1)
    desk.give("hold", reason="wait")
    desk.publish(2)
    desk.give("unhold")
    desk.store.delete(deployment_key("demand", 5))  # as if it had died after the record of `unhold`
    desk.store.delete("endpoints/heads.json")
    assert [record.action for record in desk.another_decider().reconcile()] == ["deploy"]
    assert desk.live() == [run_of(2)]


def test_a_version_that_waited_and_is_gone_is_refused_when_the_endpoint_is_free(desk: Desk) -> None:
    desk.publish(1)
    desk.give("hold", reason="wait")
    desk.publish(2)
    desk.store.delete(manifest_key("demand", run_of(2)))
    assert [(each.action, each.run) for each in desk.give("unhold")] == [
        ("unhold", None),
        ("refuse", run_of(2)),
    ]
    assert desk.decider.reconcile() == []
    assert (desk.live(), desk.records()[-1].state.held) == ([run_of(1)], None)


def test_holding_twice_and_lifting_nothing_are_told(desk: Desk) -> None:
    desk.publish(1)
    with pytest.raises(InvalidInput, match="is not held, so there is nothing to lift"):
        desk.give("unhold")
    desk.give("hold", reason="wait")
    with pytest.raises(InvalidInput, match=r"is held already, by ada \(record 2\): wait"):
        desk.give("hold", by="bob", reason="me too")
    with pytest.raises(InvalidInput, match="without a reason"):
        desk.give("hold", reason="  ")


def test_a_held_endpoint_may_be_rolled_back_but_lets_nothing_in(desk: Desk) -> None:
    desk.publish(1)
    desk.publish(2)
    refused = desk.publish(3, metrics=BAD)
    desk.give("hold", reason="wait")
    with pytest.raises(InvalidInput, match="`rasen unhold demand` first"):
        desk.give("override", run=refused, reason="I know better")
    desk.give("rollback")
    assert desk.live() == [run_of(1)]
    assert desk.records()[-1].state.frozen is not None


# Letting in.


def test_an_override_lets_in_what_was_refused_and_says_who_and_why(desk: Desk) -> None:
    desk.publish(1)
    refused = desk.publish(2, metrics=BAD)
    desk.publish(3, metrics=BAD)
    (record,) = desk.give("override", run=refused, reason="the profile was fitted on a holiday")
    assert (record.action, record.run, record.actor) == ("override", refused, "ada")
    assert record.reason == (
        "the profile was fitted on a holiday; record 2 (refuse) said: 0 of 1 gates passed: "
        "rmse 4.2 is 5 % worse than profile_rmse 4"
    )
    assert ([each.answer for each in record.verdicts], record.metrics["rmse"]) == (["fail"], 4.2)
    assert (desk.live(), record.state.newest_run) == ([refused], run_of(3))


def test_an_override_enters_by_the_declared_rollout(tmp_path: Path) -> None:
    desk = Desk(tmp_path, rollout={"kind": "ab", "share": 0.1})
    desk.publish(1)
    refused = desk.publish(2, metrics=BAD)
    (record,) = desk.give("override", run=refused, reason="try")
    assert [(each.run, each.weight) for each in record.state.variants] == [(run_of(1), 0.9), (refused, 0.1)]


def test_nobody_lets_in_what_was_never_qualified_or_is_not_ours(desk: Desk) -> None:
    desk.publish(1)
    unqualified = desk.publish(2, without=["_qualify"])
    desk.store.write(desk.publisher.manifest_key(3), b"forged")
    desk.decider.decide("demand")
    with pytest.raises(InvalidInput, match=f"cannot override {unqualified}: the model was never run"):
        desk.give("override", run=unqualified, reason="now")
    with pytest.raises(InvalidInput, match=f"cannot override {run_of(3)}: .*is not signed"):
        desk.give("override", run=run_of(3), reason="now")
    with pytest.raises(InvalidInput, match="nothing was decided about"):
        desk.give("override", run=run_of(9), reason="now")
    with pytest.raises(InvalidInput, match="without a reason"):
        desk.give("override", run=unqualified)
    with pytest.raises(InvalidInput, match="must name the version"):
        desk.give("override", reason="now")
    with pytest.raises(InvalidInput, match="is live at endpoint 'demand' already"):
        desk.give("override", run=run_of(1), reason="now")
    assert desk.live() == [run_of(1)]


def test_there_must_be_something_to_approve(desk: Desk) -> None:
    desk.publish(1)
    with pytest.raises(InvalidInput, match="no version of endpoint 'demand' waits for an approval"):
        desk.give("approve")


# Void and forbidden.


def test_a_command_is_void_when_what_it_is_about_has_changed_since(desk: Desk) -> None:
    desk.publish(1)
    desk.publish(2)
    late = desk.text("rollback")
    desk.publish(3, metrics=BAD)
    assert desk.decider.obey(late)[0].action == "rollback", "a refusal changes nothing that it is about"
    with pytest.raises(InvalidInput, match=r"record 4 .* has changed it since; look again"):
        desk.decider.obey(late)
    early = desk.text("rollback", to=2)
    desk.publish(4)
    with pytest.raises(InvalidInput, match=r"record 5 .* has changed it since; look again"):
        desk.decider.obey(early)


def test_a_command_about_nothing_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(InvalidInput, match="nothing was decided about endpoint 'demand' yet"):
        desk.give("rollback")
    desk.publish(1)
    with pytest.raises(InvalidInput, match="must say who gives it"):
        desk.give("hold", by=" ", reason="x")
    with pytest.raises(InvalidInput, match="at most 2000 characters"):
        desk.give("hold", reason="x" * 3000)


def test_a_ledger_never_goes_back_in_time_whatever_the_clocks_of_those_who_decide(desk: Desk) -> None:
    desk.publish(1)
    first = desk.records()[0]
    ahead = first.decided_at + timedelta(minutes=10)  # of a machine whose clock is wrong
    head = Head(number=1, state=first.state, decided_at=ahead)
    record = record_of("demand", head, first.state, action="refuse", run=None, reason="")
    assert ahead < record.decided_at < ahead + timedelta(seconds=1)


def test_who_may_publish_may_not_command(desk: Desk) -> None:
    desk.publish(1)
    desk.publisher.operator = desk.publisher.control
    with pytest.raises(KeyRefused, match="'operator' must sign it"):
        desk.give("hold", reason="wait")


step = st.one_of(
    st.tuples(st.just("publish"), st.booleans()),
    st.tuples(st.just("rollback"), st.none() | st.integers(1, 12)),
    st.tuples(st.just("hold"), st.none()),
    st.tuples(st.just("unhold"), st.none()),
    st.tuples(st.just("override"), st.integers(1, 8)),
    st.tuples(st.just("restart"), st.none()),
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=14))
def test_whatever_people_do_the_ledger_has_no_gap_and_somebody_answers(
    tmp_path: Path, steps: list[tuple[str, object]]
) -> None:
    desk = Desk(tmp_path)
    number = 1
    desk.publish(number)
    for name, value in steps:
        match name:
            case "publish":
                number += 1
                desk.publish(number, metrics={"rmse": 3.0, "profile_rmse": 4.0 if value else 2.0})
            case "restart":
                desk.decider = desk.another_decider()
            case _:
                about: dict[str, object] = {}
                if name == "rollback":
                    about = {"to": value}
                elif name == "override":
                    about = {"run": run_of(int(str(value)))}
                with suppress(InvalidInput):
                    desk.give(name, reason="because", **about)
        records = desk.records()
        assert [record.number for record in records] == list(range(1, len(records) + 1))
        instants = [record.decided_at for record in records]
        assert instants == sorted(instants)
        champion = champion_of(records[-1].state)
        assert champion is not None
        assert champion.weight == 1.0
        begun = records[records[-1].state.since - 1]
        assert [each.run for each in begun.state.variants] == [champion.run]
        assert begun.number == 1 or begun.state.variants != records[begun.number - 2].state.variants
        assert desk.decider.decide("demand") == []
