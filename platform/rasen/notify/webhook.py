"""A generic webhook: the message as JSON, posted, and signed when the operator has given a key for it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from rasen.errors import RasenError
from rasen.notify.answers import Answer, Postponed
from rasen.notify.http_post import post_json
from rasen.notify.message import Message


class Webhook:
    """One address that takes messages.

    Args:
        address: Returns the address; raises a `RasenError` when it cannot be had now.
        signing_secret: Returns the key of the signature, `None` when messages are not signed.
        timeout_seconds: How long it may take to answer.
    """

    def __init__(
        self,
        address: Callable[[], str],
        signing_secret: Callable[[], str] | None,
        *,
        timeout_seconds: float,
    ) -> None:
        self._address = address
        self._signing_secret = signing_secret
        self._timeout_seconds = timeout_seconds

    def deliver(self, message: Message, recipients: tuple[str, ...]) -> Answer:
        """Send a message and return what the receiver answered."""
        body = message.to_bytes()
        headers = {"Idempotency-Key": message.id, "X-Rasen-Event": message.event}
        try:
            address = self._address()
            if self._signing_secret is not None:
                headers["X-Rasen-Signature-256"] = sign_body(body, self._signing_secret())
        except RasenError as error:
            return Postponed(problem=str(error))
        return post_json(address, body, headers=headers, timeout_seconds=self._timeout_seconds)


def sign_body(body: bytes, secret: str) -> str:
    """Return what `X-Rasen-Signature-256` says of a body: HMAC-SHA256 over its exact bytes, as GitHub has it."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
