"""Versions that wait: for a person, or for a comparison with a champion that came while they were qualified."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rasen.errors import InvalidInput
from rasen.tracking.keys import request_key
from rasen.tracking.records import Request
from stand.decided import Desk
from stand.manifests import BAD, run_of

APPROVAL = {"kind": "approval", "by": ["ada", "grace"]}
CHAMPION = {"kind": "champion", "metric": "rmse", "margin": "5%"}
TARGET = [float(hour % 24) for hour in range(400)]


def rows(error: float, champion: float | None = None) -> dict[str, Sequence[float]]:
    """Return held-out rows on which the candidate, and the champion, are wrong by so much, each way by turns."""
    columns: dict[str, Sequence[float]] = {"target": TARGET}
    for name, wrong in (("prediction", error), ("champion", champion)):
        if wrong is not None:
            columns[name] = [
                value + wrong * (1 if place % 2 else -1) * (1 + place % 7 / 10)
                for place, value in enumerate(TARGET)
            ]
    return columns


@pytest.fixture
def approved(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, gates=[{"kind": "threshold", "metric": "rmse", "max": 4}, APPROVAL])
    yield desk
    assert not (tmp_path / "unpickled").exists()


def test_a_version_waits_for_the_person_that_its_gate_names(approved: Desk) -> None:
    first = approved.publish(1)
    record = approved.records()[0]
    assert (record.action, approved.live()) == ("hold", [])
    assert record.reason.startswith("1 of 2 gates passed: waits for approval by ada or grace")
    held = record.state.held
    assert held is not None
    assert (held.run, held.gates, held.number) == (first, ["approval"], 1)
    with pytest.raises(
        InvalidInput, match="'bob' may not approve for endpoint 'demand'; its gate names ada, grace"
    ):
        approved.give("approve", by="bob")
    with pytest.raises(InvalidInput, match=f"{run_of(7)} does not wait for an approval; {first} does"):
        approved.give("approve", run=run_of(7))
    (approval,) = approved.give("approve", by="grace", reason="looked at the residuals")
    assert (approval.action, approval.actor, approval.state.held) == ("approve", "grace", None)
    assert "looked at the residuals; record 1 (hold) said: 1 of 2 gates passed" in approval.reason
    assert ([each.answer for each in approval.verdicts], approval.metrics["rmse"]) == (["pass", "hold"], 3.1)
    assert approved.live() == [first]


def test_a_newer_version_takes_the_place_of_the_one_that_waits_and_a_refused_one_does_not(
    approved: Desk,
) -> None:
    approved.publish(1)
    second = approved.publish(2)
    approved.publish(3, metrics=BAD)
    held = approved.records()[-1].state.held
    assert held is not None
    assert (held.run, [each.action for each in approved.records()]) == (second, ["hold", "hold", "refuse"])
    approved.give("approve")
    assert (approved.live(), approved.records()[-1].state.newest_run) == ([second], run_of(3))


def test_an_approval_is_void_when_another_version_waits_by_now(approved: Desk) -> None:
    approved.publish(1)
    seen = approved.text("approve")
    approved.publish(2)
    with pytest.raises(InvalidInput, match=r"record 2 \(hold by function.* has changed it since"):
        approved.decider.obey(seen)


def test_an_override_lets_in_what_waits_too_whoever_gives_it(approved: Desk) -> None:
    first = approved.publish(1)
    (record,) = approved.give("override", by="bob", run=first, reason="ada is on holiday")
    assert (record.action, approved.live(), record.state.held) == ("override", [first], None)


# The champion has changed.


@pytest.fixture
def compared(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, gates=[CHAMPION])
    desk.publish(1, evaluation=rows(1.0))
    yield desk
    assert not (tmp_path / "unpickled").exists()


def request_of(desk: Desk) -> tuple[str, Request]:
    (name,) = desk.store.children("requests/demand/")
    key = request_key("demand", name.removesuffix(".json"))
    return name.removesuffix(".json"), Request.from_bytes(desk.store.read(key), source=key)


def test_a_version_is_compared_with_the_champion_that_is_live(compared: Desk) -> None:
    better = compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    worse = compared.publish(3, champion=better, evaluation=rows(1.2, 0.8))
    assert compared.story() == [
        ("deploy", run_of(1), [run_of(1)]),
        ("deploy", better, [better]),
        ("refuse", worse, [better]),
    ]
    assert [record.verdicts[0].outcome for record in compared.records()] == ["first", "better", "worse"]
    assert compared.store.children("requests/") == []


def test_one_that_was_compared_with_another_is_held_and_qualified_anew(compared: Desk) -> None:
    late = compared.publisher.publish(3, champion=run_of(1), evaluation=rows(0.7, 1.0))
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    record = compared.records()[-1]
    assert (record.action, record.run, record.verdicts[0].outcome) == ("hold", late, "champion changed")
    assert f"it was compared with {run_of(1)}, but {run_of(2)} is live now" in record.reason
    name, request = request_of(compared)
    assert (request.kind, request.run, request.by) == ("qualify", late, "decider")
    assert record.state.held is not None
    assert record.state.held.requested == name
    with pytest.raises(InvalidInput, match="does not wait for a person but to be compared"):
        compared.give("approve")
    again = compared.publish(4, champion=run_of(2), evaluation=rows(0.7, 0.8), request=name, qualifies=late)
    assert (compared.live(), compared.records()[-1].state.held) == ([again], None)


def test_it_is_asked_once_for_each_version_and_champion(compared: Desk) -> None:
    late = compared.publisher.publish(3, champion=run_of(1), evaluation=rows(0.7, 1.0))
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    name, _ = request_of(compared)
    # The run that answers could not be compared with it either: nobody asks for the same again.
    compared.publish(4, champion=run_of(1), evaluation=rows(0.7), request=name, qualifies=late)
    record = compared.records()[-1]
    assert record.action == "hold"
    assert "qualifying it anew did not compare them; `rasen override` lets it in" in record.reason
    assert record.state.held is not None
    assert record.state.held.requested == ""
    assert len(compared.store.children("requests/demand/")) == 1


def test_a_refusal_by_another_gate_needs_no_comparison(tmp_path: Path) -> None:
    desk = Desk(tmp_path, gates=[CHAMPION, {"kind": "threshold", "metric": "rmse", "max": 4}])
    desk.publish(1, evaluation=rows(1.0))
    desk.publish(2, metrics=BAD, evaluation=rows(0.8))
    assert [record.action for record in desk.records()] == ["deploy", "refuse"]
    assert desk.store.children("requests/") == []


def test_while_the_endpoint_is_held_the_comparison_goes_on_and_then_it_enters(compared: Desk) -> None:
    compared.give("hold", reason="wait")
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    compared.publish(3, champion=run_of(1), evaluation=rows(1.5, 1.0))
    assert [record.action for record in compared.records()[1:]] == ["hold", "hold", "refuse"]
    compared.give("unhold")
    assert compared.live() == [run_of(2)]


def test_after_a_rollback_what_was_compared_with_the_version_of_then_is_compared_anew(compared: Desk) -> None:
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    compared.publisher.publish(3, champion=run_of(2), evaluation=rows(0.7, 0.8))
    compared.give("rollback")
    compared.decider.decide("demand")
    assert compared.records()[-1].verdicts[0].outcome == "champion changed"
    assert compared.live() == [run_of(1)]


def test_a_champion_that_is_gone_leaves_it_open_and_says_why(compared: Desk) -> None:
    compared.store.delete(compared.publisher.manifest_key(1))
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8, 1.0))
    record = compared.records()[-1]
    assert (record.action, record.verdicts[0].outcome) == ("hold", "inconclusive")
    assert "the manifest is gone" in record.reason


def test_a_champion_that_could_say_nothing_leaves_it_open(compared: Desk) -> None:
    compared.publish(2, champion=run_of(1), evaluation=rows(0.8))
    record = compared.records()[-1]
    assert (record.action, record.verdicts[0].outcome) == ("hold", "inconclusive")
    assert compared.store.children("requests/") == [], "it was compared, as far as that goes"
    compared.give("approve")
    assert compared.live() == [run_of(2)]


def test_a_challenger_is_compared_with_the_champion_of_the_endpoint_that_invites_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, gates=[CHAMPION], challengers=["rival"], rollout={"kind": "ab"})
    desk.publish(1, evaluation=rows(1.0))
    desk.publisher.register(
        "rival", endpoint="rival", gates=[{"kind": "threshold", "metric": "rmse", "max": 4}]
    )
    version = desk.publisher.publish(2, "rival", evaluation=rows(0.8))
    desk.decider.decide("rival")
    held = desk.records()[-1].state.held
    assert held is not None
    assert (held.run, held.pipeline) == (version, "rival")
    (name,) = desk.store.children("requests/rival/")
    request = Request.from_bytes(desk.store.read(f"requests/rival/{name}"), source=name)
    assert (request.run, request.endpoint) == (version, "demand")
    again = desk.publisher.publish(
        3,
        "rival",
        champion=run_of(1),
        evaluation=rows(0.8, 1.0),
        request=name.removesuffix(".json"),
        qualifies=version,
        judged_at="demand",
    )
    desk.decider.decide("rival")
    assert desk.live() == [run_of(1), again]
    assert desk.records()[-1].state.held is None
    at_home = desk.records("rival")
    assert [record.run for record in at_home] == [version], "at home it is no candidate"
