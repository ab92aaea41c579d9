"""Runs that fail are told once, reminded of, and said to be over; with what a person needs to know, and no more."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasen.tracking.keys import end_key
from rasen.tracking.records import Verdict
from stand.manifests import run_of
from stand.notified import Watched, watched

DAY = 86_400.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path / "home") as found:
        found.register()
        yield found


def test_a_failure_is_told_with_all_that_a_person_needs(scene: Watched) -> None:
    good = scene.succeed(1)
    run = scene.fail(2)
    scene.look()
    [told] = scene.told()
    message, content = told.message, told.message.content
    assert (message.event, content.kind, content.title) == ("opened", "failure", "demand: step train failed")
    assert (content.pipeline, content.owner, content.run, content.step) == ("demand", "us", run, "train")
    assert content.fault is not None
    assert (content.fault.name, content.fault.message) == ("ValueError", "no rows for JFK")
    assert (content.fault.cell, content.fault.source) == (1, "rows = load()\ncheck(rows)")
    assert good in content.facts["last good run"]
    assert "the notebooks are the same" in content.facts["last good run"]
    assert content.commands == [f"rasen show {run}", f"rasen logs {run} train"]


def test_a_run_of_other_notebooks_than_the_last_good_one_says_so(scene: Watched) -> None:
    scene.succeed(1)
    scene.register(release="2-ba9876543210")
    scene.fail(2, release="2-ba9876543210")
    scene.look()
    [told] = scene.told()
    assert "the release was 1-0123456789ab" in told.message.content.facts["last good run"]


def test_nights_that_fail_alike_are_one_incident_with_a_reminder_a_day_and_a_word_when_it_is_over(
    scene: Watched,
) -> None:
    for night in range(1, 6):
        scene.fail(night)
        scene.look()
        scene.clock.later(DAY / 2)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "reminder", "reminder"]
    last = scene.told()[-1].message
    assert (last.count, last.content.run) == (5, run_of(5))

    run = scene.succeed(6)
    scene.look()
    assert scene.events()[-1] == ("recovered", "demand: step train failed")
    assert run in scene.told()[-1].message.ended
    assert scene.open() == []
    assert len({one.message.id for one in scene.told()}) == 4  # no two messages are called alike
    assert len({one.message.incident for one in scene.told()}) == 1


def test_without_a_new_failure_nobody_is_reminded(scene: Watched) -> None:
    scene.fail(1)
    scene.look()
    scene.clock.later(10 * DAY)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened"]


def test_steps_are_incidents_of_their_own_and_a_success_ends_both(scene: Watched) -> None:
    scene.fail(1, step="features")
    scene.fail(2)
    scene.look()
    assert {one.content.step for one in scene.open()} == {"features", "train"}
    scene.succeed(3)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "opened", "recovered", "recovered"]


def test_a_success_of_another_pipeline_ends_nothing(scene: Watched) -> None:
    scene.fail(1)
    scene.register("demand_b")
    scene.succeed(2, "demand_b")
    scene.look()
    assert len(scene.open()) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_in_whatever_order_runs_end_an_older_success_never_hides_a_newer_failure(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    def act(scene: Watched, number: int) -> None:
        (scene.succeed, scene.fail, scene.succeed)[number](number + 1)

    for last, expected in ((2, []), (1, [run_of(2)])):  # with the newest success, and without it
        with watched(tmp_path / str(last)) as scene:
            scene.register()
            for number in order:
                if number <= last:
                    act(scene, number)
                scene.look()
            assert [one.content.run for one in scene.open()] == expected


def test_a_failure_that_a_newer_success_has_overtaken_is_told_as_over(scene: Watched) -> None:
    scene.succeed(2)
    scene.look()
    scene.fail(1)
    scene.look()
    [told] = scene.told()
    assert run_of(2) in told.message.content.facts["over"]
    assert scene.open() == []


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.SUCCEEDED])
def test_every_verdict_is_told_but_those_that_somebody_wanted(scene: Watched, verdict: Verdict) -> None:
    scene.fail(1, verdict=verdict)
    scene.look()
    told = [one.message.content.facts["verdict"] for one in scene.told()]
    wanted = verdict in (Verdict.CANCELLED, Verdict.SKIPPED)
    assert told == ([] if wanted else [verdict.value])


def test_what_was_there_before_the_notifier_is_history_and_what_came_while_it_was_away_is_not(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with watched(home, begin=False) as scene:
        scene.register()
        scene.fail(1)
        scene.look()
        assert scene.told() == []
    with watched(home, begin=False) as scene:
        scene.settings.trust_file.write_bytes(scene.publisher.trust().to_bytes())
        scene.fail(2)
        scene.fail(3, "other")
        scene.look()
        assert sorted(one.message.content.run for one in scene.told()) == [run_of(2), run_of(3)]


def test_development_runs_are_told_only_when_the_operator_wants_it(tmp_path: Path) -> None:
    for more, told in (("", 0), ("development: true\n", 1)):
        with watched(tmp_path / f"home{told}", alerts=more) as scene:
            scene.register()
            scene.fail(1, origin="workspace")
            scene.look()
            assert len(scene.told()) == told
            scene.fail(2)
            scene.succeed(3, origin="workspace")
            scene.look()
            assert [one.key for one in scene.open()] == ["failure/demand/train"]


def test_a_damaged_record_is_passed_by_and_the_next_one_told(scene: Watched) -> None:
    scene.store.write(end_key("demand", run_of(1)), b"{")
    scene.store.write(end_key("demand", "20260101T000000000Z"), b"no run")
    other = end_key("demand", run_of(2))
    scene.fail(3)
    scene.store.write(other, scene.store.read(end_key("demand", run_of(3))))  # speaks of another run
    scene.look()
    assert [one.message.content.run for one in scene.told()] == [run_of(3)]


def test_what_a_run_left_may_be_gone_or_anything(scene: Watched) -> None:
    for number, saved in enumerate((b"no json", b'{"cells": 3}', b'{"cells": [{}, {}]}', b"[]"), 1):
        run = scene.fail(number, f"p{number}")
        scene.store.write(f"runs/p{number}/{run}/train/1/output.ipynb", saved)
    run = scene.fail(9, "gone")
    scene.store.delete(f"runs/gone/{run}/train/1/result.json")
    scene.store.delete(f"starts/gone/{run}.json")
    scene.look()
    assert len(scene.told()) == 5
    gone = next(one.message.content for one in scene.told() if one.message.content.pipeline == "gone")
    assert gone.fault is not None
    assert gone.fault.message == "ValueError: no rows for JFK"
    assert gone.owner == ""


def test_a_store_that_is_down_delays_and_loses_nothing(scene: Watched) -> None:
    scene.fail(1)
    folder = scene.settings.store_dir / "starts" / "demand"
    moved = folder.with_name("away")
    folder.rename(moved)
    folder.write_text("a file where a folder was")  # whatever is read below it is not there
    scene.look()
    folder.unlink()
    moved.rename(folder)
    scene.look()
    assert len(scene.told()) == 1


def test_secrets_and_control_characters_reach_no_message(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 10
    with watched(tmp_path / "home") as scene:
        scene.register()
        scene.fail(
            1,
            error=f"refused: \x1b[31m{token}\x1b[0m\x00\u202e",
            cell=f"connect('{token}')\nAuthorization: Bearer abcdef123456",
        )
        scene.look()
        [told] = scene.told()
        text = told.message.model_dump_json()
        assert token not in text
        assert "abcdef123456" not in text
        assert "[secret GitHub token]" in text
        assert told.message.content.fault is not None
        assert told.message.content.fault.message == "refused: [secret GitHub token]"
    whole = b"".join(path.read_bytes() for path in (tmp_path / "home").glob("alerts.sqlite*"))
    assert b"demand" in whole
    assert token.encode() not in whole


def test_secrets_of_the_environment_reach_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_OF_DB", "correct horse 99")
    with watched(tmp_path / "home", secrets=("PASSWORD_OF_DB",)) as scene:
        scene.fail(1, error="cannot log in with 'correct horse 99'")
        scene.look()
        [told] = scene.told()
        assert "correct horse" not in told.message.model_dump_json()
        assert "[secret PASSWORD_OF_DB]" in told.message.model_dump_json()


def test_a_long_error_is_cut(scene: Watched) -> None:
    scene.fail(1, error="x" * 100_000, cell="\n".join(f"line {number}" for number in range(1000)))
    scene.look()
    [told] = scene.told()
    assert len(told.message.model_dump_json()) < 6000


def test_an_incident_that_somebody_sees_to_is_not_repeated_but_its_end_is_told(scene: Watched) -> None:
    scene.fail(1)
    scene.look()
    [incident] = scene.open()
    assert scene.incidents.acknowledge("zz", by="mia") is None
    assert scene.incidents.acknowledge(incident.id[:4], by="mia") is not None
    scene.clock.later(2 * DAY)
    scene.fail(2)
    scene.look()
    assert len(scene.told()) == 1
    scene.succeed(3)
    scene.look()
    assert [event for event, _ in scene.events()] == ["opened", "recovered"]


def test_a_muted_pipeline_is_told_when_the_time_is_over_and_something_is_still_wrong(scene: Watched) -> None:
    for pipeline in ("demand", "other"):
        scene.incidents.mute(pipeline, until=scene.clock() + 100, by="mia")
    scene.register("other")
    scene.fail(1)
    scene.fail(2, "other")
    scene.fail(3, "loud")
    scene.look()
    assert [one.message.content.pipeline for one in scene.told()] == ["loud"]
    scene.succeed(4, "other")
    scene.look()
    scene.clock.later(101)
    scene.look()
    assert [one.message.content.pipeline for one in scene.told()] == ["loud", "demand"]
