"""`POST /endpoints/<endpoint>/rewards`: how good answers turned out to be, for the bandit that shares requests out.

A worker only checks them and passes them on: the supervisor hears of those of all workers (`bandit.py`), so one that is
sent again to another worker still counts once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response

from rasen.model.request_errors import FieldProblem, InvalidRows, MalformedBody
from rasen_serving.messages import Reward, Rewarded
from rasen_serving.requests import read_body
from rasen_serving.wire_own import JSON, check_json

if TYPE_CHECKING:
    from rasen_serving.access import Known
    from rasen_serving.live import Live
    from rasen_serving.service import Service

_PLACE = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
_ELEMENT = re.compile(r"\.(\w+)|\[(\d+)\]")


class _Checked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    model: Annotated[str, msgspec.Meta(max_length=100)]
    reward: Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rewards: Annotated[list[_Checked], msgspec.Meta(min_length=1, max_length=10_000)]


_DECODER = msgspec.json.Decoder(_Body)
_DOCUMENT: dict[str, Any] = {  # Any: OpenAPI
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rewards"],
                    "properties": {
                        "rewards": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 10_000,
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["request_id", "model", "reward"],
                                "properties": {
                                    "request_id": {"type": "string", "minLength": 1, "maxLength": 128},
                                    "model": {"type": "string", "maxLength": 100},
                                    "reward": {"type": "number", "minimum": 0, "maximum": 1},
                                },
                            },
                        }
                    },
                }
            }
        },
    },
    "responses": {
        "202": {
            "description": "How many were taken, and how many name a version that is not live.",
            "content": {JSON: {"schema": {"type": "object"}}},
        }
    },
}


def mount_rewards(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        "/endpoints/{endpoint}/rewards",
        status_code=202,
        summary="Say how good answers turned out to be",
        openapi_extra=_DOCUMENT,
    )
    async def take_rewards(endpoint: str, request: Request) -> Response:
        caller: Known = request.scope["rasen_caller"]
        caller.take()
        caller.check_may_ask(endpoint)
        live = service.versions.take(endpoint)
        check_json(request.headers.get("content-type", ""))
        body = await read_body(request, service.settings.max_body_bytes)
        rewards, unknown = read_rewards(body, endpoint, live)
        if rewards.rewards:
            service.tell(rewards)
        taken = {"taken": len(rewards.rewards), "unknown": unknown}
        return Response(msgspec.json.encode(taken), 202, media_type=JSON)


def read_rewards(body: bytes, endpoint: str, live: Live) -> tuple[Rewarded, int]:
    """Return the rewards for versions that are live, and how many were for others.

    Raises:
        MalformedBody: It is not JSON.
        InvalidRows: It is not what is asked for; the place is named.
    """
    try:
        given = _DECODER.decode(body).rewards
    except msgspec.ValidationError as error:
        found = _PLACE.fullmatch(str(error))
        problem, place = (found[1], found[2]) if found else (str(error), "")
        path = tuple(name or int(index) for name, index in _ELEMENT.findall(place))
        raise InvalidRows(
            'the body must be {"rewards": [{"request_id", "model", "reward": 0 to 1}]}',
            (FieldProblem(path=path, problem=problem),),
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"the body is not one JSON document in UTF-8: {error}") from None
    runs = {arm.loaded.version.run for arm in live.arms}
    known = [
        Reward(request_id=one.request_id, model=one.model, reward=one.reward)
        for one in given
        if one.model in runs
    ]
    return Rewarded(endpoint=endpoint, rewards=known), len(given) - len(known)
