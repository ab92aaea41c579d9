"""One made-up prediction before anybody forks, so that all workers share what the first one brings to life.

pandas and pyarrow import parts of themselves and fill caches on their first DataFrame, and so does scikit-learn with
its first pipeline. Done in every worker, that costs 15 MB each and 30 ms before its first answer; done once in the
nursery, nothing.
"""

from __future__ import annotations

from rasen.data.columns import ColumnType
from rasen.model.frames import FrameBuilder
from rasen.model.judge import judge
from rasen.model.predictions import predict, to_json
from rasen.model.request_errors import InvalidRows
from rasen.model.schema import Column, ModelSchema, Output
from rasen_serving.decode import NotFast, RequestDecoder
from rasen_serving.refusals import body_of

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
    _rehearse_pipeline()
    columns = RequestDecoder(_SCHEMA).decode(_BODY)
    frame = FrameBuilder(_SCHEMA).build(columns)
    to_json(predict(lambda rows: rows["whole"] * 0.5 + rows["number"], frame, _SCHEMA.output))
    for body in (_BODY.replace(b'"whole":1', b'"whole":"x"'), b"{}"):
        try:
            judge(_SCHEMA, body, max_rows=1)
        except (InvalidRows, NotFast) as error:
            body_of(error, request_id="")


def _rehearse_pipeline() -> None:
    """Have a small pipeline, of the kind that most models are, learn four rows and predict them."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame({"number": [0.0, 1.0, 2.0, 3.0], "text": ["a", "b", "a", "b"]})
    encode = ColumnTransformer(
        [("scale", StandardScaler(), ["number"]), ("hot", OneHotEncoder(handle_unknown="ignore"), ["text"])]
    )
    make_pipeline(encode, LogisticRegression()).fit(frame, [0, 1, 0, 1]).predict(frame)
