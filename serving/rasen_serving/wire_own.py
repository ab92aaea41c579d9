"""Our own wire format (design, section 11): `{"rows": […]}` or `{"columns": {…}}` in, `{"predictions": […], …}` out."""

from __future__ import annotations

from typing import Any

import msgspec

from rasen.model.judge import judge
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns
from rasen_serving.live import Loaded
from rasen_serving.refusals import WrongContentType, body_of, headers_of, status_of
from rasen_serving.wire import Answer, Given

JSON = "application/json"
_ENCODER = msgspec.json.Encoder()


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a good answer."""

    predictions: list[Any]  # Any: JSON values of the endpoint's output type
    source: str
    model: str
    request_id: str


class OwnFormat:
    """Reads and writes our own format."""

    name = "rasen"

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a plain request."""
        if asked.content_type != JSON:
            check_json(asked.content_type)
        return loaded.decode(asked.body)

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request."""
        return judge(loaded.schema, asked.body, max_rows=max_rows)

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer."""
        body = _ENCODER.encode(
            Success(
                predictions=given.predictions,
                source=given.source,
                model=given.loaded.version.run,
                request_id=asked.request_id,
            )
        )
        return Answer(status=200, body=body)

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error."""
        return Answer(
            status=status_of(error),
            body=body_of(error, request_id=asked.request_id),
            headers=headers_of(error),
        )


OWN = OwnFormat()


def check_json(content_type: str) -> None:
    """Accept JSON in UTF-8 only.

    Raises:
        WrongContentType: It is something else.
    """
    kind, _, options = content_type.partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != JSON or charset not in ("", "utf-8", "utf8"):
        raise WrongContentType(
            f"the content type {content_type[:100]!r} is not read here; "
            "send JSON in UTF-8, 'Content-Type: application/json'"
        )
