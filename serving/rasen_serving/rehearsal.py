"""One made-up prediction before anybody forks, so that all workers share what the first one brings to life.

pandas and pyarrow import parts of themselves and fill caches on their first DataFrame. Done in every worker, that
costs 10 MB each; done once in the nursery, nothing.
"""

from __future__ import annotations

from rasen.data.columns import ColumnType
from rasen.model.frames import FrameBuilder
from rasen.model.predictions import predict, to_json
from rasen.model.schema import Column, ModelSchema, Output
from rasen_serving.decode import NotFast, RequestDecoder
from rasen_serving.judge import judge
from rasen_serving.refusals import InvalidRows, body_of

_SCHEMA = ModelSchema(
    inputs=(
        Column(name="text", type=ColumnType.STRING, dtype="str"),
        Column(name="category", type=ColumnType.STRING, dtype="category", categories=("a", "b")),
        Column(name="whole", type=ColumnType.INT64, dtype="int64"),
        Column(name="number", type=ColumnType.FLOAT64, dtype="float64", nullable=True),
        Column(name="day", type=ColumnType.DATE, dtype="datetime64[s]"),
        Column(name="instant", type=ColumnType.TIMESTAMP, dtype="datetime64[us, UTC]"),
    ),
    output=Output(kind="scalar", type=ColumnType.FLOAT64),
)
_BODY = (
    b'{"rows":[{"text":"a","category":"b","whole":1,"number":0.5,"day":"2026-01-31",'
    b'"instant":"2026-01-31T06:00:00Z"}]}'
)


def rehearse() -> None:
    """Decode, predict and refuse once."""
    columns = RequestDecoder(_SCHEMA).decode(_BODY)
    frame = FrameBuilder(_SCHEMA).build(columns)
    to_json(predict(lambda rows: rows["whole"] * 0.5 + rows["number"], frame, _SCHEMA.output))
    for body in (_BODY.replace(b'"whole":1', b'"whole":"x"'), b"{}"):
        try:
            judge(_SCHEMA, body, max_rows=1)
        except (InvalidRows, NotFast) as error:
            body_of(error, request_id="")
