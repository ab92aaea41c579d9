"""People's decisions: given to the deploy function as of what the person saw, and seen through until serving answers.

A command is void when what it could be about has changed since. As long as the same version is live, that was
somebody else's business, and the command is given again as of the new record; otherwise the person must look again.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rasen.batch.ledger_queries import newest_record
from rasen.batch.queries import open_index
from rasen.deploy.commands import Command, CommandKind, give_command
from rasen.deploy.ledger import list_records
from rasen.deploy.rollout import champion_of
from rasen.errors import InvalidInput, NotFound
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import load_trust

_TRIES = 3
_POLL_SECONDS = 0.02
_CONNECT_SECONDS = 2.0

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What serving's public route said after a decision.

    `seconds` is how long it took from the command on, `None` when it did not answer by that record; `problem` says why.
    """

    seconds: float | None
    problem: str = ""


def decide(
    settings: Settings,
    endpoint: str,
    command: CommandKind,
    *,
    by: str,
    run: str | None = None,
    to: int | None = None,
    reason: str = "",
    tell: Tell,
    give: Callable[[Settings, Command], LedgerRecord] = give_command,
) -> LedgerRecord:
    """Give a command as of the newest record, and return the record that it led to.

    Args:
        settings: Where the deploy function is, and the key that signs.
        endpoint: Whose.
        command: What to do.
        by: Who.
        run: The version, in full, for `approve` and `override`.
        to: The record to go back to, for `rollback`.
        reason: Why.
        tell: Is told what has changed meanwhile, when the command is given again.
        give: Gives one command.

    Raises:
        NotFound: Nothing was decided about the endpoint yet.
        InvalidInput: The function refused the command, or another version is live by now.
        PlatformFailed: The function does not answer.
    """
    seen = newest_record(settings, endpoint)
    for left in range(_TRIES - 1, -1, -1):
        given = Command(
            endpoint=endpoint, command=command, seen=seen.number, by=by, run=run, to=to, reason=reason
        )
        try:
            return give(settings, given)
        except InvalidInput:
            newest = newest_record(settings, endpoint)
            if newest.state.acted <= seen.number:
                raise  # not void: it cannot be done
            for record in records_after(settings, endpoint, seen.number):
                tell(f"meanwhile, record {record.number}: {record.action} by {record.actor}: {record.reason}")
            before, after = champion_of(seen.state), champion_of(newest.state)
            if not left or (before and before.run) != (after and after.run):
                raise
            seen = newest
    raise AssertionError("the last try returns or raises")


def held_run(settings: Settings, endpoint: str, beginning: str | None) -> str:
    """Return the run that waits at an endpoint, which begins as was typed.

    Raises:
        NotFound: No version waits, or it is another one.
    """
    state = newest_record(settings, endpoint).state
    if state.held is None:
        raise NotFound(
            f"no version of endpoint {endpoint!r} waits for an approval; `rasen deployments {endpoint}` tells what was "
            "decided, `rasen override` lets in one that was refused"
        )
    if beginning is not None and not _begins(state.held.run, beginning):
        raise NotFound(f"no version {beginning!r} waits at endpoint {endpoint!r}; {state.held.run} does")
    return state.held.run


def decided_run(settings: Settings, endpoint: str, beginning: str) -> str:
    """Return the one run that was held or refused at an endpoint and begins as was typed.

    Raises:
        NotFound: There is none, or more than one.
    """
    newest_record(settings, endpoint)
    rows = open_index(settings).deployments(endpoint, limit=None)
    runs = list(dict.fromkeys(row.run for row in rows if row.run and row.action in {"hold", "refuse"}))
    fitting = [run for run in runs if _begins(run, beginning)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NotFound(f"{beginning!r} fits {', '.join(fitting[:5])}; give more of the id")
    known = f"the last ones: {', '.join(runs[:5])}" if runs else "there is none"
    raise NotFound(f"no version {beginning!r} was held or refused at endpoint {endpoint!r}; {known}")


def wait_until_answered(
    settings: Settings, record: LedgerRecord, *, since: float, timeout_seconds: float = 10.0
) -> Answered:
    """Ask serving's public route until it answers by a ledger record, or a later one.

    Args:
        settings: Where serving is.
        record: The record.
        since: When the command was given, by `time.monotonic`.
        timeout_seconds: How long to ask.
    """
    where = f"{settings.host}:{settings.serving_port}"
    deadline = time.monotonic() + timeout_seconds
    said = ""
    while True:
        try:
            status, body = _get(settings, f"/endpoints/{record.endpoint}")
        except (OSError, http.client.HTTPException):
            return Answered(
                seconds=None,
                problem=f"serving does not answer at {where}; it will begin with this record when it is started",
            )
        if status == 200 and int(body.get("revision", 0)) >= record.number:
            return Answered(seconds=time.monotonic() - since)
        if status in {401, 403}:
            return Answered(
                seconds=None,
                problem=f"serving at {where} asks for a key, so it was not asked what it answers with",
            )
        if status == 200:
            said = f"it still answers by record {body.get('revision')}"
        else:
            said = str(body.get("error", {}).get("message", f"it says {status}"))
        if time.monotonic() >= deadline:
            return Answered(
                seconds=None, problem=f"serving at {where} did not follow in {timeout_seconds:.0f} s: {said}"
            )
        time.sleep(_POLL_SECONDS)


def records_after(settings: Settings, endpoint: str, number: int) -> list[LedgerRecord]:
    """Return the records of an endpoint after one, oldest first."""
    records = list_records(
        open_store(settings), load_trust(settings), endpoint, environment=settings.environment, after=number
    )
    return list(records)


def _begins(run: str, beginning: str) -> bool:
    return run.startswith(beginning) or run.rpartition("-")[2].startswith(beginning)


def _get(settings: Settings, path: str) -> tuple[int, dict[str, Any]]:  # Any: JSON
    connection = http.client.HTTPConnection(settings.host, settings.serving_port, timeout=_CONNECT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        data = response.read()
        try:
            body = json.loads(data)
        except ValueError:
            body = {}
        return response.status, body if isinstance(body, dict) else {}
    finally:
        connection.close()
