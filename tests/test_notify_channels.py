"""What receivers are given: Slack, a generic webhook, mail and the log; whatever a notebook may have said."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.notify.answers import Postponed, Refused, Taken
from rasen.notify.configuration import EmailReceiver
from rasen.notify.http_post import post_json
from rasen.notify.log_file import LogFile
from rasen.notify.mail import Mail, build_mail
from rasen.notify.message import Content, Fault, Message
from rasen.notify.rendering import plain_text
from rasen.notify.slack import slack_payload
from rasen.notify.webhook import Webhook
from rasen.tracking.ledger_records import GateVerdict
from stand.receivers import http_receiver, mail_server, silent_port

AT = datetime(2026, 1, 1, 4, 10, tzinfo=UTC)
PAYLOADS = (
    "<!channel> <@U123> <https://evil.example|click>",
    "``` out of the fence <!here>",
    "<script>alert(1)</script>",
    "{{7*7}} ${jndi:ldap://x} %s {0}",
    "Subject: x\r\nBcc: everybody@example.com\r\n\r\n.",
    "\r\n.\r\nMAIL FROM:<x>",
    "&lt;!channel&gt; &amp;",
    "\u202eevil\u0000\x1b[2J",
)


def message(text: str = "no rows", **changes: Any) -> Message:
    content = Content(
        kind="failure",
        title=f"demand: step train failed {text}",
        pipeline="demand",
        owner=text,
        run="20260101T041000000Z-0123456789ab",
        step="train",
        fault=Fault(name="ValueError", message=text, cell=3, source=f"check({text})"),
        verdicts=[
            GateVerdict(gate="rmse", answer="fail", numbers={"rmse": 4.2, "limit": float("inf")}, reason=text)
        ],
        facts={"release": text},
        commands=["rasen show 20260101T041000000Z-0123456789ab"],
        links=["https://rasen.example.com/console#demand"],
    )
    fields: dict[str, Any] = {
        "id": "0123456789ab-opened-1",
        "event": "opened",
        "incident": "0123456789ab",
        "environment": "prod",
        "content": content.cleaned(lambda one: one),
        "opened_at": AT,
        "at": AT,
    }
    return Message(**fields | changes)


def texts(value: Any) -> list[str]:
    """Return all texts of a Slack message that Slack formats."""
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") == "mrkdwn" else []
        return own + [text for one in value.values() for text in texts(one)]
    return [text for one in value for text in texts(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_a_notebook_says_calls_anybody_or_leaves_its_fence(payload: str) -> None:
    sent = slack_payload(message(payload))
    for text in [sent["text"], *texts(sent["blocks"])]:
        # What Slack reads as a call or a link stands in angle brackets; ours is the only one.
        assert text.replace("<https://rasen.example.com/console#demand>", "").count("<") == 0
        assert text.count("```") in (0, 2)
        if "```" in text:
            assert text.endswith("```")
    assert "\x1b" not in json.dumps(sent, ensure_ascii=False)


@given(st.text(max_size=1600))
def test_any_text_makes_a_message_that_slack_takes(text: str) -> None:
    sent = slack_payload(message(text))
    assert len(sent["blocks"]) <= 50
    assert len(sent["blocks"][0]["text"]["text"]) <= 150
    assert all(0 < len(one) <= 3000 for one in texts(sent["blocks"]))
    json.dumps(sent).encode()


@given(st.text(max_size=2000))
def test_any_text_makes_a_mail_with_one_line_a_header(text: str) -> None:
    mail = build_mail(message(text), "rasen@example.com", ("a@example.com",))
    assert mail["To"] == "a@example.com"
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert plain_text(message(text)).splitlines() == mail.get_content().splitlines()


def test_what_slack_is_sent_says_everything() -> None:
    said = json.dumps(slack_payload(message(count=3, dropped=7)), ensure_ascii=False)
    for part in (
        "ALERT [prod] demand: step train failed",
        "cell 3",
        "ValueError: no rows",
        "check(no rows)",
        "rmse: fail - no rows; rmse 4.2, limit inf",
        "rasen show",
        "3 times",
        "7 older messages were dropped",
    ):
        assert part in said


def test_that_it_is_over_is_said_in_few_words() -> None:
    over = message(event="recovered", ended="run 7 succeeded")
    for said in (json.dumps(slack_payload(over), ensure_ascii=False), plain_text(over)):
        assert "OVER [prod] demand" in said
        assert "run 7 succeeded" in said
        assert "ValueError" not in said
        assert "rasen show" not in said


def test_a_webhook_is_given_the_record_signed_over_its_bytes() -> None:
    with http_receiver() as receiver:
        channel = Webhook(lambda: receiver.url, lambda: "k3y-of-the-hook", timeout_seconds=5.0)
        assert channel.deliver(message(), ()) == Taken(said="200 ok")
    [posted] = receiver.posted
    digest = hmac.new(b"k3y-of-the-hook", posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["X-Rasen-Signature-256"] == f"sha256={digest}"
    assert posted.headers["Idempotency-Key"] == "0123456789ab-opened-1"
    assert posted.headers["X-Rasen-Event"] == "opened"
    assert posted.headers["Content-Type"] == "application/json"
    assert Message.from_bytes(posted.body) == message()
    assert posted.json["content"]["verdicts"][0]["numbers"] == {"rmse": 4.2, "limit": "Infinity"}


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        answer = post_json("http://hooks.invalid/x", b"{}", headers={}, timeout_seconds=5.0)
    assert isinstance(answer, Taken)
    assert proxy.posted[0].path == "http://hooks.invalid/x"


def mail_to(port: int, **changes: Any) -> Mail:
    fields: dict[str, Any] = {
        "kind": "email",
        "server": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "rasen@example.com",
        "timeout": "2s",
    }
    return Mail(EmailReceiver(**fields | changes), None)


def test_mail_arrives_whatever_it_quotes_and_answers_make_one_thread() -> None:
    everybody = ("mia@example.com", "ops@example.com")
    with mail_server() as server:
        mail = mail_to(server.port)
        answers = [mail.deliver(message(one), everybody) for one in PAYLOADS]
        over = message(event="recovered", id="0123456789ab-recovered-2", ended="run 7 succeeded")
        answers.append(mail.deliver(over, everybody))
    assert answers == [Taken(said="taken for 2 of 2 mailboxes")] * (len(PAYLOADS) + 1)
    assert {tuple(recipients) for recipients, _ in server.mails} == {everybody}
    first, last = server.mails[0][1], server.mails[-1][1]
    assert first["Message-ID"] == "<0123456789ab-opened-1@alerts.rasen.invalid>"
    assert last["In-Reply-To"] == first["Message-ID"]
    assert first.get_content_type() == "text/plain"
    assert first["Auto-Submitted"] == "auto-generated"
    assert str(last["Subject"]).startswith("OVER [prod] demand")


def test_one_mailbox_that_is_taken_is_enough_and_none_is_not() -> None:
    with mail_server() as server:
        server.refusals = {"gone@example.com": "550 no such mailbox", "busy@example.com": "450 later"}
        mail = mail_to(server.port)
        answers = [
            mail.deliver(message(), recipients)
            for recipients in (
                ("mia@example.com", "gone@example.com"),
                ("gone@example.com",),
                ("gone@example.com", "busy@example.com"),
            )
        ]
    assert answers == [
        Taken(said="taken for 1 of 2 mailboxes, but not for gone@example.com"),
        Refused(problem="answered 550 no mailbox was taken"),
        Postponed(problem="answered 450 no mailbox was taken"),
    ]


def test_a_mail_server_that_is_silent_or_speaks_in_the_open_only_is_said_to_be() -> None:
    with silent_port() as port:
        answer = mail_to(port, timeout="100ms").deliver(message(), ("mia@example.com",))
    assert isinstance(answer, Postponed)
    assert "timed out" in answer.problem
    with mail_server() as server:
        answer = mail_to(server.port, security="starttls").deliver(message(), ("mia@example.com",))
        assert isinstance(answer, Postponed)
        assert "STARTTLS" in answer.problem
        assert server.mails == []  # never in the open by mistake


def test_the_log_is_a_json_line_a_message_and_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "alerts.log"
    log = LogFile(path, most_bytes=3000)
    for number in range(6):
        assert isinstance(log.deliver(message(PAYLOADS[number]), ()), Taken)
    kept = path.with_name("alerts.log.1").read_text().splitlines() + path.read_text().splitlines()
    assert 0 < len(path.read_text()) < 6000
    assert all(Message.from_bytes(line.encode()).event == "opened" for line in kept)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = LogFile(tmp_path / "file" / "alerts.log").deliver(message(), ())
    assert isinstance(answer, Postponed)
