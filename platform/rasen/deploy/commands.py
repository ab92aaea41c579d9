"""What a person asks of an endpoint, signed: only who may sign for this environment is obeyed.

A doorbell may be rung by anybody, because it says nothing; a command says something. It names the newest ledger record
that the person saw: when anything that it could be about has changed since (`EndpointState.acted`), it is void, so a
command that arrives late or twice does nothing.
"""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from rasen.deploy.dead_letters import letter_id, read_dead_letter
from rasen.deploy.ledger import list_records
from rasen.errors import InvalidInput, KeyRefused, PlatformFailed
from rasen.events import CloudEvent, endpoint_commanded
from rasen.store import open_store
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, load_trust, open_signer, open_vouched, sign

if TYPE_CHECKING:
    from rasen.settings import Settings

CommandKind = Literal["promote", "abort", "rollback", "hold", "unhold", "approve", "override"]

_TIMEOUT_SECONDS = 30.0

_PLACE = "commands/endpoint"  # what the signature is for; nothing lies in the store under this name


class Command(Record):
    """Somebody's decision about an endpoint.

    Args:
        endpoint: Whose.
        command: What to do. `promote` and `abort` are about the rollout under way, `approve` about the version that is
            held, `override` about one that was refused or held, `hold` and `unhold` about what goes live by itself.
        seen: The newest ledger record that the person saw.
        by: Who.
        run: The version, for `approve` and `override`.
        to: The record whose champion shall answer again, for `rollback`; `None` is the champion before this one.
        reason: Why; `hold` and `override` need one.
    """

    endpoint: str
    command: CommandKind
    seen: int
    by: str
    run: str | None = None
    to: int | None = None
    reason: str = ""


def sign_command(command: Command, signer: Signer) -> str:
    """Return the command as the text that is sent."""
    return sign(_PLACE, command.to_bytes(), signer).decode()


def open_command(text: str, trust: TrustStore, *, environment: str) -> Command:
    """Return a command that was sent, after its signature has been checked.

    Raises:
        SignatureInvalid, KeyRefused: Nobody who may has signed it, or somebody in another's name.
        UnreadableRecord: It is signed, but no command.
    """
    payload, key = open_vouched(
        text.encode(), _PLACE, trust=trust, role=Role.OPERATOR, environment=environment
    )
    command = Command.from_bytes(payload, source="the command")
    if key.holder and key.holder != command.by:
        raise KeyRefused(f"key {key.key_id!r} signs for {key.holder!r}, and the command is by {command.by!r}")
    return command


def give_command(settings: Settings, command: Command) -> LedgerRecord:
    """Sign a command with this machine's key, have the deploy function answer it, and return the record it led to.

    Raises:
        InvalidInput: The function refused it; the message is the function's.
        KeyRefused: No key of this machine may sign in this environment.
        PlatformFailed: The function does not answer.
    """
    text = sign_command(command, open_signer(settings, Role.OPERATOR))
    event = endpoint_commanded(text, at=datetime.now(tz=UTC))
    _post(settings, event)
    store, trust = open_store(settings), load_trust(settings)
    records = list_records(
        store, trust, command.endpoint, environment=settings.environment, after=command.seen
    )
    for record in records:
        if record.event == event.id:
            return record
    letter = read_dead_letter(store, letter_id(event.source, event.id))
    if letter is not None:
        raise InvalidInput(letter.reason)
    raise PlatformFailed(
        f"the deploy function took the command to {command.command} {command.endpoint!r} and left no record of it; "
        f"its log says why: {str(settings.logs_dir / 'function.log')!r}"
    )


def _post(settings: Settings, event: CloudEvent) -> None:
    headers, body = event.to_http()
    host, port = settings.host, settings.function_port
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/", body=body, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise PlatformFailed(
            f"the deploy function does not answer at {host}:{port} ({error}); `rasen up` starts it"
        ) from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise PlatformFailed(f"the deploy function at {host}:{port} answered {status}; try again in a moment")
