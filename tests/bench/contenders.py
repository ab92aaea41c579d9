"""Who takes part in the serving benchmark: every peer, and ours once for each engine; one server at a time.

One at a time, because a server beside it takes processor time even when nobody asks it, and because pages that two
servers share would make both look smaller than they are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from bench.peer_environments import Unavailable, last_line, make_environment
from bench.peer_servers import Peer, Rows, encoded, python_of_ours
from bench.serving_home import CHOSEN, NATIVE, deploy_model
from bench.serving_models import Workload
from rasen.local.processes import free_port
from rasen.settings_model import Settings
from stand.serving import new_settings, running_server

_START_SECONDS = 120.0
_END_SECONDS = 10.0
_SHOWN = {NATIVE: "unmodified model", CHOSEN: "chosen engine"}


@dataclass(frozen=True, kw_only=True)
class Started:
    """A server that answers.

    Args:
        pid: Its first process; all others are its descendants.
        port: Where it listens.
        path: Where it predicts.
        body: From rows to the request's body.
        read: From the JSON answer to the predictions.
        headers: Sent with each request.
    """

    pid: int
    port: int
    path: str
    body: Any  # Any: Callable[[Rows], bytes], which a dataclass would bind as a method
    read: Any  # Any: Callable[[JSON], list[float]], for the same reason
    headers: Mapping[str, str] = field(default_factory=dict)

    def predict(self, rows: Rows, *, timeout_seconds: float = 20.0) -> list[float]:
        """Ask once.

        Raises:
            httpx.HTTPError: It does not answer, or with an error.
        """
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}{self.path}",
            content=self.body(rows),
            headers={"content-type": "application/json", **self.headers},
            timeout=timeout_seconds,
        )
        found: list[float] = self.read(answer.raise_for_status().json())
        return found


class Contender(Protocol):
    """Whoever can be started for a model."""

    @property
    def name(self) -> str:
        """For a person, and the key of its figures."""

    @property
    def is_ours(self) -> bool:
        """Whether it is one of ours."""

    def serve(self, workload: Workload) -> Any:  # Any: a context manager that gives `Started`
        """Run it; give what answers.

        Raises:
            Unavailable: It does not install or does not start.
        """


@dataclass(frozen=True, kw_only=True)
class PeerContender:
    """A peer in its own environment."""

    peer: Peer
    environments: Path

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def is_ours(self) -> bool:
        return False

    @contextmanager
    def serve(self, workload: Workload) -> Iterator[Started]:
        peer = self.peer
        python = python_of_ours() if peer.ours else make_environment(peer.module, self.environments)
        peer.made_ready(python, workload)
        port, log = free_port("127.0.0.1"), workload.folder / f"{peer.module}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                peer.command(python, workload, port),
                env=peer.environment(python, workload),
                cwd=workload.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started = Started(
            pid=process.pid,
            port=port,
            path=peer.path(workload),
            body=lambda rows: encoded(peer, workload, rows),
            read=peer.read,
        )
        try:
            _wait_for(started, process, workload.rows[:1], log)
            yield started
        finally:
            end_group(process)


@dataclass(frozen=True, kw_only=True)
class OurContender:
    """Our service with one worker; access keys, metrics and prediction log are on."""

    engines: str

    @property
    def name(self) -> str:
        return f"Rasen, {_SHOWN.get(self.engines, self.engines)}"

    @property
    def is_ours(self) -> bool:
        return True

    @contextmanager
    def serve(self, workload: Workload) -> Iterator[Started]:
        home = workload.folder / f"home-{self.engines}-{time.monotonic_ns()}"
        settings = our_settings(home)
        deployed = deploy_model(settings, workload.name, engines=self.engines)
        with running_server(settings) as server:
            yield Started(
                pid=server.process.pid,
                port=settings.serving_port,
                path=f"/endpoints/{workload.name}/predict",
                body=lambda rows: json.dumps({"rows": rows}).encode(),
                read=lambda answer: answer["predictions"],
                headers=deployed.headers,
            )


def our_settings(home: Path) -> Settings:
    """Return settings with one worker that lets nobody in without a key."""
    return new_settings(home, environment="dev", serving_workers=1, access=("keys",))


def _wait_for(started: Started, process: subprocess.Popen[bytes], rows: Rows, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            started.predict(rows)
            return
        except httpx.HTTPStatusError as error:
            last = f"answers {error.response.status_code}: {error.response.text[:200]}"
        except httpx.HTTPError as error:
            last = f"does not answer: {error!r}"
        if process.poll() is not None:
            said = last_line(log.read_text(errors="replace"))
            raise Unavailable(f"ended with status {process.returncode}: {said}")
        if time.monotonic() > deadline:
            raise Unavailable(f"{last}, {_START_SECONDS:.0f} s after its start")
        time.sleep(0.2)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
