"""CloudEvents as Cloud Storage and Cloud Scheduler send them: built for the local bridge, read by the functions.

An event is a doorbell. It says that something happened to an object of this name, and nothing else in it is believed:
it may come twice, late, out of order, or from somebody who made it up. So reading one gives a name and a kind, and
whatever does not look like an event of a known kind is refused with a sentence for the log. The third kind is our own:
a person's command, which is believed because of the signature inside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from rasen.errors import InvalidInput

OBJECT_FINALIZED = "google.cloud.storage.object.v1.finalized"
SCHEDULER_EXECUTED = "google.cloud.scheduler.job.v1.executed"
ENDPOINT_COMMANDED = "io.rasen.endpoint.commanded.v1"

_BUCKET_SOURCE = "//storage.googleapis.com/projects/_/buckets/"
_COMMAND_MAX_LENGTH = 10_000
_NAME_MAX_LENGTH = 1024  # what Cloud Storage allows


@dataclass(frozen=True, kw_only=True)
class CloudEvent:
    """An event on its way out: the attributes of CloudEvents 1.0 and JSON data."""

    id: str
    source: str
    type: str
    subject: str | None
    time: datetime
    data: Mapping[str, object]

    def to_http(self) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the event in binary mode, which is what Eventarc sends."""
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-source": self.source,
            "ce-type": self.type,
            "ce-time": _timestamp(self.time),
        }
        if self.subject is not None:
            # The HTTP binding percent-encodes what is no printable ASCII; object names here never need it.
            headers["ce-subject"] = quote(
                self.subject, safe="".join(map(chr, range(0x21, 0x7F))).replace("%", "")
            )
        return headers, json.dumps(self.data).encode()


@dataclass(frozen=True, kw_only=True)
class ObjectFinalized:
    """An object of this name was created or overwritten, somebody says."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """It is time to look for what no event told about."""


@dataclass(frozen=True, kw_only=True)
class EndpointCommanded:
    """Somebody decided about an endpoint; the text is signed."""

    text: str


def object_finalized(
    *, bucket: str, name: str, generation: int, size_bytes: int, created_at: datetime
) -> CloudEvent:
    """Return the event that Cloud Storage sends when an object has been written. The same write gives the same id."""
    identity = f"{bucket}/{name}/{generation}"
    created = _timestamp(created_at)
    return CloudEvent(
        id=str(int.from_bytes(hashlib.sha256(identity.encode()).digest()[:7], "big")),
        source=_BUCKET_SOURCE + bucket,
        type=OBJECT_FINALIZED,
        subject=f"objects/{name}",
        time=created_at,
        # Cloud Storage writes 64-bit numbers as strings.
        data={
            "kind": "storage#object",
            "id": identity,
            "bucket": bucket,
            "name": name,
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": created,
            "updated": created,
            "contentType": "application/json",
            "storageClass": "STANDARD",
            "size": str(size_bytes),
        },
    )


def scheduler_tick(*, job: str, at: datetime) -> CloudEvent:
    """Return the event of a Cloud Scheduler job that has come round: the reconciler's."""
    return CloudEvent(
        id=f"{job}-{int(at.timestamp() * 1000)}",
        source=f"//cloudscheduler.googleapis.com/projects/_/locations/local/jobs/{job}",
        type=SCHEDULER_EXECUTED,
        subject=None,
        time=at,
        data={"custom_data": ""},
    )


def endpoint_commanded(text: str, *, at: datetime) -> CloudEvent:
    """Return the event that carries a signed command. The same command gives the same id."""
    return CloudEvent(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        source="//rasen/commands",
        type=ENDPOINT_COMMANDED,
        subject=None,
        time=at,
        data={"command": text},
    )


def read_event(attributes: Mapping[str, object], data: object) -> ObjectFinalized | Tick | EndpointCommanded:
    """Return what an event says, in either content mode.

    Args:
        attributes: The attributes of CloudEvents, with or without the `ce-` of HTTP headers removed by the framework.
        data: The parsed JSON, or whatever came instead of JSON.

    Raises:
        InvalidInput: It is of no kind that we know, or its data are not what that kind carries. Asking again would
            bring the same bytes, so the sender must not try again.
    """
    kind = attributes.get("type")
    if kind == SCHEDULER_EXECUTED:
        return Tick()
    if kind == OBJECT_FINALIZED:
        return ObjectFinalized(name=_object_name(attributes.get("subject"), data))
    if kind == ENDPOINT_COMMANDED:
        text = data.get("command") if isinstance(data, Mapping) else None
        if not isinstance(text, str) or len(text) > _COMMAND_MAX_LENGTH:
            raise InvalidInput(
                f"the event's command {_shown(text)} is not a text of at most {_COMMAND_MAX_LENGTH}"
            )
        return EndpointCommanded(text=text)
    raise InvalidInput(
        f"event type {_shown(kind)} is not one that this function answers: {OBJECT_FINALIZED!r}, "
        f"{SCHEDULER_EXECUTED!r}, {ENDPOINT_COMMANDED!r}"
    )


def _object_name(subject: object, data: object) -> str:
    if not isinstance(data, Mapping):
        raise InvalidInput(f"the event's data are {type(data).__name__} {_shown(data)}, not a JSON object")
    name = data.get("name")
    if not isinstance(name, str) or not name or len(name.encode(errors="surrogatepass")) > _NAME_MAX_LENGTH:
        raise InvalidInput(
            f"the event's object name {_shown(name)} is not a text of 1 to {_NAME_MAX_LENGTH} bytes"
        )
    if subject is not None and subject != f"objects/{name}":
        raise InvalidInput(
            f"the event's subject {_shown(subject)} is not 'objects/' and its name {_shown(name)}"
        )
    return name


def _shown(value: object) -> str:
    """Return the value for a message, short whatever it is."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}… ({len(text)} characters)"


def _timestamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
