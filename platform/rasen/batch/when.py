"""Instants as people type them, in commands and in addresses."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from rasen.errors import InvalidInput

WHEN = "2026-01-31, 2026-01-31T04:10, or a time back from now: 90s, 20m, 2h, 3d"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_when(option: str, text: str, *, now: datetime, end_of_day: bool = False) -> datetime:
    """Return the instant that somebody typed; without an offset it is in the zone of this machine.

    Args:
        option: What it was typed after, for the message.
        text: An ISO date or time, or a duration back from now.
        now: The instant that durations count back from, aware.
        end_of_day: Whether a date stands for its end, as it does after "until".

    Raises:
        InvalidInput: It is neither.
    """
    from rasen.pipeline_values import parse_duration

    try:
        return now - parse_duration(text.strip())
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is no time; write {WHEN}") from None
    if end_of_day and _DATE.fullmatch(text.strip()):
        at += timedelta(days=1)
    return at.astimezone()
