"""What ledgers, replicas and dead letters say is told to those whom it concerns, and its end too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rasen.deploy.dead_letters import DeadLetter
from rasen.tracking.keys import dead_letter_key, deployment_key
from rasen.tracking.ledger_records import Freeze, GateVerdict, Held, RolloutState
from rasen.tracking.replica_report import EndpointReport, VariantReport
from stand.manifests import run_of
from stand.notified import Watched, watched

FAILED = GateVerdict(
    gate="champion rmse",
    answer="fail",
    outcome="worse",
    numbers={"difference": 0.31, "low": 0.2, "high": 0.4, "rows": 1200, "p": float("nan")},
    reason="0.31 worse than the champion",
)
PASSED = GateVerdict(gate="baseline rmse", answer="pass", numbers={"rmse": 3.1})


@pytest.fixture
def unseen(tmp_path: Path) -> Iterator[Watched]:
    """A store that the notifier has not looked at yet."""
    with watched(tmp_path / "home", begin=False) as found:
        found.register()
        found.succeed(1)
        yield found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path / "home", public_url="https://rasen.example.com/") as found:
        found.register()
        for number in (1, 2, 3):
            found.succeed(number)
        found.look()
        yield found


def held(number: int, **changes: Any) -> Held:
    fields = {
        "run": run_of(2),
        "pipeline": "demand",
        "manifest_sha256": "",
        "number": number,
        "gates": ["approval"],
    }
    return Held(**{**fields, **changes})


def rollout(*, waits: bool = False) -> RolloutState:
    return RolloutState(kind="canary", run=run_of(2), salt=1, step_number=1, steps=[0.1, 1.0], waits=waits)


def test_a_refusal_is_told_with_the_verdicts_and_ends_when_a_version_goes_live(scene: Watched) -> None:
    scene.decide("refuse", run=run_of(2), verdicts=[FAILED, PASSED], reason="a gate failed")
    scene.look()
    [told] = scene.told()
    content = told.message.content
    assert content.title == "demand: a version of demand was refused by champion rmse"
    assert (content.owner, content.run, content.endpoint) == ("us", run_of(2), "demand")
    assert [one.gate for one in content.verdicts] == ["champion rmse", "baseline rmse"]
    assert content.verdicts[0].numbers["difference"] == 0.31
    assert content.facts["decision"] == "1: refuse by function"
    assert content.facts["answers now"] == run_of(1)
    assert content.links == ["https://rasen.example.com/console#demand"]

    scene.decide("refuse", run=run_of(3), verdicts=[FAILED])
    scene.look()
    assert len(scene.told()) == 1
    scene.decide("deploy", run=run_of(3), champion=run_of(3))
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered"]
    assert "decision 3" in scene.told()[-1].message.ended


def test_the_refusal_of_a_challenger_is_not_ended_by_the_owner(scene: Watched) -> None:
    scene.register("challenger")
    scene.succeed(5, "challenger")
    scene.decide("refuse", run=run_of(5), challengers=["challenger"], verdicts=[FAILED])
    scene.decide("deploy", run=run_of(2), champion=run_of(2), challengers=["challenger"])
    scene.look()
    assert [one.content.pipeline for one in scene.open()] == ["challenger"]


def test_a_version_that_waits_for_a_person_is_told_until_somebody_has_decided(scene: Watched) -> None:
    scene.decide("hold", run=run_of(2), held=held(1))
    scene.look()
    assert scene.events() == [("opened", "demand: a version of demand waits for approval")]
    scene.clock.later(90_000)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "reminder"]  # it goes on by itself
    scene.decide("approve", run=run_of(2), champion=run_of(2), actor="mia")
    scene.look()
    assert scene.events()[-1][0] == "recovered"
    assert scene.open() == []


def test_a_comparison_that_is_made_anew_bothers_nobody(scene: Watched) -> None:
    scene.decide("hold", run=run_of(2), held=held(1, requested="qualify-0123456789ab"))
    scene.look()
    assert scene.told() == []


def test_an_endpoint_that_somebody_holds_is_one_incident_and_the_version_that_waits_another(
    scene: Watched,
) -> None:
    frozen = Freeze(by="mia", reason="Black Friday", number=1)
    scene.decide("hold", frozen=frozen, actor="mia")
    scene.decide("hold", run=run_of(2), frozen=frozen, held=held(2, gates=[]))
    scene.look()
    assert [title for _, title in scene.events()] == [
        "demand: mia holds it, no version goes live: Black Friday",
        "demand: a version of demand waits",
    ]
    scene.decide("unhold", held=held(2, gates=[]), actor="mia")
    scene.look()
    assert [one.key for one in scene.open()] == ["hold/demand"]


def test_the_end_of_a_rollout_that_waits_for_a_person_is_told(scene: Watched) -> None:
    scene.decide("hold", run=run_of(2), rollout=rollout(waits=True))
    scene.look()
    assert scene.events() == [
        ("opened", "demand: a rollout is at its end, and a person decides what comes now")
    ]
    scene.decide("promote", run=run_of(2), champion=run_of(2))
    scene.look()
    assert scene.open() == []


def test_rollback_and_abort_end_when_the_next_version_is_wholly_live(scene: Watched) -> None:
    scene.decide("abort", run=run_of(2), reason="errors 3 %, more than 1 %")
    scene.decide("rollback", run=run_of(1), actor="mia", reason="prices look wrong")
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "opened"]
    facts = scene.told()[1].message.content.facts
    assert (facts["decision"], facts["reason"]) == ("2: rollback by mia", "prices look wrong")
    scene.decide("deploy", run=run_of(3), rollout=rollout())
    scene.look()
    assert len(scene.open()) == 2
    scene.decide("promote", run=run_of(3), champion=run_of(3))
    scene.look()
    assert scene.open() == []


def test_an_override_is_told_once_and_has_no_end(scene: Watched) -> None:
    scene.decide("override", run=run_of(2), champion=run_of(2), actor="mia", reason="the gate is wrong")
    scene.look()
    assert scene.events() == [("opened", "demand: mia let in a version against its gates")]
    assert scene.open() == []


def test_success_is_told_to_those_only_who_ask_for_it(tmp_path: Path) -> None:
    receivers = "receivers: {a: {kind: webhook, url: 'http://127.0.0.1:9/'}}\n"
    for number, (routes, told) in enumerate(
        (("default: a\n", 0), ("routes: [{to: a}]\n", 0), ("routes: [{to: a, success: true}]\n", 1))
    ):
        with watched(tmp_path / str(number), alerts=receivers + routes) as scene:
            scene.decide("deploy", run=run_of(1), champion=run_of(1))
            scene.look()
            assert len(scene.told()) == told
            assert len(scene.incidents.list_incidents()) == told


def test_a_record_that_is_not_believed_is_told_and_the_next_one_heard(scene: Watched) -> None:
    scene.store.write(deployment_key("demand", 1), b"nobody signed this")
    scene.look()
    [(event, title)] = scene.events()
    assert (event, "not believed" in title) == ("opened", True)
    scene.decide("refuse", run=run_of(2), verdicts=[FAILED])
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered", "opened"]


def test_decisions_from_before_the_notifier_are_history(tmp_path: Path) -> None:
    with watched(tmp_path / "home", begin=False) as scene:
        scene.decide("refuse", run=run_of(2), verdicts=[FAILED])
        scene.look()
        scene.decide("rollback", run=run_of(1))
        scene.look()
        assert [title for _, title in scene.events()] == [f"demand: rolled back to {run_of(1)}"]


def counted(**fallbacks: int) -> EndpointReport:
    variant = VariantReport(run=run_of(1), revision=1, requests=1000, fallbacks=fallbacks)
    return EndpointReport(revision=1, run=run_of(1), variants=[variant])


def test_a_fallback_is_told_when_it_begins_and_when_it_was_quiet_for_long(unseen: Watched) -> None:
    unseen.decide("deploy", run=run_of(1), champion=run_of(1))
    unseen.report(demand=counted(error=7))
    unseen.look()
    assert unseen.told() == []  # what a replica counted before is history
    unseen.report(demand=counted(error=9, stale=1))
    unseen.look()
    [told] = unseen.told()
    assert told.message.content.title == f"demand: the profile answers instead of version {run_of(1)}"
    assert told.message.content.facts["answers by reason"] == "error 2, stale 1"
    assert (told.message.content.pipeline, told.message.content.owner) == ("demand", "us")
    for _ in range(3):
        unseen.clock.later(10)
        unseen.report(demand=counted(error=9, stale=1))
        unseen.look()
    assert len(unseen.told()) == 1
    unseen.clock.later(601)
    unseen.report(demand=counted(error=9, stale=1))
    unseen.look()
    assert [event for event, _ in unseen.events()] == ["opened", "recovered"]


def test_a_fallback_that_comes_and_goes_is_told_ever_more_rarely(scene: Watched) -> None:
    scene.report(demand=counted())
    scene.look()
    for number in range(1, 101):  # an error every eleven minutes, for eighteen hours
        scene.report(demand=counted(error=number))
        scene.look()
        scene.clock.later(660)
        scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered", "opened"]


def test_a_quarantine_lasts_for_as_long_as_a_living_replica_has_it(unseen: Watched) -> None:
    reason = f"model {run_of(2)} is in quarantine: two workers came to an end"
    bad = EndpointReport(revision=1, run=run_of(1), refused={"2": reason}, quarantined={run_of(2): reason})
    good = EndpointReport(revision=3, run=run_of(3))
    unseen.report("old", demand=bad)  # the report of a replica that is gone
    unseen.report("one", demand=good)
    unseen.look()
    unseen.report("one", demand=good)
    unseen.look()
    assert unseen.told() == []
    for replica in ("one", "two"):
        unseen.report(replica, demand=bad)
        unseen.look()
    [(event, title)] = unseen.events()
    assert (event, title) == ("opened", f"demand: version {run_of(2)} is in quarantine")
    unseen.clock.later(50)
    unseen.report("one", demand=good)
    unseen.look()
    assert len(unseen.told()) == 1  # the other one still has it
    unseen.clock.later(50)
    unseen.report("one", demand=good)
    unseen.look()  # the other one has not been heard of for more than a minute
    assert [event for event, _ in unseen.events()] == ["opened", "recovered"]


def test_a_revision_that_is_not_served_is_told_and_a_notifier_that_starts_anew_does_not_say_it_is_over(
    tmp_path: Path,
) -> None:
    bad = EndpointReport(revision=1, run=run_of(1), refused={"2": "its model cannot be loaded"})
    with watched(tmp_path / "home") as scene:
        scene.report(demand=bad)
        scene.look()
        [(event, title)] = scene.events()
        assert (event, title) == ("opened", "demand: serving does not serve record 2")
        assert scene.told()[0].message.content.facts["record 2"] == "its model cannot be loaded"
    with watched(tmp_path / "home") as scene:
        scene.clock.later(30)
        scene.report(demand=bad)
        scene.look()
        scene.clock.later(45)
        scene.report(demand=bad)
        scene.look()
        assert [event for event, _ in scene.events()] == ["opened"]


def test_a_version_that_answers_on_although_its_key_was_revoked_is_told(scene: Watched) -> None:
    scene.decide("deploy", run=run_of(1), champion=run_of(1))
    scene.report(demand=EndpointReport(revision=1, run=run_of(1), distrusted="key abc is revoked"))
    scene.look()
    [told] = scene.told()
    assert (told.message.content.kind, told.message.content.owner) == ("trust", "us")
    assert told.message.content.facts["why"] == "key abc is revoked"
    scene.clock.later(61)
    scene.report(demand=EndpointReport(revision=1, run=run_of(1)))
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered"]


def test_serving_without_its_store_is_told(scene: Watched) -> None:
    scene.report()
    scene.look()
    scene.report(stale=True)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened"]
    scene.clock.later(61)
    scene.report()
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered"]


def test_dead_letters_are_one_incident_until_none_is_left(scene: Watched) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for name in ("a", "b"):
        letter = DeadLetter(
            id=name,
            kind="rejected",
            event_id=name,
            source="somewhere",
            type="t",
            subject="",
            data=None,
            reason="nobody knows <!channel>",
            first_at=at,
            last_at=at,
        )
        scene.store.write(dead_letter_key(name), letter.to_bytes())
        scene.look()
    scene.store.write(dead_letter_key("c"), b"{")
    scene.look()
    [told] = scene.told()
    assert told.message.content.kind == "dead_letter"
    assert told.message.content.facts["why"] == "nobody knows <!channel>"
    assert scene.open()[0].count == 3
    for name in ("a", "b", "c"):
        scene.store.delete(dead_letter_key(name))
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered"]
