"""Slack: an incoming webhook is given text and blocks.

Everything that a notebook may have said is escaped (`&`, `<`, `>`), so `<!channel>` in an error is six letters and not
a call to everybody, and errors stand in code fences that they cannot close. Links are not unfolded.
https://api.slack.com/reference/surfaces/formatting#escaping
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rasen.errors import RasenError
from rasen.notify.answers import Answer, Postponed
from rasen.notify.http_post import post_json
from rasen.notify.message import Message
from rasen.notify.rendering import command_lines, facts, fault_lines, footer, headline, verdict_lines

# What Slack takes in one block; beyond it refuses the message.
_HEADER_CHARACTERS = 150
_SECTION_CHARACTERS = 2900
# Letters that look like those that format; `_` stays, because names have it and Slack wants a space before it.
_ALIKE = {ord("*"): "\u2217", ord("~"): "\u223c", ord("`"): "\u02cb"}
_SIGNS = {"opened": ":red_circle:", "reminder": ":large_orange_circle:", "recovered": ":large_green_circle:"}


class Slack:
    """One incoming webhook.

    Args:
        address: Returns the webhook's address; raises a `RasenError` when it cannot be had now.
        timeout_seconds: How long it may take to answer.
    """

    def __init__(self, address: Callable[[], str], *, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds

    def deliver(self, message: Message, recipients: tuple[str, ...]) -> Answer:
        """Send a message and return what Slack answered."""
        try:
            address = self._address()
        except RasenError as error:
            return Postponed(problem=str(error))
        body = json.dumps(slack_payload(message), ensure_ascii=False).encode()
        return post_json(address, body, headers={}, timeout_seconds=self._timeout_seconds)


def slack_payload(message: Message) -> dict[str, Any]:  # Any: JSON
    """Return what Slack is posted: blocks, and a text for notifications and for clients without blocks."""
    content = message.content
    where, error, source = fault_lines(message)
    blocks = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": _cut(headline(message), _HEADER_CHARACTERS),
                "emoji": False,
            },
        },
        _section(
            f"{_SIGNS.get(message.event, ':white_circle:')} *{_line(content.kind)}*\n"
            + "\n".join(f"*{_line(name)}:* {_line(value)}" for name, value in facts(message))
        ),
    ]
    if error:
        blocks.append(_section(f"{_line(where)}\n{_fence(error)}"))
    if source:
        blocks.append(_section(_fence(source)))
    blocks += [
        _section(_fence("\n".join(lines)))
        for lines in (verdict_lines(message), command_lines(message))
        if lines
    ]
    if content.links:
        blocks.append(_section("\n".join(f"<{_escape(link).replace('|', '%7C')}>" for link in content.links)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _line(footer(message))}]})
    return {"text": _line(headline(message)), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _section(text: str) -> dict[str, Any]:  # Any: JSON
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_SECTION_CHARACTERS]}}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    """Return a text as it is: escaped, and without what would format it."""
    return _escape(text).translate(_ALIKE)


def _fence(text: str) -> str:
    escaped = _escape(text.replace("`", "\u02cb"))
    return f"```{escaped[: _SECTION_CHARACTERS - 200]}```"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
