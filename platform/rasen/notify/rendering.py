"""A message in words: the lines that mail and Slack share, before each escapes them in its own way."""

from __future__ import annotations

import math
from datetime import datetime

from rasen.notify.message import Message
from rasen.tracking.ledger_records import GateVerdict

_SIGNS = {"opened": "ALERT", "reminder": "STILL", "recovered": "OVER", "test": "TEST"}
_MOST_NUMBERS = 6


def headline(message: Message) -> str:
    """Return the message in one line: `ALERT [prod] flight_demand: step train failed`."""
    return f"{_SIGNS[message.event]} [{message.environment}] {message.content.title}"


def facts(message: Message) -> list[tuple[str, str]]:
    """Return what is known, each as name and value, in the order in which it is shown."""
    content = message.content
    found = [
        ("owner", content.owner),
        ("pipeline", content.pipeline),
        ("endpoint", content.endpoint),
        ("run", content.run),
        ("step", content.step),
        *(() if message.event == "recovered" else content.facts.items()),
        ("since", show_instant(message.opened_at) if message.event != "opened" else ""),
        ("at", show_instant(message.at)),
        ("happened", f"{message.count} times" if message.count > 1 else ""),
        ("over because", message.ended),
    ]
    return [(name, value) for name, value in found if value]


def fault_lines(message: Message) -> tuple[str, str, str]:
    """Return where a step failed, its error, and the cell's first lines; each may be empty."""
    fault = message.content.fault
    if fault is None or message.event == "recovered":
        return "", "", ""
    where = "" if fault.cell is None else f"cell {fault.cell}"
    error = f"{fault.name}: {fault.message}" if fault.name else fault.message
    return where, error, fault.source


def verdict_lines(message: Message) -> list[str]:
    """Return what the gates answered; nothing when it is over, and was said before."""
    return [] if message.event == "recovered" else [_verdict_line(one) for one in message.content.verdicts]


def command_lines(message: Message) -> list[str]:
    """Return what to type next; nothing when it is over."""
    return [] if message.event == "recovered" else message.content.commands


def _verdict_line(verdict: GateVerdict) -> str:
    """Return what one gate answered, with its numbers."""
    numbers = ", ".join(
        f"{name} {show_number(value)}" for name, value in list(verdict.numbers.items())[:_MOST_NUMBERS]
    )
    outcome = f" ({verdict.outcome})" if verdict.outcome else ""
    said = "; ".join(part for part in (verdict.reason, numbers) if part)
    return f"{verdict.gate}: {verdict.answer}{outcome}{f' - {said}' if said else ''}"


def footer(message: Message) -> str:
    """Return the last line: what to call the incident by, and what was lost before."""
    lost = f"; {message.dropped} older messages were dropped while this receiver was away"
    return f"incident {message.incident}, message {message.id}{lost if message.dropped else ''}"


def plain_text(message: Message) -> str:
    """Return the whole message as plain text."""
    content = message.content
    where, error, source = fault_lines(message)
    parts = [headline(message), "\n".join(f"{name + ':':<14}{value}" for name, value in facts(message))]
    if error:
        parts.append(f"{where + ': ' if where else ''}{error}")
    if source:
        parts.append("\n".join(f"    {line}" for line in source.splitlines()))
    parts.append("\n".join(f"  {line}" for line in verdict_lines(message)))
    parts.append("\n".join(f"  {command}" for command in command_lines(message)))
    if content.links:
        parts.append("\n".join(content.links))
    parts.append(footer(message))
    return "\n\n".join(part for part in parts if part) + "\n"


def show_instant(at: datetime) -> str:
    """Return an instant to the second; in UTC, because its readers sit in different places."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def show_number(value: float) -> str:
    """Return a number as people read it."""
    return f"{value:.5g}" if math.isfinite(value) else str(value)
