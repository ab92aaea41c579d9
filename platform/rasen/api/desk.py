"""What the routes of the control API stand on, made once for each app."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response

from rasen.api.access import Credential, Door, Known
from rasen.api.feeds import Feeds
from rasen.batch.platform_runs import Place
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.json_form import json_form


@dataclass(kw_only=True)
class Desk:
    """Settings and store, the door, the feeds, and which requests need not be looked at any more."""

    settings: Settings
    store: Store
    door: Door
    feeds: Feeds = field(default_factory=Feeds)
    settled: set[Place] = field(default_factory=set)


def answer(value: Any, *, status: int = 200) -> Response:  # Any: whatever JSON can say
    """Return records and lists as the commands print them with `--json`."""
    body = json.dumps(json_form(value), ensure_ascii=False, allow_nan=False)
    return Response(body.encode(), status_code=status, media_type="application/json")


def known_of(request: Request) -> Known:
    """Return who asks; the edge has seen to it that somebody does."""
    known = request.scope["rasen_known"]
    assert isinstance(known, Known)
    return known


def credential_of(request: Request) -> Credential:
    """Return what he has shown."""
    credential = request.scope["rasen_credential"]
    assert isinstance(credential, Credential)
    return credential
