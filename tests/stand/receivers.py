"""Receivers of alerts, as real servers: one for HTTP that can be down, slow or busy, and one for mail."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Posted:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class HttpReceiver:
    """What came, and what is answered: the first of `answers` once each, then always `200 ok`.

    An answer is a status with headers; `None` means that nothing is said until the test is over.
    """

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, *, seconds: float = 30.0) -> list[Posted]:
        """Return the requests when there are at least `count`."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: len(self.posted) >= count, seconds)
        assert arrived, f"{len(self.posted)} requests came, {count} were expected"
        return self.posted


@contextmanager
def http_receiver(*, port: int = 0) -> Iterator[HttpReceiver]:
    """Run an HTTP receiver on a port, by default one that is free."""
    receiver = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.changed:
                receiver.posted.append(Posted(path=self.path, headers=dict(self.headers.items()), body=body))
                answer = receiver.answers.pop(0) if receiver.answers else (200, {})
                receiver.changed.notify_all()
            if answer is None:
                receiver.over.wait(60)
                return
            status, headers = answer
            said = b"ok" if status == 200 else b"no"
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(said))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """Return an instant of a clock that is not ours."""
            return "Thu, 01 Jan 2026 00:00:00 GMT"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that have hung up."""

    server = Server(("127.0.0.1", port), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass(kw_only=True)
class MailServer:
    """What came, and what is answered to a mailbox: 250 unless `refusals` says something else."""

    port: int = 0
    mails: list[tuple[list[str], Message]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run an SMTP server that takes mail in the open, as one inside a cluster does."""
    mailbox = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipients: list[str] = []
            self._say("220 test")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                verb = line.upper()
                if verb.startswith(("EHLO", "HELO")):
                    self._say("250 test")
                elif verb.startswith("RCPT TO"):
                    address = line.partition("<")[2].partition(">")[0]
                    answer = mailbox.refusals.get(address, "250 ok")
                    if answer.startswith("250"):
                        recipients.append(address)
                    self._say(answer)
                elif verb == "DATA":
                    self._say("354 go on")
                    lines: list[bytes] = []
                    while (data := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(data.removeprefix(b".") if data.startswith(b"..") else data)
                    mailbox.mails.append((recipients, message_from_bytes(b"".join(lines))))
                    self._say("250 taken")
                    recipients = []
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", 0), Handler)
    mailbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield mailbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield int(listener.getsockname()[1])
