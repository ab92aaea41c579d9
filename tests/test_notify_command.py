"""`rasen alerts`: as people type it, against the files that the notifier writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.errors import InvalidInput, NotFound
from stand.notified import watched
from stand.receivers import http_receiver, mail_server


def rasen(*arguments: str) -> str:
    """Run a command in this process and return what it prints; raise what it raises."""
    done = CliRunner().invoke(build_app(), arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code in (0, 70), done.output
    return done.output


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("http_proxy", raising=False)
    return tmp_path / "home"


def test_where_nothing_happened_the_commands_say_so_and_make_nothing(home: Path) -> None:
    assert "there was nothing to tell" in rasen("alerts")
    assert "nothing waits" in rasen("alerts", "outbox")
    assert json.loads(rasen("alerts", "--json")) == {"incidents": [], "muted": {}}
    assert not home.exists()


def test_incidents_are_listed_open_ones_first_and_what_waits_for_whom(home: Path) -> None:
    with watched(home) as scene:
        scene.register()
        scene.fail(1)
        scene.fail(2, "other")
        scene.look()
        scene.succeed(3)
        scene.look()
        listed = json.loads(rasen("alerts", "--json"))["incidents"]
        assert [(one["content"]["pipeline"], one["open"], one["receivers"]) for one in listed] == [
            ("other", True, ["team"]),
            ("demand", False, ["team"]),
        ]
        assert "other: step train failed" in rasen("alerts")
        waiting = json.loads(rasen("alerts", "outbox", "--json"))
        assert [one["message"]["event"] for one in waiting["waiting"]] == ["opened", "opened", "recovered"]
        assert "team" in rasen("alerts", "outbox")

        incident = next(one["id"] for one in listed if one["open"])
        assert "mia sees to it" in rasen("alerts", "ack", incident[:6], "--by", "mia")
        assert "open, mia sees to it" in rasen("alerts")
        with pytest.raises(NotFound, match="no open incident"):
            rasen("alerts", "ack", "zzz")


def test_a_pipeline_is_muted_for_a_while_and_unmuted(home: Path) -> None:
    assert "nothing is sent about demand until" in rasen("alerts", "mute", "demand", "--for", "30m")
    assert "muted: demand until" in rasen("alerts")
    assert list(json.loads(rasen("alerts", "--json"))["muted"]) == ["demand"]
    assert "sent again" in rasen("alerts", "unmute", "demand")
    assert "muted" not in rasen("alerts")
    with pytest.raises(NotFound, match="not muted"):
        rasen("alerts", "unmute", "demand")
    with pytest.raises(InvalidInput, match="'half an hour' is not a duration"):
        rasen("alerts", "mute", "demand", "--for", "half an hour")
    with pytest.raises(InvalidInput, match="pipeline name 'Demand'"):
        rasen("alerts", "mute", "Demand")
    assert home.exists()


def test_a_test_message_goes_the_real_way_and_each_receiver_has_its_say(home: Path) -> None:
    home.mkdir()
    with http_receiver() as slack, http_receiver() as hook, mail_server() as mail:
        (home / "alerts.yaml").write_text(
            "receivers:\n"
            f"  team: {{kind: slack, url: '{slack.url}/hook', channel: '#mobility-ml'}}\n"
            f"  ops: {{kind: webhook, url: '{hook.url}'}}\n"
            f"  mail: {{kind: email, server: 127.0.0.1, port: {mail.port}, security: none, sender: rasen@example.com,\n"
            "         to: [ops@example.com]}\n"
            "routes:\n"
            "  - {owner: us, to: [team, mail]}\n"
            "default: ops\n"
        )
        told = json.loads(rasen("alerts", "test", "--owner", "us", "--json"))
        assert [(one["receiver"], one["taken"], one["said"]) for one in told["tried"]] == [
            ("team", True, "200 ok"),
            ("mail", True, "taken for 1 of 1 mailboxes"),
        ]
        assert slack.posted[0].json["text"].startswith("TEST [dev] a test message")
        assert str(mail.mails[0][1]["Subject"]).startswith("TEST [dev] a test message")

        hook.answers = [(500, {})]
        assert "answered 500 no" in rasen("alerts", "test")  # no route fits, so the default one
        assert "taken" in rasen("alerts", "test", "--channel", "team")
        with pytest.raises(NotFound, match="did you mean 'team'"):
            rasen("alerts", "test", "--channel", "teem")


def test_a_test_for_a_pipeline_uses_what_its_newest_release_says(home: Path) -> None:
    with http_receiver() as slack:
        alerts = f"receivers: {{team: {{kind: slack, url: '{slack.url}', channel: '#mobility-ml'}}}}\n"
        with watched(home, alerts=alerts) as scene:
            scene.publisher.register()
            scene.register(
                alerts={"slack": "#mobility-ml", "email": ["mia@example.com"]}, release="2-ba9876543210"
            )
            key = "releases/demand/current.json"
            scene.store.write(key, scene.store.read(key).replace(b"1-0123456789ab", b"2-ba9876543210"))
            said = rasen("alerts", "test", "--pipeline", "demand")
        assert "team" in said
        assert "not told: alerts.yaml has no receiver of kind email whose domains hold 'example.com'" in said
        assert "us" in json.dumps(slack.posted[0].json)


def test_a_broken_file_is_an_error_of_the_test(home: Path) -> None:
    home.mkdir()
    (home / "alerts.yaml").write_text("default: nobody\n")
    with pytest.raises(InvalidInput, match=r"alerts\.yaml, line 1: default: there is no receiver 'nobody'"):
        rasen("alerts", "test")
