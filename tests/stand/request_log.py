"""The prediction log of an endpoint without a service: entries on their real way from a segment to the store."""

import json
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasen.store import Store
from rasen_serving.log import Entry, make_tick
from rasen_serving.segments import About, close_segment, encode_tick, new_segment, write_frame
from rasen_serving.shipping import ship
from rasen_serving.sinks import Sink, StoreSink

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(
    number: int,
    rows: Sequence[dict[str, Any]],
    predictions: Sequence[Any] | None,
    *,
    model: str,
    revision: int,
    endpoint: str = "demand",
    at: datetime = NOON,
    engine: str = "native",
    variant: str = "champion",
    source: str = "model",
    batch_rows: int = 0,
    request_id: str = "",
) -> Entry:
    """Return the request `number`, asked so many seconds after `at`; without predictions nobody answered."""
    answered = predictions is not None
    return Entry(
        about=About(
            endpoint=endpoint,
            revision=revision,
            model=model,
            engine=engine,
            variant=variant,
            reason="only",
            source=source if answered else "",
            status=200 if answered else 500,
        ),
        request_id=request_id or f"request-{number}",
        at=at.timestamp() + number,
        latency_us=100,
        rows=len(rows),
        batch_rows=batch_rows or len(rows),
        inputs=json.dumps({"rows": list(rows)}).encode(),
        outputs=json.dumps({"predictions": list(predictions or [])}).encode() if answered else b"",
    )


def log_entries(store: Store, entries: Sequence[Entry], *, sink: Sink | None = None) -> None:
    """Write entries as one segment and ship it."""
    with tempfile.TemporaryDirectory() as folder:
        path = new_segment(Path(folder))
        # The name of a segment tells when it was begun; these entries are of another time.
        begun = f"{round(entries[0].at * 1e6):x}{os.urandom(4).hex()}"
        path = path.with_name(f"{begun}.{os.getpid()}.open")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            write_frame(descriptor, encode_tick(make_tick(list(entries))))
        finally:
            os.close(descriptor)
        close_segment(path, sum(one.rows for one in entries))
        assert ship(Path(folder), sink or StoreSink(store, replica="here-8080"), replica="here-8080") is None
