"""Names and run ids.

A run's id begins with the instant of its trigger, so ids of a pipeline sort in the order of the triggers, and ends in
a digest of the trigger, so the same trigger always names the same run: starting twice finds the first start.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from rasen.errors import InvalidInput

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
_NAME = re.compile(NAME_PATTERN, re.ASCII)
_RUN = re.compile(r"(\d{8}T\d{9}Z)-[0-9a-f]{12}", re.ASCII)


def check_name(kind: str, name: str) -> str:
    """Return `name` when it may name a pipeline, step, endpoint, table or metric; `kind` says which, for the message.

    Raises:
        InvalidInput: It does not fit `NAME_PATTERN`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{kind} name {name!r} is not usable: a lower-case letter, then at most 39 lower-case letters, digits or "
            "underscores"
        )
    return name


def run_id(instant: datetime, trigger_key: str) -> str:
    """Return the id of the run that `trigger_key` starts for `instant` (aware; cut to milliseconds)."""
    utc = instant.astimezone(UTC)
    digest = hashlib.sha256(trigger_key.encode()).hexdigest()[:12]
    return f"{utc:%Y%m%dT%H%M%S}{utc.microsecond // 1000:03d}Z-{digest}"


def check_run_id(text: str) -> str:
    """Return `text` when it has the form of a run id.

    Raises:
        InvalidInput: It has not.
    """
    if not _RUN.fullmatch(text):
        raise InvalidInput(f"{text!r} is not a run id; one looks like 20260131T041000000Z-0123456789ab")
    return text


def instant_of(run: str) -> datetime:
    """Return the instant that a run id begins with, aware, in UTC.

    Raises:
        InvalidInput: It is not a run id, or names no instant.
    """
    stamp = check_run_id(run).split("-", 1)[0]
    day = int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])
    time = int(stamp[9:11]), int(stamp[11:13]), int(stamp[13:15]), int(stamp[15:18]) * 1000
    try:  # by hand: `strptime` takes ten times as long, and lists of runs call this for every one
        return datetime(*day, *time, tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"{run!r} is not a run id: {error}") from None
