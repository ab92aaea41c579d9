"""Whom a message goes to: the operator's routes that fit, and what the pipeline itself says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rasen.notify.configuration import Configuration, EmailReceiver, SlackReceiver
from rasen.notify.message import Content
from rasen.notify.outbox import Target
from rasen.pipeline_alerts import AlertKind, Alerts


@dataclass(frozen=True, kw_only=True)
class Routed:
    """Where a message goes, and what of a pipeline's wishes could not be fulfilled."""

    targets: tuple[Target, ...]
    unfulfilled: tuple[str, ...] = ()


def route(configuration: Configuration, content: Content, alerts: Alerts | None) -> Routed:
    """Return whom a message goes to. Nobody is told of a success who has not asked for it.

    What a pipeline wishes and the operator has no receiver for makes the message go the default way as well, so that a
    channel that nobody has set up is not the reason why nobody hears of a failure.
    """
    asked = {
        "kind": content.kind,
        "owner": content.owner,
        "pipeline": content.pipeline,
        "endpoint": content.endpoint,
    }
    names = [name for each in configuration.routes if each.covers(**asked) for name in each.to]
    own, unfulfilled = _own(configuration, content, alerts)
    if not (names or own) and content.kind != AlertKind.SUCCESS:
        names = list(configuration.default)
    elif unfulfilled and content.kind != AlertKind.SUCCESS:
        names += configuration.default
    targets = [Target(receiver=name, recipients=_mailboxes(configuration, name)) for name in names]
    return Routed(targets=_merged([*targets, *own]), unfulfilled=tuple(unfulfilled))


def _own(
    configuration: Configuration, content: Content, alerts: Alerts | None
) -> tuple[list[Target], list[str]]:
    """Return where a pipeline wishes its messages to go, and the wishes that cannot be fulfilled."""
    if alerts is None or not (content.kind == "test" or content.kind in alerts.on):
        return [], []
    targets, unfulfilled = [], []
    if alerts.slack is not None:
        names = [
            name
            for name, receiver in configuration.receivers.items()
            if isinstance(receiver, SlackReceiver) and receiver.channel == alerts.slack
        ]
        targets += [Target(receiver=name) for name in names]
        if not names:
            unfulfilled.append(
                f"alerts.yaml has no receiver of kind slack with channel {alerts.slack!r}, which the pipeline names"
            )
    for mailbox in alerts.email:
        domain = mailbox.rpartition("@")[2].lower()
        name = next(
            (
                name
                for name, receiver in configuration.receivers.items()
                if isinstance(receiver, EmailReceiver) and domain in map(str.lower, receiver.domains)
            ),
            None,
        )
        if name is None:
            unfulfilled.append(
                f"alerts.yaml has no receiver of kind email whose domains hold {domain!r}, for {mailbox!r}, which the "
                "pipeline names"
            )
        else:
            targets.append(Target(receiver=name, recipients=(mailbox,)))
    return targets, unfulfilled


def _mailboxes(configuration: Configuration, name: str) -> tuple[str, ...]:
    receiver = configuration.receiver(name)
    return receiver.to if isinstance(receiver, EmailReceiver) else ()


def _merged(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Return one target for each receiver, with all mailboxes."""
    recipients: dict[str, dict[str, None]] = {}
    for target in targets:
        recipients.setdefault(target.receiver, {}).update(dict.fromkeys(target.recipients))
    return tuple(Target(receiver=name, recipients=tuple(found)) for name, found in recipients.items())
