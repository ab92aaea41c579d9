"""What a person asks of a rollout, signed: only who may sign for this environment is obeyed.

A doorbell may be rung by anybody, because it says nothing; a command says something. It names the ledger record that
the person saw begin the rollout's step, so a command that arrives late or twice finds another step and does nothing.
"""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from rasen.errors import PlatformFailed
from rasen.events import rollout_commanded
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, open_signer, sign

if TYPE_CHECKING:
    from rasen.settings import Settings

_TIMEOUT_SECONDS = 30.0

_PLACE = "commands/rollout"  # what the signature is for; nothing lies in the store under this name


class RolloutCommand(Record):
    """Somebody's decision about a rollout.

    Args:
        endpoint: Whose rollout.
        command: What to do: go on to the next step, or back to the champion.
        step_number: The ledger record that began the step.
        by: Who.
    """

    endpoint: str
    command: Literal["promote", "abort"]
    step_number: int
    by: str


def sign_command(command: RolloutCommand, signer: Signer) -> str:
    """Return the command as the text that is sent."""
    return sign(_PLACE, command.to_bytes(), signer).decode()


def open_command(text: str, trust: TrustStore, *, environment: str) -> RolloutCommand:
    """Return a command that was sent, after its signature has been checked.

    Raises:
        SignatureInvalid, KeyRefused: Nobody who may has signed it.
        UnreadableRecord: It is signed, but no command.
    """
    payload = open_signed(text.encode(), _PLACE, trust=trust, role=Role.CONTROL, environment=environment)
    return RolloutCommand.from_bytes(payload, source="the command")


def send_command(settings: Settings, command: RolloutCommand) -> None:
    """Sign a command with this machine's key and have the deploy function answer it.

    What the function refuses it logs; whether it obeyed stands in the ledger.

    Raises:
        KeyRefused: No key of this machine may sign in this environment.
        PlatformFailed: The function does not answer.
    """
    text = sign_command(command, open_signer(settings, Role.CONTROL))
    headers, body = rollout_commanded(text, at=datetime.now(tz=UTC)).to_http()
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
