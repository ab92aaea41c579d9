"""The control API from Python: what `rasen --server` and JupyterLab's server side use.

Answers are the JSON that the API documents, and errors are the classes of `rasen.errors`, as if the call had been made
on the machine itself. The token goes into the header `Authorization`, to this one address; no redirect is followed.
"""

from __future__ import annotations

import base64
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import httpx

from rasen.api.refusals import error_of
from rasen.api.server_events import Json, ServerEvent, parse_events
from rasen.errors import InvalidInput, RasenError, ServiceUnavailable

if TYPE_CHECKING:
    from rasen.settings import Settings

_SECONDS = 60.0
_SILENCE_SECONDS = 45.0  # three heartbeats
_GIVE_UP_SECONDS = 120.0
_PAUSE_SECONDS = 1.0


class ControlClient:
    """Asks a control API.

    Args:
        url: Its address, such as `http://127.0.0.1:8083`.
        token: A token of `rasen tokens`, of this machine, or of JupyterHub.
        seconds: How long an answer is waited for.
        transport: Instead of the network; for tests.
    """

    def __init__(
        self, url: str, token: str, *, seconds: float = _SECONDS, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise InvalidInput(
                f"{url!r} is no address of a control API; one looks like http://127.0.0.1:8083"
            )
        if not token.isascii() or not token.isprintable():
            raise InvalidInput("the token has characters that none has; copy it again")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=f"{self.url}/v1/", headers=headers, timeout=seconds, transport=transport
        )
        weakref.finalize(
            self, self._client.close
        )  # whoever needs no `with` leaves no connection open, either

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def health(self) -> Json:
        """Return whether the API answers; needs no token."""
        return self._get("health")

    def order_run(
        self,
        pipeline: str,
        *,
        release: str | None = None,
        parameters: Mapping[str, Any] | None = None,  # Any: JSON
        typed: Mapping[str, str] | None = None,
        deploy: bool | None = None,
        request: str | None = None,
    ) -> Json:
        """Ask for a run of a registered pipeline.

        Raises:
            NotFound: There is no such pipeline or release.
            InvalidInput: Something is not usable; nothing was asked for.
        """
        return self._order(
            {"pipeline": pipeline, "release": release},
            parameters=parameters,
            typed=typed,
            deploy=deploy,
            request=request,
        )

    def order_files(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        base_commit: str | None = None,
        changed: tuple[str, ...] = (),
        parameters: Mapping[str, Any] | None = None,  # Any: JSON
        typed: Mapping[str, str] | None = None,
        deploy: bool | None = None,
        request: str | None = None,
    ) -> Json:
        """Ask for a run of a working copy: its files by path from the folder that holds `pipeline.yaml`.

        Raises:
            InvalidInput: Something is not usable; nothing was asked for.
        """
        copy = {
            "folder": folder,
            "files": {path: base64.b64encode(data).decode() for path, data in files.items()},
            "base_commit": base_commit,
            "changed": list(changed),
        }
        return self._order(copy, parameters=parameters, typed=typed, deploy=deploy, request=request)

    def order_folder(
        self,
        folder: Path,
        *,
        parameters: Mapping[str, Any] | None = None,  # Any: JSON
        typed: Mapping[str, str] | None = None,
        deploy: bool | None = None,
        request: str | None = None,
    ) -> Json:
        """Ask for a run of a folder of this machine as it is now; what git ignores stays here.

        Raises:
            PipelineError: It is no folder, or holds what cannot be in a release.
            InvalidInput: Something is not usable; nothing was asked for.
        """
        from rasen.release import read_working_copy

        copy = read_working_copy(folder)
        return self.order_files(
            copy.folder,
            {file.path: file.data for file in copy.files},
            base_commit=copy.base_commit,
            changed=copy.changed,
            parameters=parameters,
            typed=typed,
            deploy=deploy,
            request=request,
        )

    def runs(self, **query: Any) -> Json:  # Any: texts, lists of texts and numbers, as the route takes them
        """Return `runs`, `waiting` and `next`; the arguments are those of the route, such as `pipeline` and `limit`."""
        return self._get("runs", query)

    def run(self, run: str) -> Json:
        """Return everything that is known of a run.

        Raises:
            NotFound: There is none.
        """
        return self._get(f"runs/{_part(run)}")

    def events(self, run: str, *, last_id: str = "") -> Iterator[ServerEvent]:
        """Yield the events of a run over one connection, behind the one with `last_id`.

        Raises:
            ServiceUnavailable: The connection broke, or was silent for too long.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(_SECONDS, read=_SILENCE_SECONDS)
        try:
            with self._client.stream(
                "GET", f"runs/{_part(run)}/events", headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    response.read()
                    raise _refusal(response)
                yield from parse_events(response.iter_lines())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def follow(
        self, run: str, *, last_id: str = "", give_up_seconds: float = _GIVE_UP_SECONDS
    ) -> Iterator[ServerEvent]:
        """Yield the events of a run until its verdict, over as many connections as it takes.

        Raises:
            ServiceUnavailable: The API did not answer for a long while.
        """
        failing_since: float | None = None
        while True:
            try:
                for event in self.events(run, last_id=last_id):
                    failing_since = None
                    last_id = event.id or last_id
                    yield event
                    if event.kind == "verdict":
                        return
            except ServiceUnavailable:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > give_up_seconds:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def logs(self, run: str, *, step: str | None = None, attempt: int | None = None, offset: int = 0) -> Json:
        """Return lines that the steps of a run have printed, from `offset` on.

        Raises:
            NotFound: There is no such run, step or attempt.
        """
        return self._get(f"runs/{_part(run)}/logs", {"step": step, "attempt": attempt, "offset": offset})

    def notebook(self, run: str, step: str) -> bytes:
        """Return the output notebook of a step, while it runs as far as it is.

        Raises:
            NotFound: There is none.
        """
        return self._ask("GET", f"runs/{_part(run)}/steps/{_part(step)}/notebook").content

    def cancel(self, run: str) -> Json:
        """Ask for the end of a run.

        Raises:
            InvalidInput: It has ended already.
        """
        return self._json("POST", f"runs/{_part(run)}/cancel")

    def compare(self, left: str, right: str) -> Json:
        """Return what differs between two runs of a pipeline.

        Raises:
            InvalidInput: They are not comparable.
        """
        return self._get(f"runs/{_part(left)}/compare/{_part(right)}")

    def pipelines(self) -> list[Json]:
        """Return the registered pipelines."""
        return list(self._get("pipelines")["pipelines"])

    def pipeline(self, name: str) -> Json:
        """Return a pipeline's current release with its steps and parameters.

        Raises:
            NotFound: No such pipeline is registered.
        """
        return self._get(f"pipelines/{_part(name)}")

    def releases(self, pipeline: str | None = None) -> list[Json]:
        """Return the current release of every pipeline, or all of one.

        Raises:
            NotFound: No such pipeline is registered.
        """
        return list(self._get("releases", {"pipeline": pipeline})["releases"])

    def release_file(self, pipeline: str, release: str, path: str) -> bytes:
        """Return a file of a release.

        Raises:
            NotFound: There is none.
        """
        place = f"releases/{_part(pipeline)}/{_part(release)}/files/{quote(path, safe='/')}"
        return self._ask("GET", place).content

    def deployments(self, **query: Any) -> Json:  # Any: texts and numbers, as the route takes them
        """Return `deployments` and `problems`; the arguments are those of the route."""
        return self._get("deployments", query)

    def deployment(self, endpoint: str, number: int) -> Json:
        """Return one record of a ledger in full.

        Raises:
            NotFound: There is none.
        """
        return self._get(f"deployments/{_part(endpoint)}/{number}")

    def endpoints(self, *, at: str | None = None) -> list[Json]:
        """Return what answers at each endpoint, or did at an instant."""
        return list(self._get("endpoints", {"at": at})["endpoints"])

    def endpoint(self, name: str, *, at: str | None = None) -> Json:
        """Return what answers at one endpoint, or did at an instant.

        Raises:
            NotFound: Nothing was decided about it.
        """
        return self._get(f"endpoints/{_part(name)}", {"at": at})

    def _order(self, body: Json, **more: Any) -> Json:  # Any: the common parts of an order
        said = {name: value for name, value in (body | more).items() if value is not None}
        return self._json("POST", "runs", body=said)

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:  # Any: see above
        return self._json("GET", path, query=query)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,  # Any: texts and numbers
        body: Json | None = None,
    ) -> Json:
        answer = self._ask(method, path, query=query, body=body)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceUnavailable(f"what answers at {self.url} is no control API of Rasen")
        return found

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,  # Any: texts and numbers
        body: Json | None = None,
    ) -> httpx.Response:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._client.request(method, path, params=given, json=body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if not response.is_success:
            raise _refusal(response)
        return response

    def _unreachable(self, error: httpx.HTTPError) -> ServiceUnavailable:
        why = str(error) or type(error).__name__
        return ServiceUnavailable(
            f"the control API at {self.url} does not answer: {why}; `rasen up` or `rasen api` starts one"
        )


def connect(settings: Settings, address: str) -> ControlClient:
    """Return a client with the token of the settings, or on this machine with the machine's own.

    Raises:
        InvalidInput: The address is none, or there is no token for it.
    """
    from rasen.tracking.api_tokens import read_api_token

    token = settings.token.get_secret_value()
    if not token and urlsplit(address).hostname in {"localhost", "127.0.0.1", "::1", settings.host}:
        token = read_api_token(settings.api_token_file)  # this machine's own is for nobody else
    return ControlClient(address, token)


def _refusal(response: httpx.Response) -> RasenError:
    try:
        body = response.json()
    except ValueError:
        body = None
    return error_of(response.status_code, body)


def _part(text: str) -> str:
    """Return a name as one element of a path."""
    if not text or text in {".", ".."}:
        raise InvalidInput(f"{text!r} is no name")
    return quote(text, safe="")
