"""What a person asks of a rollout, signed: only who may sign for this environment is obeyed.

A doorbell may be rung by anybody, because it says nothing; a command says something. It names the ledger record that
the person saw begin the rollout's step, so a command that arrives late or twice finds another step and does nothing.
"""

from __future__ import annotations

from typing import Literal

from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, sign

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
