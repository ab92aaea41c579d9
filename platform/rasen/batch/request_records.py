"""Requests in the store: read by whoever works on them, and the run that each becomes."""

from __future__ import annotations

from rasen.errors import NotFound, ObjectNotFound
from rasen.store import Store
from rasen.tracking.ids import run_id
from rasen.tracking.keys import request_key
from rasen.tracking.records import Request


def read_request(store: Store, pipeline: str, name: str) -> Request:
    """Return a request; what it asks for is looked at by whoever reads it.

    Raises:
        NotFound: There is none of that name.
    """
    key = request_key(pipeline, name)
    try:
        return Request.from_bytes(store.read(key), source=key)
    except ObjectNotFound:
        raise NotFound(f"pipeline {pipeline!r} has no request {name!r}") from None


def run_of_request(name: str, request: Request) -> str:
    """Return the id of the run that a request becomes, whoever starts it and how often."""
    return run_id(request.at, f"request:{name}")
