"""Stands between a client and the service, and writes down each request that is not a mere question."""

import base64
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOTED = ("content-type", "inference-header-content-length")


@contextmanager
def recording(port: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Listen on a port of its own, pass everything on to `port`, and yield both the port and what was recorded."""
    recorded: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that it has there
            """Say nothing."""

        def do_GET(self) -> None:
            self._pass_on(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = self._pass_on(body)
            noted = {name: self.headers[name] for name in NOTED if name in self.headers}
            recorded.append(
                {
                    "path": self.path,
                    "headers": noted,
                    "body": base64.b64encode(body).decode(),
                    "status": answer[0],
                    "answer": base64.b64encode(answer[1]).decode() if answer[0] == 200 else "",
                }
            )

        def _pass_on(self, body: bytes) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() != "connection":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()
            return answer.status, content

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
