"""A real prediction service for tests: `python -m rasen_serving` on free ports in a home of its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from rasen.deploy.ledger import find_head
from rasen.local.processes import free_port
from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from stand.versions import PublishedVersion, publish_and_deploy

ROW = {"origin": "JFK", "hour": 7}
START_SECONDS = 60.0


@dataclass
class Server:
    """A running service, and the store it looks at."""

    settings: Settings
    process: subprocess.Popen[bytes]
    store: Store
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20.0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.serving_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.admin_port}"

    def predict(self, endpoint: str, **row: Any) -> httpx.Response:
        return self.client.post(f"{self.url}/endpoints/{endpoint}/predict", json={"rows": [ROW | row]})

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.client.get(f"{self.admin_url}/-/ready").json()
        return state

    def reload(self) -> None:
        assert self.client.post(f"{self.admin_url}/-/reload").status_code == 202

    def metrics(self) -> str:
        return self.client.get(f"{self.admin_url}/metrics").text

    def metric(self, line: str) -> float:
        """Return the value of the metric whose name and labels are `line`, 0 when it is not there."""
        return sum(
            float(found.rsplit(" ", 1)[1]) for found in self.metrics().splitlines() if found.startswith(line)
        )

    def wait_revision(self, endpoint: str, number: int) -> None:
        """Wait until a revision is live in all workers."""
        self.reload()
        wait_until(lambda: self.state()["endpoints"].get(endpoint, {}).get("revision") == number)

    def wait_refusal(self, endpoint: str, number: int) -> str:
        """Wait until a revision is refused, and return why."""
        self.reload()
        wait_until(lambda: str(number) in self.state()["endpoints"].get(endpoint, {}).get("refused", {}))
        reason: str = self.state()["endpoints"][endpoint]["refused"][str(number)]
        return reason

    def family(self) -> list[psutil.Process]:
        """Return the nursery and the workers."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """Return the workers that accept connections."""
        return [psutil.Process(pid) for pid in self.state()["workers"]]

    def nursery(self) -> psutil.Process:
        """Return the process that forks: what is left of the family when no revision is on trial."""
        found: list[psutil.Process] = []

        def alone() -> bool:
            workers = {one.pid for one in self.workers()}
            found[:] = [one for one in self.family() if one.pid not in workers]
            return len(found) == 1

        wait_until(alone)
        return found[0]

    def log(self) -> str:
        return (self.settings.home / "serve.log").read_text()

    def kill(self) -> None:
        """End the supervisor at once, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.client.close()

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.terminate()
        status = self.process.wait(timeout=20)
        self.client.close()
        return status


def new_settings(home: Path, **changes: Any) -> Settings:
    """Return settings with free ports."""
    return load_settings(
        home=home, serving_port=free_port("127.0.0.1"), admin_port=free_port("127.0.0.1"), **changes
    )


def start_server(settings: Settings) -> Server:
    """Start the service and wait until it is ready."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rasen_serving"],
            env=platform_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = Server(settings=settings, process=process, store=open_store(settings))

    def ready() -> bool:
        assert process.poll() is None, server.log()
        try:
            state = server.state()
        except httpx.TransportError:
            return False
        return state["ready"] is True and len(state["workers"]) == settings.serving_workers

    try:
        wait_until(ready, seconds=START_SECONDS)
    except AssertionError:
        process.kill()
        process.wait()
        raise
    return server


@contextmanager
def running_server(settings: Settings) -> Iterator[Server]:
    """Start the service, and stop it however the test ends."""
    server = start_server(settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until a condition holds; the limit is for a platform that hangs, not a measurement."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def bring_up(server: Server, endpoint: str, *, number: int = 1, **options: Any) -> PublishedVersion:
    """Publish, deploy and wait until it is live."""
    version = publish_and_deploy(server.store, server.settings, number=number, pipeline=endpoint, **options)
    server.wait_revision(endpoint, find_head(server.store, endpoint))
    return version


@dataclass
class Load:
    """Callers that ask without pause, each over a connection of its own."""

    answers: list[tuple[int, str, str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + more)

    def models(self) -> set[str]:
        return {model for _, model, _, _ in self.answers}


@contextmanager
def under_load(
    server: Server, endpoint: str, *, callers: int = 4, pause_seconds: float = 0.0
) -> Iterator[Load]:
    """Ask the endpoint all the time; afterwards the result says what came back.

    A caller that is told to close its connection stays away, as a load balancer does from a replica that drains.
    """
    load = Load()
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(timeout=20.0) as client:
            while not stop.wait(pause_seconds):
                try:
                    answer = client.post(f"{server.url}/endpoints/{endpoint}/predict", json={"rows": [ROW]})
                    body = answer.json()
                    load.answers.append(
                        (
                            answer.status_code,
                            body["model"],
                            answer.headers["x-rasen-model"],
                            body["predictions"][0],
                        )
                    )
                    if answer.headers.get("connection") == "close":
                        return
                except (httpx.HTTPError, KeyError, ValueError) as error:
                    load.failures.append(repr(error))

    with ThreadPoolExecutor(callers) as threads:
        running = [threads.submit(call) for _ in range(callers)]
        try:
            yield load
        finally:
            stop.set()
            for one in running:
                one.result()
