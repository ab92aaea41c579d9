"""Every error an answer can carry, with its HTTP status: the one table from error class to status.

A body is `{"error": {"code", "message", "fields": [{"path", "problem"}]}}`. What went wrong inside a model is told
to the operator's log, not to the caller: an exception's text may hold data of other people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from rasen.errors import InvalidInput, ModelFailed, NotFound, RasenError
from rasen.model.request_errors import InvalidRows, MalformedBody, TooManyRows, describe_fields


class MalformedRequest(InvalidInput):
    """What came is no HTTP request."""


class HeadTooLarge(InvalidInput):
    """The head of a request has more bytes than are accepted."""


class TooSlow(InvalidInput):
    """The request did not arrive in time."""


class WrongContentType(InvalidInput):
    """The body is of a type that is not read here."""


class BodyTooLarge(InvalidInput):
    """The body has more bytes than are accepted."""


class MethodRefused(InvalidInput):
    """The path exists, the method does not."""


class CallerGone(RasenError):
    """The connection was closed before the request was complete; nobody reads this answer."""


class NothingLive(RasenError):
    """The endpoint is known and nothing answers for it yet."""


class OutOfTime(ModelFailed):
    """The model did not answer within its time budget."""


class Quarantined(ModelFailed):
    """The version was taken out of service, because it has ended or hung its process more than once."""


class StaleModel(ModelFailed):
    """The newest row that the model was trained on is older than declared."""


class Asleep(NothingLive):
    """The endpoint is not in memory; it is loaded because of this request, which waits for it."""


class Overloaded(RasenError):
    """More rows wait than will be predicted soon; trying again in a moment is right."""


class Unauthenticated(InvalidInput):
    """The caller has not shown who it is, or its key or token has ended."""


class Forbidden(InvalidInput):
    """The caller is known, and what it asks for is not for it."""


class AccessUnknown(RasenError):
    """Who may ask has not been read yet; trying again in a moment is right."""


class RateExceeded(InvalidInput):
    """The caller asks more often than it may.

    Args:
        message: The sentence.
        seconds: When it may ask again.
    """

    def __init__(self, message: str, seconds: float = 1.0) -> None:
        super().__init__(message, seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    status: int
    code: str


_KINDS: dict[type[Exception], _Kind] = {
    MalformedBody: _Kind(status=400, code="malformed"),
    MalformedRequest: _Kind(status=400, code="malformed"),
    Unauthenticated: _Kind(status=401, code="unauthenticated"),
    Forbidden: _Kind(status=403, code="forbidden"),
    NotFound: _Kind(status=404, code="not_found"),
    MethodRefused: _Kind(status=405, code="method_not_allowed"),
    TooSlow: _Kind(status=408, code="too_slow"),
    BodyTooLarge: _Kind(status=413, code="body_too_large"),
    TooManyRows: _Kind(status=413, code="too_many_rows"),
    WrongContentType: _Kind(status=415, code="unsupported_content_type"),
    InvalidRows: _Kind(status=422, code="invalid_input"),
    CallerGone: _Kind(status=499, code="caller_gone"),
    RateExceeded: _Kind(status=429, code="rate_exceeded"),
    HeadTooLarge: _Kind(status=431, code="head_too_large"),
    Quarantined: _Kind(status=503, code="quarantined"),
    StaleModel: _Kind(status=503, code="stale"),
    OutOfTime: _Kind(status=503, code="timeout"),
    ModelFailed: _Kind(status=503, code="model_failed"),
    Asleep: _Kind(status=503, code="loading"),
    NothingLive: _Kind(status=503, code="not_ready"),
    AccessUnknown: _Kind(status=503, code="not_ready"),
    Overloaded: _Kind(status=503, code="overloaded"),
    Exception: _Kind(status=500, code="internal"),
}


_TOLD_TO_THE_OPERATOR = {
    "model_failed": "the model could not answer, and no profile was published that could stand in for it",
    "internal": "the service failed",
}

CODES = sorted({kind.code for kind in _KINDS.values()})
"""The codes that exist, for the API's documentation."""


def codes_of(status: int) -> list[str]:
    """Return the codes that an error status may come with."""
    return list(dict.fromkeys(kind.code for kind in _KINDS.values() if kind.status == status))


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    return _kind_of(error).status


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that an error's answer has besides the usual ones."""
    match error:
        case Overloaded() | Asleep() | AccessUnknown():
            return {"Retry-After": "1"}
        case RateExceeded():
            return {"Retry-After": str(math.ceil(error.seconds))}
        case Unauthenticated():  # Basic first: of several in one line Chromium reads the first
            return {"WWW-Authenticate": 'Basic realm="rasen", Bearer realm="rasen"'}
        case _:
            return {}


def is_fault(error: Exception) -> bool:
    """Return whether an operator must look at it: its reason is told to the log, not to the caller."""
    return _kind_of(error).code in _TOLD_TO_THE_OPERATOR


def text_of(error: Exception, *, request_id: str) -> str:
    """Return an error in one text, for wire formats whose errors are one: the sentence, then the first bad fields."""
    message = _message_of(error, request_id=request_id)
    fields = error.fields if isinstance(error, InvalidRows) else ()
    if not fields:
        return message
    return f"{message}: {describe_fields(fields)}"


def body_of(error: Exception, *, request_id: str) -> bytes:
    """Return the JSON body of an error."""
    fields = error.fields if isinstance(error, InvalidRows) else ()
    return msgspec.json.encode(
        {
            "error": {
                "code": _kind_of(error).code,
                "message": _message_of(error, request_id=request_id),
                "fields": [{"path": field.path, "problem": field.problem} for field in fields],
            }
        }
    )


def _message_of(error: Exception, *, request_id: str) -> str:
    what = _TOLD_TO_THE_OPERATOR.get(_kind_of(error).code)
    if what is None:
        return str(error)
    return f"{what}; the operator's log has the reason under request id {request_id!r}"


def _kind_of(error: Exception) -> _Kind:
    return next(_KINDS[known] for known in type(error).__mro__ if known in _KINDS)
