"""What a wire format is: how the rows are read from a request's bytes, and how answers and refusals are written.

Everything between — access, variants, batches, fallback, counts, log — is `service.py`'s and the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rasen_serving.asked import Asked
    from rasen_serving.decode import Columns
    from rasen_serving.live import Loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response before it is HTTP."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A good answer before it is bytes.

    Args:
        predictions: One JSON value a row.
        source: `model` or `profile`.
        loaded: The version that answered, or whose profile did.
        columns: The rows that were asked for, by column.
        rows: Their number.
    """

    predictions: list[Any]  # Any: JSON values
    source: str
    loaded: Loaded
    columns: Columns
    rows: int


class WireFormat(Protocol):
    """Reads and writes one format."""

    name: str

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a plain, well-formed request of at least one row; runs on the event loop.

        Raises:
            NotFast: It is anything else; `read` decides.
            InvalidInput: It can be refused at once.
        """

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request, with every value checked; runs in the prediction thread.

        Raises:
            InvalidInput: What is wrong with it, each fault by its place.
        """

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer; the headers that every answer has are added by others."""

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error."""
