"""What `/docs` says in words: the introduction, each endpoint's description with its curl line, and the errors.

An analyst's description may be Markdown. HTML in it is shown and not meant: Swagger UI's own cleaning lets an image's
event handler through as far as the page's policy, so no tag of somebody else's gets there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from rasen_serving.live import Live, Loaded, Versions
from rasen_serving.refusals import codes_of

MEANINGS = {
    400: "The body is not JSON",
    401: "An API key or a token is needed, and none, an unknown or an expired one came",
    403: "The API key is for other endpoints",
    404: "There is no such endpoint; the message lists those there are",
    413: "Too many bytes or rows",
    415: "The content type is not application/json",
    422: "Fields are missing, unknown or of another type; each is named by its path",
    429: "The API key asks more often than it may; `Retry-After` says when to ask again",
    500: "The service failed; the operator's log has the reason",
    503: "Nothing can answer now: nothing is live yet, too many requests wait, or the model failed and has no profile",
}
"""What an error status of a prediction request means."""

ONLY_CLOSED = frozenset({401, 403, 429})
"""The statuses that a service without access control does not answer."""

_MOST_NAMES = 50
_HEAD = """Each endpoint answers `POST /endpoints/<endpoint>/predict`, typed by the model that is live; `/console` is a
page to try one. In curl lines, `RASEN_URL` is the address of this service{and_key}.

Every answer names its model (`X-Rasen-Model`), the ledger's revision (`X-Rasen-Revision`) and the request
(`X-Request-Id`, which you may send). `"source": "profile"` and `X-Rasen-Source: profile` say that the model could not
answer and its statistical profile did.

An error is `{{"error": {{"code", "message", "fields": [{{"path", "problem"}}]}}}}`:

| status | code | when |
|---|---|---|
"""


def introduce(versions: Versions, *, may_ask: Callable[[str], bool], is_open: bool) -> str:
    """Return the document's description: what all endpoints have in common, and which are not described here."""
    text = _HEAD.format(and_key="" if is_open else " and `RASEN_API_KEY` your key")
    text += "\n".join(
        f"| {status} | {', '.join(f'`{code}`' for code in codes_of(status))} | {meaning} |"
        for status, meaning in MEANINGS.items()
        if not (is_open and status in ONLY_CLOSED)
    )
    asleep = list(filter(may_ask, sorted(versions.asleep)))
    waiting = list(filter(may_ask, sorted(versions.waiting.keys() - versions.live.keys() - versions.asleep)))
    if asleep:
        text += f"\n\nAsleep, and loaded when they are asked for: {_names(asleep)}."
    if waiting:
        text += f"\n\nNot live (`/endpoints` says why): {_names(waiting)}."
    return text


def describe_endpoint(name: str, live: Live, *, is_open: bool) -> str:
    """Return what is to be said of an endpoint."""
    version = live.champion.loaded.version
    parts = [without_tags(version.description)] if version.description else []
    trained = f", trained until {version.trained_until}" if version.trained_until else ""
    parts.append(
        f"Live: revision {live.revision.number}, model `{version.run}` of pipeline `{version.pipeline}`{trained}."
    )
    if len(live.arms) > 1:
        rows = "\n".join(
            f"| {arm.role} | {arm.weight:.3g} | `{arm.loaded.version.run}` |" for arm in live.arms
        )
        parts.append(f"| variant | share | model |\n|---|---|---|\n{rows}")
    parts.append(f"```sh\n{curl(name, {'rows': live.champion.loaded.example_rows}, is_open=is_open)}\n```")
    return "\n\n".join(parts)


def without_tags(text: str) -> str:
    """Return Markdown in which HTML is text."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def curl(name: str, body: dict[str, Any], *, is_open: bool) -> str:  # Any: JSON
    """Return a request as a line for a shell."""
    text = msgspec.json.encode(body).decode()
    key = "" if is_open else ' \\\n  -H "Authorization: Bearer $RASEN_API_KEY"'
    return (
        f'curl -sS "$RASEN_URL/endpoints/{name}/predict"{key}'
        f" \\\n  -H 'Content-Type: application/json' \\\n  --data-raw {shlex.quote(text)}"
    )


def error_example(status: int, loaded: Loaded) -> dict[str, Any]:  # Any: JSON
    """Return the body of an error as it may come."""
    fields = []
    if status == 422:
        column = loaded.schema.inputs[0]
        fields = [{"path": ["rows", 0, column.name], "problem": "is missing"}]
    return {"error": {"code": codes_of(status)[0], "message": MEANINGS[status], "fields": fields}}


def _names(names: Iterable[str]) -> str:
    known = [f"`{name}`" for name in names]
    more = len(known) - _MOST_NAMES
    return ", ".join(known[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
