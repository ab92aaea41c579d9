"""Requests that are read slowly, but are small enough for the event loop, so that they share a call with others."""

from __future__ import annotations

from collections.abc import Callable

from rasen.model.request_errors import InvalidRows, TooManyRows
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Loaded

FAST_BYTES = 1 << 16
"""What is larger is read in the prediction thread: the event loop would wait for it for more than a millisecond."""


def read_small(read: Callable[..., Columns], loaded: Loaded, asked: Asked) -> Columns:
    """Return the columns of a request whose size somebody has looked at.

    Its values are not looked at: the engine does, and what it refuses is read again with a look at each. So is what is
    refused here, because all that is wrong is told at once.

    Args:
        read: Called with `loaded`, `asked`, `max_rows` and `check_values`.
        loaded: The version that answers.
        asked: The request.

    Raises:
        NotFast: It has more rows than it may have; how many that are, the slow reading knows.
        InvalidInput: It is wrong.
    """
    try:
        try:
            return read(loaded, asked, max_rows=len(asked.body), check_values=False)
        except InvalidRows:
            return read(loaded, asked, max_rows=len(asked.body), check_values=True)
    except TooManyRows:
        raise NotFast from None  # how many are too many is known there


def read_if_small(read: Callable[..., Columns], loaded: Loaded, asked: Asked) -> Columns:
    """Return the columns of a request that is text all through.

    Raises:
        NotFast: It is too large, or has too many rows.
        InvalidInput: It is wrong.
    """
    if len(asked.body) > FAST_BYTES:
        raise NotFast
    return read_small(read, loaded, asked)
