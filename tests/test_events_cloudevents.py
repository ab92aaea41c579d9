"""CloudEvents: what the bridge sends is what the cloud sends, and whatever comes is read or refused, never believed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.http import from_http
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput
from rasen.events import (
    OBJECT_FINALIZED,
    CloudEvent,
    ObjectFinalized,
    Tick,
    object_finalized,
    read_event,
    scheduler_tick,
)

KEY = "manifests/demand/20260101T000100000Z-0123456789ab.json"
AT = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)

json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def finalized(**changes: Any) -> CloudEvent:
    fields: dict[str, Any] = {"name": KEY, "generation": 1767225660000000001, **changes}
    return object_finalized(bucket="rasen-dev", size_bytes=812, created_at=AT, **fields)


def test_a_finalized_event_looks_like_one_of_cloud_storage() -> None:
    headers, body = finalized().to_http()
    assert headers == {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": headers["ce-id"],
        "ce-source": "//storage.googleapis.com/projects/_/buckets/rasen-dev",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-time": "2026-01-01T00:01:00.000000Z",
        "ce-subject": f"objects/{KEY}",
    }
    data = json.loads(body)
    assert data["bucket"] == "rasen-dev"
    assert data["name"] == KEY
    assert (data["generation"], data["metageneration"], data["size"]) == ("1767225660000000001", "1", "812")
    assert data["timeCreated"] == "2026-01-01T00:01:00.000000Z"


def test_one_write_has_one_id_and_another_write_another() -> None:
    assert finalized().id == finalized().id
    assert len({finalized().id, finalized(generation=2).id, finalized(name=KEY + "x").id}) == 3
    assert finalized().id.isdecimal()


@pytest.mark.parametrize("event", [finalized(), scheduler_tick(job="reconcile", at=AT)])
def test_the_framework_reads_what_the_bridge_writes(event: CloudEvent) -> None:
    headers, body = event.to_http()
    received = from_http(headers, body)
    assert received["type"] == event.type
    assert received.data == event.data
    expected = ObjectFinalized(name=KEY) if event.type == OBJECT_FINALIZED else Tick()
    assert read_event(received.get_attributes(), received.get_data()) == expected


def test_a_structured_event_is_read_too() -> None:
    event = finalized()
    envelope = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "data": event.data,
    }
    received = from_http({"content-type": "application/cloudevents+json"}, json.dumps(envelope))
    assert read_event(received.get_attributes(), received.get_data()) == ObjectFinalized(name=KEY)


@pytest.mark.parametrize(
    ("attributes", "data", "problem"),
    [
        ({}, {}, "event type None"),
        (
            {"type": "google.cloud.storage.object.v1.deleted"},
            {"name": KEY},
            "is not one that this function answers",
        ),
        ({"type": OBJECT_FINALIZED}, None, "not a JSON object"),
        ({"type": OBJECT_FINALIZED}, b"{", "not a JSON object"),
        ({"type": OBJECT_FINALIZED}, [KEY], "not a JSON object"),
        ({"type": OBJECT_FINALIZED}, {}, "object name None"),
        ({"type": OBJECT_FINALIZED}, {"name": ""}, "object name ''"),
        ({"type": OBJECT_FINALIZED}, {"name": 7}, "object name 7"),
        ({"type": OBJECT_FINALIZED}, {"name": "x" * 1_000_000}, "(1000002 characters)"),
        ({"type": OBJECT_FINALIZED}, {"name": "\ud800" * 400}, "is not a text of 1 to 1024 bytes"),
        ({"type": OBJECT_FINALIZED, "subject": "objects/other"}, {"name": KEY}, "subject 'objects/other'"),
        ({"type": OBJECT_FINALIZED, "subject": 3}, {"name": KEY}, "subject 3"),
    ],
)
def test_what_is_no_event_of_ours_is_refused_in_few_words(
    attributes: dict[str, object], data: object, problem: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_event(attributes, data)
    assert problem in str(refusal.value)
    assert len(str(refusal.value)) < 500


@given(kind=st.sampled_from([OBJECT_FINALIZED, "other", 3, None]), subject=json_value, data=json_value)
def test_anything_is_read_or_refused(kind: object, subject: object, data: object) -> None:
    try:
        event = read_event({"type": kind, "subject": subject}, data)
    except InvalidInput:
        return
    assert isinstance(event, ObjectFinalized)
    assert isinstance(data, dict)
    assert event.name == data["name"]
