"""Server-sent events as a client reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """One event of a run: `state`, `step`, `progress`, `log`, `verdict`, or `reset`, after which all begins anew."""

    id: str
    kind: str
    data: Json


def parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Yield the events of a stream of lines; comments and what is not whole are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            if "data" in fields:
                yield ServerEvent(
                    id=fields.get("id", ""),
                    kind=fields.get("event", "message"),
                    data=json.loads(fields["data"]),
                )
            fields = {}
