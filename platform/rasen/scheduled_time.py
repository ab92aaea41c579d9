"""`"@scheduled"` and `"@scheduled-180d"`: the only way time comes into a run.

A notebook that asks the clock gives another answer each time it is repeated; one that is handed the instant of its
trigger can be repeated for ever. Days and weeks are those of the calendar in the pipeline's time zone (one day before
04:10 is 04:10, also when clocks changed in between); hours and minutes are elapsed time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

MARK = "@scheduled"
_EXPRESSION = re.compile(r"@scheduled(?:([+-])([0-9]{1,6})([mhdw]))?")
FORMS = "'@scheduled' or one offset from it such as '@scheduled-180d' or '@scheduled+2h' (m, h, d or w)"


def is_scheduled(value: object) -> bool:
    """Tell whether a value asks for the scheduled instant, rightly written or not."""
    return isinstance(value, str) and value.startswith(MARK)


def resolve_scheduled(expression: str, *, scheduled_at: datetime, timezone: tzinfo) -> datetime:
    """Return the instant that `expression` stands for, in `timezone`.

    Raises:
        ValueError: It is none of `FORMS`, or lies outside the calendar; the message is for the person who wrote it.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ValueError(f"{expression[:60]!r} is not {FORMS}")
    local = scheduled_at.astimezone(timezone)
    if match[1] is None:
        return local
    count = int(match[1] + match[2])
    try:
        match match[3]:
            case "m" | "h":
                elapsed = timedelta(minutes=count) if match[3] == "m" else timedelta(hours=count)
                return (local.astimezone(UTC) + elapsed).astimezone(timezone)
            case _:
                days = timedelta(days=count) if match[3] == "d" else timedelta(weeks=count)
                # Through UTC and back, because the clock time may not exist on that day.
                return (local + days).astimezone(UTC).astimezone(timezone)
    except OverflowError:
        raise ValueError(f"{expression!r} lies outside the calendar") from None
