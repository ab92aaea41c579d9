"""From a tick of the log to one record a row: the requests' bytes are cut apart, not read.

A row's inputs are the very text that the caller sent, and its outputs the text that it got, so nothing is lost by
reading and writing numbers again, and 100,000 rows take a quarter of a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from rasen_serving.segments import Tick


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of the prediction log, as DuckDB reads it; `at` is in microseconds since 1970."""

    request_id: str
    row: int
    at: int
    key_id: str | None
    address: str | None
    endpoint: str
    revision: int
    model: str
    engine: str
    batch_rows: int
    variant: str
    reason: str
    source: str
    status: int
    latency_us: int
    data_version: str | None
    traceparent: str | None
    inputs: str
    outputs: str | None
    day: str


class _Inputs(msgspec.Struct):
    rows: list[msgspec.Raw] | UnsetType = UNSET
    columns: dict[str, list[msgspec.Raw]] | UnsetType = UNSET


class _Outputs(msgspec.Struct):
    predictions: list[msgspec.Raw]


_INPUTS = msgspec.json.Decoder(_Inputs)
_OUTPUTS = msgspec.json.Decoder(_Outputs)


def flatten(tick: Tick) -> Iterator[Record]:
    """Yield a record for each row of a tick.

    Raises:
        ValueError: A request or an answer does not hold as many rows as the tick says.
    """
    fields = zip(
        tick.about,
        tick.request_id,
        tick.at,
        tick.latency_us,
        tick.rows,
        tick.batch_rows,
        tick.key_id,
        tick.address,
        tick.traceparent,
        tick.inputs,
        tick.outputs,
        strict=True,
    )
    for (
        number,
        request_id,
        at,
        latency_us,
        rows,
        batch_rows,
        key_id,
        address,
        traceparent,
        sent,
        got,
    ) in fields:
        about = tick.abouts[number]
        inputs, outputs = read_inputs(sent), read_outputs(got, rows)
        if len(inputs) != rows or len(outputs) != rows:
            raise ValueError(
                f"request {request_id!r} has {rows} rows, {len(inputs)} inputs and {len(outputs)} predictions"
            )
        day = datetime.fromtimestamp(at, tz=UTC).date().isoformat()
        for row, (given, answered) in enumerate(zip(inputs, outputs, strict=True)):
            yield Record(
                request_id=request_id,
                row=row,
                at=round(at * 1e6),
                key_id=key_id or None,
                address=address or None,
                endpoint=about.endpoint,
                revision=about.revision,
                model=about.model,
                engine=about.engine,
                batch_rows=batch_rows,
                variant=about.variant,
                reason=about.reason,
                source=about.source,
                status=about.status,
                latency_us=latency_us,
                data_version=about.data_version or None,
                traceparent=traceparent or None,
                inputs=given,
                outputs=answered,
                day=day,
            )


def read_inputs(body: bytes) -> list[str]:
    """Return the JSON text of each row of a request, in whichever of its two forms."""
    request = _INPUTS.decode(body)
    if request.rows is not UNSET:
        return [str(raw, "utf-8") for raw in request.rows]
    if request.columns is UNSET or not request.columns:
        return []
    names = [msgspec.json.encode(name).decode() for name in request.columns]
    lists = [[str(raw, "utf-8") for raw in values] for values in request.columns.values()]
    return [
        "{" + ",".join(f"{name}:{value}" for name, value in zip(names, values, strict=True)) + "}"
        for values in zip(*lists, strict=True)
    ]


def read_outputs(answer: bytes, rows: int) -> list[str | None]:
    """Return the JSON text of each prediction, or nothing for each row when there was no answer."""
    if not answer:
        return list(itertools.repeat(None, rows))
    return [str(raw, "utf-8") for raw in _OUTPUTS.decode(answer).predictions]
