"""The app of a worker without its process: versions loaded from a store, requests through ASGI."""

import asyncio
import atexit
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

import httpx

from rasen.settings_model import Settings
from rasen.store import Store
from rasen_serving.app import create_app
from rasen_serving.live import load
from rasen_serving.messages import Situation
from rasen_serving.revisions import Revisions
from rasen_serving.service import Service

_Result = TypeVar("_Result")


class App:
    """A service whose endpoints are what the ledger in the store names."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.service = Service(settings)
        self.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))
        self.asgi = create_app(self.service)
        self._revisions = Revisions(store, settings)

    def bring_up(self) -> None:
        """Load and switch to the newest revision of every endpoint."""
        for endpoint, number in self._revisions.look({}, thorough=True).newest.items():
            self.service.versions.keep(load(self._revisions.resolve(endpoint, number).revision))
            self.service.versions.switch(endpoint, number)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.asgi, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://serving") as client:
                return await client.request(method, path, **options)

        return self.run(send())

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run something on the loop of all calls."""
        return _runner().run(coroutine)

    def predict(self, endpoint: str, document: object, **options: Any) -> httpx.Response:
        """Send one prediction request."""
        return self.call("POST", f"/endpoints/{endpoint}/predict", json=document, **options)


@cache
def _runner() -> asyncio.Runner:
    """Return the one loop of all calls: one, as a worker has, and never closed by whatever collects an app."""
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner
