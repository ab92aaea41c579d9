"""A test message: through the routes as they are now, and straight to the receivers, whose answers are returned."""

from __future__ import annotations

import getpass
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from rasen.errors import NotFound
from rasen.notify.answers import Taken
from rasen.notify.channels import open_channel
from rasen.notify.configuration import Configuration, EmailReceiver, read_configuration
from rasen.notify.links import Links
from rasen.notify.message import Content, Message
from rasen.notify.notifier import make_mask
from rasen.notify.outbox import Target
from rasen.notify.routing import Routed, route
from rasen.pipeline_alerts import Alerts
from rasen.release import current_release, read_release
from rasen.settings import Settings
from rasen.store import open_store
from rasen.suggestion import suggest
from rasen.tracking.signature import load_trust


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What one receiver answered to the test message."""

    receiver: str
    kind: str
    recipients: tuple[str, ...]
    taken: bool
    said: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A test message, what came of it, and what of the pipeline's wishes could not be fulfilled."""

    id: str
    tried: tuple[Tried, ...]
    unfulfilled: tuple[str, ...]


def send_test(
    settings: Settings, *, owner: str = "", pipeline: str = "", endpoint: str = "", channel: str = ""
) -> Trial:
    """Send a test message the way that an alert with these marks would go, or to one receiver; return the answers.

    Raises:
        InvalidInput: The operator's file is wrong.
        NotFound: There is no such pipeline or receiver.
    """
    configuration = read_configuration(settings.alerts_file)
    alerts: Alerts | None = None
    if pipeline:
        found_owner, alerts, found_endpoint = _of_pipeline(settings, pipeline)
        owner, endpoint = owner or found_owner, endpoint or found_endpoint
    content = Content(
        kind="test",
        title="a test message: whoever reads this is told of alerts",
        owner=owner,
        pipeline=pipeline,
        endpoint=endpoint,
        facts={"asked for by": getpass.getuser()},
        commands=["rasen alerts"],
        links=Links(public_url=settings.public_url).of_endpoint(endpoint),
    )
    mask = make_mask(settings)
    routed = route(configuration, content, alerts)
    if channel:
        routed = Routed(targets=(_only(configuration, channel),))
    now = datetime.now(tz=UTC)
    name = f"test{secrets.token_hex(4)}"
    message = Message(
        id=f"{name}-test-1",
        event="test",
        incident=name,
        environment=settings.environment,
        content=content.cleaned(mask),
        opened_at=now,
        at=now,
    )
    tried = []
    for target in routed.targets:
        receiver = configuration.receiver(target.receiver)
        assert receiver is not None  # the configuration was checked
        answer = open_channel(receiver, settings, mask).deliver(message, target.recipients)
        taken = isinstance(answer, Taken)
        tried.append(
            Tried(
                receiver=target.receiver,
                kind=receiver.kind,
                recipients=target.recipients,
                taken=taken,
                said=mask(answer.said if isinstance(answer, Taken) else answer.problem),
            )
        )
    return Trial(id=message.id, tried=tuple(tried), unfulfilled=routed.unfulfilled)


def _of_pipeline(settings: Settings, pipeline: str) -> tuple[str, Alerts | None, str]:
    """Return owner, wishes and endpoint of a pipeline's newest release."""
    store = open_store(settings)
    release = read_release(
        store,
        load_trust(settings),
        pipeline,
        current_release(store, pipeline),
        environment=settings.environment,
    )
    return release.owner, release.spec.alerts, release.spec.endpoint


def _only(configuration: Configuration, name: str) -> Target:
    receiver = configuration.receiver(name)
    if receiver is None:
        raise NotFound(f"alerts.yaml has no receiver {name!r}: {suggest(name, configuration.names)}")
    return Target(receiver=name, recipients=receiver.to if isinstance(receiver, EmailReceiver) else ())
