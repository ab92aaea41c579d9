"""Every error of the control API, with its HTTP status and code: the one table, read by the server and by the client.

A body is `{"error": {"code", "message", "fields": [{"path", "problem"}]}}`. What is our own fault is told to the log,
not to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rasen.errors import (
    AccessRefused,
    InvalidInput,
    NotebookError,
    NotFound,
    ObjectNotFound,
    ParameterError,
    PipelineError,
    PlatformFailed,
    RasenError,
    RequestRefused,
    ServiceUnavailable,
    StoreError,
    StoreUnavailable,
    TrustError,
)

Fields = tuple[tuple[tuple[str | int, ...], str], ...]
"""Each bad field of a request: where it stands, and what is wrong with it."""


class Unauthenticated(AccessRefused):
    """The caller has not shown who it is, or its token has ended."""


class Forbidden(AccessRefused):
    """The caller is known, and what it asks for is not for it."""


class TooManyFailures(RequestRefused):
    """Too many wrong tokens came from this address; trying again later is right."""


class TooManyListeners(ServiceUnavailable):
    """More events are being followed than one process can serve."""


class BodyTooLarge(RequestRefused):
    """The body has more bytes than are accepted."""


class MethodRefused(RequestRefused):
    """The path exists, the method does not."""


class MalformedBody(RequestRefused):
    """What came is no JSON."""


class Conflict(InvalidInput):
    """What is asked for does not fit to what is there now, such as the end of a run that has ended."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    status: int
    code: str


_KINDS: dict[type[Exception], _Kind] = {
    MalformedBody: _Kind(status=400, code="malformed"),
    Unauthenticated: _Kind(status=401, code="unauthenticated"),
    Forbidden: _Kind(status=403, code="forbidden"),
    NotFound: _Kind(status=404, code="not_found"),
    ObjectNotFound: _Kind(status=404, code="gone"),
    MethodRefused: _Kind(status=405, code="method_not_allowed"),
    Conflict: _Kind(status=409, code="conflict"),
    TrustError: _Kind(status=409, code="untrusted"),
    BodyTooLarge: _Kind(status=413, code="body_too_large"),
    ParameterError: _Kind(status=422, code="invalid_parameter"),
    PipelineError: _Kind(status=422, code="invalid_pipeline"),
    NotebookError: _Kind(status=422, code="invalid_notebook"),
    RequestRefused: _Kind(status=422, code="invalid_request"),
    InvalidInput: _Kind(status=422, code="invalid_input"),
    TooManyFailures: _Kind(status=429, code="too_many_failures"),
    StoreUnavailable: _Kind(status=503, code="store_unavailable"),
    StoreError: _Kind(status=503, code="store_failed"),
    TooManyListeners: _Kind(status=503, code="too_many_listeners"),
    ServiceUnavailable: _Kind(status=503, code="unavailable"),
    PlatformFailed: _Kind(status=503, code="platform_failed"),
    Exception: _Kind(status=500, code="internal"),
}
_BY_CODE = {kind.code: error for error, kind in _KINDS.items()}
STATUSES = tuple(sorted({kind.status for kind in _KINDS.values()}))
"""The statuses of errors that there are, for the description of the API."""


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    return _kind_of(error).status


def body_of(error: Exception) -> dict[str, Any]:  # Any: JSON
    """Return the JSON body of an error."""
    fields = error.fields if isinstance(error, RequestRefused) else ()
    message = (
        "the control API failed; its log has the reason" if _kind_of(error).status == 500 else str(error)
    )
    listed = [{"path": list(path), "problem": problem} for path, problem in fields]
    return {"error": {"code": _kind_of(error).code, "message": message, "fields": listed}}


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that an error's answer has besides the usual ones."""
    match error:
        case Unauthenticated():  # Basic first: of several in one line Chromium reads the first
            return {"WWW-Authenticate": 'Basic realm="rasen", Bearer realm="rasen"'}
        case TooManyFailures():
            return {"Retry-After": "60"}
        case TooManyListeners() | StoreUnavailable():
            return {"Retry-After": "5"}
        case _:
            return {}


def error_of(status: int, body: object) -> RasenError:
    """Return the error that an answer of the control API stands for; the other direction of `body_of`."""
    said = body.get("error") if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return ServiceUnavailable(
            f"the control API answered with status {status} and no error of ours; is it one?"
        )
    code, message = str(said.get("code")), str(said.get("message"))
    kind = _BY_CODE.get(code)
    listed = said.get("fields")
    fields: Fields = tuple(
        (tuple(one.get("path", ())), str(one.get("problem", "")))
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict)
    )
    if fields:
        message += ": " + "; ".join(f"{'.'.join(map(str, path))}: {problem}" for path, problem in fields[:5])
    if kind is not None and issubclass(kind, RequestRefused):
        return kind(message, status, code, fields)
    if kind is not None and issubclass(kind, RasenError):
        return kind(message)
    return ServiceUnavailable(message) if status >= 500 else InvalidInput(message)


def _kind_of(error: Exception) -> _Kind:
    return next(_KINDS[known] for known in type(error).__mro__ if known in _KINDS)
