"""`alerts:` of `pipeline.yaml`: where the people of one pipeline are told what happened to it.

The operator's own routes (`alerts.yaml`) are told besides, and hold the addresses and passwords: a pipeline names a
Slack channel, never a webhook.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from rasen.pipeline_keys import Keys
from rasen.suggestion import suggest


class AlertKind(StrEnum):
    """What people are told of.

    `FAILURE`: a run ended without success. `REFUSAL`, `HOLD`, `ROLLBACK`, `ABORT`, `OVERRIDE`: what the ledger says.
    `FALLBACK`: the profile, or the champion, answers for a model. `QUARANTINE`: a version ended its processes twice.
    `SERVING`: a replica does not serve what the ledger says. `DEAD_LETTER`: an event that nobody can answer. `TRUST`:
    something signed is not believed. `SUCCESS`: a version went live; told only to those who ask for it.
    """

    FAILURE = "failure"
    REFUSAL = "refusal"
    HOLD = "hold"
    ROLLBACK = "rollback"
    ABORT = "abort"
    OVERRIDE = "override"
    FALLBACK = "fallback"
    QUARANTINE = "quarantine"
    SERVING = "serving"
    DEAD_LETTER = "dead_letter"
    TRUST = "trust"
    SUCCESS = "success"


ALERT_KINDS = tuple(kind.value for kind in AlertKind)
OF_A_PIPELINE = tuple(kind for kind in AlertKind if kind is not AlertKind.DEAD_LETTER)
"""What can be said of one pipeline: nobody knows whose an event is that nobody can read."""

_CHANNEL = re.compile(r"#[a-z0-9_-]{1,79}")
_MAILBOX = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def _check_kind(value: object) -> object:
    words = [kind.value for kind in OF_A_PIPELINE]
    if isinstance(value, str) and value not in words:
        problem = f"{value[:40]!r} is nothing that a pipeline is told of: {suggest(value, words)}"
        raise PydanticCustomError("alerts", "{problem}", {"problem": problem})
    return value


def _check_channel(text: str) -> str:
    if not _CHANNEL.fullmatch(text):
        problem = f'{text[:80]!r} is no Slack channel; write it quoted and with its sign: "#mobility-ml"'
        raise PydanticCustomError("alerts", "{problem}", {"problem": problem})
    return text


def check_mailbox(text: str) -> str:
    """Return `text` when it is an e-mail address that may stand in a header as it is."""
    if not _MAILBOX.fullmatch(text) or len(text) > 254:
        problem = f"{text[:80]!r} is no e-mail address, such as 'mobility@example.com'"
        raise PydanticCustomError("alerts", "{problem}", {"problem": problem})
    return text


SlackChannel = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_channel),
    WithJsonSchema({"type": "string", "pattern": f"^{_CHANNEL.pattern}$"}),
]
Mailbox = Annotated[
    str,
    Field(strict=True),
    AfterValidator(check_mailbox),
    WithJsonSchema({"type": "string", "format": "email"}),
]


class Alerts(Keys):
    """Who is told what happened to the pipeline, besides those whom the operator's routes name."""

    slack: SlackChannel | None = Field(
        default=None, description='a Slack channel that the operator has a receiver for: "#mobility-ml"'
    )
    email: tuple[Mailbox, ...] = Field(
        default=(), max_length=20, description="e-mail addresses, in domains that the operator allows"
    )
    on: tuple[Annotated[AlertKind, BeforeValidator(_check_kind)], ...] = Field(
        default=tuple(kind for kind in OF_A_PIPELINE if kind is not AlertKind.SUCCESS),
        min_length=1,
        description="what they are told of: failure, refusal, hold, rollback, abort, override, fallback, quarantine, "
        "serving, trust, success; all but success if absent",
    )

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        if self.slack is None and not self.email:
            problem = (
                "nobody is named; add `slack`, `email` or both (the operator's own routes need no `alerts`)"
            )
            raise PydanticCustomError("alerts", "{problem}", {"problem": problem})
        return self
