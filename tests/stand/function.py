"""The real functions-framework with the real function, and a double of serving's admin port."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from rasen.local.processes import find_function, free_port
from rasen.settings import Settings, platform_environment

_START_SECONDS = 30.0


@contextmanager
def running_function(settings: Settings, *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the deploy function on the settings' port until the end of the block."""
    command = [sys.executable, "-m", "functions_framework", "--target", "deploy_model"]
    command += ["--source", str(find_function("deploy_model")), "--signature-type", "cloudevent"]
    command += ["--host", settings.host, "--port", str(settings.function_port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=platform_environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                post(settings.host, settings.function_port, {}, b"", method="GET")
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def post(host: str, port: int, headers: Mapping[str, str], body: bytes, *, method: str = "POST") -> int:
    """Send one request and return its status."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request(method, "/", body=body, headers=dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


class Receiver:
    """An HTTP server that keeps what it was sent and answers as it is told: a function, or serving's admin port."""

    def __init__(self, port: int | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        """Answers to the next requests; 200 when none is left."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self.port = port or free_port("127.0.0.1")
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(what: str, condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait until `condition()` is true; fail, naming what was waited for, when that does not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
