"""The client of the prediction service, for Python: `rasen.Client`, and `rasen.AsyncClient` for asyncio.

    client = rasen.Client("https://predictions.example.com", api_key=key)
    client.predict("flight_delay", [{"origin": "JFK", "hour": 7}]).predictions

Make one and keep it: it keeps its connections. What may be tried again is tried again (a connection that failed, 429
and 503 that say when to come back), and nothing else is. Errors are Rasen's own, so that a caller can tell what he did
wrong from what will pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx

from rasen.client_messages import (
    LOST,
    Description,
    Endpoint,
    Prediction,
    Retries,
    asked_to_wait,
    describe_path,
    description_of,
    endpoints_of,
    error_of,
    predict_path,
    prediction_of,
    request_body,
    request_headers,
)
from rasen.errors import InvalidInput, RasenError, ServiceUnavailable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AsyncClient", "Client"]

_KEEP_ALIVE_SECONDS = 60.0  # the service hangs up after 75
_CONNECT_SECONDS = 3.0


class _Settings:
    """What both clients are told, and how a request is dressed.

    Args:
        url: Where the service is, such as `https://predictions.example.com`.
        api_key: `rasen_…`, as `rasen keys create` printed it.
        token: Returns a token of the identity provider; asked for each request, because tokens end.
        timeout_seconds: For one try.
        retry_seconds: For how long a request is tried again altogether; 0 tries once.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        token: Callable[[], str] | None,
        timeout_seconds: float,
        retry_seconds: float,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(f"{url[:200]!r} is no address of a service, such as 'http://127.0.0.1:8080'")
        if api_key is not None and token is not None:
            raise InvalidInput("give an API key or a token, not both")
        self.url = url.rstrip("/")
        self.retry_seconds = retry_seconds
        self.timeout = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS))
        self.limits = httpx.Limits(keepalive_expiry=_KEEP_ALIVE_SECONDS)
        self._credential = token if token is not None else lambda: api_key or ""

    def headers(self, **given: str | None) -> dict[str, str]:
        """Return the headers of a request."""
        return request_headers(credential=self._credential(), **given)

    def unreachable(self, error: httpx.TransportError) -> ServiceUnavailable:
        """Return the error of a service that could not be asked."""
        what = type(error).__name__
        return ServiceUnavailable(f"{self.url} does not answer: {f'{what}: {error}' if str(error) else what}")


class Client:
    """Asks the prediction service; threads may share it.

    Args:
        url: Where the service is, such as `https://predictions.example.com`.
        api_key: `rasen_…`, as `rasen keys create` printed it.
        token: Returns a token of the identity provider; asked for each request, because tokens end.
        timeout_seconds: For one try.
        retry_seconds: For how long a request is tried again altogether; 0 tries once.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: Callable[[], str] | None = None,
        timeout_seconds: float = 10.0,
        retry_seconds: float = 10.0,
    ) -> None:
        self._settings = _Settings(
            url, api_key=api_key, token=token, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds
        )
        self._http = httpx.Client(timeout=self._settings.timeout, limits=self._settings.limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._settings.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self,
        endpoint: str,
        rows: pd.DataFrame | Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]],
        *,
        routing_key: str | None = None,
        request_id: str | None = None,
        variant: str | None = None,
    ) -> Prediction:
        """Return one prediction a row.

        Args:
            endpoint: Which model is asked.
            rows: A DataFrame, a list of objects, or one list of values a column; a missing value is `None`.
            routing_key: The same key is answered by the same variant, for example a user's id.
            request_id: For the logs of both sides; made up by the service if left out.
            variant: The role or run that a tester asks for, where the service allows it.

        Raises:
            RequestRefused: The rows do not fit; `fields` names each that does not.
            AccessRefused: The key or token does not open this endpoint.
            NotFound: There is no such endpoint.
            ModelFailed: The model could not answer.
            ServiceUnavailable: The service could not be reached, or is too busy.
            InvalidInput: What was given cannot be sent.
        """
        headers = self._settings.headers(routing_key=routing_key, request_id=request_id, variant=variant)
        return prediction_of(self._send("POST", predict_path(endpoint), headers, request_body(rows)))

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints that may be asked, by name.

        Raises:
            AccessRefused, ServiceUnavailable: As `predict`.
        """
        return endpoints_of(self._send("GET", "/endpoints", self._settings.headers()))

    def describe(self, endpoint: str) -> Description:
        """Return schema, example, metrics and version of an endpoint.

        Raises:
            AccessRefused, NotFound, ServiceUnavailable: As `predict`.
        """
        return description_of(self._send("GET", describe_path(endpoint), self._settings.headers()))

    def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None = None
    ) -> httpx.Response:
        retries = Retries(self._settings.retry_seconds)
        while True:
            wait = 0.0
            try:
                answer = self._http.request(
                    method, self._settings.url + path, headers=headers, content=content
                )
            except LOST as error:
                failure: RasenError = self._settings.unreachable(error)
            except httpx.TransportError as error:
                raise self._settings.unreachable(error) from error
            else:
                asked_for = asked_to_wait(answer)
                if asked_for is None:
                    return answer
                wait = asked_for
                failure = error_of(answer)
            pause = retries.pause(wait)
            if pause is None:
                raise failure
            time.sleep(pause)


class AsyncClient:
    """The same as `Client`, for asyncio; it belongs to one event loop.

    Args:
        url: Where the service is, such as `https://predictions.example.com`.
        api_key: `rasen_…`, as `rasen keys create` printed it.
        token: Returns a token of the identity provider; asked for each request, because tokens end.
        timeout_seconds: For one try.
        retry_seconds: For how long a request is tried again altogether; 0 tries once.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: Callable[[], str] | None = None,
        timeout_seconds: float = 10.0,
        retry_seconds: float = 10.0,
    ) -> None:
        self._settings = _Settings(
            url, api_key=api_key, token=token, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds
        )
        self._http = httpx.AsyncClient(timeout=self._settings.timeout, limits=self._settings.limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._settings.url!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
        self,
        endpoint: str,
        rows: pd.DataFrame | Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]],
        *,
        routing_key: str | None = None,
        request_id: str | None = None,
        variant: str | None = None,
    ) -> Prediction:
        """Return one prediction a row; arguments and errors are those of `Client.predict`."""
        headers = self._settings.headers(routing_key=routing_key, request_id=request_id, variant=variant)
        return prediction_of(await self._send("POST", predict_path(endpoint), headers, request_body(rows)))

    async def endpoints(self) -> list[Endpoint]:
        """Return the endpoints that may be asked, by name."""
        return endpoints_of(await self._send("GET", "/endpoints", self._settings.headers()))

    async def describe(self, endpoint: str) -> Description:
        """Return schema, example, metrics and version of an endpoint."""
        return description_of(await self._send("GET", describe_path(endpoint), self._settings.headers()))

    async def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None = None
    ) -> httpx.Response:
        retries = Retries(self._settings.retry_seconds)
        while True:
            wait = 0.0
            try:
                answer = await self._http.request(
                    method, self._settings.url + path, headers=headers, content=content
                )
            except LOST as error:
                failure: RasenError = self._settings.unreachable(error)
            except httpx.TransportError as error:
                raise self._settings.unreachable(error) from error
            else:
                asked_for = asked_to_wait(answer)
                if asked_for is None:
                    return answer
                wait = asked_for
                failure = error_of(answer)
            pause = retries.pause(wait)
            if pause is None:
                raise failure
            await asyncio.sleep(pause)
