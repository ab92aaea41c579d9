"""The control API for tests: its app without a network, as a real server in a thread, and what to ask it for."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn

from rasen.api.app import create_app
from rasen.api.client import ControlClient
from rasen.api.hub import HubAccess
from rasen.local.processes import free_port
from rasen.local.requested_runs import RequestedRuns
from rasen.settings import Settings, load_settings
from rasen.store import open_store
from rasen.tracking.api_tokens import make_api_token, read_api_token
from stand.pipelines import write_pipeline


class AppTransport(httpx.BaseTransport):
    """Hands requests to an ASGI app, for clients that are not asynchronous; answers are read whole."""

    def __init__(self, app: Any) -> None:  # Any: an ASGI app
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the app's answer."""

        async def ask() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            data = b"".join([part async for part in response.aiter_raw()])
            return httpx.Response(response.status_code, headers=response.headers, content=data)

        return asyncio.run(ask())


class ControlHome:
    """A home with a control API in front of it; nothing works on its requests unless a test does."""

    def __init__(
        self, home: Path, *, hub: HubAccess | None = None, **overrides: Any
    ) -> None:  # Any: settings
        self.settings: Settings = load_settings(home=home, **{"environment": "dev", **overrides})
        self.store = open_store(self.settings)
        make_api_token(self.settings)
        self.token = read_api_token(self.settings.api_token_file)
        self.app = create_app(self.settings, self.store, hub=hub)

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,  # Any: what httpx takes
    ) -> httpx.Response:
        """Send one request; with the machine's own token unless another, or the empty text, is given."""
        token = self.token if token is None else token
        given = ({"Authorization": f"Bearer {token}"} if token else {}) | (headers or {})
        with httpx.Client(transport=AppTransport(self.app), base_url="http://control") as client:
            return client.request(method, path, headers=given, **more)

    def client(self) -> ControlClient:
        """Return a client of the app."""
        return ControlClient("http://control", self.token, transport=AppTransport(self.app))

    def order(self, folder: Path, **more: Any) -> dict[str, Any]:  # Any: JSON
        """Ask for a run of a folder as it is; return the answer."""
        answer = self.ask("POST", "/v1/runs", json={"folder": folder.name, "files": encode(folder), **more})
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found


class Worker:
    """What `rasen up` does for requests, in a thread: begins, supervises, tells."""

    def __init__(self, settings: Settings) -> None:
        self.told: list[str] = []
        self.requested = RequestedRuns(settings, open_store(settings), tell=self.told.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()
        self.requested.stop()

    def _work(self) -> None:
        while not self._stop.is_set():
            if self.requested.poll() or self.requested.is_rung():
                self.requested.look()
            time.sleep(0.05)


@contextmanager
def served(home: ControlHome) -> Iterator[str]:
    """Serve a home's app by a real uvicorn on a free port; give the address."""
    port = free_port("127.0.0.1")
    config = uvicorn.Config(
        home.app, host="127.0.0.1", port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def encode(folder: Path) -> dict[str, str]:
    """Return a folder's files as the body of a wish for a run has them."""
    return {
        path.relative_to(folder).as_posix(): base64.b64encode(path.read_bytes()).decode()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_shop(parent: Path, *cells: str) -> Path:
    """Write the pipeline `shop` of one step; return its folder."""
    return write_pipeline(
        parent / "shop",
        {"train": list(cells or ("print('price', price)",))},
        parameters="price: float = 2.0  # of one piece\ntitle: str = 'none'\n",
    )
