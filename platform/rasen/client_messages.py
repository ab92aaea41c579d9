"""What the client of the prediction service sends and understands, apart from sending: shared by both its kinds.

Nothing here waits or opens a connection, so it is tested as plain functions.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import httpx

from rasen.errors import (
    AccessRefused,
    InvalidInput,
    ModelFailed,
    NotFound,
    RasenError,
    RequestRefused,
    ServiceUnavailable,
)
from rasen.model.schema import ModelSchema
from rasen.tracking.ids import check_name

if TYPE_CHECKING:
    import pandas as pd

LOST = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ReadError,
    httpx.RemoteProtocolError,
    httpx.WriteError,
)
"""The service was not reached, or hung up without an answer. A prediction changes nothing, so asking again is safe."""

_MODEL_FAULTS = frozenset({"model_failed", "timeout", "stale", "quarantined"})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_ROUTING_KEY_MAX_BYTES = 256
_TEXT_MOST = 200


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer to a request.

    Args:
        predictions: One value a row, in the rows' order; an object a row when the model has several outputs.
        source: `model`, or `profile` when that stood in for the model.
        model: The run whose model answered.
        request_id: Under which the request stands in the prediction log.
        revision: The ledger's number of what was live.
        variant: The role of the version that answered, `""` when there is only one.
    """

    predictions: list[Any]  # Any: JSON values of the endpoint's output type
    source: str
    model: str
    request_id: str
    revision: int | None
    variant: str


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One endpoint in the list; `waiting` says why nothing is live."""

    endpoint: str
    live: bool
    model: str | None
    revision: int | None
    waiting: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a caller needs to know of an endpoint.

    Args:
        endpoint: Its name.
        description: What the analyst says of it.
        model: The run whose model is live.
        revision: The ledger's number.
        major: Rises when old callers would break.
        schema: The model's inputs and output.
        example: Rows that work.
        example_predictions: What they are answered.
        metrics: What the run logged over all rows.
        trained_until: The newest training row, as the notebook said it.
    """

    endpoint: str
    description: str
    model: str
    revision: int
    major: int
    schema: ModelSchema
    example: list[dict[str, Any]]  # Any: JSON values
    example_predictions: list[Any]  # Any: JSON values
    metrics: dict[str, float]
    trained_until: str | None


class Retries:
    """How long to wait before a request is sent again, and when not to.

    Args:
        seconds: For how long altogether.
        clock: Monotonic seconds.
        jitter: A number from 0 to 1, so that many callers do not come back at once.
    """

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._until = clock() + seconds
        self._pause = _FIRST_PAUSE_SECONDS

    def pause(self, asked_for: float) -> float | None:
        """Return the seconds to wait, `None` when there is no time left.

        Args:
            asked_for: What the service asked for, 0 if it did not.
        """
        pause = max(asked_for, self._pause * (0.5 + self._jitter() / 2))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return pause if self._clock() + pause < self._until else None


def predict_path(endpoint: str) -> str:
    """Return where an endpoint predicts.

    Raises:
        InvalidInput: That is no name of an endpoint.
    """
    return f"{describe_path(endpoint)}/predict"


def describe_path(endpoint: str) -> str:
    """Return where an endpoint is described.

    Raises:
        InvalidInput: That is no name of an endpoint.
    """
    return f"/endpoints/{check_name('endpoint', endpoint)}"


def request_body(rows: object) -> bytes:
    """Return the JSON of rows: a DataFrame, a list of objects, or one list of values a column.

    Raises:
        InvalidInput: They are none of these, or hold a value that JSON has no word for.
    """
    pandas = sys.modules.get("pandas")  # who has a DataFrame has imported it
    document: dict[str, object]
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        document = {"columns": _columns_of(rows)}
    elif isinstance(rows, Mapping):
        document = {"columns": dict(rows)}
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        document = {"rows": list(rows)}
    else:
        raise InvalidInput(
            f"rows of type {type(rows).__name__!r} cannot be sent; give a DataFrame, a list of dicts, "
            "or a dict with one list of values a column"
        )
    try:
        return json.dumps(document, default=_plain, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the rows cannot be sent: {error}; a missing value is None") from None


def request_headers(
    *,
    credential: str,
    routing_key: str | None = None,
    request_id: str | None = None,
    variant: str | None = None,
) -> dict[str, str]:
    """Return the headers of a request.

    Raises:
        InvalidInput: A value cannot stand in a header.
    """
    headers = {"content-type": "application/json", "accept": "application/json"}
    if credential:
        headers["authorization"] = f"Bearer {credential}"
    given = {"x-rasen-routing-key": routing_key, "x-request-id": request_id, "x-rasen-variant": variant}
    for name, value in given.items():
        if value is None:
            continue
        if not (value.isascii() and value.isprintable()) or len(value) > _ROUTING_KEY_MAX_BYTES:
            raise InvalidInput(
                f"{value[:_TEXT_MOST]!r} cannot be sent as {name}: it must be printable ASCII of at most "
                f"{_ROUTING_KEY_MAX_BYTES} characters; send a digest of a text that is not"
            )
        headers[name] = value
    return headers


def asked_to_wait(answer: httpx.Response) -> float | None:
    """Return after how many seconds a refused request may be sent again, `None` when it may not."""
    if answer.status_code not in (429, 503) or "retry-after" not in answer.headers:
        return None
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except ValueError:
        return 0.0  # a date: some proxy's; our own pauses will do


def error_of(answer: httpx.Response) -> RasenError:
    """Return the error that an answer tells of."""
    code, message, fields = _told(answer)
    status = answer.status_code
    request_id = answer.headers.get("x-request-id", "")
    if status in (401, 403):
        return AccessRefused(message, status, code, fields, request_id)
    if status == 404:
        return NotFound(message)
    if code in _MODEL_FAULTS:
        return ModelFailed(message)
    if status == 429 or status >= 500:
        return ServiceUnavailable(f"{message} (status {status}, request {request_id!r})")
    return RequestRefused(message, status, code, fields, request_id)


def prediction_of(answer: httpx.Response) -> Prediction:
    """Return the predictions that an answer holds.

    Raises:
        RasenError: It holds an error instead; see `error_of`.
    """
    document = document_of(answer)
    revision = answer.headers.get("x-rasen-revision", "")
    try:
        return Prediction(
            predictions=document["predictions"],
            source=document["source"],
            model=document["model"],
            request_id=document["request_id"],
            revision=int(revision) if revision.isdecimal() else None,
            variant=answer.headers.get("x-rasen-variant", ""),
        )
    except KeyError as error:
        raise _unintelligible(answer, f"it has no {error}") from None


def endpoints_of(answer: httpx.Response) -> list[Endpoint]:
    """Return the endpoints that an answer lists.

    Raises:
        RasenError: It holds an error instead.
    """
    try:
        return [
            Endpoint(
                endpoint=one["endpoint"],
                live=one["live"],
                model=one.get("model"),
                revision=one.get("revision"),
                waiting=one.get("waiting") or "",
            )
            for one in document_of(answer)["endpoints"]
        ]
    except (KeyError, TypeError) as error:
        raise _unintelligible(answer, str(error)) from None


def description_of(answer: httpx.Response) -> Description:
    """Return the description that an answer holds.

    Raises:
        RasenError: It holds an error instead.
    """
    document = document_of(answer)
    try:
        return Description(
            schema=ModelSchema.from_dict(document["schema"]),
            example=document["example"]["rows"],
            **{
                name: document[name]
                for name in Description.__dataclass_fields__
                if name not in ("schema", "example")
            },
        )
    except (KeyError, TypeError) as error:
        raise _unintelligible(answer, str(error)) from None


def document_of(answer: httpx.Response) -> dict[str, Any]:  # Any: JSON
    """Return the JSON object of a good answer.

    Raises:
        RasenError: It holds an error instead, or is no JSON object.
    """
    if answer.status_code != 200:
        raise error_of(answer)
    try:
        document = answer.json()
    except ValueError as error:
        raise _unintelligible(answer, str(error)) from None
    if not isinstance(document, dict):
        raise _unintelligible(answer, "it is no object")
    return document


def _told(answer: httpx.Response) -> tuple[str, str, tuple[tuple[tuple[str | int, ...], str], ...]]:
    """Return code, message and fields of an error, whoever wrote it: a proxy in between writes what it likes."""
    try:
        error = answer.json()["error"]
        fields = tuple((tuple(field["path"]), str(field["problem"])) for field in error["fields"])
        message = str(error["message"])
        if fields:
            message += ": " + "; ".join(
                f"{'.'.join(map(str, path))}: {problem}" for path, problem in fields[:10]
            )
        return str(error["code"]), message, fields
    except (ValueError, KeyError, TypeError):
        return "", f"status {answer.status_code} from {answer.url}: {answer.text[:_TEXT_MOST]!r}", ()


def _unintelligible(answer: httpx.Response, why: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"{answer.url} did not answer as the prediction service does ({why}): {answer.text[:_TEXT_MOST]!r}"
    )


def _columns_of(frame: pd.DataFrame) -> dict[str, list[object]]:
    from rasen.model.conversion import json_values
    from rasen.model.dtypes import classify

    columns: dict[str, list[object]] = {}
    for name in frame.columns:
        kind, _ = classify(frame[name], where=f"column {name!r}")
        columns[str(name)] = json_values(frame[name], kind)
    return columns


def _plain(value: object) -> object:
    """Return what JSON has for a value that it does not know: numbers of NumPy, lists like it, times."""
    if isinstance(value, date):
        return value.isoformat()
    for name in ("tolist", "item"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    raise TypeError(f"{value!r:.100} of type {type(value).__name__!r} is no JSON value")
