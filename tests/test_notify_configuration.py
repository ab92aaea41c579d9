"""`alerts.yaml` and the key `alerts` of a pipeline: what is wrong is said with its line, and who is told follows."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from rasen.errors import InvalidInput, PipelineError
from rasen.notify.configuration import Configuration, parse_configuration, read_configuration
from rasen.notify.message import Content
from rasen.notify.outbox import Target
from rasen.notify.routing import route
from rasen.pipeline import parse_pipeline
from rasen.pipeline_alerts import AlertKind, Alerts
from stand.notified import watched
from stand.receivers import http_receiver

WHOLE = """
receivers:
  team: {kind: slack, url: secret://env/TEAM_HOOK, channel: "#mobility-ml"}
  ops: {kind: webhook, url: https://ops.example.com/hook, signing_secret: secret://file/ops, timeout: 500ms, queue: 10}
  mail: {kind: email, server: smtp.example.com, user: rasen, password: secret://env/SMTP, sender: rasen@example.com,
         to: [ops@example.com], domains: [example.com, Sub.Example.com]}
  file: {kind: log, file: /var/log/alerts.log}
routes:
  - {owner: mobility-*, to: team}
  - {pipeline: [flight_demand, flight_delay], kind: failure, to: [ops, mail]}
  - {endpoint: prices, success: true, to: mail}
default: [file]
remind: 12h
quiet: 5m
development: true
"""


IN_THE_OPEN = """
receivers:
  m: {kind: email, server: s, sender: a@b.c, user: u, password: secret://env/P, security: none}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[]",
            "alerts.yaml holds a list; it must hold keys: receivers, routes, default, remind, quiet, development",
        ),
        ("\nreciever: {}", "alerts.yaml, line 2: unknown key 'reciever': did you mean 'receivers'?"),
        (
            "receivers:\n  team:\n    kind: slack\n    url: https://x\n    chanel: x",
            "alerts.yaml, line 5: receivers.team: unknown key 'chanel': did you mean 'channel'?",
        ),
        (
            "receivers: {team: {kind: slack}}",
            "alerts.yaml, line 1: receivers.team: `url` is missing: the webhook's address, as secret://…",
        ),
        ("receivers: {team: {}}", "receivers.team: `kind` is missing: slack, webhook, email, log"),
        ("receivers: {team: {kind: slak}}", "unknown kind of receiver 'slak': did you mean 'slack'?"),
        (
            "receivers: {slack: {kind: log, queue: x}}",
            "receivers.slack.queue: must be a whole number, not 'x'",
        ),
        ("receivers: {log: {kind: log, timeout: 10}}", "receivers.log.timeout: must be a text, not 10"),
        ("receivers: {Team: {kind: log}}", "'Team' is not a usable name"),
        ("receivers: [1]", "receivers: must be a mapping, not [1]"),
        ("routes: {to: log}", "routes: must be a list"),
        ("routes:\n- {owner: a}", "alerts.yaml, line 2: routes[0]: `to` is missing: receivers"),
        ("routes:\n- to: log\n- to: teem", "alerts.yaml, line 3: routes[1].to: there is no receiver 'teem'"),
        ("routes: [{to: log, kind: failur}]", "'failur' is no kind of alert: did you mean 'failure'?"),
        ("default: x", "default: there is no receiver 'x': known: 'log'"),
        ("remind: 1 day", "'1 day' is not a duration"),
        ("development: yes", "development: must be true or false, not 'yes'"),
        ("a: b: c", "alerts.yaml, line 1: not YAML"),
        ("a: &x 1", "anchors and aliases"),
        (
            "receivers: {m: {kind: email, server: s, sender: a@b.c}}\ndefault: m",
            "line 2: default: receiver 'm' says no mailbox in `to`",
        ),
        (
            "receivers: {m: {kind: email, server: s, sender: a@b.c, user: u}}",
            "receivers.m: `user` and `password` go together",
        ),
        (
            IN_THE_OPEN,
            "a password is never sent in the open",
        ),
        ("receivers: {m: {kind: email, server: s, sender: 'a@b.c\\nBcc: x'}}", "is no e-mail address"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_configuration(text, source="alerts.yaml")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        "{kind: slack, url: hooks.example.com/s3cr3t-path}",
        "{kind: slack, url: 'file:///s3cr3t-path'}",
        "{kind: webhook, url: 'https://user:s3cr3t-path@example.com'}",
        "{kind: webhook, url: 'https://example.com/ s3cr3t-path'}",
        "{kind: webhook, url: ['https://example.com/s3cr3t-path']}",
        "{kind: webhook, url: https://example.com, signing_secret: s3cr3t-path}",
        "{kind: email, server: s, sender: a@b.c, user: u, password: s3cr3t-path}",
    ],
)
def test_no_complaint_repeats_what_may_be_a_secret(entry: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_configuration(f"receivers: {{team: {entry}}}", source="alerts.yaml")
    assert "receivers.team." in str(error.value)
    assert "s3cr3t-path" not in str(error.value)


def test_a_whole_file_is_read_and_survives_being_kept() -> None:
    configuration = parse_configuration(WHOLE, source="alerts.yaml")
    assert configuration.names == ["file", "log", "mail", "ops", "team"]
    assert (configuration.remind_seconds, configuration.quiet_seconds) == (43_200.0, 300.0)
    ops = configuration.receiver("ops")
    assert ops is not None
    assert ops.timeout_seconds == 0.5
    assert Configuration.model_validate_json(configuration.model_dump_json()) == configuration


def test_without_a_file_there_is_the_log(tmp_path: Path) -> None:
    configuration = read_configuration(tmp_path / "alerts.yaml")
    [target] = route(configuration, Content(kind="failure", title=""), None).targets
    assert target == Target(receiver="log")
    (tmp_path / "alerts.yaml").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="not text in UTF-8"):
        read_configuration(tmp_path / "alerts.yaml")


@pytest.mark.parametrize(
    ("content", "alerts", "told"),
    [
        ({"owner": "mobility-analytics"}, None, {"team": ()}),
        ({"owner": "others"}, None, {"file": ()}),
        ({"pipeline": "flight_delay"}, None, {"ops": (), "mail": ("ops@example.com",)}),
        ({"pipeline": "flight_delay", "kind": "hold"}, None, {"file": ()}),
        (
            {"pipeline": "flight_delay", "owner": "mobility-x"},
            None,
            {"team": (), "ops": (), "mail": ("ops@example.com",)},
        ),
        ({"endpoint": "prices", "kind": "success"}, None, {"mail": ("ops@example.com",)}),
        ({"endpoint": "other", "kind": "success"}, None, {}),
        ({}, {"slack": "#mobility-ml"}, {"team": ()}),
        ({}, {"slack": "#nobody"}, {"file": ()}),
        (
            {},
            {"email": ["a@example.com", "b@SUB.example.com"]},
            {"mail": ("a@example.com", "b@SUB.example.com")},
        ),
        ({}, {"email": ["a@elsewhere.com"]}, {"file": ()}),
        ({}, {"email": ["a@evil-example.com"]}, {"file": ()}),
        (
            {"endpoint": "prices"},
            {"email": ["a@example.com"]},
            {"mail": ("ops@example.com", "a@example.com")},
        ),
        ({"kind": "success"}, {"slack": "#mobility-ml"}, {}),
        ({"kind": "success"}, {"slack": "#mobility-ml", "on": ["success"]}, {"team": ()}),
        ({"kind": "failure"}, {"slack": "#mobility-ml", "on": ["success"]}, {"file": ()}),
        ({"kind": "test"}, {"slack": "#mobility-ml", "on": ["success"]}, {"team": ()}),
    ],
)
def test_who_is_told(
    content: dict[str, str], alerts: dict[str, object] | None, told: dict[str, tuple[str, ...]]
) -> None:
    configuration = parse_configuration(WHOLE, source="alerts.yaml")
    wishes = None if alerts is None else Alerts.model_validate(alerts)
    routed = route(configuration, Content(**{"kind": "failure", "title": "", **content}), wishes)
    assert {target.receiver: target.recipients for target in routed.targets} == told


def test_a_wish_that_cannot_be_fulfilled_is_said_in_the_message(tmp_path: Path) -> None:
    with watched(tmp_path / "home") as scene:
        scene.register(alerts={"slack": "#nobody"})
        scene.fail(1)
        scene.look()
        [told] = scene.told()
        assert "'#nobody'" in told.message.content.facts["not told 1"]


def pipeline(alerts: str) -> Alerts | None:
    return parse_pipeline(
        f"name: a\nowner: us\nsteps: {{t: {{notebook: t.ipynb}}}}\nalerts: {alerts}\n"
    ).alerts


def test_a_pipeline_says_whom_to_tell_of_what() -> None:
    alerts = pipeline('{slack: "#mobility-ml", email: [mia@example.com], on: [failure, success]}')
    assert alerts == Alerts(
        slack="#mobility-ml", email=("mia@example.com",), on=(AlertKind.FAILURE, AlertKind.SUCCESS)
    )
    usual = pipeline('{slack: "#mobility-ml"}')
    assert usual is not None
    assert set(AlertKind) - set(usual.on) == {AlertKind.SUCCESS, AlertKind.DEAD_LETTER}


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ("{slak: '#x'}", "unknown key 'slak': did you mean 'slack'?"),
        ("{slack: mobility}", 'write it quoted and with its sign: "#mobility-ml"'),
        ("{on: [failure]}", "nobody is named"),
        ("{}", "nobody is named"),
        ("{slack: '#x', on: [failur]}", "alerts.on[0]: 'failur' is nothing that a pipeline is told of"),
        ("{slack: '#x', on: []}", "alerts.on: is empty"),
        ("{slack: '#x', on: failure}", "alerts.on: must be a list"),
        ("'#x'", "alerts: must be a mapping"),
        ('{email: ["a@b.c\\nBcc: x@y.z"]}', "is no e-mail address"),
        ("{email: [https://hooks.example.com]}", "is no e-mail address"),
    ],
)
def test_what_is_wrong_with_a_pipelines_wishes_is_said(alerts: str, said: str) -> None:
    with pytest.raises(PipelineError) as error:
        pipeline(alerts)
    assert "pipeline.yaml, line 4" in str(error.value)
    assert said in str(error.value)


def test_a_file_that_breaks_leaves_the_configuration_from_before_in_force_even_over_a_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    with http_receiver() as receiver:
        good = f"receivers: {{team: {{kind: webhook, url: '{receiver.url}'}}}}\ndefault: team\n"
        with watched(home, alerts=good) as scene:
            scene.settings.alerts_file.write_text("receivers: {team: {kind: slak}}\n")
            with caplog.at_level(logging.ERROR):
                scene.fail(1)
                scene.look()
            assert "alerts.yaml, line 1: receivers.team: unknown kind of receiver 'slak'" in caplog.text
            assert receiver.wait_for(1)
        with watched(home, alerts="receivers: broken") as scene:
            scene.fail(2, "other")
            scene.look()
            assert receiver.wait_for(2)


def test_a_receiver_that_is_put_right_gets_what_waited_for_it(tmp_path: Path) -> None:
    with http_receiver() as receiver, watched(tmp_path / "home") as scene:
        scene.fail(1)
        scene.look()
        scene.settings.alerts_file.write_text(
            f"receivers: {{team: {{kind: webhook, url: '{receiver.url}'}}}}\ndefault: team\n"
        )
        scene.look()
        assert receiver.wait_for(1)[0].json["content"]["title"] == "demand: step train failed"


def test_the_address_may_be_a_secret_of_the_environment_and_stands_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with http_receiver() as receiver, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv("TEAM_HOOK", f"{receiver.url}/T0P-S3CR3T-PATH")
        alerts = "receivers: {team: {kind: slack, url: secret://env/TEAM_HOOK}}\ndefault: team\n"
        receiver.answers = [(500, {}), (400, {}), (400, {})]
        with watched(tmp_path / "home", alerts=alerts, secrets=("TEAM_HOOK",)) as scene:
            scene.fail(1, error=f"posted to {receiver.url}/T0P-S3CR3T-PATH")
            scene.look()
            assert receiver.wait_for(3)[0].path == "/T0P-S3CR3T-PATH"
            deadline = time.monotonic() + 30
            while not any(one.set_aside for one in scene.told()) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [one.set_aside for one in scene.told()] == [True]
    left = b"".join(path.read_bytes() for path in (tmp_path / "home").glob("alerts*"))
    assert b"T0P-S3CR3T-PATH" not in left + caplog.text.encode()


def test_a_secret_that_is_not_there_is_said_and_waited_for(tmp_path: Path) -> None:
    alerts = "receivers: {team: {kind: slack, url: secret://file/hook}}\ndefault: team\n"
    with http_receiver() as receiver, watched(tmp_path / "home", alerts=alerts) as scene:
        scene.fail(1)
        scene.look()
        deadline = time.monotonic() + 30
        while not scene.told()[0].problem and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "there is no such file" in scene.told()[0].problem
        scene.settings.secrets_dir.mkdir()
        hook = scene.settings.secrets_dir / "hook"
        hook.write_text(receiver.url)
        hook.chmod(0o600)
        assert receiver.wait_for(1)
