"""`rasen.secret`: how a notebook gets a secret that it was given a reference to."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from rasen.errors import InvalidInput, NotFound, PlatformFailed
from rasen.secret_reference import parse_reference
from rasen.settings import load_settings, secrets_channel

_ANSWER_SECONDS = 90.0  # Secret Manager may be asked several times
_ERRORS = {error.__name__: error for error in (InvalidInput, NotFound, PlatformFailed)}


def secret(reference: str) -> str:
    """Return the secret that a reference stands for: `rasen.secret("secret://env/API_KEY")`.

    A notebook states the reference as a parameter, `api_key: rasen.Secret = "secret://env/API_KEY"`, and calls
    `rasen.secret(api_key)` where it needs the value. Under batch the process that runs the notebook answers, and masks
    the value in everything that the notebook shows from then on; run by hand it is fetched here, and nothing masks it.

    Args:
        reference: `secret://env/NAME`, `secret://file/PATH` or `secret://gcp/PROJECT/NAME[/VERSION]`.

    Raises:
        InvalidInput: This is no reference, the operator does not allow it, or it stands for what cannot be masked.
        NotFound: There is no such secret.
        PlatformFailed: Where it is kept cannot be reached.
    """
    try:
        wanted = str(parse_reference(reference))
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    channel = secrets_channel()
    if channel is not None:
        return _ask(channel, wanted)

    from rasen.secret_values import resolve_secret

    return resolve_secret(load_settings(), wanted)


def _ask(channel: Path, reference: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(channel))
            connection.sendall(reference.encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        answer = json.loads(line)
    except (OSError, ValueError) as error:
        raise PlatformFailed(
            f"{reference!r}: the process that runs this notebook did not answer ({error})"
        ) from None
    if "value" in answer:
        value: str = answer["value"]
        return value
    raise _ERRORS.get(answer.get("error"), PlatformFailed)(answer.get("message", ""))
