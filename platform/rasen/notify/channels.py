"""From what the operator's file says to the way that messages take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from rasen.batch.masking import Mask
from rasen.errors import InvalidInput
from rasen.notify.answers import Channel
from rasen.notify.configuration import (
    EmailReceiver,
    LogReceiver,
    Receiver,
    SlackReceiver,
    WebhookReceiver,
    is_http_address,
)
from rasen.notify.log_file import LogFile
from rasen.notify.mail import Mail
from rasen.notify.slack import Slack
from rasen.notify.webhook import Webhook
from rasen.secret_reference import SCHEME
from rasen.secret_values import resolve_secret
from rasen.settings import Settings

_KEPT_SECONDS = (
    60.0  # a secret that was changed is used a minute later; Secret Manager is not asked for each message
)


def open_channel(receiver: Receiver, settings: Settings, mask: Mask) -> Channel:
    """Return the way to a receiver. Its secrets are fetched when they are needed, and masked from then on."""
    match receiver:
        case SlackReceiver():
            address = _address(receiver.url, settings, mask)
            return Slack(address, timeout_seconds=receiver.timeout_seconds)
        case WebhookReceiver():
            return Webhook(
                _address(receiver.url, settings, mask),
                None if receiver.signing_secret is None else _secret(receiver.signing_secret, settings, mask),
                timeout_seconds=receiver.timeout_seconds,
            )
        case EmailReceiver():
            return Mail(
                receiver,
                None if receiver.password is None else _secret(receiver.password, settings, mask),
            )
        case LogReceiver():
            return LogFile(settings.logs_dir / "alerts.log" if not receiver.file else Path(receiver.file))
        case _:
            assert_never(receiver)


def _address(text: str, settings: Settings, mask: Mask) -> Callable[[], str]:
    if not text.startswith(SCHEME):
        return lambda: text
    secret = _secret(text, settings, mask)

    def address() -> str:
        found = secret()
        if not is_http_address(found):
            raise InvalidInput(
                f"what {text!r} stands for is no address that can be posted to, such as https://…"
            )
        return found

    return address


def _secret(reference: str, settings: Settings, mask: Mask) -> Callable[[], str]:
    """Return what fetches a secret, and keeps it for a minute."""
    kept: tuple[float, str] | None = None

    def secret() -> str:
        nonlocal kept
        if kept is None or time.monotonic() - kept[0] > _KEPT_SECONDS:
            value = resolve_secret(settings, reference)
            mask.learn(reference, value)
            kept = (time.monotonic(), value)
        return kept[1]

    return secret
